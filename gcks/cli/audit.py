"""`gcks audit`: whether an audit log is whole."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from gcks.daemon.audit_chain import verify
from gcks.daemon.control.views import AuditView
from gcks.errors import LocalError

FILES = typer.Argument(
    help="The log; of a rotated one all files, the oldest first.", readable=False
)
CHECKPOINT = typer.Option(
    "--checkpoint", help="NUMBER:HASH of an audit_checkpoint line in the ordinary log."
)
FROM = typer.Option("--from", min=1, help="Its first entry, where older files were put away.")


def audit(
    files: Annotated[list[Path], FILES],
    checkpoint: Annotated[str | None, CHECKPOINT] = None,
    first: Annotated[int, FROM] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Follow the hash chain of an audit log, and say whether it is whole."""
    try:
        verdict = verify(files, _checkpoint(checkpoint), first)
    except LocalError as error:
        typer.echo(f"gcks: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(AuditView(**dataclasses.asdict(verdict)).model_dump_json())
    elif verdict.problem:
        typer.echo(f"broken: {verdict.problem}")
    elif not verdict.entries:
        typer.echo("unbroken: no entries; only --checkpoint can tell whether some were cut off")
    else:
        typer.echo(
            f"unbroken: {verdict.entries} entries, {verdict.first_at} to {verdict.last_at}; "
            f"checkpoint {verdict.number}:{verdict.hash}"
        )
    raise typer.Exit(1 if verdict.problem else 0)


def _checkpoint(given: str | None) -> tuple[int, str] | None:
    if given is None:
        return None
    number, _, digest = given.partition(":")
    if not number.isdigit() or not digest:
        raise typer.BadParameter("--checkpoint is NUMBER:HASH, see audit_checkpoint in the log")
    return int(number), digest
