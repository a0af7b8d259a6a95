"""`gcks-member run`: the group member itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gcks.cli.key_logging import KeyLogPath, UnderSystemd, start_key_log
from gcks.daemon.config.member_file import load_member
from gcks.daemon.dev import MEMBER_IDENTITY
from gcks.daemon.dev_member import run_member
from gcks.daemon.member_runtime import run as run_daemon
from gcks.errors import LocalError
from gcks.member.settings import Transport

CONFIG = typer.Option(
    "--config", help="The configuration file, see config/member.yaml.", readable=False
)
DEV = typer.Option(
    "--dev", help="Join the development server whose data directory this is.", readable=False
)
IDENTITY = typer.Option("--identity", help="With --dev: fqdn:gm<something>.dev.")
TRANSPORT = typer.Option("--transport", help="With --dev: how IKE messages travel.")
DEMO = typer.Option("--demo", hidden=True, help="Runs for gcks demo: may be told to lose rekeys.")
CERTIFICATE = typer.Option("--certificate", help="With --dev: use the certificate, not the PSK.")


def run(
    config: Annotated[Path | None, CONFIG] = None,
    dev_dir: Annotated[Path | None, DEV] = None,
    identity: Annotated[str, IDENTITY] = MEMBER_IDENTITY,
    certificate: Annotated[bool, CERTIFICATE] = False,
    transport: Annotated[Transport, TRANSPORT] = Transport.UDP,
    demo: Annotated[bool, DEMO] = False,
    key_log: KeyLogPath = None,
    key_log_under_systemd: UnderSystemd = False,
) -> None:
    """Be a member until told to stop: register, install SAs, follow rekeys."""
    if (dev_dir is None) == (config is None):
        raise typer.BadParameter("give either --config FILE or --dev DIR")
    given = certificate or identity != MEMBER_IDENTITY or transport is not Transport.UDP
    if dev_dir is None and given:
        raise typer.BadParameter("--identity, --certificate and --transport go with --dev")
    keys = start_key_log("gcks-member", key_log, key_log_under_systemd)
    if dev_dir is not None:
        code = run_member(
            dev_dir, identity, certificate=certificate, transport=transport, key_log=keys
        )
        raise typer.Exit(code)
    if config is None:
        raise typer.BadParameter("--config is missing")
    try:
        loaded = load_member(config)
    except LocalError as error:
        typer.echo(f"gcks-member: {error}", err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(run_daemon(loaded, keys, rehearses=demo))
