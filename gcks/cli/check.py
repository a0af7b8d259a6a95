"""`check` of both programs: everything that is wrong with a configuration."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from gcks.daemon.config.check import check_file, describe, describe_json
from gcks.daemon.config.reference import reference_of
from gcks.daemon.config.schema import schema_of

CONFIG = typer.Argument(help="The configuration file, a server's or a member's.", readable=False)


SCHEMA = typer.Option(
    "--schema", help="Print the JSON Schema of gcks.yaml, or with --member of member.yaml."
)
REFERENCE = typer.Option("--reference", help="Print what every option means, as Markdown.")
MEMBER = typer.Option("--member", help="With --schema or --reference.")


def check(
    config: Annotated[Path | None, CONFIG] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    schema: Annotated[bool, SCHEMA] = False,
    reference: Annotated[bool, REFERENCE] = False,
    member: Annotated[bool, MEMBER] = False,
) -> None:
    """Say everything that is wrong with CONFIG: line, key, reason and remedy.

    Outside of the service, ${CREDENTIALS_DIRECTORY} stands for CONFIG's own directory, where
    the units' LoadCredential= look for credentials.
    """
    if [schema, reference, config is not None].count(True) != 1:
        raise typer.BadParameter("give either CONFIG, or --schema or --reference [--member]")
    if schema:
        typer.echo(json.dumps(schema_of(member=member), indent=2))
        return
    if reference:
        typer.echo(reference_of(schema_of(member=member)), nl=False)
        return
    if config is None or member:
        raise typer.BadParameter("--member is for --schema and --reference")
    os.environ.setdefault("CREDENTIALS_DIRECTORY", str(config.absolute().parent))
    report = check_file(config)
    typer.echo(json.dumps(describe_json(report)) if as_json else describe(report))
    raise typer.Exit(0 if report.usable else 1)
