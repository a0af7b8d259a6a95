"""Which addresses and interfaces this host has."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

import ifaddr

from gcks.errors import LocalError


def own_addresses() -> tuple[str, ...]:
    """Return every address of every interface in its canonical text form, without scope."""
    return tuple(
        dict.fromkeys(_address(ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips)
    )


def interface_index(interface: str | None, address: str) -> int:
    """Return the index of the named interface, else of the one that has the address, else 0.

    Raises `LocalError` where there is no such interface.
    """
    if interface:
        try:
            return socket.if_nametoindex(interface)
        except OSError:
            known = ", ".join(name for _, name in socket.if_nameindex())
            raise LocalError(
                f"there is no interface {interface}, but {known}: correct local.interface of the "
                "member, or rekey.interface of the group"
            ) from None
    wanted = str(ipaddress.ip_address(address))
    for adapter in ifaddr.get_adapters():
        if adapter.index is not None and wanted in map(_address, adapter.ips):
            return adapter.index
    return 0


def described(interfaces: Iterable[str]) -> str:
    """Name interfaces with their addresses: eth0 (192.0.2.11), wlan0 (no address)."""
    known = {
        adapter.name: ", ".join(map(_address, adapter.ips)) for adapter in ifaddr.get_adapters()
    }
    return ", ".join(f"{name} ({known.get(name) or 'no address'})" for name in interfaces)


def _address(ip: ifaddr.IP) -> str:
    text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
    return str(ipaddress.ip_address(text.partition("%")[0]))
