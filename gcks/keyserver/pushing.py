"""GSA_INBAND_REKEY: rekeys over the IKE SAs of single GMs (RFC 9838 section 2.4.2).

<--  HDR, SK{GSA, KD, [N], [D]}
-->  HDR, SK{}

Always the newest state: a GM that was busy while the group changed twice is told
once.  Retransmission and giving up are those of every request of the IKE SA.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final

from gcks.datagrams import Transmit
from gcks.errors import PeerError
from gcks.iana import ExchangeType
from gcks.ike.secured import Asked
from gcks.keyserver.groups.groups import Groups
from gcks.keyserver.groups.rekeying import delete_everything
from gcks.keyserver.ike_sa import Established
from gcks.keyserver.key_payloads import key_payloads
from gcks.keyserver.settings import ServerSettings
from gcks.wire.payloads import Payload

_NO_GROUP: Final = "*"
"""Stands for the group that an IKE SA served, and which it serves no more; no group's name."""
MAX_IN_FLIGHT: Final = 256
"""Pushes that wait for their response; the others wait for these."""


class Pushes:
    """Which IKE SAs are to be told of which groups."""

    __slots__ = ("_by_group", "_in_flight", "_waiting")

    def __init__(self) -> None:
        self._by_group: dict[str, dict[bytes, Established]] = {}
        self._in_flight: set[bytes] = set()
        self._waiting: deque[Established] = deque()

    def enrol(self, sa: Established, group: str, *, sender: bool) -> None:
        """Rekey this GM in-band from now on; its IKE SA stays open."""
        sa.inband[group] = sender
        sa.to_push.discard(_NO_GROUP)  # it has registered before it was told to
        sa.ends_at = inf
        self._by_group.setdefault(group, {})[sa.own_spi] = sa

    def served(self, group: str) -> list[Established]:
        """Return the IKE SAs over which a group is rekeyed."""
        return list(self._by_group.get(group, {}).values())

    def leave(self, sa: Established, group: str) -> None:
        """Rekey this GM no longer."""
        sa.inband.pop(group, None)
        self._forget(sa, group)

    def _forget(self, sa: Established, group: str) -> None:
        members = self._by_group.get(group, {})
        members.pop(sa.own_spi, None)
        if not members:
            self._by_group.pop(group, None)

    def move(self, old: Established, new: Established) -> None:
        """Go on over the IKE SA that has replaced one."""
        for group, sender in old.inband.items():
            self.enrol(new, group, sender=sender)
        new.to_push = old.to_push | ({old.pushing} if old.pushing else set())
        self.closed(old)
        if new.to_push:
            self._waiting.append(new)

    def catch_up(self, sa: Established) -> None:
        """Tell a GM what all its groups are now: it may have missed something."""
        if sa.inband and not sa.to_push:
            self._waiting.append(sa)
        sa.to_push |= set(sa.inband)

    def closed(self, sa: Established) -> None:
        """Forget an IKE SA."""
        for group in sa.inband:
            self._forget(sa, group)
        sa.to_push = set()
        self._in_flight.discard(sa.own_spi)

    def plan(self, group: str) -> None:
        """Tell every GM that is rekeyed in-band what the group is now."""
        for sa in self._by_group.get(group, {}).values():
            if not sa.to_push:
                self._waiting.append(sa)
            sa.to_push.add(group)

    def dismiss(self, sa: Established) -> None:
        """Tell a GM that the only group of its IKE SA has deleted all SAs."""
        if not sa.to_push:
            self._waiting.append(sa)
        sa.to_push = {_NO_GROUP}

    def answered(self, sa: Established) -> None:
        """Note the response to a push."""
        sa.pushing = ""
        self._in_flight.discard(sa.own_spi)
        if sa.to_push:
            self._waiting.append(sa)

    def send(
        self, groups: Groups, settings: ServerSettings, now: float
    ) -> tuple[list[Transmit], list[Established], list[Established]]:
        """Send what may be sent now.

        Return it, the SAs that wait for a response, and those that serve no group any more.
        """
        transmits: list[Transmit] = []
        asked: list[Established] = []
        useless: list[Established] = []
        for _ in range(len(self._waiting)):
            if len(self._in_flight) >= MAX_IN_FLIGHT:
                break
            sa = self._waiting.popleft()
            if sa.channel.pending is not None:
                if sa.to_push:
                    self._waiting.append(sa)  # its own request first: a rekey, a liveness check
                continue
            served = bool(sa.inband)
            sent = self._push(sa, groups, settings, now)
            if sent:
                transmits += sent
                asked.append(sa)
            elif served and not sa.inband:
                useless.append(sa)
        return transmits, asked, useless

    def _push(
        self, sa: Established, groups: Groups, settings: ServerSettings, now: float
    ) -> tuple[Transmit, ...]:
        while sa.to_push:
            name = sa.to_push.pop()
            payloads = self._news(sa, name, groups, now)
            if not payloads:
                continue
            sa.pushing = name
            self._in_flight.add(sa.own_spi)
            return sa.ask(Asked.PUSH, ExchangeType.GSA_INBAND_REKEY, payloads, settings, now)
        return ()

    def _news(self, sa: Established, name: str, groups: Groups, now: float) -> tuple[Payload, ...]:
        """Return what a GM is told of a group; nothing where it has no right to know."""
        if name == _NO_GROUP:
            return delete_everything()
        host, sender = sa.path.remote.host, sa.inband.get(name, False)
        try:
            keys = groups.push(name, sa.name, host, now, sender=sender)
        except PeerError:
            self.leave(sa, name)  # no member any more: it learns no new key
            return ()
        return key_payloads(keys, sa.gsk_w) if keys is not None else ()
