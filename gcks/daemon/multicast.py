"""Sending and receiving GSA_REKEY by multicast, IPv4 and IPv6."""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import Final

from gcks.daemon.addresses import described, interface_index
from gcks.daemon.udp import bind_udp
from gcks.datagrams import Endpoint
from gcks.errors import LocalError

_ALL_HOSTS: Final = {False: "224.0.0.1", True: "ff02::1"}
"""By whether it is IPv6: what every host has joined already."""


def check_receiver(interface: str | None, local: str) -> None:
    """Raise `LocalError` where rekeys can't be received: better known before a registration."""
    if not interface:
        return
    there = [name for _, name in socket.if_nameindex()]
    if interface not in there:
        raise LocalError(
            f"local.interface: there is no interface {interface}; there is {described(there)}"
        )
    try:
        multicast_receiver(Endpoint(_ALL_HOSTS[":" in local], 0), interface, local).close()
    except LocalError as error:
        raise LocalError(f"local.interface: {error}; there is {described(there)}") from None


def configure_sender(sock: socket.socket, host: str, interface: str | None, ttl: int) -> None:
    """Set interface, TTL and loopback of a socket's multicast.  Raises `LocalError`."""
    try:
        if sock.family == socket.AF_INET6:
            index = interface_index(interface, host)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
            return
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _ipv4_request(host, interface))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
    except OSError as error:
        raise LocalError(f"can't multicast on {interface or host}: {error.strerror}") from None


def multicast_receiver(group: Endpoint, interface: str | None, local: str) -> socket.socket:
    """Bind a group address and port and join; several members of one host can.

    `local` is the address whose interface joins where no interface is named.
    Raises `LocalError`.
    """
    scope = interface_index(interface, local) if ":" in group.host else 0
    sock = bind_udp(group, reuse=True, scope=scope)
    try:
        packed = ipaddress.ip_address(group.host).packed
        if sock.family == socket.AF_INET6:
            request = packed + struct.pack("@I", scope)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        else:
            _, address, index = struct.unpack("=4s4si", _ipv4_request(local, interface))
            request = struct.pack("=4s4si", packed, address, index)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    except OSError as error:
        sock.close()
        raise LocalError(
            f"can't join {group.host} on {interface or local}: {error.strerror}"
        ) from None
    return sock


def _ipv4_request(host: str, interface: str | None) -> bytes:
    """Build struct ip_mreqn: by interface index where named, else by local address."""
    address = ipaddress.IPv4Address(host).packed
    index = interface_index(interface, host) if interface else 0
    return struct.pack("=4s4si", bytes(4), address, index)
