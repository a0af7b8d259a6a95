"""An IKE initiator made by hand from wire and ike primitives: as honest or hostile as a test wants.

initiator                                      key server
---------                                      ----------
init()                       -->
                             <--               accept(response)
auth(IDg, SAg ...)           -->
                             <--               read(response)
request(GSA_REGISTRATION..)  -->
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from gcks.change import Change
from gcks.crypto.key_exchange import KeyPair, generate
from gcks.crypto.signature import HASHES
from gcks.datagrams import Endpoint, Path
from gcks.errors import DropReason
from gcks.events import DatagramDropped, Event
from gcks.iana import AuthMethod, CertEncoding, ExchangeType, Ke, NotifyType, TransformType
from gcks.ike.authenticator import psk_authentication, sign, signed_octets
from gcks.ike.credentials import Credentials, OwnCredential
from gcks.ike.keymat import IkeKeys, derive_gsk_w, derive_keys
from gcks.ike.nat import detection_payloads
from gcks.ike.negotiation import suite_of
from gcks.ike.protect import IkeProtection
from gcks.ike.suite import IkeSuite
from gcks.keyserver.engine import Engine
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.settings import ServerSettings
from gcks.wire.authentication import Authentication
from gcks.wire.certificate import Certificate
from gcks.wire.header import (
    FLAG_INITIATOR,
    FLAG_RESPONSE,
    HEADER_OCTETS,
    NO_SPI,
    decode_header,
)
from gcks.wire.identification import Identity, IDg, IDi
from gcks.wire.key_exchange import KeyExchange
from gcks.wire.message import encode_message
from gcks.wire.nonce import Nonce
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload, decode_chain
from gcks.wire.sa import SecurityAssociation
from tests.support.network import WALL_AT_ZERO
from tests.support.plain import decode_plain
from tests.support.world import PSK, SECRET, SERVER_HOST, SERVER_SETTINGS, group_policy

ANNOUNCED_HASHES = Notify(
    NotifyType.SIGNATURE_HASH_ALGORITHMS, b"".join(h.to_bytes(2, "big") for h in HASHES)
)
DEMO = IDg(Identity.parse("keyid:demo"))
SERVER = Endpoint(SERVER_HOST, 500)


GSA_KD = ["GroupSecurityAssociation", "KeyDownload", "VendorId", "Notify"]
"""What a registration is answered with, after IDr and AUTH: the last two are the spread."""


def group_sender(count: int = 1) -> Notify:
    """Return the notify that asks for Sender-IDs."""
    return Notify(NotifyType.GROUP_SENDER, count.to_bytes(4, "big"))


class Server:
    """A key server's engine under test, and its clock."""

    def __init__(
        self,
        groups: Sequence[str | GroupPolicy] = ("demo",),
        *,
        settings: ServerSettings = SERVER_SETTINGS,
        credentials: Credentials = PSK,
        **options: object,
    ) -> None:
        self.now = 0.0
        policies = {}
        for number, one in enumerate(groups):
            policy = group_policy(one, number=8 + number) if isinstance(one, str) else one
            policies[policy.name] = policy
        self.engine = Engine(
            settings,
            credentials,
            policies,
            (),
            entropy=os.urandom,
            wall=lambda: WALL_AT_ZERO + self.now,
            now=0.0,
            **options,  # type: ignore[arg-type]
        )
        self.started = self.engine.start(0.0)

    def receive(self, datagram: bytes, peer: Initiator) -> Change:
        return self.engine.receive(datagram, peer.path, self.now)

    def answer(self, datagram: bytes, peer: Initiator) -> bytes:
        """Return the one datagram with which the server answers."""
        outcome = self.receive(datagram, peer)
        (transmit,) = outcome.transmits
        assert transmit.path == peer.path
        return transmit.octets

    def wait(self, seconds: float) -> Change:
        """Let time pass, then let the engine do what is due."""
        self.now += seconds
        return self.engine.handle_timeout(self.now)

    @property
    def forgot_all_peers(self) -> bool:
        """Tell whether nothing of any IKE SA is left, timers aside."""
        table = self.engine.ike_sas
        return (table.half_open, table.established, len(table)) == (0, 0, 0)


class Initiator:
    """One peer of the key server; every message can be bent before it is sent."""

    def __init__(
        self,
        name: str = "gm1",
        *,
        host: str = "10.0.0.1",
        port: int = 500,
        secret: bytes = SECRET,
        certificate: OwnCredential | None = None,
        identity: str = "",
        offer: SecurityAssociation = SERVER_SETTINGS.ike_proposals,
    ) -> None:
        self.identity = Identity.parse(identity or f"fqdn:{name}.dev")
        self.path = Path(SERVER, Endpoint(host, port))
        self.secret, self.certificate, self.offer = secret, certificate, offer
        self.spi_i, self.spi_r = os.urandom(8), NO_SPI
        self.ni, self.nr = os.urandom(32), b""
        self.pair: KeyPair = generate(Ke.CURVE25519)
        self.method = int(Ke.CURVE25519)
        self.request_octets, self.response_octets = b"", b""
        self.suite: IkeSuite
        self.keys: IkeKeys
        self.protection: IkeProtection
        self.next_message_id = 1

    # --- IKE_SA_INIT ----------------------------------------------------------------

    def init_payloads(self) -> list[Payload]:
        return [
            self.offer,
            KeyExchange(self.method, self.pair.public),
            Nonce(self.ni),
            *detection_payloads(self.spi_i, NO_SPI, self.path.remote, self.path.local),
            ANNOUNCED_HASHES,
        ]

    def init(self, *, cookie: bytes = b"", payloads: Sequence[Payload] | None = None) -> bytes:
        """HDR, [N(COOKIE),] SAi1, KEi, Ni, N(NAT...), N(HASHES)"""
        chain = list(self.init_payloads() if payloads is None else payloads)
        if cookie:
            chain.insert(0, Notify(NotifyType.COOKIE, cookie))
        self.request_octets = encode_message(
            self.spi_i, NO_SPI, ExchangeType.IKE_SA_INIT, FLAG_INITIATOR, 0, chain
        )
        return self.request_octets

    def use_method(self, method: int) -> None:
        """Guess another key exchange method."""
        self.method, self.pair = method, generate(method)

    def accept(self, response: bytes) -> dict[type, Payload]:
        """Take the server's IKE_SA_INIT response; return its payloads by type."""
        header, payloads = decode_plain(response)
        assert (header.spi_i, header.flags, header.message_id) == (self.spi_i, FLAG_RESPONSE, 0)
        found = {type(payload): payload for payload in payloads}
        (answer,) = (p for p in payloads if isinstance(p, SecurityAssociation))
        (ke,) = (p for p in payloads if isinstance(p, KeyExchange))
        (nonce,) = (p for p in payloads if isinstance(p, Nonce))
        self.response_octets, self.spi_r, self.nr = response, header.spi_r, nonce.data
        self.suite = suite_of(answer.proposals[0])
        self.keys = derive_keys(
            self.suite, self.pair.agree(ke.data), self.ni, self.nr, self.spi_i, self.spi_r
        )
        make = self.suite.make_cipher
        self.protection = IkeProtection(
            self.spi_i,
            self.spi_r,
            make(self.keys.sk_ei, self.keys.sk_ai),
            make(self.keys.sk_er, self.keys.sk_ar),
            os.urandom,
        )
        return found

    @property
    def gsk_w(self) -> bytes:
        return derive_gsk_w(self.suite, self.keys.sk_d)

    # --- GSA_AUTH -------------------------------------------------------------------

    def proof(self) -> tuple[Payload, ...]:
        """[CERT,] AUTH"""
        octets = signed_octets(
            self.suite.prf,
            self.request_octets,
            self.nr,
            self.keys.sk_pi,
            self.identity.encode(),
        )
        if self.certificate is None:
            return (psk_authentication(self.suite.prf, self.secret, octets),)
        encoding = CertEncoding.X509_SIGNATURE
        chain = tuple(Certificate(encoding, der) for der in self.certificate.chain)
        return (*chain, sign(self.certificate.key, self.certificate.key.algorithm(), octets))

    def auth(self, *payloads: Payload, exchange: int = ExchangeType.GSA_AUTH) -> bytes:
        """HDR, SK{IDi, [CERT,] AUTH, IDg ...}; IDg is of the group "demo" unless given."""
        return self.request(exchange, IDi(self.identity), *self.proof(), *(payloads or (DEMO,)))

    def server_proof(self, server: Identity, secret: bytes = SECRET) -> Authentication:
        """Return the AUTH payload that the server should have sent for a PSK."""
        octets = signed_octets(
            self.suite.prf, self.response_octets, self.ni, self.keys.sk_pr, server.encode()
        )
        return psk_authentication(self.suite.prf, secret, octets)

    # --- afterwards -----------------------------------------------------------------

    def request(self, exchange: int, *payloads: Payload, message_id: int | None = None) -> bytes:
        """HDR, SK{...} with the next Message ID, or with one that the test wants."""
        if message_id is None:
            message_id = self.next_message_id
            self.next_message_id += 1
        flags = FLAG_INITIATOR
        (message,) = self.protection.seal_messages(exchange, flags, message_id, payloads, None)
        return message

    def respond(self, exchange: int, message_id: int, *payloads: Payload) -> bytes:
        flags = FLAG_INITIATOR | FLAG_RESPONSE
        return self.protection.seal_messages(exchange, flags, message_id, payloads, None)[0]

    def read(self, datagram: bytes) -> tuple[Payload, ...]:
        """Open a protected message of the server."""
        header = decode_header(datagram)
        assert (header.spi_i, header.spi_r) == (self.spi_i, self.spi_r)
        return decode_chain(*self.protection.open(datagram, header))

    # --- whole steps ----------------------------------------------------------------

    def meet(self, server: Server) -> Initiator:
        """Go through IKE_SA_INIT; give a cookie back where the server asks for one."""
        answer = server.answer(self.init(), self)
        if cookie := cookie_of(answer):
            answer = server.answer(self.init(cookie=cookie), self)
        self.accept(answer)
        return self

    def register(self, server: Server, *payloads: Payload) -> tuple[Payload, ...]:
        """Go through IKE_SA_INIT and GSA_AUTH; return what the server answered."""
        self.meet(server)
        return self.read(server.answer(self.auth(*payloads), self))

    def ask(self, server: Server, exchange: int, *payloads: Payload) -> tuple[Payload, ...]:
        return self.read(server.answer(self.request(exchange, *payloads), self))


def notifies(payloads: Sequence[Payload]) -> list[int]:
    """Return the notifications' types, in order, without what all registrations are told."""
    found = [payload.type for payload in payloads if isinstance(payload, Notify)]
    return [kind for kind in found if kind != NotifyType.REREGISTRATION_SPREAD]


def cookie_of(answer: bytes) -> bytes:
    """Return the cookie that the server asks back; b"" where it doesn't."""
    _, payloads = decode_plain(answer)
    found = [one for one in payloads if isinstance(one, Notify)]
    return next((one.data for one in found if one.type == NotifyType.COOKIE), b"")


def kinds(payloads: Sequence[Payload]) -> list[str]:
    return [type(payload).__name__ for payload in payloads]


def only(outcome: Change, kind: type[Event]) -> Event:
    """Return the one event of the kind."""
    (event,) = (event for event in outcome.events if isinstance(event, kind))
    return event


def dropped(outcome: Change) -> DropReason:
    """Return why the datagram was dropped, without an answer or a trace."""
    assert (outcome.transmits, outcome.journal) == ([], [])
    (event,) = outcome.events
    assert isinstance(event, DatagramDropped)
    return event.reason


def bent(datagram: bytes, at: int, value: int) -> bytes:
    """Overwrite one octet; negative positions count from the end."""
    octets = bytearray(datagram)
    octets[at] = value
    return bytes(octets)


def inner_of(datagram: bytes) -> bytes:
    return datagram[HEADER_OCTETS:]


def without(payloads: Sequence[Payload], kind: type) -> list[Payload]:
    return [payload for payload in payloads if not isinstance(payload, kind)]


def accepted_methods(offer: SecurityAssociation) -> list[int]:
    return [t.id for t in offer.proposals[0].transforms if t.type == TransformType.KE]


NULL_AUTH = Authentication(AuthMethod.NULL, b"\0")
