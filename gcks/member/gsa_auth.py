"""GSA_AUTH as the initiator: prove ourselves, and let the server prove itself.

RFC 9838 section 2.3.1, RFC 7296 section 2.15, RFC 7427.  The server's AUTH is
verified against the identity that the operator configured, always.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from gcks.crypto.certificate_reading import issuer, validity
from gcks.errors import PeerError
from gcks.iana import AuthMethod, ExchangeType, NotifyType
from gcks.ike.authenticator import (
    psk_authentication,
    signed_octets,
    verify_psk,
    verify_signature,
)
from gcks.ike.credentials import Credentials, PreSharedKey
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
    method, psk = _method(sa, settings, credentials), _psk(settings, credentials)
    if method is AuthMethod.DIGITAL_SIGNATURE:
        return signed_proof(credentials.own, sa.wishes, octets)
    if method is not None and psk is not None:
        return (psk_authentication(sa.suite.prf, psk.secret, octets),)
    first = _ORDER[settings.authentication][0]
    if not _has(settings, credentials)[first]:
        raise ExchangeFailed(_MISSING[first].format(settings.server_identity))
    raise ExchangeFailed(
        "the server verifies none of this member's credentials",
        "compare authentication of both sides: pre-shared keys, certificates, raw public keys",
    )


def _method(sa: IkeSa, settings: MemberSettings, credentials: Credentials) -> AuthMethod | None:
    """Return the method that we have and the server verifies, the configured one first."""
    has, order = _has(settings, credentials), _ORDER[settings.authentication]
    return next((method for method in order if has[method] and sa.wishes.accepts(method)), None)


def _has(settings: MemberSettings, credentials: Credentials) -> dict[AuthMethod, bool]:
    return {
        AuthMethod.DIGITAL_SIGNATURE: bool(credentials.own),
        AuthMethod.SHARED_KEY_MIC: _psk(settings, credentials) is not None,
    }


def _psk(settings: MemberSettings, credentials: Credentials) -> PreSharedKey | None:
    return credentials.find_psk(str(settings.server_identity))


_ORDER: Final = {
    OwnAuthentication.PSK: (AuthMethod.SHARED_KEY_MIC, AuthMethod.DIGITAL_SIGNATURE),
    OwnAuthentication.CERTIFICATE: (AuthMethod.DIGITAL_SIGNATURE, AuthMethod.SHARED_KEY_MIC),
}
_MISSING: Final = {
    AuthMethod.SHARED_KEY_MIC: "no pre-shared key is configured for {}",
    AuthMethod.DIGITAL_SIGNATURE: "no certificate is configured",
}


def _secret(settings: MemberSettings, credentials: Credentials) -> bytes:
    psk = _psk(settings, credentials)
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
        raise _unauthenticated(refused, own_problem(sa, settings, credentials, wall()))
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


def own_problem(sa: IkeSa, settings: MemberSettings, credentials: Credentials, at: float) -> str:
    """Say why the server may not believe us, as far as it can be known here; at POSIX time `at`."""
    if _method(sa, settings, credentials) is not AuthMethod.DIGITAL_SIGNATURE:
        return _WRONG_PSK.format(settings.identity)
    chains = [own.chain for own in credentials.own if own.chain]
    if not chains:
        return _WRONG_RAW_KEY.format(settings.identity)
    for leaf, *_ in chains:
        begins, ends = validity(leaf)
        if at > ends:
            return "this member's certificate has expired: renew it, or correct its clock"
        if at < begins:
            return "this member's certificate is not yet valid: correct its clock"
    return _WRONG_CERTIFICATE.format(issuer(chains[0][0]), settings.identity)


_WRONG_PSK: Final = (
    "compare this member's pre-shared key with what the server has for {}; its log says more"
)
_WRONG_RAW_KEY: Final = (
    "give the server this member's public key for {} (authentication.raw_public_keys there)"
)
_WRONG_CERTIFICATE: Final = (
    "this member's certificate was issued by {}: does the server trust that CA "
    "(authentication.trust_anchors there), and does the certificate name {}? Its log says more"
)


def _unauthenticated(refused: Notify | None, problem: str) -> ExchangeFailed | PeerError:
    """Explain a refusal without IDr and AUTH: the server doesn't know us (ruling 24)."""
    if refused is None:
        return ExchangeFailed("the server didn't authenticate itself")
    kind = NotifyType(refused.type)
    unknown = kind is NotifyType.AUTHENTICATION_FAILED
    return ExchangeFailed(
        f"GSA_AUTH was refused: {kind}", problem if unknown else HINTS.get(kind, "")
    )


HINTS: Final = {
    NotifyType.INVALID_GROUP_ID: "the server doesn't know this group: compare the group's ID",
    NotifyType.AUTHORIZATION_FAILED: "the group's members rules don't admit this identity, or not "
    "as a sender: add a rule there, with send: true for a sender, or set send: false here",
    NotifyType.REGISTRATION_FAILED: "the server can't take members now, "
    "for example because the group is full",
    NotifyType.NO_PROPOSAL_CHOSEN: "the group needs an algorithm that this member doesn't accept, "
    "or a feature of its data plane: compare ceiling and data_plane with the group's policy",
    NotifyType.INVALID_SYNTAX: "the server couldn't read our request",
    NotifyType.TEMPORARY_FAILURE: "the server is busy and asks to try again",
}
"""What to do about each refusal."""
