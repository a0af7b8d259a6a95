"""`gcks-member status` and `leave`: asked of the running member."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final

import typer

from gcks.cli import exits
from gcks.cli.client import Client, NoServer, socket_path
from gcks.cli.tables import render
from gcks.errors import LocalError

SOCKET = typer.Option("--socket", help="The member's control socket.", readable=False)
JSON = typer.Option("--json", help="Print JSON.")
DEFAULT_SOCKET: Final = Path("/run/gcks-member/control.sock")


def status(
    socket: Annotated[Path | None, SOCKET] = None, as_json: Annotated[bool, JSON] = False
) -> None:
    """Show what the running member holds: groups, SAs, the last error."""
    _ask("status", socket, as_json)


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
        code = exits.NO_DAEMON if isinstance(error, NoServer) else exits.REFUSED
        raise typer.Exit(code) from None
    if as_json:
        typer.echo(json.dumps(answer))
    else:
        render(answer)
