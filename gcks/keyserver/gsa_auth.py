"""GSA_AUTH as the responder: who is it, and then may it join (RFC 9838 section 2.3.1).

HDR, SK{IDi, [CERT,] [CERTREQ,] [IDr,] AUTH, IDg, [SAg,] [N(GROUP_SENDER),] [N]}  -->
                              <--  HDR, SK{IDr, [CERT,] AUTH, GSA, KD, [N]}
                        or    <--  HDR, SK{IDr, [CERT,] AUTH, N}
                        or    <--  HDR, SK{N(AUTHENTICATION_FAILED)}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gcks.errors import AuthenticationFailed, InvalidSyntax, RefusalReason
from gcks.iana import AuthMethod, ExchangeType
from gcks.ike.authenticator import (
    psk_authentication,
    signed_octets,
    verify_psk,
    verify_signature,
)
from gcks.ike.channel import Channel
from gcks.ike.credentials import Credentials, PreSharedKey
from gcks.ike.ike_rekey import Parent
from gcks.ike.key_log_entry import KeyLog, log_entry
from gcks.ike.keymat import IkeKeys, derive_gsk_w, derive_keys
from gcks.ike.legality import Contents, Rule
from gcks.ike.proof import PeerKeys, Wishes, peer_keys, signed_proof
from gcks.ike.protect import IkeProtection
from gcks.keyserver.configured import Configured
from gcks.keyserver.ike_sa import AUTH_MESSAGE_ID, Agreed, HalfOpen
from gcks.keyserver.settings import ServerSettings
from gcks.wire.authentication import Authentication
from gcks.wire.certificate import Certificate
from gcks.wire.identification import Identity, IDg, IDi, IDr
from gcks.wire.payloads import Payload

MAX_IDENTITY_OCTETS: Final = 1024
"""Of a member or a group.  No RFC has a limit; distinguished names stay far below."""
REQUESTS: Final = {
    exchange: Rule(exchange, is_response=False)
    for exchange in (ExchangeType.GSA_AUTH, ExchangeType.IKE_AUTH)
}


def check_offered(exchange: int, settings: ServerSettings) -> None:
    """Tell a plain IKEv2 peer at once that there is nothing for it here.

    Raises `AuthenticationFailed`.
    """
    if exchange == ExchangeType.IKE_AUTH and not settings.childless:
        raise AuthenticationFailed(
            "IKE_AUTH is not offered; a GM registers with GSA_AUTH",
            RefusalReason.PLAIN_IKEV2,
            hint="let it be a group member, or set ike.childless to let it authenticate first",
        )


def check_identities(contents: Contents) -> None:
    """Refuse names that nobody has: everything keeps and tells them.  Raises `InvalidSyntax`."""
    for named in (contents.maybe(IDi), contents.maybe(IDg)):
        octets = len(named.identity.data) if named is not None else 0
        if octets > MAX_IDENTITY_OCTETS:
            raise InvalidSyntax(
                f"a name of {octets} octets, and {MAX_IDENTITY_OCTETS} are the most",
                hint="give the member and its group shorter names",
            )


_NOBODY: Final = b"a secret that no peer has"
"""Stands in for an unknown identity's PSK, so that its refusal costs the same."""


def secure(half: HalfOpen, entropy: Callable[[int], bytes], key_log: KeyLog | None) -> Agreed:
    """Agree on the keys, once.  Raises `InvalidPublicKey`."""
    if half.secured is not None:
        return half.secured
    shared = half.pair.agree(half.peer_public)
    keys = derive_keys(half.suite, shared, half.ni, half.nr, half.spi_i, half.spi_r)
    make = half.suite.make_cipher
    outbound, inbound = make(keys.sk_er, keys.sk_ar), make(keys.sk_ei, keys.sk_ai)
    protection = IkeProtection(half.spi_i, half.spi_r, outbound, inbound, entropy)
    channel = Channel(
        protection,
        half.path,
        initiator=False,
        fragment_octets=half.fragment_octets,
        expected_message_id=AUTH_MESSAGE_ID,
    )
    half.secured = Agreed(keys, channel)
    if key_log is not None:
        key_log(log_entry(half.suite, half.spi_i, half.spi_r, keys))
    return half.secured


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A peer that proved its identity, and our proof for it."""

    identity: Identity
    method: str
    proof: tuple[Payload, ...]
    """IDr, [CERT,] AUTH."""
    gsk_w: bytes = field(repr=False)
    parent: Parent
    """What a rekey of this IKE SA derives from."""
    keys: PeerKeys
    """What the peer proved itself with; no keys where it was a pre-shared key."""


def authenticate(
    half: HalfOpen,
    keys: IkeKeys,
    contents: Contents,
    wishes: Wishes,
    configured: Configured,
    at: float,
) -> Authenticated:
    """Verify the peer's AUTH at POSIX time `at` and make ours, by the same method if we can.

    Raises `AuthenticationFailed`.
    """
    own, credentials = configured.settings.identity, configured.credentials
    identity = contents.one(IDi).identity
    auth = contents.maybe(Authentication)
    if auth is None:  # RFC 7296 section 2.16
        raise AuthenticationFailed(
            "the peer asks for EAP, which this server does not offer",
            RefusalReason.AUTH_METHOD,
            hint="let it use a certificate, a raw public key or a pre-shared key",
        )
    prf = half.suite.prf
    theirs = signed_octets(prf, half.request, half.nr, keys.sk_pi, identity.encode())
    ours = signed_octets(prf, half.response, half.ni, keys.sk_pr, own.encode())
    by_psk = auth.method == AuthMethod.SHARED_KEY_MIC
    proved = PeerKeys(())
    psk = credentials.find_psk(str(identity)) if by_psk or wishes.methods is not None else None
    if by_psk:
        _verify_psk(prf, identity, theirs, auth, psk)
    else:
        proved = peer_keys(credentials, identity, contents.all(Certificate), at)
        verify_signature(proved.keys, theirs, auth)
    if _own_method(auth.method, wishes, credentials, psk) == AuthMethod.SHARED_KEY_MIC and psk:
        proof: tuple[Payload, ...] = (psk_authentication(prf, psk.secret, ours),)
    else:
        proof = signed_proof(credentials.own, wishes, ours)
    return Authenticated(
        identity,
        "psk" if by_psk else "certificate" if proved.references else "raw_public_key",
        (IDr(own), *proof),
        derive_gsk_w(half.suite, keys.sk_d),
        Parent(half.suite, keys.sk_d),
        proved,
    )


def _own_method(
    theirs: int, wishes: Wishes, credentials: Credentials, psk: PreSharedKey | None
) -> AuthMethod:
    """Return how to prove ourselves: as the peer did, or as it announces (RFC 9593).

    Raises `AuthenticationFailed`.
    """
    order = [AuthMethod.SHARED_KEY_MIC, AuthMethod.DIGITAL_SIGNATURE]
    if theirs != AuthMethod.SHARED_KEY_MIC:
        order.reverse()
    if wishes.methods is None:
        del order[1:]  # nothing says that the peer can verify the other
    has = {AuthMethod.DIGITAL_SIGNATURE: bool(credentials.own), AuthMethod.SHARED_KEY_MIC: psk}
    method = next((method for method in order if has[method] and wishes.accepts(method)), None)
    if method is None:
        raise AuthenticationFailed(
            "this server has no key that the peer says it can verify",
            RefusalReason.AUTH_METHOD,
            hint="configure server.certificate and server.key, or a pre-shared key",
        )
    return method


def _verify_psk(
    prf: int, identity: Identity, octets: bytes, auth: Authentication, entry: PreSharedKey | None
) -> None:
    try:
        verify_psk(prf, entry.secret if entry else _NOBODY, octets, auth)
    except AuthenticationFailed:
        if entry is not None:
            raise
    if entry is None:
        raise AuthenticationFailed(
            f"no pre-shared key for {identity}",
            RefusalReason.UNKNOWN_IDENTITY,
            hint="add one under authentication",
        )
