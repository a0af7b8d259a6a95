"""`gcks serve`: the key server itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gcks.cli.key_logging import KeyLogPath, UnderSystemd, start_key_log
from gcks.daemon import dev
from gcks.daemon.config.server_file import load_server
from gcks.daemon.server_runtime import serve as serve_daemon
from gcks.errors import LocalError

CONFIG = typer.Argument(help="The configuration file, see config/gcks.yaml.", readable=False)
DEV = typer.Option("--dev", help="Run on loopback without configuration or privileges.")
DATA_DIR = typer.Option(
    "--data-dir", help="With --dev: where CA, secrets and state are kept.", readable=False
)
REKEY = typer.Option("--rekey-seconds", min=1, help="With --dev: seconds between rekeys.")


def serve(
    config: Annotated[Path | None, CONFIG] = None,
    dev_mode: Annotated[bool, DEV] = False,
    data_dir: Annotated[Path | None, DATA_DIR] = None,
    rekey_seconds: Annotated[int, REKEY] = dev.REKEY_SECONDS,
    key_log: KeyLogPath = None,
    key_log_under_systemd: UnderSystemd = False,
) -> None:
    """Run the key server until it is told to stop; SIGHUP reloads CONFIG."""
    if dev_mode == (config is not None):
        raise typer.BadParameter("give either CONFIG or --dev")
    if not dev_mode and (data_dir is not None or rekey_seconds != dev.REKEY_SECONDS):
        raise typer.BadParameter("--data-dir and --rekey-seconds go with --dev")
    keys = start_key_log("gcks", key_log, key_log_under_systemd)
    if dev_mode:
        raise typer.Exit(dev.serve_dev(data_dir, rekey_seconds, keys))
    if config is None:
        raise typer.BadParameter("CONFIG is missing")
    try:
        loaded = load_server(config)
    except LocalError as error:
        typer.echo(f"gcks: {error}", err=True)
        raise typer.Exit(1) from None
    code = serve_daemon(loaded, reload=lambda path: load_server(path or config), key_log=keys)
    raise typer.Exit(code)
