"""Files that a daemon makes: their directories have to be there."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gcks.daemon.config.credentials import tried
from gcks.daemon.config.files import Files
from gcks.daemon.config.problems import Findings, KeyPath

MADE_BY_UNITS: Final = frozenset(
    map(Path, ("/var/lib/gcks", "/var/log/gcks", "/run/gcks", "/run/gcks-member"))
)
"""systemd makes these when a service starts (StateDirectory= and so on)."""


def file_to_make(
    text: str, key: KeyPath, files: Files, findings: Findings, *, needed: bool = True
) -> Path | None:
    """Return the path that a key names; None: it can't be a path.

    What isn't `needed` may lack its directory.
    """
    path = tried(lambda: files.path(text), key, findings)
    if path is None or not needed or path.parent in MADE_BY_UNITS:
        return path
    try:
        if not path.parent.is_dir():
            reason = f"there is no directory for {files.named(text)}"
            findings.add(key, reason, "make it, or change the path")
    except PermissionError:  # the daemon's user may see more than who checks
        reason = f"can't see whether there is a directory for {files.named(text)}"
        findings.add(key, reason, "check it as root, or as the daemon's user", warning=True)
    return path
