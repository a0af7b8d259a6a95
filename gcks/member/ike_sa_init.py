"""IKE_SA_INIT as the initiator (RFC 7296 sections 1.2, 2.6, 2.7, 2.23; RFC 9838 section 2.3).

Nothing in the response is authentic yet, so every retry it can cause is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gcks.crypto.key_exchange import KeyPair, generate
from gcks.datagrams import Path
from gcks.errors import GcksError
from gcks.iana import ExchangeType, NotifyType, TransformType
from gcks.ike.keymat import IkeKeys, derive_gsk_w, derive_keys
from gcks.ike.legality import Rule, check
from gcks.ike.nat import behind_nat, detection_payloads
from gcks.ike.negotiation import check_answer
from gcks.ike.proof import ANNOUNCED_HASHES, Wishes, announced_hashes, read_wishes
from gcks.ike.protect import IkeProtection
from gcks.ike.puzzle import can_solve
from gcks.ike.suite import IkeSuite
from gcks.wire.header import FLAG_INITIATOR, IKE_SPI_OCTETS, NO_SPI, Header
from gcks.wire.key_exchange import KeyExchange
from gcks.wire.message import encode_message
from gcks.wire.nonce import Nonce
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from gcks.wire.puzzle import Puzzle, PuzzleSolution, decode_puzzle
from gcks.wire.sa import SecurityAssociation

NONCE_OCTETS: Final = 32
"""At least half the key size of every PRF offered (RFC 7296 section 2.10)."""
MAX_RETRIES: Final = 3
"""COOKIE and INVALID_KE_PAYLOAD answers followed in one attempt, together."""
MAX_COOKIE_OCTETS: Final = 64


class ExchangeFailed(GcksError):
    """The server refused, or answered nonsense; `hint` says what to do about it."""

    def __init__(self, cause: str, hint: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.hint = hint


@dataclass(frozen=True, slots=True)
class InitAttempt:
    """One IKE_SA_INIT request and what belongs to it."""

    spi_i: bytes
    nonce: bytes
    key_pair: KeyPair = field(repr=False)
    method: int
    tried: frozenset[int]
    cookie: bytes | None
    solution: bytes | None
    """Of the puzzle that came with the cookie (RFC 8019)."""
    retries: int
    request: bytes
    fragmentation: bool
    """Whether we announce RFC 7383."""


@dataclass(frozen=True, slots=True)
class IkeSa:
    """The IKE SA after IKE_SA_INIT: keys, but nobody authenticated."""

    suite: IkeSuite
    keys: IkeKeys = field(repr=False)
    gsk_w: bytes = field(repr=False)
    protection: IkeProtection = field(repr=False)
    request: bytes
    response: bytes
    nonce_i: bytes
    nonce_r: bytes
    wishes: Wishes
    """What the server can verify."""
    behind_nat: bool
    """Either side."""
    own_nat: bool
    fragmentation: bool
    """Both sides have announced RFC 7383."""


def begin(
    offer: SecurityAssociation,
    path: Path,
    entropy: Callable[[int], bytes],
    *,
    fragmentation: bool = True,
) -> InitAttempt:
    """Make the first request, with the key exchange method we like best."""
    method = next(t.id for t in offer.proposals[0].transforms if t.type == TransformType.KE)
    attempt = InitAttempt(
        draw_spi(entropy),
        entropy(NONCE_OCTETS),
        generate(method),
        method,
        frozenset({method}),
        cookie=None,
        solution=None,
        retries=0,
        request=b"",
        fragmentation=fragmentation,
    )
    return _with_request(attempt, offer, path)


def draw_spi(entropy: Callable[[int], bytes]) -> bytes:
    """Return an SPI for a new IKE SA: unpredictable and not zero."""
    while (spi := entropy(IKE_SPI_OCTETS)) == NO_SPI:
        continue
    return spi


def _with_request(attempt: InitAttempt, offer: SecurityAssociation, path: Path) -> InitAttempt:
    payloads: list[Payload] = []
    if attempt.cookie is not None:
        payloads.append(Notify(NotifyType.COOKIE, attempt.cookie))
    if attempt.solution is not None:
        payloads.append(PuzzleSolution(attempt.solution))
    payloads += [
        offer,
        KeyExchange(attempt.method, attempt.key_pair.public),
        Nonce(attempt.nonce),
        *detection_payloads(attempt.spi_i, NO_SPI, path.local, path.remote),
        ANNOUNCED_HASHES,
    ]
    if attempt.fragmentation:
        payloads.append(Notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED))
    request = encode_message(
        attempt.spi_i, NO_SPI, ExchangeType.IKE_SA_INIT, FLAG_INITIATOR, 0, payloads
    )
    return replace(attempt, request=request)


def read_retry(
    attempt: InitAttempt, payloads: Sequence[Payload], offer: SecurityAssociation, path: Path
) -> InitAttempt | None:
    """Follow COOKIE or INVALID_KE_PAYLOAD; return None if the response asks for neither.

    Raises ExchangeFailed when the server asks too often or for what we didn't offer.
    """
    for notify in payloads:
        if not isinstance(notify, Notify):
            continue
        if notify.type == NotifyType.COOKIE:
            changed = _with_cookie(attempt, notify.data)
        elif notify.type == NotifyType.INVALID_KE_PAYLOAD:
            changed = _with_method(attempt, notify.data, offer)
        else:
            continue
        if attempt.retries >= MAX_RETRIES:
            raise ExchangeFailed("the server answers IKE_SA_INIT with one retry after the other")
        return _with_request(replace(changed, retries=attempt.retries + 1), offer, path)
    return None


def repeats_cookie(attempt: InitAttempt, payloads: Sequence[Payload]) -> bool:
    """Tell whether a response asks for the cookie that this attempt has: a copy of the last one."""
    return attempt.cookie is not None and any(
        isinstance(payload, Notify)
        and payload.type == NotifyType.COOKIE
        and payload.data == attempt.cookie
        for payload in payloads
    )


def read_puzzle(attempt: InitAttempt, payloads: Sequence[Payload], most: int) -> Puzzle | None:
    """Return the puzzle that came with the cookie of this attempt, if we may work on it.

    One that is harder than `most`, or for a PRF that we lack, is left unsolved:
    the cookie alone may do (RFC 8019 section 7.1.2).  0 zero bits is our choice
    of work: none.
    """
    if attempt.cookie is None:
        return None
    for notify in payloads:
        if isinstance(notify, Notify) and notify.type == NotifyType.PUZZLE:
            puzzle = decode_puzzle(notify.data)
            return puzzle if can_solve(puzzle) and 0 < puzzle.difficulty <= most else None
    return None


def with_solution(
    attempt: InitAttempt, solution: bytes, offer: SecurityAssociation, path: Path
) -> InitAttempt:
    """Return the request with the solution behind the cookie."""
    return _with_request(replace(attempt, solution=solution), offer, path)


def _with_cookie(attempt: InitAttempt, cookie: bytes) -> InitAttempt:
    """RFC 7296 section 2.6: the same request, with the cookie in front."""
    if not 0 < len(cookie) <= MAX_COOKIE_OCTETS:
        raise ExchangeFailed(f"a cookie of {len(cookie)} octets")
    return replace(attempt, cookie=cookie, solution=None)


def _with_method(attempt: InitAttempt, data: bytes, offer: SecurityAssociation) -> InitAttempt:
    """RFC 7296 section 1.2: try again with the method wanted, if we offered it."""
    wanted = int.from_bytes(data, "big") if len(data) == 2 else 0
    offered = {t.id for p in offer.proposals for t in p.transforms if t.type == TransformType.KE}
    if wanted not in offered or wanted in attempt.tried:
        raise ExchangeFailed(
            f"the server wants key exchange method {wanted}, which isn't open to us",
            "compare the key exchange methods of both sides",
        )
    return replace(
        attempt, method=wanted, key_pair=generate(wanted), tried=attempt.tried | {wanted}
    )


def refusal(payloads: Sequence[Payload]) -> ExchangeFailed | None:
    """Return the error notification of a response in clear, which anybody could have sent."""
    for notify in payloads:
        if isinstance(notify, Notify) and NotifyType(notify.type).is_error:
            kind = NotifyType(notify.type)
            return ExchangeFailed(f"IKE_SA_INIT was refused: {kind}", _HINTS.get(kind, ""))
    return None


_HINTS: Final = {
    NotifyType.NO_PROPOSAL_CHOSEN: "compare the IKE proposals of both sides, "
    "the Key Wrap Algorithm included",
    NotifyType.INVALID_SYNTAX: "the server couldn't read our request",
}


def complete(
    attempt: InitAttempt,
    datagram: bytes,
    header: Header,
    payloads: Sequence[Payload],
    offer: SecurityAssociation,
    path: Path,
    entropy: Callable[[int], bytes],
) -> IkeSa:
    """Derive the IKE SA from a positive response.

    Raises ExchangeFailed or another GcksError (bad public key, malformed).
    """
    contents = check(Rule(ExchangeType.IKE_SA_INIT, is_response=True), payloads)
    suite = check_answer(offer, contents.one(SecurityAssociation))
    ke, nonce = contents.one(KeyExchange), contents.one(Nonce)
    if ke.method != attempt.method or suite.ke != attempt.method:
        raise ExchangeFailed("the server answered with another key exchange method")
    if header.spi_r == NO_SPI:
        raise ExchangeFailed("the server chose no SPI")
    keys = derive_keys(
        suite,
        attempt.key_pair.agree(ke.data),
        attempt.nonce,
        nonce.data,
        attempt.spi_i,
        header.spi_r,
    )
    protection = IkeProtection(
        attempt.spi_i,
        header.spi_r,
        outbound=suite.make_cipher(keys.sk_ei, keys.sk_ai),
        inbound=suite.make_cipher(keys.sk_er, keys.sk_ar),
        entropy=entropy,
    )
    nat = behind_nat(payloads, attempt.spi_i, header.spi_r, path.remote, path.local)
    return IkeSa(
        suite,
        keys,
        derive_gsk_w(suite, keys.sk_d),
        protection,
        attempt.request,
        datagram,
        attempt.nonce,
        nonce.data,
        read_wishes(contents, announced_hashes(contents)),
        any(nat),
        nat[1],
        contents.notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED) is not None,
    )
