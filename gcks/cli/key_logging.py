"""The options --key-log and --key-log-under-systemd of both daemons."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from gcks.daemon.key_log_file import UNDER_SYSTEMD, KeyLogFile, KeyLogOptions, open_key_log, warning
from gcks.errors import LocalError

KeyLogPath = Annotated[
    Path | None,
    typer.Option(
        "--key-log",
        help="For debugging: write ALL KEYS to this file (docs/decode.md).",
        readable=False,
    ),
]
UnderSystemd = Annotated[
    bool, typer.Option(UNDER_SYSTEMD, help="Let --key-log work in a systemd service, too.")
]


def start_key_log(name: str, path: Path | None, under_systemd: bool) -> KeyLogFile | None:
    """Open the key log, and warn; end the program where that can't be."""
    if path is None:
        if under_systemd:
            raise typer.BadParameter(f"{UNDER_SYSTEMD} goes with --key-log")
        return None
    try:
        key_log = open_key_log(KeyLogOptions(path, under_systemd), os.environ)
    except LocalError as error:
        typer.echo(f"{name}: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(warning(path), err=True)
    return key_log
