"""`gcks serve --dev`: a key server that needs no configuration and no privileges.

Everything lives in one directory: the CA, a member's certificate, a secret, the
state.  It is made once and used again, so that a killed server goes on with the
same group.
"""

from __future__ import annotations

import datetime
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from gcks.crypto.aead_box import MASTER_KEY_OCTETS
from gcks.crypto.certificates import TrustStore
from gcks.crypto.signature import SigningKey
from gcks.daemon import member as member_daemon
from gcks.daemon.config.loaded import Listener, LogOptions, MemberConfig, ServerConfig
from gcks.daemon.screen import Screen
from gcks.daemon.server import ServerRuntime, refuse, run_to_end
from gcks.dataplane.options import DataPlaneOptions
from gcks.errors import LocalError
from gcks.group.policy import DataSaPolicy, GroupPolicy, MemberRule, RekeyPolicy
from gcks.iana import Encr, Kwa, ProtocolId, TransformType
from gcks.ike.credentials import Credentials, OwnCertificate, PreSharedKey
from gcks.ike.keywords import DEFAULT_IKE, parse_ike
from gcks.keyserver.settings import ServerSettings
from gcks.member.ceiling import Ceiling
from gcks.member.settings import GroupMembership, MemberSettings, OwnAuthentication
from gcks.outcome import Endpoint
from gcks.wire.identification import Identity
from gcks.wire.traffic_selector import UDP, TrafficSelector
from gcks.wire.transform import Transform

ADDRESS: Final = "127.0.0.1"
IKE_PORTS: Final = (10500, 10848)
NATT_PORT: Final = 14500
METRICS: Final = Endpoint(ADDRESS, 9848)
SERVER_IDENTITY: Final = "fqdn:gcks.dev"
MEMBER_IDENTITY: Final = "fqdn:gm1.dev"
MEMBER_PATTERN: Final = "fqdn:gm*.dev"
CERTIFICATE_IDENTITY: Final = "fqdn:gm-cert.dev"
GROUP: Final = "keyid:demo"
REKEY_DESTINATION: Final = Endpoint("239.255.84.8", 10848)
DATA_DESTINATION: Final = "239.255.84.9"
DATA_PORT: Final = 5000
REKEY_SECONDS: Final = 60
_ATD_SECONDS: Final = 2
_DTD_SECONDS: Final = 5
_SPREAD_SECONDS: Final = 2.0
_CERTIFICATE_DAYS: Final = 3650
_PRIVATE: Final = 0o600
_GCM_256: Final = Transform(TransformType.ENCR, Encr.AES_GCM_16, 256)


def default_data_dir() -> Path:
    """Return where the development server keeps its state."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "gcks-dev"


@dataclass(frozen=True, slots=True)
class DevFiles:
    """The files of a development directory, by the names in the table below."""

    directory: Path

    def __getattr__(self, name: str) -> Path:
        return self.directory / _FILES[name]


_FILES: Final = {
    "ca": "ca.pem",
    "ca_key": "ca.key",
    "server_certificate": "server.pem",
    "server_key": "server.key",
    "member_certificate": "member.pem",
    "member_key": "member.key",
    "secret": "psk",
    "master_key": "master.key",
    "store": "gcks.sqlite",
    "description": "dev.json",
}


# --- making the files -------------------------------------------------------------------


def prepare(directory: Path) -> DevFiles:
    """Make what is missing.  Raises `LocalError`."""
    files = DevFiles(directory)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_secret(files.secret)
        _make_secret(files.master_key)
        if not files.ca.exists():
            _make_pki(files)
    except OSError as error:
        raise LocalError(f"{directory}: {error.strerror}; choose another --data-dir") from None
    return files


def _make_secret(path: Path) -> None:
    if not path.exists():
        _write_private(path, secrets.token_bytes(MASTER_KEY_OCTETS))


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads, all of it or nothing."""
    new = path.with_suffix(path.suffix + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    new.replace(path)


def _make_pki(files: DevFiles) -> None:
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("gcks development CA")
    ca = _certificate(ca_name, ca_name, ca_key, ca_key, None)
    for identity, certificate_path, key_path in (
        (SERVER_IDENTITY, files.server_certificate, files.server_key),
        (CERTIFICATE_IDENTITY, files.member_certificate, files.member_key),
    ):
        host = identity.removeprefix("fqdn:")
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = _certificate(_name(host), ca_name, key, ca_key, host)
        _write_private(key_path, _pem(key))
        certificate_path.write_bytes(leaf.public_bytes(Encoding.PEM))
    _write_private(files.ca_key, _pem(ca_key))
    files.ca.write_bytes(ca.public_bytes(Encoding.PEM))


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    host: str | None,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_CERTIFICATE_DAYS))
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage(authority=host is None), critical=True)
    )
    if host is not None:
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


# --- using them -------------------------------------------------------------------------


def _pem_certificate(path: Path) -> bytes:
    return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)


def _own(certificate: Path, key: Path) -> OwnCertificate:
    private = load_pem_private_key(key.read_bytes(), None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise LocalError(f"{key}: not the key that gcks made here")
    return OwnCertificate((_pem_certificate(certificate),), SigningKey(private))


def demo_group(rekey_seconds: int) -> GroupPolicy:
    """The group `demo`: ESP for many senders, a signed rekey every so many seconds."""
    lifetime = 2 * rekey_seconds + 60
    data = DataSaPolicy(
        "demo",
        ProtocolId.ESP,
        _GCM_256,
        None,
        TrafficSelector.any(4, UDP),
        TrafficSelector.single(DATA_DESTINATION, UDP, DATA_PORT),
        lifetime_seconds=lifetime,
        renew_seconds=rekey_seconds,
    )
    rekey = RekeyPolicy(
        _GCM_256,
        None,
        Kwa.KW_5649_256,
        "ed25519",
        Endpoint(ADDRESS, IKE_PORTS[1]),
        REKEY_DESTINATION,
        lifetime_seconds=24 * lifetime,
        spread_seconds=min(_SPREAD_SECONDS, rekey_seconds / 4),
    )
    rules = (MemberRule(MEMBER_PATTERN, send=True),)
    return GroupPolicy(
        Identity.parse(GROUP),
        (data,),
        rekey,
        rules,
        # Senders switch, and the old SA goes, before the next rekey comes.
        atd_seconds=min(_ATD_SECONDS, rekey_seconds // 3),
        dtd_seconds=min(_DTD_SECONDS, rekey_seconds),
    )


def server_config(files: DevFiles, rekey_seconds: int) -> ServerConfig:
    """Return the development server's configuration."""
    group = demo_group(rekey_seconds)
    return ServerConfig(
        settings=ServerSettings(Identity.parse(SERVER_IDENTITY), parse_ike(DEFAULT_IKE)),
        credentials=Credentials(
            (PreSharedKey(MEMBER_PATTERN, files.secret.read_bytes()),),
            _own(files.server_certificate, files.server_key),
            TrustStore([_pem_certificate(files.ca)]),
        ),
        groups={group.name: group},
        listeners=(Listener(ADDRESS, IKE_PORTS, (NATT_PORT,)),),
        store_path=files.store,
        master_key=files.master_key.read_bytes(),
        metrics=METRICS,
        logs=LogOptions("console", "info"),
    )


def description(files: DevFiles) -> dict[str, Any]:
    """Return what dev.json says: how to connect."""
    return {
        "identity": SERVER_IDENTITY,
        "address": ADDRESS,
        "udp_ports": [*IKE_PORTS, NATT_PORT],
        "natt_port": NATT_PORT,
        "groups": [
            {
                "id": GROUP,
                "rekey_address": REKEY_DESTINATION.host,
                "rekey_port": REKEY_DESTINATION.port,
            }
        ],
        "psk": {"identity": MEMBER_IDENTITY, "secret": f"hex:{files.secret.read_bytes().hex()}"},
        "ca": str(files.ca),
        "member_certificate": str(files.member_certificate),
        "member_key": str(files.member_key),
        "metrics_url": f"http://{METRICS}/metrics",
    }


def serve_dev(data_dir: Path | None, rekey_seconds: int = REKEY_SECONDS) -> int:
    """Run the development server to its end; return the exit code."""

    async def run() -> None:
        files = prepare((data_dir or default_data_dir()).absolute())
        config = server_config(files, rekey_seconds)
        screen = Screen("gcks serve --dev", f"data directory  {files.directory}")
        runtime = ServerRuntime(config, watch=screen.events)

        def ready(_: ServerRuntime) -> None:
            text = json.dumps(description(files), indent=2) + "\n"
            _write_private(files.description, text.encode())
            screen.start(lambda: server_lines(runtime))

        try:
            await runtime.run(ready)
        finally:
            screen.stop()

    return run_to_end(run)


def server_lines(runtime: ServerRuntime) -> list[tuple[str, str]]:
    """What the screen says of the server."""
    status = runtime.status()
    group = status.groups[0]
    return [
        ("listening", f"{ADDRESS} UDP {', '.join(map(str, (*IKE_PORTS, NATT_PORT)))}"),
        ("metrics", f"http://{METRICS}/metrics"),
        ("group", f"{group.group}   {group.members} members"),
        ("rekey", f"to {REKEY_DESTINATION}, next Message ID {group.next_message_id}"),
        ("join", f"gcks-member run --dev {runtime.config.store_path.parent}"),
    ]


# --- the member -------------------------------------------------------------------------


def member_config(dev_dir: Path, identity: str, *, certificate: bool = False) -> MemberConfig:
    """Return a member's configuration from dev.json.  Raises `LocalError`."""
    path = dev_dir / _FILES["description"]
    try:
        dev = json.loads(path.read_text())
    except (OSError, ValueError):
        raise LocalError(f"can't read {path}; is `gcks serve --dev` running?") from None
    credentials = Credentials(
        (PreSharedKey(dev["identity"], bytes.fromhex(dev["psk"]["secret"].removeprefix("hex:"))),),
        _own(Path(dev["member_certificate"]), Path(dev["member_key"])) if certificate else None,
        TrustStore([_pem_certificate(Path(dev["ca"]))]),
    )
    groups = tuple(GroupMembership(Identity.parse(g["id"]), sender=True) for g in dev["groups"])
    kind = OwnAuthentication.CERTIFICATE if certificate else OwnAuthentication.PSK
    settings = MemberSettings(
        Identity.parse(CERTIFICATE_IDENTITY if certificate else identity),
        Endpoint(dev["address"], dev["udp_ports"][0]),
        Identity.parse(dev["identity"]),
        Endpoint(dev["address"], 0),
        groups,
        authentication=kind,
        natt_port=dev["natt_port"],
        local_natt_port=0,
        ike_proposals=parse_ike(DEFAULT_IKE),
        reregister_jitter_seconds=1.0,
    )
    logs = LogOptions("console", "info")
    return MemberConfig(settings, credentials, Ceiling(), DataPlaneOptions("none"), logs=logs)


def run_member(dev_dir: Path, identity: str = MEMBER_IDENTITY, *, certificate: bool = False) -> int:
    """Run a member of the development server to its end; return the exit code."""
    try:
        config = member_config(dev_dir, identity, certificate=certificate)
    except (LocalError, ValueError, KeyError) as error:
        return refuse(error)
    return member_daemon.run(config)
