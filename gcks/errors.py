"""The error families, and the one map from error to what the peer is told.

- `WireError`: the octets are malformed.  `gcks.wire` raises it, and `gcks.ike.protect` for
  fragments and padding.
- `PeerError`: well-formed, and refused.  Each subclass carries its notification.
- `Discard`: never answered, always counted (bad ICV, replay, unknown SPI ...).
- `LocalError`: our own bug, misuse, or something the operator must mend.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from gcks.iana import NotifyType


class GcksError(Exception):
    """Base of every error that gcks raises on purpose."""


class WireError(GcksError):
    """Octets that no rule of RFC 7296 or RFC 9838 lets us read."""


class DropReason(Enum):
    """Why a datagram was dropped without an answer; the metrics label."""

    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    UNKNOWN_VERSION = "unknown_version"
    UNKNOWN_SPI = "unknown_spi"
    UNEXPECTED_EXCHANGE = "unexpected_exchange"
    WRONG_ROLE = "wrong_role"
    BAD_INTEGRITY = "bad_integrity"
    BAD_SIGNATURE = "bad_signature"
    REPLAY = "replay"
    OUT_OF_WINDOW = "out_of_window"
    STALE = "stale"
    LATE_COPY = "late_copy"
    """Of a rekey that was followed: for those who missed it."""
    UNPROVED_REFUSAL = "unproved_refusal"
    """In clear: believed if nothing better comes in time."""
    LIMIT = "limit"
    NO_KEY_PATH = "no_key_path"
    INTERNAL_ERROR = "internal_error"


class RefusalReason(Enum):
    """Why a registration came to nothing, in a word: stable in events, and a metrics label.

    docs/runbook.md says what each means and what to do.
    """

    MALFORMED = "malformed"
    NO_COMMON_SUITE = "no_common_suite"
    NO_KEY_WRAP = "no_key_wrap"
    PLAIN_IKEV2 = "plain_ikev2"
    AUTH_METHOD = "auth_method"
    UNKNOWN_IDENTITY = "unknown_identity"
    PSK_MISMATCH = "psk_mismatch"
    BAD_SIGNATURE = "bad_signature"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_NOT_YET_VALID = "certificate_not_yet_valid"
    CERTIFICATE_UNTRUSTED = "certificate_untrusted"
    CERTIFICATE_NAME = "certificate_name"
    CERTIFICATE_REVOKED = "certificate_revoked"
    CERTIFICATE_STATUS_UNKNOWN = "certificate_status_unknown"
    CERTIFICATE_UNFIT = "certificate_unfit"
    UNKNOWN_GROUP = "unknown_group"
    NOT_A_MEMBER = "not_a_member"
    EXCLUDED = "excluded"
    NOT_A_SENDER = "not_a_sender"
    NOT_A_RECEIVER = "not_a_receiver"
    WRONG_ADDRESS = "wrong_address"
    POLICY_UNSUPPORTED = "policy_unsupported"
    GROUP_FULL = "group_full"
    NO_SENDER_ID = "no_sender_id"
    RATE_LIMITED = "rate_limited"
    NO_GSA_AUTH = "no_gsa_auth"
    INCOMPLETE_GSA_AUTH = "incomplete_gsa_auth"
    UNDECRYPTABLE_GSA_AUTH = "undecryptable_gsa_auth"


class Discard(GcksError):
    """A datagram that is dropped and counted, never answered."""

    def __init__(self, reason: DropReason, detail: str = "") -> None:
        super().__init__(detail or reason.value)
        self.reason = reason


class LocalError(GcksError):
    """Our own bug or misuse, never caused by what a peer sends."""


class Unfit(ValueError):
    """What an operator wrote and nobody can use: why, and what to do about it."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason, self.remedy = reason, remedy


class PeerError(GcksError):
    """A well-formed request that is refused.

    `reason` says why in a word, `cause` in one sentence for the operator, `hint` what
    to do, and `data` is the notification data the peer receives.
    """

    notify: ClassVar[NotifyType]

    def __init__(
        self,
        cause: str,
        reason: RefusalReason = RefusalReason.MALFORMED,
        *,
        hint: str = "",
        data: bytes = b"",
    ) -> None:
        super().__init__(cause)
        self.reason = reason
        self.cause = cause
        self.hint = hint
        self.data = data


class UnsupportedCriticalPayload(PeerError):
    """RFC 7296 section 2.5; `data` is the payload type octet."""

    notify = NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD


class InvalidSyntax(PeerError):
    """RFC 7296 section 2.21; also what an authenticated `WireError` becomes."""

    notify = NotifyType.INVALID_SYNTAX


class NoProposalChosen(PeerError):
    """RFC 7296 section 2.7, RFC 9838 section 2.3.1."""

    notify = NotifyType.NO_PROPOSAL_CHOSEN


class InvalidKePayload(PeerError):
    """RFC 7296 section 1.3; `data` is the wanted method, two octets."""

    notify = NotifyType.INVALID_KE_PAYLOAD


class AuthenticationFailed(PeerError):
    """RFC 7296 section 2.21.2."""

    notify = NotifyType.AUTHENTICATION_FAILED


class NoAdditionalSas(PeerError):
    """RFC 7296 section 1.3: this server creates no Child SAs."""

    notify = NotifyType.NO_ADDITIONAL_SAS


class TemporaryFailure(PeerError):
    """RFC 7296 section 2.25."""

    notify = NotifyType.TEMPORARY_FAILURE


class InvalidGroupId(PeerError):
    """RFC 9838 section 4.7.1."""

    notify = NotifyType.INVALID_GROUP_ID


class AuthorizationFailed(PeerError):
    """RFC 9838 section 4.7.2."""

    notify = NotifyType.AUTHORIZATION_FAILED


class RegistrationFailed(PeerError):
    """RFC 9838 section 4.7.3."""

    notify = NotifyType.REGISTRATION_FAILED


class Phase(Enum):
    """How far the IKE SA had come when the error arose."""

    CLEAR = "clear"
    """No keys yet: IKE_SA_INIT."""
    UNAUTHENTICATED = "unauthenticated"
    """Keys, but the peer has not proved who it is."""
    ESTABLISHED = "established"


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """What the peer is told, and whether the IKE SA survives."""

    notify: NotifyType | None
    data: bytes
    keep: bool


_FATAL_WHEN_ESTABLISHED = (InvalidSyntax,)


def answer(error: GcksError, phase: Phase) -> ErrorAnswer:
    """Map an error to its answer (RFC 7296 section 2.21, RFC 9838 section 2.3).

    In clear, malformed octets are dropped (section 2.21.1: an answer would only
    help an attacker); under an IKE SA they are INVALID_SYNTAX, which ends it.
    """
    if isinstance(error, WireError):
        if phase is Phase.CLEAR:
            return ErrorAnswer(None, b"", keep=False)
        return ErrorAnswer(NotifyType.INVALID_SYNTAX, b"", keep=False)
    if isinstance(error, PeerError):
        return ErrorAnswer(error.notify, error.data, keep=_survives(error, phase))
    return ErrorAnswer(None, b"", keep=True)


def _survives(error: PeerError, phase: Phase) -> bool:
    if phase is Phase.ESTABLISHED:
        return not isinstance(error, _FATAL_WHEN_ESTABLISHED)
    return False


def origin(error: BaseException) -> str:
    """Name an unexpected exception and where it was raised; never its data."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" in {trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else ""
    return type(error).__name__ + where
