"""The control socket itself: who comes, line by line, and events for those who follow them.

    {"hello": "gcks", "version": "0.1", "protocol": 1, "role": "operator"}
    --> {"id": 1, "do": "show", "what": "groups"}
    <-- {"id": 1, "ok": true, "result": {"schema_version": 1, "groups": [...]}}
    --> {"id": 2, "do": "rekey", "group": "keyid:nope"}
    <-- {"id": 2, "ok": false, "error": "there is no group keyid:nope; ..."}

A peer that doesn't read holds up nobody else: one answer waits for it at a time, and
of the events it misses those that don't fit, which it is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

from pydantic_core import from_json

from gcks import __version__
from gcks.daemon.config.loaded import ControlOptions
from gcks.daemon.control.event_lines import Recent, Wanted, event_line, missed_line
from gcks.daemon.control.peers import Gate, Peer, PeerRole, Seats
from gcks.daemon.control.requests import PROTOCOL, EventsRequest
from gcks.daemon.control.views import View
from gcks.daemon.internal_error import InternalErrors
from gcks.errors import LocalError
from gcks.events import Event, NoControlSocket, Tell

MAX_REQUEST_OCTETS: Final = 1 << 20
MAX_WAITING_EVENTS: Final = 1_000
"""Per follower."""
READ_SECONDS: Final = 30.0
"""How long a peer may take to read an answer."""
IDLE_SECONDS: Final = 300.0
"""How long a peer that follows no events may ask nothing; a person may have to say yes first."""
_BACKLOG: Final = 4_096
_ACCEPTED_AT_ONCE: Final = 32
_PAUSE_SECONDS: Final = 1.0
"""Where there is no descriptor for another connection."""
_INTERNAL: Final = "internal error; the server's log says more"
_MAX_PATH_OCTETS: Final = 107
"""What a UNIX address holds."""
_FOR_OWNER: Final = 0o600
_FOR_GROUP: Final = 0o660
_FOR_ALL: Final = 0o666
"""Where several groups may come: their members are told from others by their credentials."""


class NumberedRequest(Protocol):
    """One line, read."""

    @property
    def id(self) -> int | str | None: ...


R = TypeVar("R", bound=NumberedRequest)
Read = Callable[[bytes], R]
"""Reads one line.  Raises `LocalError`."""
Answer = Callable[[R, PeerRole, str], Awaitable[View]]
"""Answers what was read.  Raises `LocalError`."""


class Follower:
    """The events that one peer has yet to read."""

    __slots__ = ("_lines", "_missed", "_wake", "wanted")

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self._lines: deque[bytes] = deque()
        self._missed = 0
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many lines wait to be read."""
        return len(self._lines)

    def tell(self, line: bytes) -> None:
        if self.waiting >= MAX_WAITING_EVENTS:
            self._missed += 1
        else:
            self._lines.append(line)
        self._wake.set()

    async def take(self) -> bytes:
        """Return what there is, as soon as there is something."""
        await self._wake.wait()
        self._wake.clear()
        octets = b"".join(self._lines)
        self._lines.clear()
        if self._missed:
            octets += _line(missed_line(self._missed, time.time()))
            self._missed = 0
        return octets


class ControlSocket(Generic[R]):
    """Listens at a path; everything happens on the event loop."""

    def __init__(
        self, path: Path, gate: Gate, read: Read[R], answer: Answer[R], tell: Tell
    ) -> None:
        self._path, self._gate = path, gate
        self._read, self._answer = read, answer
        self._errors = InternalErrors(tell)
        self._followers: set[Follower] = set()
        self.recent = Recent()
        self._seats = Seats()
        self._peers: set[asyncio.Task[None]] = set()
        self._sock: socket.socket | None = None
        self._pause: asyncio.TimerHandle | None = None

    @property
    def connected(self) -> int:
        """How many peers are connected."""
        return len(self._peers)

    @property
    def followers(self) -> int:
        """How many peers follow the events."""
        return len(self._followers)

    async def open(self) -> None:
        """Begin to listen.  Raises `LocalError` that says why it can't."""
        self._sock = _bind(self._path, self._gate.groups)
        self._listen()

    def _listen(self) -> None:
        if self._sock is not None:
            asyncio.get_running_loop().add_reader(self._sock, self._accept, self._sock)

    def close(self) -> None:
        for peer in self._peers:
            peer.cancel()
        if self._pause is not None:
            self._pause.cancel()
        if self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()
            self._sock = None
            self._path.unlink(missing_ok=True)

    def tell(self, events: Sequence[Event]) -> None:
        """Keep events, and give them to those who follow them."""
        at = time.time()
        self.recent.add(events, at)
        if not self.followers:
            return
        for event in events:
            followers = [follower for follower in self._followers if follower.wanted(event)]
            if followers:
                line = _line(event_line(event, at))
                for follower in followers:
                    follower.tell(line)

    @contextlib.contextmanager
    def following(self, wanted: Wanted) -> Iterator[Follower]:
        """Let somebody follow the events that are wanted, as long as the block lasts."""
        follower = Follower(wanted)
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)

    # --- one peer -----------------------------------------------------------------------

    def _accept(self, listening: socket.socket) -> None:
        """Let in who may come; who may not costs as little as can be."""
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                sock, _ = listening.accept()
            except BlockingIOError:
                return
            except OSError:
                loop = asyncio.get_running_loop()
                loop.remove_reader(listening)
                self._pause = loop.call_later(_PAUSE_SECONDS, self._listen)
                return
            sock.settimeout(0.0)
            self._admit(sock)

    def _admit(self, sock: socket.socket) -> None:
        try:
            peer = self._gate.admit(sock)
            self._seats.take(peer)
        except (LocalError, OSError) as error:
            with sock, contextlib.suppress(OSError):
                sock.send(_line({"ok": False, "error": str(error)}))
            return
        task = asyncio.get_running_loop().create_task(self._serve(sock, peer))
        self._peers.add(task)
        task.add_done_callback(self._peers.discard)
        task.add_done_callback(lambda _: self._seats.leave(peer))

    async def _serve(self, sock: socket.socket, peer: Peer) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=sock, limit=MAX_REQUEST_OCTETS)
        try:
            await _write(writer, _hello(peer.role))
            while line := await _next_line(reader):
                request, answer = await self._respond(line, peer)
                if isinstance(request, EventsRequest) and request.follow:
                    await self._follow(request.wanted, reader, writer, answer)
                    return
                await _write(writer, answer)
        except (OSError, ValueError, TimeoutError):
            return  # it is gone, sends a line without end, asks nothing, or doesn't read
        finally:
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _respond(self, line: bytes, peer: Peer) -> tuple[R | None, bytes]:
        """Return a request that could be answered, and the answer that every line gets."""
        request: R | None = None
        try:
            request = self._read(line)
            result = await self._answer(request, peer.role, await peer.name())
            return request, _line(
                {"id": request.id, "ok": True, "result": result.model_dump(mode="json")}
            )
        except LocalError as error:
            cause = str(error)
        except Exception as error:
            self._errors.tell("a request of the control socket", error)
            cause = _INTERNAL
        number = request.id if request is not None else _id_of(line)
        return None, _line({"id": number, "ok": False, "error": cause})

    async def _follow(
        self,
        wanted: Wanted,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answer: bytes,
    ) -> None:
        """Send what comes after the answer, in which the past is: nothing is between them."""
        gone = asyncio.create_task(reader.read(1))
        try:
            with self.following(wanted) as follower:
                await _write(writer, answer)
                while not gone.done():
                    news = asyncio.create_task(follower.take())
                    await asyncio.wait((gone, news), return_when=asyncio.FIRST_COMPLETED)
                    if not news.done():
                        news.cancel()
                        return
                    await _write(writer, news.result())
        finally:
            gone.cancel()


async def open_control(
    options: ControlOptions | None, read: Read[R], answer: Answer[R], tell: Tell
) -> ControlSocket[R] | None:
    """Open the socket of a daemon; one that nobody asked for may fail.  Raises `LocalError`."""
    if options is None:
        return None
    try:
        control = ControlSocket(options.path, Gate(options.access), read, answer, tell)
        await control.open()
    except LocalError as error:
        if options.required:
            raise
        tell((NoControlSocket(str(error)),))
        return None
    return control


async def _next_line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(IDLE_SECONDS):
        return await reader.readline()


async def _write(writer: asyncio.StreamWriter, octets: bytes) -> None:
    """Hand octets over, and wait until the peer has taken them."""
    writer.transport.set_write_buffer_limits(0)
    writer.write(octets)
    async with asyncio.timeout(READ_SECONDS):
        await writer.drain()


def _hello(role: PeerRole) -> bytes:
    name = role.name.lower()
    return _line({"hello": "gcks", "version": __version__, "protocol": PROTOCOL, "role": name})


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def _id_of(line: bytes) -> int | str | None:
    """Return the id of a request that is otherwise wrong."""
    with contextlib.suppress(ValueError, AttributeError):
        number = from_json(line).get("id")  # unlike json.loads it bears any depth
        return number if isinstance(number, int | str) else None
    return None


def _bind(path: Path, groups: Sequence[int]) -> socket.socket:
    """Bind, over what a killed server has left.  Raises `LocalError`."""
    if len(os.fsencode(path)) > _MAX_PATH_OCTETS:
        raise LocalError(f"control socket {path}: the path is too long; choose a shorter one")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        _remove_stale(path)
        old = os.umask(0o177)
        try:
            sock.bind(str(path))
        finally:
            os.umask(old)
        path.chmod(_mode_for(path, groups))
        sock.listen(_BACKLOG)
        sock.settimeout(0.0)
    except OSError as error:
        sock.close()
        raise LocalError(f"control socket {path}: {error.strerror or error}") from None
    except LocalError:
        sock.close()
        raise
    return sock


def _mode_for(path: Path, groups: Sequence[int]) -> int:
    """Give the socket to the one group that may come, if the kernel lets us."""
    if not groups:
        return _FOR_OWNER
    if len(groups) > 1:
        return _FOR_ALL
    try:
        os.chown(path, -1, groups[0])
    except PermissionError:
        return _FOR_ALL  # only root gives to a group that it isn't in
    return _FOR_GROUP


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens at; never anything else."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise LocalError(f"control socket {path}: another server listens there; stop it")
