"""The command `gcks demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gcks.errors import LocalError


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Act the story out once, say each step, and end.")
    ] = False,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir", help="Write configurations and logs there, and keep them.", readable=False
        ),
    ] = None,
) -> None:
    """Show a key server at work with five members: rekeys, a loss, an exclusion; Ctrl-C ends."""
    from gcks.cli.demo.play import play
    from gcks.daemon.dev_files import own_directory

    try:
        if directory is not None:
            own_directory(directory)
            if any(directory.iterdir()):
                raise LocalError(f"{directory} isn't empty; give --dir a new directory")
        play(once=once, directory=directory.absolute() if directory is not None else None)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    except LocalError as error:
        typer.echo(f"gcks: {error}", err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        reason = f"can't write to {error.filename or directory}: {error.strerror or error}"
        typer.echo(f"gcks: {reason}; give --dir a directory of yours", err=True)
        raise typer.Exit(1) from None
