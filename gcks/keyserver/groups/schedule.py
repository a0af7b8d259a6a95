"""When an SA is renewed: early enough that old and new overlap (RFC 5374 section 4.2.1)."""

from __future__ import annotations

from typing import Final

_MARGIN_FRACTION: Final = 0.1
_MARGIN_SECONDS: Final = 5.0
"""Beyond ATD and DTD, for copies that come late and clocks that drift."""


def overlap_seconds(atd_seconds: int, dtd_seconds: int, spread_seconds: float) -> float:
    """Return how long a replaced SA is still needed after the rekey begins."""
    return max(atd_seconds, dtd_seconds) + spread_seconds


def renewal_age(lifetime_seconds: int, renew_seconds: int | None, overlap: float) -> float:
    """Return the age in seconds at which an SA is renewed."""
    if renew_seconds is not None:
        return float(renew_seconds)
    margin = max(_MARGIN_FRACTION * lifetime_seconds, overlap + _MARGIN_SECONDS)
    return max(lifetime_seconds - margin, lifetime_seconds / 2)
