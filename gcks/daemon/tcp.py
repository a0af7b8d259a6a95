"""IKE over TCP (RFC 9329): the stream prefix, length framing, limits.

The originator's stream begins with the six octets IKETCP; then each message is a
16-bit length that counts itself, four zero octets (the non-ESP marker), and the
IKE message.  A connection is only a way to and fro: IKE SAs outlive it.  There is
no ESP here: what is no IKE message ends the connection (section 6.1).
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Final, cast

from gcks.daemon.process import descriptor_limit
from gcks.datagrams import Endpoint, Path
from gcks.errors import DropReason, LocalError
from gcks.events import DatagramDropped
from gcks.keyserver.prefixes import address_of
from gcks.wire.header import HEADER_OCTETS

PREFIX: Final = b"IKETCP"
MARKER: Final = bytes(4)
KEEPALIVE: Final = b"\xff"
LENGTH_OCTETS: Final = 2
MAX_FRAME_OCTETS: Final = 65_535
FRAMES_PER_TURN: Final = 64
"""Of all connections together: what comes by UDP, and the timers, go on between."""
MAX_UNSENT_OCTETS: Final = 256 * 1024
"""What waits for a peer that reads slowly; above it the connection is cut."""
IDLE_SECONDS: Final = 300.0
"""A connection on which nothing comes in for so long is closed."""
PREFIX_SECONDS: Final = 10.0
"""How long a new connection has to say what it wants."""
CONNECT_SECONDS: Final = 5.0
MAX_WAITING: Final = 8
"""Messages kept while a connection is being made."""
MAX_STREAMS: Final = 10_000
MAX_STREAMS_PER_HOST: Final = 64
"""An IPv6 host is a /64."""
DESCRIPTORS_KEPT: Final = 200
"""What connections leave to the store, the control socket, metrics and new groups."""

Receive = Callable[[bytes, Path], None]
Drop = Callable[[DatagramDropped], None]


class Turns:
    """Lets the streams take their frames in turn, so many in each turn of the event loop."""

    def __init__(self) -> None:
        self._waiting: deque[Stream] = deque()
        self._called = False
        self.paused = False

    def add(self, stream: Stream) -> None:
        self._waiting.append(stream)
        self._call()

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        self._call()

    def _call(self) -> None:
        if self._waiting and not self._called and not self.paused:
            self._called = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._called = False
        try:
            for _ in range(FRAMES_PER_TURN):
                if not self._waiting or self.paused:
                    return
                stream = self._waiting.popleft()
                if stream.take_frame():
                    self._waiting.append(stream)
        finally:
            self._call()


class Stream(asyncio.Protocol):
    """One connection; `number` tells it apart in `Path.stream`."""

    def __init__(
        self, number: int, turns: Turns, receive: Receive, drop: Drop,
        closed: Callable[[Stream], None], *, originator: bool,
    ) -> None:  # fmt: skip
        self.number = number
        self._turns = turns
        self._waits = False
        self._receive, self._drop, self._closed = receive, drop, closed
        self._originator = originator
        self._began = originator
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._idle: asyncio.TimerHandle | None = None
        self.local = self.remote = Endpoint("", 0)

    # --- the connection ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports aren't asyncio's classes.
        made = cast(asyncio.Transport, transport)
        local, remote = made.get_extra_info("sockname"), made.get_extra_info("peername")
        if not local or not remote:  # the peer is gone already
            made.abort()
            return
        self._transport = made
        self.local, self.remote = Endpoint(*local[:2]), Endpoint(*remote[:2])
        if self._originator:
            made.write(PREFIX)
        self._expect(IDLE_SECONDS if self._originator else PREFIX_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._idle is not None:
            self._idle.cancel()
        self._transport = None
        self._buffer.clear()
        self._closed(self)

    def _expect(self, seconds: float) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(seconds, self.cut)

    def cut(self) -> None:
        """End the connection at once."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def pace(self) -> None:
        """Read, unless frames wait here: what comes is left to the kernel's bounded buffer."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._waits or self._turns.paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    @property
    def descriptor(self) -> int:
        """The number of the socket; the lowest that was free."""
        if self._transport is None:
            return -1
        return int(self._transport.get_extra_info("socket").fileno())

    # --- receiving --------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._began and not self._take_prefix():
            return
        self._expect(IDLE_SECONDS)
        if not self._waits:
            self._waits = True
            self.pace()
            self._turns.add(self)

    def _take_prefix(self) -> bool:
        """RFC 9329 section 4: anything but the prefix isn't IKE over TCP."""
        held = bytes(self._buffer[: len(PREFIX)])
        if held != PREFIX[: len(held)]:
            self._refuse("the stream doesn't begin with IKETCP")
            return False
        if len(held) < len(PREFIX):
            return False
        del self._buffer[: len(PREFIX)]
        self._began = True
        return True

    def take_frame(self) -> bool:
        """Take what comes next; False where it isn't whole yet, and reading goes on."""
        self._waits = self._transport is not None and self._take_frame()
        if not self._waits:
            self.pace()
        return self._waits

    def _take_frame(self) -> bool:
        if len(self._buffer) < LENGTH_OCTETS:
            return False
        length = int.from_bytes(self._buffer[:LENGTH_OCTETS], "big")
        if length <= LENGTH_OCTETS:
            self._refuse(f"a frame of {length} octets")
            return False
        if len(self._buffer) < length:
            return False
        frame = bytes(self._buffer[LENGTH_OCTETS:length])
        del self._buffer[:length]
        return self._take(frame)

    def _take(self, frame: bytes) -> bool:
        if frame == KEEPALIVE:  # section 6.6: no error, and nothing to do
            return True
        if not frame.startswith(MARKER):
            self._refuse("no non-ESP marker in a frame")
            return False
        if len(frame) < len(MARKER) + HEADER_OCTETS:
            self._refuse(f"a frame of {LENGTH_OCTETS + len(frame)} octets")
            return False
        self._receive(frame[len(MARKER) :], Path(self.local, self.remote, stream=self.number))
        return True

    def _refuse(self, cause: str) -> None:
        self._note(cause)
        self.cut()

    def _note(self, cause: str) -> None:
        self._drop(DatagramDropped(DropReason.MALFORMED, f"{self.remote} TCP", cause))

    # --- sending ----------------------------------------------------------------------

    def send(self, octets: bytes) -> bool:
        """Send one message; False where the connection is gone or its peer doesn't read."""
        length = LENGTH_OCTETS + len(MARKER) + len(octets)
        transport = self._transport
        if transport is None or length > MAX_FRAME_OCTETS:
            return False
        if transport.get_write_buffer_size() + length > MAX_UNSENT_OCTETS:
            self._refuse("the peer doesn't read")
            return False
        transport.write(length.to_bytes(LENGTH_OCTETS, "big") + MARKER + octets)
        return True


class Streams:
    """All connections of a server: numbered, limited, found again."""

    def __init__(self, receive: Receive, drop: Drop) -> None:
        self._receive, self._drop = receive, drop
        self._by_number: dict[int, Stream] = {}
        self._per_host: dict[bytes, int] = {}
        self._numbers = count(1)
        self._servers: list[asyncio.Server] = []
        self._turns = Turns()
        self.refused = 0

    def __len__(self) -> int:
        return len(self._by_number)

    async def listen(self, sock: socket.socket) -> None:
        """Take connections on a bound socket."""
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(self._accept, sock=sock))

    def _accept(self) -> Stream:
        return _Accepted(next(self._numbers), self)

    def admit(self, stream: Stream) -> bool:
        """Keep a new connection, unless there are too many of its host or in all."""
        host = address_of(stream.remote.host)
        held = self._per_host.get(host, 0)
        if (
            len(self._by_number) >= MAX_STREAMS
            or held >= MAX_STREAMS_PER_HOST
            or stream.descriptor >= descriptor_limit() - DESCRIPTORS_KEPT
        ):
            self.refused += 1
            return False
        self._by_number[stream.number] = stream
        self._per_host[host] = held + 1
        stream.pace()
        return True

    def forget(self, stream: Stream) -> None:
        if self._by_number.pop(stream.number, None) is None:
            return
        host = address_of(stream.remote.host)
        left = self._per_host.get(host, 1) - 1
        if left:
            self._per_host[host] = left
        else:
            self._per_host.pop(host, None)

    def send(self, octets: bytes, path: Path) -> bool:
        """Send along the connection that the path names; False where it is gone."""
        stream = self._by_number.get(path.stream)
        return stream is not None and stream.send(octets)

    def pause(self) -> None:
        self._turns.pause()
        self._pace()

    def resume(self) -> None:
        self._turns.resume()
        self._pace()

    def _pace(self) -> None:
        for stream in self._by_number.values():
            stream.pace()

    def close(self) -> None:
        for server in self._servers:
            server.close()
        for stream in list(self._by_number.values()):
            stream.cut()


class _Accepted(Stream):
    """A connection that a peer has opened."""

    def __init__(self, number: int, streams: Streams) -> None:
        super().__init__(
            number, streams._turns, streams._receive, streams._drop, streams.forget,
            originator=False,
        )  # fmt: skip
        self._streams = streams

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._transport is not None and not self._streams.admit(self):
            self.cut()


class Connection:
    """The member's connection to its server: made when there is something to send."""

    def __init__(self, local: str, remote: Endpoint, receive: Receive, drop: Drop) -> None:
        self._local, self._remote = local, remote
        self._receive, self._drop = receive, drop
        self._turns = Turns()
        self._stream: Stream | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._waiting: deque[bytes] = deque(maxlen=MAX_WAITING)
        self.failures = 0

    def send(self, octets: bytes, path: Path) -> None:
        """Send, connecting first where need be; what can't be sent IKE asks again."""
        if self._stream is not None:
            self._stream.send(octets)
            return
        self._waiting.append(octets)
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect(path.stream))

    async def _connect(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, stream = await loop.create_connection(
                    partial(self._make, number),
                    *self._remote,
                    local_addr=(self._local, 0),
                )
        except (OSError, TimeoutError):
            self.failures += 1
            return
        finally:
            waiting = list(self._waiting)
            self._waiting.clear()
            self._connecting = None
        self._stream = stream
        for octets in waiting:
            stream.send(octets)

    def _make(self, number: int) -> Stream:
        return Stream(
            number, self._turns, self._receive, self._drop, self._lost, originator=True
        )  # fmt: skip

    def _lost(self, stream: Stream) -> None:
        if stream is self._stream:
            self._stream = None

    def close(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        if self._stream is not None:
            self._stream.cut()


def bind_tcp(local: Endpoint) -> socket.socket:
    """Make a bound socket.  Raises `LocalError` naming address and cause."""
    family = socket.AF_INET6 if ":" in local.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(tuple(local))
    except OSError as error:
        sock.close()
        raise LocalError(
            f"can't listen on TCP {local}: {error.strerror}; stop the other daemon or choose "
            "another port (tcp_ports)"
        ) from None
    sock.settimeout(0)
    return sock
