"""The Working Key Path: which keys open an SA key, whatever key management the GCKS uses.

RFC 9838 section 3.3.  Every wrapped key names the key inside (Key ID, 0 for SA
keys) and the key around it (KWK ID, 0 for the default KWK, GSK_w).  A member
keeps the ordered keys of its path, from the one that wraps SA keys to its
personal key: `(1, 3, 7)` in appendix A.2, written 1->3->7.

Key IDs may be used again for other keys (ruling 19), so every candidate is
tried and the integrity check of RFC 5649 decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from gcks.crypto.errors import IntegrityError
from gcks.crypto.key_wrap import kwk_octets, unwrap
from gcks.errors import Discard, DropReason
from gcks.wire.kd import WrappedKey

DEFAULT_KWK_ID: Final = 0
"""GSK_w."""
MAX_UNWRAPS: Final = 4096
"""Unwrap attempts per message: reused Key IDs must not make the work quadratic."""
MAX_PATH_KEYS: Final = 64
"""Depth of the deepest tree followed; a binary tree of a million members needs 20."""


@dataclass(frozen=True, slots=True)
class PathKey:
    """One key of a Working Key Path."""

    key_id: int
    key: bytes = field(repr=False)


KeyPath = tuple[PathKey, ...]


@dataclass(frozen=True, slots=True)
class OpenedSaKey:
    """The keying material of an SA, and the Working Key Path from now on."""

    keymat: bytes = field(repr=False)
    path: KeyPath


def open_sa_key(
    sa_keys: Sequence[WrappedKey],
    wrap_keys: Sequence[WrappedKey],
    *,
    kwa: int,
    default_kwk: bytes,
    working: KeyPath,
    keymat_octets: int,
) -> OpenedSaKey:
    """Open the first SA_KEY that this member has a Key Path to (section 3.3).

    `kwa` and `default_kwk` belong to the SA the message came over, `working` is
    the path so far (empty at registration).  Raises Discard(NO_KEY_PATH): the
    member is excluded from the group.
    """
    keyring = _Keyring(kwa, default_kwk, working)
    keyring.grow(wrap_keys)
    for sa_key in sa_keys:
        for candidate in keyring.candidates(sa_key.kwk_id):
            keymat = keyring.try_open(candidate, sa_key.encrypted_key)
            if keymat is not None and len(keymat) == keymat_octets:
                return OpenedSaKey(keymat, _bounded(_new_path(candidate, working)))
    raise Discard(DropReason.NO_KEY_PATH, "no Key Path leads to any SA_KEY")


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A key that can be used, and the one that it was wrapped with, if it is new."""

    key_id: int
    key: bytes = field(repr=False)
    wrapped_with: _Candidate | None = None
    working_index: int | None = None
    """Its place in the Working Key Path, None for GSK_w and for new keys."""


def _new_path(first: _Candidate, working: KeyPath) -> KeyPath:
    """Apply the three rules at the end of section 3.3."""
    new: list[PathKey] = []
    end = first
    while end.wrapped_with is not None:
        new.append(PathKey(end.key_id, end.key))
        end = end.wrapped_with
    if not new:
        return working
    if end.working_index is None:
        return tuple(new)
    return (*new, *working[end.working_index :])


def _bounded(path: KeyPath) -> KeyPath:
    """A hostile key server could otherwise make the path longer with every rekey."""
    if len(path) > MAX_PATH_KEYS:
        raise Discard(DropReason.LIMIT, f"a Key Path of {len(path)} keys")
    return path


class _Keyring:
    """All keys within reach, by Key ID; grows from the member's own keys outwards."""

    def __init__(self, kwa: int, default_kwk: bytes, working: KeyPath) -> None:
        self._kwa = kwa
        self._tries = 0
        self._keys: defaultdict[int, list[_Candidate]] = defaultdict(list)
        self._keys[DEFAULT_KWK_ID].append(_Candidate(DEFAULT_KWK_ID, default_kwk))
        for index, own in enumerate(working):
            self._keys[own.key_id].append(_Candidate(own.key_id, own.key, working_index=index))

    def candidates(self, key_id: int) -> Sequence[_Candidate]:
        return self._keys.get(key_id, ())

    def grow(self, wrap_keys: Iterable[WrappedKey]) -> None:
        """Open every WRAP_KEY that is within reach; each at most once."""
        waiting: defaultdict[int, list[WrappedKey]] = defaultdict(list)
        for wrapped in wrap_keys:
            if wrapped.key_id != DEFAULT_KWK_ID:  # section 4.5.3.1: MUST NOT be zero
                waiting[wrapped.kwk_id].append(wrapped)
        reached = [candidate for keys in list(self._keys.values()) for candidate in keys]
        while reached:
            around = reached.pop()
            closed: list[WrappedKey] = []
            for wrapped in waiting.pop(around.key_id, ()):
                opened = self._open_wrap_key(around, wrapped)
                if opened is None:
                    closed.append(wrapped)
                else:
                    self._keys[opened.key_id].append(opened)
                    reached.append(opened)
            if closed:
                waiting[around.key_id] = closed

    def _open_wrap_key(self, around: _Candidate, wrapped: WrappedKey) -> _Candidate | None:
        key = self.try_open(around, wrapped.encrypted_key)
        if key is None or len(key) != kwk_octets(self._kwa):
            return None
        return _Candidate(wrapped.key_id, key, wrapped_with=around)

    def try_open(self, around: _Candidate, encrypted: bytes) -> bytes | None:
        """Unwrap, or return None where this isn't the right key."""
        self._tries += 1
        if self._tries > MAX_UNWRAPS:
            raise Discard(DropReason.LIMIT, f"more than {MAX_UNWRAPS} key unwraps in one message")
        try:
            return unwrap(around.key, encrypted)
        except IntegrityError:
            return None
