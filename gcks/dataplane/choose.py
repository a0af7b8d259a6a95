"""From the configured kind to the data plane."""

from __future__ import annotations

from gcks.dataplane.exec_hook import ExecDataPlane
from gcks.dataplane.interface import DataPlane
from gcks.dataplane.none import NoDataPlane
from gcks.dataplane.options import DataPlaneOptions
from gcks.errors import LocalError


def make_data_plane(options: DataPlaneOptions) -> DataPlane:
    """Open the data plane.  Raises `LocalError` where it can't work here."""
    if options.kind == "none":
        return NoDataPlane()
    if options.kind == "exec":
        return ExecDataPlane(options.command, options.timeout_seconds)
    if options.kind == "xfrm":
        # Here and not above: the netlink library takes longer to import than the rest.
        from gcks.dataplane.xfrm import XfrmDataPlane

        return XfrmDataPlane()
    raise LocalError(f"data plane {options.kind!r} is none of xfrm, exec, none")
