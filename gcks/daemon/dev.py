"""`gcks serve --dev`: a key server that needs no configuration and no privileges."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from gcks.crypto.certificates import TrustStore
from gcks.daemon.config.loaded import ControlOptions, Listener, LogOptions, ServerConfig
from gcks.daemon.dev_files import (
    SERVER_IDENTITY,
    DevFiles,
    own_certificate,
    pem_certificate,
    prepare,
    secret_octets,
    usable,
    write_private,
)
from gcks.daemon.key_log_file import KeyLogFile
from gcks.daemon.process import run_to_end
from gcks.daemon.screen import Screen, has_screen
from gcks.daemon.server_runtime import ServerRuntime
from gcks.datagrams import Endpoint
from gcks.iana import Encr, Kwa, ProtocolId, TransformType
from gcks.ike.credentials import Credentials, PreSharedKey
from gcks.ike.keywords import DEFAULT_IKE, parse_ike
from gcks.keyserver.groups.policy import DataSaPolicy, GroupPolicy, MemberRule, RekeyPolicy
from gcks.keyserver.settings import ServerSettings
from gcks.wire.identification import Identity
from gcks.wire.traffic_selector import UDP, TrafficSelector
from gcks.wire.transform import Transform

ADDRESS: Final = "127.0.0.1"
IKE_PORTS: Final = (10500, 10848)
NATT_PORT: Final = 14500
METRICS: Final = Endpoint(ADDRESS, 9848)
MEMBER_IDENTITY: Final = "fqdn:gm1.dev"
MEMBER_PATTERN: Final = "fqdn:gm*.dev"
GROUP: Final = "keyid:demo"
REKEY_DESTINATION: Final = Endpoint("239.255.84.8", 10848)
DATA_DESTINATION: Final = "239.255.84.9"
DATA_PORT: Final = 5000
REKEY_SECONDS: Final = 60
_ATD_SECONDS: Final = 2
_DTD_SECONDS: Final = 5
_SPREAD_SECONDS: Final = 2.0
_GCM_256: Final = Transform(TransformType.ENCR, Encr.AES_GCM_16, 256)


def default_data_dir() -> Path:
    """Return where the development server keeps its state."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "gcks-dev"


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
    """Return the development server's configuration.  Raises `LocalError`."""
    group = demo_group(rekey_seconds)
    with usable(files):
        master_key = secret_octets(files.master_key)
        credentials = Credentials(
            (PreSharedKey(MEMBER_PATTERN, secret_octets(files.secret)),),
            (own_certificate(files.server_certificate, files.server_key),),
            TrustStore([pem_certificate(files.ca)]),
        )
    return ServerConfig(
        # For GMs only: who offers no Key Wrap Algorithm learns it in IKE_SA_INIT.
        settings=ServerSettings(
            Identity.parse(SERVER_IDENTITY), parse_ike(DEFAULT_IKE), childless=False
        ),
        credentials=credentials,
        groups={group.name: group},
        listeners=(Listener(ADDRESS, IKE_PORTS, (NATT_PORT,), (NATT_PORT,)),),
        store_path=files.store,
        master_key=master_key,
        metrics=METRICS,
        control=ControlOptions(files.control),
        logs=dev_logs(),
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
        "control": str(files.control),
        "metrics_url": f"http://{METRICS}/metrics",
    }


def serve_dev(
    data_dir: Path | None, rekey_seconds: int = REKEY_SECONDS, key_log: KeyLogFile | None = None
) -> int:
    """Run the development server to its end; return the exit code."""

    async def run() -> None:
        files = prepare((data_dir or default_data_dir()).absolute())
        config = server_config(files, rekey_seconds)
        screen = Screen("gcks serve --dev")
        runtime = ServerRuntime(config, watch=screen.events, key_log=key_log)

        def ready(_: ServerRuntime) -> None:
            text = json.dumps(description(files), indent=2) + "\n"
            with usable(files):
                write_private(files.description, text.encode())
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
        ("group", f"{group.group}   members {group.members}"),
        ("rekey", f"to {REKEY_DESTINATION}, next Message ID {group.next_message_id}"),
        ("files", str(runtime.config.store_path.parent)),
        ("join", f"gcks-member run --dev {runtime.config.store_path.parent}"),
    ]


def dev_logs() -> LogOptions:
    """Return what is logged: a screen shows the events already."""
    return LogOptions("console", "error" if has_screen() else "info")
