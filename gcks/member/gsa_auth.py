"""GSA_AUTH as the initiator: prove ourselves, and let the server prove itself.

RFC 9838 section 2.3.1, RFC 7296 section 2.15, RFC 7427.  The server's AUTH is
verified against the identity that the operator configured, always.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from gcks.crypto.certificate_reading import validity
from gcks.errors import PeerError
from gcks.iana import AuthMethod, ExchangeType, NotifyType
from gcks.ike.authenticator import (
    psk_authentication,
    signed_octets,
    verify_psk,
    verify_signature,
)
from gcks.ike.credentials import Credentials
from gcks.ike.legality import Contents, Rule, check
from gcks.ike.proof import peer_keys, signed_proof
from gcks.member.gsa_registration import registration_payloads
from gcks.member.ike_sa_init import ExchangeFailed, IkeSa
from gcks.member.settings import GroupMembership, MemberSettings, OwnAuthentication
from gcks.wire.authentication import Authentication
from gcks.wire.certificate import Certificate
from gcks.wire.identification import IDi, IDr
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload


def request_payloads(
    sa: IkeSa,
    settings: MemberSettings,
    credentials: Credentials,
    membership: GroupMembership,
    announced: Sequence[Payload],
) -> tuple[Payload, ...]:
    """Build the request: IDi, [CERT,] [CERTREQ,] IDr, AUTH, IDg, [SAg,] [N,] [N(GROUP_SENDER)].

    Raises ExchangeFailed when a credential is missing.
    """
    own = IDi(settings.identity)
    octets = signed_octets(sa.suite.prf, sa.request, sa.nonce_r, sa.keys.sk_pi, own.encode())
    *certificates, auth = _proof(sa, settings, credentials, octets)
    announcement = credentials.announcement
    codes = settings.optimized_rekey
    return (
        own,
        *certificates,
        *credentials.requests,
        IDr(settings.server_identity),
        auth,
        *registration_payloads(membership, announced),
        Notify(NotifyType.INITIAL_CONTACT),
        *((announcement,) if announcement is not None else ()),
        *((Notify(codes.supported),) if codes is not None else ()),
    )


def _proof(
    sa: IkeSa, settings: MemberSettings, credentials: Credentials, octets: bytes
) -> tuple[Payload, ...]:
    """Return [CERT,] AUTH: as configured, or by what else the server can verify (RFC 9593)."""
    wishes, psk = sa.wishes, credentials.find_psk(str(settings.server_identity))
    order = _ORDER[settings.authentication]
    has = {AuthMethod.DIGITAL_SIGNATURE: bool(credentials.own), AuthMethod.SHARED_KEY_MIC: psk}
    method = next((one for one in order if has[one] and wishes.accepts(one)), None)
    if method is AuthMethod.DIGITAL_SIGNATURE:
        return signed_proof(credentials.own, wishes, octets)
    if method is not None and psk is not None:
        return (psk_authentication(sa.suite.prf, psk.secret, octets),)
    if not has[order[0]]:
        raise ExchangeFailed(_MISSING[order[0]].format(settings.server_identity))
    raise ExchangeFailed(
        "the server verifies none of this member's credentials",
        "compare authentication of both sides: pre-shared keys, certificates, raw public keys",
    )


_ORDER: Final = {
    OwnAuthentication.PSK: (AuthMethod.SHARED_KEY_MIC, AuthMethod.DIGITAL_SIGNATURE),
    OwnAuthentication.CERTIFICATE: (AuthMethod.DIGITAL_SIGNATURE, AuthMethod.SHARED_KEY_MIC),
}
_MISSING: Final = {
    AuthMethod.SHARED_KEY_MIC: "no pre-shared key is configured for {}",
    AuthMethod.DIGITAL_SIGNATURE: "no certificate is configured",
}


def _secret(settings: MemberSettings, credentials: Credentials) -> bytes:
    psk = credentials.find_psk(str(settings.server_identity))
    if psk is None:
        raise ExchangeFailed(f"no pre-shared key is configured for {settings.server_identity}")
    return psk.secret


def authenticate_server(
    sa: IkeSa,
    settings: MemberSettings,
    credentials: Credentials,
    payloads: Sequence[Payload],
    wall: Callable[[], float],
) -> Contents:
    """Verify IDr and AUTH; return the authentic response, which may hold a refusal.

    Raises ExchangeFailed or PeerError: then there is no IKE SA.
    """
    refused = error_notify(payloads)
    rule = Rule(ExchangeType.GSA_AUTH, is_response=True, is_error=refused is not None)
    contents = check(rule, payloads)
    idr, auth = contents.maybe(IDr), contents.maybe(Authentication)
    if idr is None or auth is None:
        raise _unauthenticated(refused, own_certificate_problem(credentials, wall()))
    if idr.identity != settings.server_identity:
        raise ExchangeFailed(
            f"the server is {idr.identity}, not {settings.server_identity}",
            "correct the server's identity in the configuration, or suspect the network",
        )
    octets = signed_octets(sa.suite.prf, sa.response, sa.nonce_i, sa.keys.sk_pr, idr.encode())
    if auth.method == AuthMethod.SHARED_KEY_MIC:
        verify_psk(sa.suite.prf, _secret(settings, credentials), octets, auth)
    else:
        certificates = contents.all(Certificate)
        proved = peer_keys(credentials, settings.server_identity, certificates, wall())
        verify_signature(proved.keys, octets, auth)
    return contents


def error_notify(payloads: Sequence[Payload]) -> Notify | None:
    """Return the first error notification."""
    for payload in payloads:
        if isinstance(payload, Notify) and NotifyType(payload.type).is_error:
            return payload
    return None


def own_certificate_problem(credentials: Credentials, at: float) -> str:
    """Say what is wrong with our own certificates at POSIX time `at`; "" if nothing is."""
    for own in credentials.own:
        for der in own.chain[:1]:
            begins, ends = validity(der)
            if at > ends:
                return "this member's certificate has expired: renew it, or correct its clock"
            if at < begins:
                return "this member's certificate is not yet valid: correct its clock"
    return ""


def _unauthenticated(refused: Notify | None, problem: str) -> ExchangeFailed | PeerError:
    """Explain a refusal without IDr and AUTH: the server doesn't know us (ruling 24)."""
    if refused is None:
        return ExchangeFailed("the server didn't authenticate itself")
    kind = NotifyType(refused.type)
    return ExchangeFailed(f"GSA_AUTH was refused: {kind}", problem or HINTS.get(kind, ""))


HINTS: Final = {
    NotifyType.AUTHENTICATION_FAILED: "compare identity and pre-shared key or certificate "
    "with what the server expects; its log says more",
    NotifyType.INVALID_GROUP_ID: "the server doesn't know this group: compare the group's ID",
    NotifyType.AUTHORIZATION_FAILED: "the server's policy doesn't admit this identity, "
    "or not as a sender",
    NotifyType.REGISTRATION_FAILED: "the server can't take members now, "
    "for example because the group is full",
    NotifyType.NO_PROPOSAL_CHOSEN: "the group needs an algorithm that this member doesn't accept, "
    "or a feature of its data plane: compare ceiling and data_plane with the group's policy",
    NotifyType.INVALID_SYNTAX: "the server couldn't read our request",
    NotifyType.TEMPORARY_FAILURE: "the server is busy and asks to try again",
}
"""What to do about each refusal."""
