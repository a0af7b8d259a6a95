"""`gcks-member`: the group member's command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final

import typer

from gcks import __version__
from gcks.cli.client import Client, NoServer, socket_path
from gcks.cli.key_logging import KeyLogPath, UnderSystemd, start_key_log
from gcks.cli.operate import EXIT_NO_SERVER, EXIT_REFUSED
from gcks.cli.tables import render
from gcks.daemon.config.check import check_file, describe, describe_json
from gcks.daemon.config.member_file import load_member
from gcks.daemon.dev import MEMBER_IDENTITY
from gcks.daemon.dev_member import run_member
from gcks.daemon.member import run as run_daemon
from gcks.errors import LocalError
from gcks.member.settings import Transport

app = typer.Typer(
    name="gcks-member",
    help="Group member for encrypted multicast: G-IKEv2 (RFC 9838).",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)

CONFIG = typer.Option("--config", help="The configuration file, see config/member.yaml.")
DEV = typer.Option("--dev", help="Join the development server whose data directory this is.")
IDENTITY = typer.Option("--identity", help="With --dev: fqdn:gm<something>.dev.")
TRANSPORT = typer.Option("--transport", help="With --dev: how IKE messages travel.")
DEMO = typer.Option("--demo", hidden=True, help="Runs for gcks demo: may be told to lose rekeys.")
CERTIFICATE = typer.Option("--certificate", help="With --dev: use the certificate, not the PSK.")


@app.command()
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


@app.command()
def check(
    config: Annotated[Path, typer.Argument(help="The configuration file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say everything that is wrong with CONFIG: line, key, reason; exit 1 if anything is."""
    report = check_file(config)
    typer.echo(json.dumps(describe_json(report)) if as_json else describe(report))
    raise typer.Exit(0 if report.usable else 1)


SOCKET = typer.Option("--socket", help="The member's control socket.")
JSON = typer.Option("--json", help="Print JSON.")
DEFAULT_SOCKET: Final = Path("/run/gcks-member/control.sock")


@app.command()
def status(
    socket: Annotated[Path | None, SOCKET] = None, as_json: Annotated[bool, JSON] = False
) -> None:
    """Show what the running member holds: groups, SAs, the last error."""
    _ask("status", socket, as_json)


@app.command()
def leave(
    socket: Annotated[Path | None, SOCKET] = None, as_json: Annotated[bool, JSON] = False
) -> None:
    """Let the running member leave its groups, remove its SAs and end."""
    _ask("leave", socket, as_json)


def _ask(what: str, socket: Path | None, as_json: bool) -> None:
    try:
        with Client(socket_path(socket, DEFAULT_SOCKET), "member") as client:
            answer = client.ask(what)
    except LocalError as error:
        typer.echo(f"gcks-member: {error}", err=True)
        raise typer.Exit(EXIT_NO_SERVER if isinstance(error, NoServer) else EXIT_REFUSED) from None
    if as_json:
        typer.echo(json.dumps(answer))
    else:
        render(answer)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"gcks-member {__version__}")


def main() -> None:
    app()


if __name__ == "__main__":
    main()
