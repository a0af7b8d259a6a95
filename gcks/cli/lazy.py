"""Commands that are imported when they are called: `gcks show` needs no engine, nor its 0.6 s.

What typer makes of a command is its own matter (click's, or its own copy of it): Any.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any, ClassVar, Final

import typer
from typer.core import TyperGroup

from gcks import __version__
from gcks.cli.exits import REFUSED, sentence


class LazyGroup(TyperGroup):
    """A group whose commands are named in a table."""

    program: ClassVar[str] = ""
    table: ClassVar[Mapping[str, str]] = {}
    """Command -> module:function."""

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        del ctx
        place = self.table.get(cmd_name)
        return None if place is None else _load(self.program, cmd_name, place)


def _load(program: str, name: str, place: str) -> Any:
    module, _, function = place.partition(":")
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    epilog = f"Exit codes: {sentence(program, name)}."
    alone.command(name, epilog=epilog)(getattr(import_module(module), function))
    return typer.main.get_command(alone)


def lazy_app(name: str, text: str, table: Mapping[str, str]) -> typer.Typer:
    """Return an application with these commands."""
    group = type("Commands", (LazyGroup,), {"program": name, "table": table})
    app = typer.Typer(
        name=name,
        help=text,
        cls=group,
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_nothing)
    return app


def run(app: typer.Typer, program: str) -> None:
    """Run an application; that its output can't be written is one line, not a traceback."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.filename is not None or error.errno not in _OUTPUT_GONE:
            raise
        # What is buffered is lost; the interpreter must not try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno != errno.EPIPE:
            print(f"{program}: can't write the output: {error.strerror}", file=sys.stderr)
        sys.exit(REFUSED)


_OUTPUT_GONE: Final = frozenset({errno.EPIPE, errno.ENOSPC, errno.EIO})


def _print_version(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        typer.echo(f"{ctx.command.program} {__version__}")  # type: ignore[attr-defined]
        raise typer.Exit


def _nothing(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Let the application be a group although no command is registered."""
