"""The control section of either file."""

from __future__ import annotations

from gcks.daemon.config.files import Files
from gcks.daemon.config.ike_model import Section
from gcks.daemon.config.loaded import ControlOptions
from gcks.daemon.control.peers import Access


class ControlSection(Section):
    path: str = "/run/gcks/control.sock"
    readers: str | None = None
    operators: str | None = None


def control_options(control: ControlSection, files: Files) -> ControlOptions:
    """Nobody has to make a directory for a socket that nobody asked for."""
    required = "path" in control.model_fields_set
    access = Access(control.readers, control.operators)
    return ControlOptions(files.path(control.path), access, required)
