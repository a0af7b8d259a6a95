"""`version` of both programs."""

from __future__ import annotations

from typing import Annotated

import typer

from gcks import __version__

Json = Annotated[
    bool, typer.Option("--json", help="Print JSON, with what it runs on: for a bug report.")
]


def server_version(as_json: Json = False) -> None:
    """Print the version."""
    _print("gcks", as_json=as_json)


def member_version(as_json: Json = False) -> None:
    """Print the version."""
    _print("gcks-member", as_json=as_json)


def _print(program: str, *, as_json: bool) -> None:
    if not as_json:
        typer.echo(f"{program} {__version__}")
        return
    import platform

    import cryptography
    from cryptography.hazmat.backends.openssl import backend

    from gcks.daemon.control.views import VersionView

    answer = VersionView(
        program=program,
        version=__version__,
        python=platform.python_version(),
        cryptography=cryptography.__version__,
        openssl=backend.openssl_version_text(),
    )
    typer.echo(answer.model_dump_json())
