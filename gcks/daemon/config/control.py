"""The control section of either file."""

from __future__ import annotations

from functools import partial

from gcks.daemon.config.credentials import tried
from gcks.daemon.config.files import Files
from gcks.daemon.config.ike_model import Section
from gcks.daemon.config.loaded import ControlOptions
from gcks.daemon.config.output_files import file_to_make
from gcks.daemon.config.problems import Findings
from gcks.daemon.config.values import FileName
from gcks.daemon.control.peers import Access, group_id


class ControlSection(Section):
    path: FileName = "/run/gcks/control.sock"
    """UNIX socket that the commands for a running daemon talk to. Root and the daemon's own user
    may always use it."""
    readers: str | None = None
    """UNIX group whose members may look: `gcks show`, `plan` without a file and `events`, or
    `gcks-member status`."""
    operators: str | None = None
    """UNIX group whose members may look and order: `gcks reload`, `rekey`, `exclude` and so on, or
    `gcks-member leave`."""


def control_options(
    control: ControlSection, files: Files, findings: Findings
) -> ControlOptions | None:
    """Nobody has to make a directory for a socket that nobody asked for."""
    required = "path" in control.model_fields_set
    access = Access(control.readers, control.operators)
    path = file_to_make(control.path, ("control", "path"), files, findings, needed=required)
    for key, name in (("readers", control.readers), ("operators", control.operators)):
        if name is not None:
            tried(partial(group_id, name), ("control", key), findings)
    return ControlOptions(path, access, required) if path is not None else None
