"""Who is at the other end of the control socket, and what that allows."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import socket
from array import array
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final

from gcks.errors import LocalError, Unfit

_CREDENTIALS: Final = Struct("iII")
_SO_PEERGROUPS: Final = 59
"""socket(7), since Linux 4.13; Python has no name for it."""
_GROUPS_OCTETS: Final = 1_024
"""Of group ids, the most that Python asks for: who is in more than 256 groups needs to be root."""

MAX_PEERS: Final = 32
KEPT_FOR_OPERATORS: Final = 8
"""Of them."""
MAX_OF_A_USER: Final = 8
"""Of a user that is neither root nor the daemon's own."""


class PeerRole(IntEnum):
    """What a peer may do; each may do what the ones before it may."""

    NOBODY = 0
    READER = 1
    OPERATOR = 2


@dataclass(frozen=True, slots=True)
class Access:
    """Names of the UNIX groups that may read, and that may order; None: no group."""

    readers: str | None = None
    operators: str | None = None


class Peer:
    """Who is at the other end."""

    __slots__ = ("_name", "role", "uid")

    def __init__(self, role: PeerRole, uid: int) -> None:
        self.role, self.uid = role, uid
        self._name: str | None = None if role is PeerRole.OPERATOR else f"uid {uid}"

    async def name(self) -> str:
        """Return what the log calls an operator; a directory may take its time over names."""
        if self._name is None:
            self._name = await asyncio.to_thread(_user_name, self.uid)
        return self._name


class Gate:
    """Tells the role of a peer; root and the daemon's own user are operators."""

    __slots__ = ("_groups",)

    def __init__(self, access: Access) -> None:
        """Raise `LocalError` where a group doesn't exist."""
        wanted = ((access.readers, PeerRole.READER), (access.operators, PeerRole.OPERATOR))
        try:
            self._groups = {group_id(name): role for name, role in wanted if name is not None}
        except Unfit as error:
            raise LocalError(f"control: {error}") from None

    @property
    def groups(self) -> tuple[int, ...]:
        """Return the groups whose members may come besides root and the daemon's user."""
        return tuple(self._groups)

    def admit(self, sock: socket.socket) -> Peer:
        """Return who comes.  Raises `LocalError` where it may not."""
        size = _CREDENTIALS.size
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        _, uid, gid = _CREDENTIALS.unpack(credentials)
        role = self._role(uid, {gid, *_other_groups(sock)})
        if role is PeerRole.NOBODY:
            raise LocalError(
                f"uid {uid} may not use this socket: ask as root, or name a UNIX group of yours "
                "under control.readers or control.operators"
            )
        return Peer(role, uid)

    def _role(self, uid: int, groups: set[int]) -> PeerRole:
        if _is_trusted(uid):
            return PeerRole.OPERATOR
        return max(
            (self._groups[gid] for gid in groups & set(self._groups)), default=PeerRole.NOBODY
        )


class Seats:
    """Who is connected: no user and no number of readers keeps operators out."""

    __slots__ = ("_of_role", "_of_user")

    def __init__(self) -> None:
        self._of_role: Counter[PeerRole] = Counter()
        self._of_user: Counter[int] = Counter()

    def take(self, peer: Peer) -> None:
        """Let one more in.  Raises `LocalError` where there is no room."""
        readers, all_peers = self._of_role[PeerRole.READER], self._of_role.total()
        full = peer.role is PeerRole.READER and readers >= MAX_PEERS - KEPT_FOR_OPERATORS
        if full or all_peers >= MAX_PEERS:
            raise LocalError(f"{all_peers} programs are connected already; end one of them")
        if self._of_user[peer.uid] >= MAX_OF_A_USER and not _is_trusted(peer.uid):
            raise LocalError(
                f"{MAX_OF_A_USER} programs of uid {peer.uid} are connected already; end one of them"
            )
        self._of_role[peer.role] += 1
        self._of_user[peer.uid] += 1

    def leave(self, peer: Peer) -> None:
        self._of_role[peer.role] -= 1
        self._of_user[peer.uid] -= 1
        if not self._of_user[peer.uid]:
            del self._of_user[peer.uid]


def _is_trusted(uid: int) -> bool:
    return uid in (0, os.geteuid())


def group_id(name: str) -> int:
    """Return the number of a UNIX group.  Raises `Unfit`."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise Unfit(
            f"there is no UNIX group {name}", "make it with groupadd, or name another"
        ) from None


def _other_groups(sock: socket.socket) -> list[int]:
    """Return the peer's supplementary groups; none where the kernel doesn't tell."""
    try:
        octets = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_OCTETS)
    except OSError:
        return []
    groups = array("I")
    groups.frombytes(octets)
    return list(groups)


def _user_name(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"
