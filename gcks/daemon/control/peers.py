"""Who is at the other end of the control socket, and what that allows."""

from __future__ import annotations

import grp
import os
import pwd
import socket
from array import array
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final

from gcks.errors import LocalError

_CREDENTIALS: Final = Struct("iII")
_SO_PEERGROUPS: Final = 59
"""socket(7), since Linux 4.13; Python has no name for it."""
_GROUPS_OCTETS: Final = 1_024
"""Of group ids, the most that Python asks for: who is in more than 256 groups needs to be root."""


class Role(IntEnum):
    """What a peer may do; each may do what the ones before it may."""

    NOBODY = 0
    READER = 1
    OPERATOR = 2


@dataclass(frozen=True, slots=True)
class Access:
    """Names of the UNIX groups that may read, and that may order; None: no group."""

    readers: str | None = None
    operators: str | None = None


class Gate:
    """Tells the role of a peer; root and the daemon's own user are operators."""

    __slots__ = ("_groups",)

    def __init__(self, access: Access) -> None:
        """Raise `LocalError` where a group doesn't exist."""
        wanted = ((access.readers, Role.READER), (access.operators, Role.OPERATOR))
        self._groups = {_group_id(name): role for name, role in wanted if name is not None}

    @property
    def is_for_groups(self) -> bool:
        """Tell whether others than root and the daemon's user may come."""
        return bool(self._groups)

    def admit(self, sock: socket.socket) -> tuple[Role, str]:
        """Return the role of the peer, and its name for the log."""
        size = _CREDENTIALS.size
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        _, uid, gid = _CREDENTIALS.unpack(credentials)
        return self._role(uid, {gid, *_other_groups(sock)}), _user_name(uid)

    def _role(self, uid: int, groups: set[int]) -> Role:
        if uid in (0, os.geteuid()):
            return Role.OPERATOR
        return max((self._groups[gid] for gid in groups & set(self._groups)), default=Role.NOBODY)


def _group_id(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise LocalError(
            f"control: there is no UNIX group {name!r}; make it with groupadd, or name another"
        ) from None


def _other_groups(sock: socket.socket) -> list[int]:
    """Return the peer's supplementary groups; none where the kernel doesn't tell."""
    try:
        octets = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_OCTETS)
    except OSError:
        return []
    found = array("I")
    found.frombytes(octets)
    return list(found)


def _user_name(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"
