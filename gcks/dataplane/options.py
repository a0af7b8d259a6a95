"""How the operator configures the data plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gcks.member.data_plane import Feature

EVERYTHING: Final = frozenset(Feature)
NOTHING: Final[frozenset[Feature]] = frozenset()


@dataclass(frozen=True, slots=True)
class DataPlaneOptions:
    """`kind` is "xfrm", "exec" or "none"; the rest is for exec."""

    kind: str = "xfrm"
    command: tuple[str, ...] = ()
    timeout_seconds: float = 10.0
    hook_features: frozenset[Feature] = NOTHING
    """What the hook can do, by the operator's word."""


def features_of(options: DataPlaneOptions) -> frozenset[Feature]:
    """Return what the data plane can do beyond plain ESP and AH.

    `none` installs nothing, so that nothing goes wrong either.  XFRM, by itself:
    - labels: a labeled state is used by labeled policies only, and those let other
      traffic pass in clear where no policy without a label blocks it; that wants a
      kernel with SELinux to be tested on, and isn't done;
    - AGGFRAG: since Linux 6.14, not done;
    - IPComp: needs a second state and template for each SA, not done.
    """
    return {"none": EVERYTHING, "exec": options.hook_features}.get(options.kind, NOTHING)
