"""Many registrations at a real server, by hand-made initiators over loopback."""

from __future__ import annotations

import socket
from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from gcks.crypto.signature import SigningKey
from gcks.daemon.config.loaded import Listener, LogOptions, ServerConfig
from gcks.daemon.dev import demo_group, server_config
from gcks.daemon.dev_files import DevFiles
from gcks.datagrams import Endpoint
from gcks.ike.credentials import OwnCredential
from gcks.ike.retransmission import Retransmission
from tests.support.initiator import DEMO, Initiator

BATCH = 50


def loopback_config(files: DevFiles, port: int) -> ServerConfig:
    """Make a server for any member, without the limits that floods need."""
    config = server_config(files, 3600)
    group = demo_group(3600)
    assert group.rekey is not None
    rekey = replace(group.rekey, source=Endpoint("127.0.0.1", port))
    group = replace(group, rekey=rekey, members=(replace(group.members[0], identity="*"),))
    return replace(
        config,
        settings=replace(
            config.settings,
            ike_sa_idle_seconds=0.2,
            cookie_threshold=10**6,
            cookie_threshold_per_prefix=10**6,
            puzzle_difficulty=0,
            rate_per_address=1e6,
            retransmission=Retransmission(0.2, tries=1),
        ),
        groups={group.name: group},
        listeners=(Listener("127.0.0.1", (port,), ()),),
        metrics=None,
        logs=LogOptions("json", "info"),
    )


def make_initiators(files: DevFiles, count: int, *, certificate: bool) -> list[Initiator]:
    """Make members; each has a key and certificate of its own, issued by the dev CA."""
    secret = files.secret.read_bytes()
    if not certificate:
        return [Initiator(f"gm{number}", secret=secret) for number in range(count)]
    ca_key = load_pem_private_key(files.ca_key.read_bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    ca = x509.load_pem_x509_certificate(files.ca.read_bytes())
    return [
        Initiator(identity=f"fqdn:c{number}.dev", certificate=issue(ca, ca_key, f"c{number}.dev"))
        for number in range(count)
    ]


def issue(ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey, host: str) -> OwnCredential:
    """Issue a certificate and its key by the development server's CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName(host)])
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ca.not_valid_before_utc)
        .not_valid_after(ca.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(names, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return OwnCredential((leaf.public_bytes(Encoding.DER),), SigningKey(key))


def exchange(sock: socket.socket, requests: list[bytes]) -> dict[bytes, bytes]:
    """Send all requests; return the responses by initiator SPI."""
    for request in requests:
        sock.send(request)
    found: dict[bytes, bytes] = {}
    while len(found) < len(requests):
        octets = sock.recv(65535)
        if octets[18] != 37:  # INFORMATIONAL: the server closes an earlier SA
            found[octets[:8]] = octets
    return found


def register_all(peers: list[Initiator], port: int) -> None:
    """Register all peers, a batch at a time."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        sock.connect(("127.0.0.1", port))
        sock.settimeout(20)
        for at in range(0, len(peers), BATCH):
            batch = peers[at : at + BATCH]
            for peer in batch:
                local = sock.getsockname()
                path = peer.path._replace(
                    remote=Endpoint(*local), local=Endpoint("127.0.0.1", port)
                )
                peer.path = path
            answers = exchange(sock, [peer.init() for peer in batch])
            for peer in batch:
                peer.accept(answers[peer.spi_i])
            exchange(sock, [peer.auth(DEMO) for peer in batch])
