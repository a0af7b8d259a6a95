"""`version` of both programs."""

from __future__ import annotations

import typer

from gcks import __version__


def server_version() -> None:
    """Print the version."""
    typer.echo(f"gcks {__version__}")


def member_version() -> None:
    """Print the version."""
    typer.echo(f"gcks-member {__version__}")
