"""The members of a group: one compact record each, by identity."""

from __future__ import annotations

from typing import Final, NamedTuple

from gcks.journal import MemberSaved

MAX_SHARED_SAGS: Final = 256
"""Groups know a handful of kinds of member; whoever varies its SAg shares nothing."""


class Member(NamedTuple):
    """What is kept of a registered GM; `sag` octets are shared between equal members."""

    address: str
    sender_ids: tuple[int, ...]
    sag: bytes
    registered_at: float
    """POSIX seconds."""
    reassembles: bool
    """Whether it negotiated IKE fragmentation (RFC 9838 section 2.4.1.2)."""


class Membership:
    """All members of one group."""

    __slots__ = ("_members", "_sags", "_whole_only")

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._sags: dict[bytes, bytes] = {}
        self._whole_only = 0

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, identity: str) -> bool:
        return identity in self._members

    def get(self, identity: str) -> Member | None:
        return self._members.get(identity)

    def identities(self) -> tuple[str, ...]:
        return tuple(self._members)

    def put(self, saved: MemberSaved) -> None:
        """Add a member, or replace its former registration."""
        self.remove(saved.identity)
        sag = self._share(saved.sag)
        self._members[saved.identity] = Member(
            saved.address, saved.sender_ids, sag, saved.registered_at, saved.reassembles
        )
        self._whole_only += not saved.reassembles

    @property
    def all_reassemble(self) -> bool:
        """Tell whether every member takes fragments."""
        return not self._whole_only

    def _share(self, sag: bytes) -> bytes:
        if len(self._sags) < MAX_SHARED_SAGS:
            return self._sags.setdefault(sag, sag)
        return self._sags.get(sag, sag)

    def remove(self, identity: str) -> bool:
        """Remove a member; tell whether it was one."""
        member = self._members.pop(identity, None)
        if member is None:
            return False
        self._whole_only -= not member.reassembles
        return True
