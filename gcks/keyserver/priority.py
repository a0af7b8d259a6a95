"""Who is let in first when not all can be: hosts that a group's data comes from.

Members that only receive have nothing to receive before the senders are back.  All
that a place in this record gives is a try where others are turned away, once the
host has proved its address by a cookie; it authenticates nobody.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from gcks.keyserver.groups.policy import SINGLE, GroupPolicy
from gcks.keyserver.rates import Rates

MAX_SENDERS: Final = 65_536
"""Some 10 MB; the host that registered longest ago goes."""
PREFERRED_PER_SECOND: Final = 1.0
"""IKE SAs that one of them may begin so, tenfold at once: somebody else may share its
address, and must not take what is reserved for all."""


class KnownSenders:
    """Addresses, not networks: a privilege is not for neighbours."""

    __slots__ = ("_hosts", "_rates")

    def __init__(self) -> None:
        self._hosts: OrderedDict[bytes, None] = OrderedDict()
        self._rates = Rates()

    def __len__(self) -> int:
        return len(self._hosts)

    def __contains__(self, host: str) -> bool:
        return ip_address(host).packed in self._hosts

    def learn(self, policies: Iterable[GroupPolicy]) -> None:
        """Add the senders that policies name by address."""
        for policy in policies:
            for sa in policy.data_sas:
                address = sa.source.single_address if sa.senders == SINGLE else None
                if address is not None:
                    self.add(address)

    def add(self, host: str) -> None:
        """Note a host that sends."""
        packed = ip_address(host).packed
        self._hosts[packed] = None
        self._hosts.move_to_end(packed)
        if len(self._hosts) > MAX_SENDERS:
            self._hosts.popitem(last=False)

    def prefer(self, host: str, now: float) -> bool:
        """Tell whether to let that host in before others; each yes is counted."""
        return host in self and self._rates.take(host, PREFERRED_PER_SECOND, now)
