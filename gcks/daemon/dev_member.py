"""`gcks-member run --dev`: a member of the development server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gcks.crypto.certificates import TrustStore
from gcks.daemon.config.loaded import MemberConfig
from gcks.daemon.dev import MEMBER_IDENTITY, dev_logs
from gcks.daemon.dev_files import (
    CERTIFICATE_IDENTITY,
    DevFiles,
    own_certificate,
    pem_certificate,
)
from gcks.daemon.key_log_file import KeyLogFile
from gcks.daemon.member_runtime import PROGRAM, MemberRuntime
from gcks.daemon.process import refuse, run_to_end
from gcks.daemon.screen import Screen, has_screen
from gcks.datagrams import Endpoint
from gcks.dataplane.options import DataPlaneOptions, features_of
from gcks.errors import LocalError
from gcks.ike.credentials import Credentials, OwnCredential, PreSharedKey
from gcks.ike.keywords import DEFAULT_IKE, parse_ike
from gcks.member.ceiling import Ceiling
from gcks.member.settings import GroupMembership, MemberSettings, OwnAuthentication, Transport
from gcks.member.status import MembershipStatus
from gcks.wire.identification import Identity


def member_config(
    dev_dir: Path,
    identity: str,
    *,
    certificate: bool = False,
    transport: Transport = Transport.UDP,
) -> MemberConfig:
    """Return a member's configuration from dev.json.

    Raises `LocalError`, and ValueError for an identity that is none.
    """
    path = DevFiles(dev_dir).description
    named = Identity.parse(CERTIFICATE_IDENTITY if certificate else identity)
    try:
        dev = json.loads(path.read_text())
    except (OSError, ValueError):
        raise LocalError(f"can't read {path}; is `gcks serve --dev` running?") from None
    try:
        return _config(dev, named, certificate=certificate, transport=transport)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise LocalError(
            f"{path} and the files that it names are not what `gcks serve --dev` writes; start "
            "that again, with another --data-dir if need be"
        ) from None


def _config(
    dev: dict[str, Any], identity: Identity, *, certificate: bool, transport: Transport
) -> MemberConfig:
    credentials = Credentials(
        (PreSharedKey(dev["identity"], bytes.fromhex(dev["psk"]["secret"].removeprefix("hex:"))),),
        (_own(dev),) if certificate else (),
        TrustStore([pem_certificate(Path(dev["ca"]))]),
    )
    groups = tuple(GroupMembership(Identity.parse(g["id"]), sender=True) for g in dev["groups"])
    kind = OwnAuthentication.CERTIFICATE if certificate else OwnAuthentication.PSK
    settings = MemberSettings(
        identity,
        Endpoint(dev["address"], dev["udp_ports"][0]),
        Identity.parse(dev["identity"]),
        Endpoint(dev["address"], 0),
        groups,
        authentication=kind,
        natt_port=dev["natt_port"],
        tcp_port=dev["natt_port"],
        transport=transport,
        local_natt_port=0,
        ike_proposals=parse_ike(DEFAULT_IKE),
        reregister_jitter_seconds=1.0,
    )
    plane = DataPlaneOptions("none")
    ceiling = Ceiling(features=features_of(plane))
    return MemberConfig(settings, credentials, ceiling, plane, logs=dev_logs())


def _own(dev: dict[str, Any]) -> OwnCredential:
    return own_certificate(Path(dev["member_certificate"]), Path(dev["member_key"]))


def run_member(
    dev_dir: Path,
    identity: str = MEMBER_IDENTITY,
    *,
    certificate: bool = False,
    transport: Transport = Transport.UDP,
    key_log: KeyLogFile | None = None,
) -> int:
    """Run a member of the development server to its end; return the exit code."""
    try:
        config = member_config(dev_dir, identity, certificate=certificate, transport=transport)
    except LocalError as error:
        return refuse(error, PROGRAM)
    except ValueError as error:
        text = f"--identity: {error}; write it such as {MEMBER_IDENTITY}"
        return refuse(LocalError(text), PROGRAM)
    return run_to_end(lambda: _run(config, key_log), PROGRAM)


async def _run(config: MemberConfig, key_log: KeyLogFile | None) -> None:
    screen = Screen("gcks-member run --dev")
    runtime = MemberRuntime(config, watch=screen.events, key_log=key_log)

    def ready() -> None:
        if has_screen():
            screen.start(lambda: member_lines(runtime))

    try:
        await runtime.run(ready)
    finally:
        screen.stop()


def member_lines(runtime: MemberRuntime) -> list[tuple[str, str]]:
    """What the screen says of the member."""
    status = runtime.status()
    lines = [
        ("member", status.identity),
        ("server", f"{status.server}   IKE SA {status.ike_sa}"),
    ]
    for group in status.groups:
        lines += _group_lines(group)
    return lines


def _group_lines(group: MembershipStatus) -> list[tuple[str, str]]:
    again = group.registers_in_seconds
    soon = f"   registers in {again:.0f} s" if again else ""
    missed = f", {group.rekeys_missed} missed" if group.rekeys_missed else ""
    rekeys = f"{group.rekeys} rekeys{missed}, next Message ID {group.next_message_id}"
    lines = [
        ("group", f"{group.group}   {group.state}{soon}"),
        ("sender", f"Sender-IDs {', '.join(map(str, group.sender_ids)) or 'none'}"),
        ("rekey SA", f"{group.rekey_spi}   {rekeys}" if group.rekey_spi else "none"),
    ]
    for sa in group.data_sas:
        sends = "sends and receives" if sa.active_outbound else "receives"
        replay = "drops replays" if sa.replay_protection else "can't tell replays"
        lines.append(("data SA", f"{sa.protocol} {sa.spi}   {sends}, {replay}"))
    return lines + [("last error", group.last_error)] * bool(group.last_error)
