"""All IKE SAs of the server: found by our SPI, limited, timed."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from gcks.datagrams import Path
from gcks.errors import Discard, DropReason
from gcks.keyserver.ike_sa import Established, HalfOpen, IkeSa, Refused
from gcks.keyserver.prefixes import PrefixCounts
from gcks.keyserver.settings import ServerSettings
from gcks.keyserver.timers import Timers
from gcks.wire.header import IKE_SPI_OCTETS, NO_SPI, Header

MAX_HELD_OCTETS: Final = 67_108_864
"""Of incomplete messages of all peers that are not authenticated."""
USUAL_HELD_OCTETS: Final = 8192
"""What each of them may have beyond that: IDi, AUTH and a chain of certificates."""


class IkeSaTable:
    """Per-datagram work is flat in the number of SAs."""

    __slots__ = (
        "_by_init", "_by_name", "_by_spi", "_entropy", "_prefixes", "established", "half_open",
        "held_octets", "timers",
    )  # fmt: skip

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy
        self._by_spi: dict[bytes, IkeSa] = {}
        self._by_init: dict[tuple[bytes, Path], HalfOpen] = {}
        self._by_name: dict[str, dict[bytes, Established]] = {}
        self.timers = Timers()
        self._prefixes = PrefixCounts()
        self.half_open = 0
        """All that is not authenticated, refused peers included."""
        self.established = 0
        self.held_octets = 0
        """Of messages that have come in part from peers that are not authenticated."""

    def __len__(self) -> int:
        """Count the entries of all indexes: 0 where nothing is left of any SA."""
        by_spi, by_init, by_name = len(self._by_spi), len(self._by_init), len(self._by_name)
        return by_spi + by_init + by_name + len(self._prefixes)

    def find(self, header: Header) -> IkeSa:
        """Return the SA of a message's SPI pair.  Raises `Discard`."""
        sa = self._by_spi.get(header.spi_r) or self._by_spi.get(header.spi_i)
        if sa is None or (sa.spi_i, sa.spi_r) != (header.spi_i, header.spi_r):
            raise Discard(DropReason.UNKNOWN_SPI)
        return sa

    def of_spi(self, spi: bytes) -> Established | None:
        """Return the established SA that has our SPI."""
        sa = self._by_spi.get(spi)
        return sa if isinstance(sa, Established) else None

    def find_init(self, spi_i: bytes, path: Path) -> HalfOpen | None:
        """Return the half-open SA that an IKE_SA_INIT from there has made."""
        return self._by_init.get((spi_i, path))

    def draw_spi(self) -> bytes:
        """Return a responder SPI: unpredictable, not zero, not in use."""
        while True:
            spi = self._entropy(IKE_SPI_OCTETS)
            if spi != NO_SPI and spi not in self._by_spi:
                return spi

    def half_open_of(self, host: str) -> int:
        """Count the half-open IKE SAs of a host's network."""
        return self._prefixes.of(host)

    @property
    def backlog(self) -> int:
        """Count the half-open IKE SAs whose GSA_AUTH is yet to come: refused peers are done."""
        return len(self._by_init)

    def check_room(self, host: str, settings: ServerSettings, backlog_limit: float = inf) -> None:
        """Raise `Discard` where no further IKE SA may begin, or none from that network."""
        if self._prefixes.of(host) >= settings.max_half_open_per_prefix:
            raise Discard(DropReason.LIMIT, "too many half-open IKE SAs of one network")
        self.check_total(settings, backlog_limit)

    def check_total(self, settings: ServerSettings, backlog_limit: float = inf) -> None:
        """Raise `Discard` where no further IKE SA may begin, whoever asks."""
        if self.half_open >= settings.max_half_open or self.established >= settings.max_ike_sas:
            raise Discard(DropReason.LIMIT, "too many IKE SAs")
        if self.backlog >= backlog_limit:
            raise Discard(DropReason.LIMIT, "more half-open IKE SAs than can be served in time")

    def check_held(self, half: HalfOpen) -> None:
        """Raise `Discard` where a further part of a peer's first message can't be held.

        While there is little room those go on that need little: a chain of certificates,
        not what nobody has to send.
        """
        if self.held_octets >= MAX_HELD_OCTETS and half.held_octets >= USUAL_HELD_OCTETS:
            raise Discard(DropReason.LIMIT, "too many octets of incomplete messages")

    def holds(self, half: HalfOpen, octets: int) -> None:
        """Note how many octets of an incomplete message are held."""
        self.held_octets += octets - half.held_octets
        half.held_octets = octets

    def add(self, half: HalfOpen) -> None:
        self._by_spi[half.spi_r] = half
        self._by_init[half.init_key] = half
        self.half_open += 1
        self._prefixes.add(half.init_path.remote.host)
        self.timers.set(half)

    def establish(self, half: HalfOpen, sa: Established) -> None:
        """Put the authenticated SA where the half-open one was."""
        self._forget_init(half)
        self._prefixes.remove(half.init_path.remote.host)
        sa.due, sa.timer_at = half.due, half.timer_at
        self.half_open -= 1
        self.put(sa)

    def put(self, sa: Established) -> None:
        """Add an IKE SA with an authenticated peer."""
        self._by_spi[sa.own_spi] = sa
        self._by_name.setdefault(sa.name, {})[sa.own_spi] = sa
        self.established += 1

    def of_peer(self, name: str) -> tuple[Established, ...]:
        """Return the IKE SAs with the peer of that identity."""
        return tuple(self._by_name.get(name, {}).values())

    def refuse(self, half: HalfOpen, refused: Refused) -> None:
        """Keep the answer, and nothing else, until the half-open SA's time is over."""
        self._forget_init(half)
        self._by_spi[refused.own_spi] = refused

    def drop(self, sa: IkeSa) -> None:
        if self._by_spi.pop(sa.own_spi, None) is None:
            return
        if isinstance(sa, Established):
            self.established -= 1
            self._forget_peer(sa)
            return
        self.half_open -= 1
        self._prefixes.remove(sa.init_path.remote.host)
        if isinstance(sa, HalfOpen):
            self._forget_init(sa)

    def _forget_peer(self, sa: Established) -> None:
        of_peer = self._by_name.get(sa.name, {})
        of_peer.pop(sa.own_spi, None)
        if not of_peer:
            self._by_name.pop(sa.name, None)

    def _forget_init(self, half: HalfOpen) -> None:
        self._by_init.pop(half.init_key, None)
        self.holds(half, 0)

    def touch(self, sa: IkeSa, due: float) -> None:
        """Set the SA's deadline."""
        sa.due = due
        self.timers.set(sa)

    def pop_due(self, now: float) -> list[IkeSa]:
        """Return each SA whose deadline is over, once; others get a fresh timer entry."""
        due: list[IkeSa] = []
        for at, spi in self.timers.pop_over(now):
            sa = self._by_spi.get(spi)
            if sa is None or sa.timer_at != at:
                continue
            sa.timer_at = inf
            if sa.due <= now:
                due.append(sa)
            else:
                self.timers.set(sa)
        return due
