"""Wildcard sockets: the address asked is the address that answers (RFC 7296 section 2.11)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gcks.daemon import pktinfo
from gcks.daemon.multicast import configure_sender, multicast_receiver
from gcks.daemon.senders import make_senders
from gcks.daemon.udp import UdpPort, bind_udp
from gcks.datagrams import Endpoint, Path
from gcks.events import DatagramDropped
from tests.support.world import group_policy

SECONDS = 5.0


class Wildcard:
    """A port for all addresses of one IP version, and what it gave."""

    def __init__(self, host: str) -> None:
        self.taken: list[tuple[bytes, Path]] = []
        self.dropped: list[DatagramDropped] = []
        self.port = UdpPort(
            bind_udp(Endpoint(host, 0)),
            lambda octets, path: self.taken.append((octets, path)),
            self.dropped.append,
            natt=False,
        )

    async def until(self, count: int) -> None:
        async with asyncio.timeout(SECONDS):
            while len(self.taken) + len(self.dropped) < count:
                await asyncio.sleep(0)


@pytest.fixture
async def four() -> AsyncIterator[Wildcard]:
    made = Wildcard("0.0.0.0")
    yield made
    made.port.close()


@pytest.fixture
async def six() -> AsyncIterator[Wildcard]:
    made = Wildcard("::")
    yield made
    made.port.close()


def peer(host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.settimeout(SECONDS)
    return sock


@pytest.mark.parametrize("asked", ["127.0.0.1", "127.0.0.2", "127.3.2.1"])
async def test_an_answer_comes_from_the_address_that_was_asked(four: Wildcard, asked: str) -> None:
    with peer() as sock:
        sock.sendto(b"hello there", (asked, four.port.local.port))
        await four.until(1)
        ((octets, path),) = four.taken
        assert octets == b"hello there"
        assert path.local == Endpoint(asked, four.port.local.port)
        four.port.send(b"answer", path)
        assert sock.recvfrom(100) == (b"answer", (asked, four.port.local.port))


async def test_ipv6_too(six: Wildcard) -> None:
    with peer("::1") as sock:
        sock.sendto(b"hello there", ("::1", six.port.local.port))
        await six.until(1)
        ((_, path),) = six.taken
        assert path.local == Endpoint("::1", six.port.local.port)
        six.port.send(b"answer", path)
        assert sock.recvfrom(100)[0] == b"answer"


async def test_what_is_sent_to_many_is_not_answered(four: Wildcard) -> None:
    """A datagram to a multicast group that somebody else on this host has joined."""
    group = Endpoint("239.255.84.77", four.port.local.port)
    pktinfo_off = four.port.socket
    pktinfo_off.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with multicast_receiver(group, "lo", "127.0.0.1") as member, peer() as sock:
        member.setblocking(True)
        member.settimeout(SECONDS)
        configure_sender(sock, "127.0.0.1", "lo", 1)
        sock.sendto(b"to many", tuple(group))
        assert member.recvfrom(100)[0] == b"to many"
        sock.sendto(b"to one", ("127.0.0.1", group.port))
        await four.until(1)
        assert [octets for octets, _ in four.taken] == [b"to one"]
        assert four.dropped == []


async def test_broadcast_is_dropped(four: Wildcard) -> None:
    with peer() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.sendto(b"to all", ("127.255.255.255", four.port.local.port))
        await four.until(1)
        assert four.taken == []
        assert "broadcast" in four.dropped[0].detail


async def test_rekeys_leave_from_their_source_and_take_no_datagrams_of_the_port(
    four: Wildcard,
) -> None:
    """A socket bound to the source itself would swallow what members send there."""
    port = four.port.local.port
    policy = group_policy()
    assert policy.rekey is not None
    rekey = replace(
        policy.rekey, source=Endpoint("127.0.0.2", port), interface="lo",
        destination=Endpoint("239.255.84.78", 20848),
    )  # fmt: skip
    senders = make_senders([replace(policy, rekey=rekey)], [four.port.socket])
    (sender,) = senders.values()
    assert sender.socket is four.port.socket
    with multicast_receiver(rekey.destination, "lo", "127.0.0.1") as member, peer() as sock:
        member.setblocking(True)
        member.settimeout(SECONDS)
        pktinfo.send(sender.socket, b"rekey", rekey.source.host, rekey.destination)
        assert member.recvfrom(100) == (b"rekey", ("127.0.0.2", port))
        sock.sendto(b"register", ("127.0.0.2", port))
        await four.until(1)
        assert four.taken[0][1].local == Endpoint("127.0.0.2", port)
