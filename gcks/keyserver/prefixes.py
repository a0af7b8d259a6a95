"""Half-open IKE SAs by network prefix: what one network can take of the server.

Many honest members may sit behind one address, so a crowded prefix first has to
give cookies back; only far beyond that is it refused.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import Final

IPV4_PREFIX_OCTETS: Final = 3
"""/24"""
IPV6_PREFIX_OCTETS: Final = 7
"""/56: what one site gets."""
_IPV4_OCTETS: Final = 4
_IPV6_HOST_OCTETS: Final = 8


@lru_cache(maxsize=4096)
def prefix_of(host: str) -> bytes:
    """Return the network that an address is counted with."""
    packed = ip_address(host).packed
    return packed[: IPV4_PREFIX_OCTETS if len(packed) == _IPV4_OCTETS else IPV6_PREFIX_OCTETS]


@lru_cache(maxsize=4096)
def address_of(host: str) -> bytes:
    """Return what one host is counted with: an IPv6 host has a whole /64 to choose from."""
    packed = ip_address(host).packed
    return packed if len(packed) == _IPV4_OCTETS else packed[:_IPV6_HOST_OCTETS]


class PrefixCounts:
    """How many half-open IKE SAs each prefix has; nothing is kept of those without any."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def of(self, host: str) -> int:
        return self._counts.get(prefix_of(host), 0)

    def add(self, host: str) -> None:
        prefix = prefix_of(host)
        self._counts[prefix] = self._counts.get(prefix, 0) + 1

    def remove(self, host: str) -> None:
        prefix = prefix_of(host)
        left = self._counts.get(prefix, 0) - 1
        if left > 0:
            self._counts[prefix] = left
        else:
            self._counts.pop(prefix, None)
