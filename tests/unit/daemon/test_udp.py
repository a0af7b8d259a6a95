"""UDP ports on loopback: the non-ESP marker (RFC 3948 section 2.2), back-pressure, errors."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from gcks.daemon.udp import DATAGRAMS_PER_WAKEUP, MARKER, UdpPort, bind_udp
from gcks.datagrams import Endpoint, Path
from gcks.errors import DropReason, LocalError
from gcks.events import DatagramDropped

SECONDS = 5.0
MESSAGE = bytes(range(1, 29))


class Port:
    """A port of ours, a peer's socket, and what the port gave."""

    def __init__(self, *, natt: bool) -> None:
        self.taken: list[tuple[bytes, Path]] = []
        self.dropped: list[DatagramDropped] = []
        self.port = UdpPort(
            bind_udp(Endpoint("127.0.0.1", 0)),
            lambda octets, path: self.taken.append((octets, path)),
            self.dropped.append,
            natt=natt,
        )
        self.peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.peer.bind(("127.0.0.1", 0))
        self.peer.settimeout(SECONDS)
        self.remote = Endpoint(*self.peer.getsockname())

    def tell(self, *datagrams: bytes) -> None:
        for octets in datagrams:
            self.peer.sendto(octets, self.port.local)

    async def until_taken(self, count: int) -> None:
        async with asyncio.timeout(SECONDS):
            while len(self.taken) < count:
                await asyncio.sleep(0)

    def close(self) -> None:
        self.port.close()
        self.peer.close()


@pytest.fixture
async def ordinary() -> AsyncIterator[Port]:
    port = Port(natt=False)
    yield port
    port.close()


@pytest.fixture
async def natt() -> AsyncIterator[Port]:
    port = Port(natt=True)
    yield port
    port.close()


async def test_on_an_ike_port_a_message_is_the_whole_datagram(ordinary: Port) -> None:
    ordinary.tell(MESSAGE)
    await ordinary.until_taken(1)
    assert ordinary.taken == [(MESSAGE, Path(ordinary.port.local, ordinary.remote))]


async def test_a_marker_is_taken_off_and_put_on(natt: Port) -> None:
    natt.tell(MARKER + MESSAGE)
    await natt.until_taken(1)
    path = Path(natt.port.local, natt.remote, marker=True)
    assert natt.taken == [(MESSAGE, path)]
    natt.port.send(MESSAGE, path)
    assert natt.peer.recv(100) == MARKER + MESSAGE


async def test_a_marker_on_an_ike_port_is_answered_with_one(ordinary: Port) -> None:
    """strongSwan puts it on every port but 500."""
    ordinary.tell(MARKER + MESSAGE)
    await ordinary.until_taken(1)
    assert ordinary.taken == [(MESSAGE, Path(ordinary.port.local, ordinary.remote, marker=True))]


async def test_without_marker_a_nat_traversal_port_takes_nothing(natt: Port) -> None:
    """ESP and keepalives (one octet 0xff, RFC 3948 section 2.3) arrive there too."""
    natt.tell(MESSAGE, b"\xff", b"", MARKER + MESSAGE)
    await natt.until_taken(1)
    assert len(natt.taken) == 1
    assert [event.reason for event in natt.dropped] == [DropReason.MALFORMED] * 2
    assert all(event.remote == str(natt.remote) for event in natt.dropped)


async def test_what_a_paused_port_does_not_read_waits_in_the_kernel(ordinary: Port) -> None:
    ordinary.port.pause()
    ordinary.tell(MESSAGE, MESSAGE)
    for _ in range(10):
        await asyncio.sleep(0)
    assert ordinary.taken == []
    ordinary.port.resume()
    await ordinary.until_taken(2)


async def test_a_flood_leaves_the_loop_its_turns(ordinary: Port) -> None:
    ordinary.port.pause()
    ordinary.tell(*[MESSAGE] * (2 * DATAGRAMS_PER_WAKEUP))
    seen: list[int] = []

    def look() -> None:
        seen.append(len(ordinary.taken))
        asyncio.get_running_loop().call_soon(look)

    look()
    ordinary.port.resume()
    await ordinary.until_taken(2 * DATAGRAMS_PER_WAKEUP)
    assert DATAGRAMS_PER_WAKEUP in seen


async def test_a_peer_that_is_gone_stops_nothing(ordinary: Port) -> None:
    """The ICMP error of a closed port comes back as an error of a later call."""
    gone = Path(ordinary.port.local, Endpoint("127.0.0.1", 1))
    for _ in range(3):
        ordinary.port.send(MESSAGE, gone)
    ordinary.tell(MESSAGE)
    await ordinary.until_taken(1)


async def test_what_cant_be_sent_is_counted(ordinary: Port) -> None:
    ordinary.port.send(bytes(70_000), Path(ordinary.port.local, ordinary.remote))
    assert ordinary.port.send_errors == 1


def test_an_occupied_port_is_named() -> None:
    with (
        bind_udp(Endpoint("127.0.0.1", 0)) as first,
        pytest.raises(LocalError, match=f"127.0.0.1:{first.getsockname()[1]}.*occupied"),
    ):
        bind_udp(Endpoint(*first.getsockname()))
