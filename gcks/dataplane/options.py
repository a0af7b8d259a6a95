"""How the operator configures the data plane."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DataPlaneOptions:
    """`kind` is "xfrm", "exec" or "none"; the rest is for exec."""

    kind: str = "xfrm"
    command: tuple[str, ...] = ()
    timeout_seconds: float = 10.0
