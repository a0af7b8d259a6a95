"""`check` of both programs: everything that is wrong with a configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gcks.daemon.config.check import check_file, describe, describe_json

CONFIG = typer.Argument(help="The configuration file, a server's or a member's.")


def check(
    config: Annotated[Path, CONFIG],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say everything that is wrong with CONFIG: line, key, reason; exit 1 if anything is."""
    report = check_file(config)
    typer.echo(json.dumps(describe_json(report)) if as_json else describe(report))
    raise typer.Exit(0 if report.usable else 1)
