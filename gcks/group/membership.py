"""The members of a group: one compact record each, by identity."""

from __future__ import annotations

from collections.abc import Set
from math import inf
from typing import Final, NamedTuple

from gcks.crypto.certificate_reading import REFERENCE_OCTETS
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
    certificate_ends: float
    """POSIX seconds; infinite without certificate, and once the end was noticed."""
    certificates: bytes
    """References of its certificates."""
    leaf: int
    """Its leaf in the key tree; -1: none."""


class Membership:
    """All members of one group."""

    __slots__ = ("_members", "_sags", "_whole_only", "certificate_ends")

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._sags: dict[bytes, bytes] = {}
        self._whole_only = 0
        self.certificate_ends = inf
        """When the first certificate of a member expires, or earlier."""

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
            saved.address,
            saved.sender_ids,
            sag,
            saved.registered_at,
            saved.reassembles,
            saved.certificate_ends if saved.certificate_ends != inf else inf,  # the one object
            saved.certificates,
            saved.leaf,
        )
        self.certificate_ends = min(self.certificate_ends, saved.certificate_ends)
        self._whole_only += not saved.reassembles

    @property
    def all_reassemble(self) -> bool:
        """Tell whether every member takes fragments."""
        return not self._whole_only

    def _share(self, sag: bytes) -> bytes:
        if len(self._sags) < MAX_SHARED_SAGS:
            return self._sags.setdefault(sag, sag)
        return self._sags.get(sag, sag)

    def take_expired(self, at: float) -> list[str]:
        """Return whose certificate has expired by POSIX time `at`, each once."""
        if at < self.certificate_ends:
            return []
        ended = [name for name, one in self._members.items() if one.certificate_ends <= at]
        for name in ended:
            self._members[name] = self._members[name]._replace(certificate_ends=inf)
        ends = (one.certificate_ends for one in self._members.values())
        self.certificate_ends = min(ends, default=inf)
        return ended

    def take_revoked(self, revoked: Set[bytes]) -> list[str]:
        """Return whose certificates are among those references, each once."""
        ended = [
            name
            for name, one in self._members.items()
            if one.certificates and not revoked.isdisjoint(_references(one.certificates))
        ]
        for name in ended:
            self._members[name] = self._members[name]._replace(certificates=b"")
        return ended

    def clear(self) -> None:
        """Remove everybody."""
        self._members.clear()
        self._whole_only, self.certificate_ends = 0, inf

    def remove(self, identity: str) -> bool:
        """Remove a member; tell whether it was one."""
        member = self._members.pop(identity, None)
        if member is None:
            return False
        self._whole_only -= not member.reassembles
        return True


def _references(certificates: bytes) -> list[bytes]:
    starts = range(0, len(certificates), REFERENCE_OCTETS)
    return [certificates[at : at + REFERENCE_OCTETS] for at in starts]
