"""Which ciphers count, so that two senders under one key need Sender-IDs (RFC 9838 section 2.5)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gcks.iana import COUNTER_MODE_INTEG, COUNTER_MODES, TransformType
from gcks.wire.transform import Transform

_COUNTERS: Final[dict[int, frozenset[int]]] = {
    TransformType.ENCR: frozenset(COUNTER_MODES),
    TransformType.INTEG: frozenset(COUNTER_MODE_INTEG),
}


def uses_counter(transforms: Iterable[Transform]) -> bool:
    """Tell whether senders need Sender-IDs on a Data-Security SA (section 2.5).

    A Rekey SA's cipher never counts: only the GCKS sends on it (ruling 11).
    """
    return any(t.id in _COUNTERS.get(t.type, ()) for t in transforms)
