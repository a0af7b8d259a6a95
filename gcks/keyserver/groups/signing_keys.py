"""Keys that sign GSA_REKEY and take long to make: made beside the loop, ahead of time.

An RSA key pair takes up to seconds.  A group that needs its first one begins when it is
there; one whose key is to be replaced asks for the next one early enough.
"""

from __future__ import annotations

from math import inf
from typing import Final

from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.groups.state import GroupState

SLOW_KINDS: Final = frozenset({"rsa-pss"})
AHEAD_SECONDS: Final = 60.0
"""So long before a key is too old its successor is made."""


def is_slow(kind: str) -> bool:
    """Tell whether making a key of that kind would hold up everybody else."""
    return kind in SLOW_KINDS


def needs_first_key(policy: GroupPolicy, state: GroupState | None) -> str | None:
    """Return the kind of key that a group can't begin without; None: it has what it needs."""
    rekey = policy.rekey
    if rekey is None or not is_slow(rekey.authentication):
        return None
    saved = state.auth_key if state is not None else None
    has_it = saved is not None and saved.algorithm == rekey.authentication
    return None if has_it else rekey.authentication


def next_key_at(policy: GroupPolicy, state: GroupState) -> float:
    """Return when the next key is to be made (monotonic seconds); infinite: not ahead of time."""
    rekey = policy.rekey
    if rekey is None or rekey.auth_key_seconds is None or not is_slow(rekey.authentication):
        return inf
    return state.auth_key_made_at + rekey.auth_key_seconds - AHEAD_SECONDS
