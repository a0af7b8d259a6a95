"""A request/acknowledgement socket for NETLINK_XFRM (RFC 3549).

No maintained package speaks XFRM (pyroute2 has none of its messages), and the
messages that a member needs are few: they are packed here and in `xfrm_wire`.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from struct import Struct
from typing import Final

from gcks.errors import LocalError

NETLINK_XFRM: Final = 6
NLM_F_REQUEST: Final = 0x01
NLM_F_ACK: Final = 0x04
NLM_F_DUMP: Final = 0x300
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_HEADER: Final = Struct("=IHHII")
_ERROR: Final = Struct("=i")
_ALIGN: Final = 4
_BUFFER_OCTETS: Final = 1 << 16
_TIMEOUT_SECONDS: Final = 5.0


class NetlinkError(LocalError):
    """The kernel refused; `code` is the errno."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(f"{what}: {_explain(code)}")
        self.code = code


def _explain(code: int) -> str:
    hints = {
        errno.EPERM: "no permission; run with CAP_NET_ADMIN",
        errno.ENOSYS: "the kernel lacks an algorithm; load its module (modprobe gcm, esp4, ...)",
        errno.EPROTONOSUPPORT: "the kernel lacks ESP or AH; modprobe esp4 esp6 ah4 ah6",
        errno.ENOPROTOOPT: "the kernel has no XFRM; modprobe xfrm_user",
    }
    text = os.strerror(code)
    return f"{text}; {hints[code]}" if code in hints else text


class XfrmSocket:
    """Sends one request at a time and waits for the kernel's answer."""

    def __init__(self) -> None:
        """Raise `LocalError` where the kernel has no XFRM."""
        try:
            self._sock = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_XFRM
            )
            self._sock.bind((0, 0))
        except OSError as error:
            raise LocalError(
                f"the kernel has no XFRM ({error.strerror}); modprobe xfrm_user, or use another "
                "data plane"
            ) from None
        self._sock.settimeout(_TIMEOUT_SECONDS)
        self._sequence = 0

    def request(self, kind: int, payload: bytes, what: str, flags: int = 0) -> None:
        """Send a request and wait for its acknowledgement.  Raises `NetlinkError`."""
        self._send(kind, payload, NLM_F_REQUEST | NLM_F_ACK | flags)
        for message_kind, content in self._messages():
            if message_kind == _NLMSG_ERROR:
                (code,) = _ERROR.unpack_from(content)
                if code:
                    raise NetlinkError(what, -code)
                return

    def dump(self, kind: int, payload: bytes, what: str) -> list[bytes]:
        """Return the content of every message of a dump.  Raises `NetlinkError`."""
        self._send(kind, payload, NLM_F_REQUEST | NLM_F_DUMP)
        contents: list[bytes] = []
        for message_kind, content in self._messages():
            if message_kind == _NLMSG_DONE:
                break
            if message_kind == _NLMSG_ERROR:
                raise NetlinkError(what, -_ERROR.unpack_from(content)[0])
            contents.append(content)
        return contents

    def _send(self, kind: int, payload: bytes, flags: int) -> None:
        self._sequence += 1
        length = _HEADER.size + len(payload)
        self._sock.send(_HEADER.pack(length, kind, flags, self._sequence, 0) + payload)

    def _messages(self) -> Iterator[tuple[int, bytes]]:
        """Yield (type, content) of the answers to the newest request."""
        while True:
            try:
                octets = self._sock.recv(_BUFFER_OCTETS)
            except TimeoutError:
                raise LocalError("the kernel does not answer on NETLINK_XFRM") from None
            position = 0
            while position + _HEADER.size <= len(octets):
                length, kind, _, sequence, _ = _HEADER.unpack_from(octets, position)
                content = octets[position + _HEADER.size : position + length]
                position += max(_HEADER.size, -(-length // _ALIGN) * _ALIGN)
                if sequence == self._sequence:
                    yield kind, content

    def close(self) -> None:
        self._sock.close()
