"""One host of the kernel test: sends numbered packets to the groups and counts what it reads.

usage: traffic.py NAME BEGIN SECONDS RATE GROUP:PORT ...
All happens on eth0.  BEGIN is on the monotonic clock: nobody sends before all listen.
Prints one JSON object: sent per group, received and last number per (group, sender).
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time

LINGER_SECONDS = 2.0
MARK = "in-clear-text"


def main() -> None:
    name = sys.argv[1]
    begin, seconds, rate = map(float, sys.argv[2:5])
    groups = parse(sys.argv[5:])
    senders = {version: multicast_sender(version) for version in (4, 6)}
    receivers = {listen(address, port): address for address, port in groups}
    received: dict[str, list[int]] = {}
    blocked: list[list[object]] = []
    sent = 0
    while time.monotonic() - begin < seconds + LINGER_SECONDS:
        due = min(int((time.monotonic() - begin) * rate), int(seconds * rate))
        while sent < due:
            for group in groups:
                try:
                    senders[version(group[0])].sendto(f"{name} {sent} {MARK}".encode(), group)
                except PermissionError:  # the policy blocks: no active SA
                    blocked.append([group[0], round(time.monotonic() - begin, 2)])
            sent += 1
        for sock in select.select(list(receivers), [], [], 0.005)[0]:
            origin, number, _ = sock.recv(2048).decode().split()
            if origin != name:
                received.setdefault(f"{receivers[sock]} {origin}", []).append(int(number))
    report = {key: [len(set(numbers)), len(numbers)] for key, numbers in received.items()}
    last = {key: max(numbers) for key, numbers in received.items()}
    print(
        json.dumps(
            {"name": name, "sent": sent, "blocked": blocked, "received": report, "last": last}
        )
    )


def parse(texts: list[str]) -> list[tuple[str, int]]:
    """Read GROUP:PORT arguments; an IPv6 group needs no brackets."""
    return [(address, int(port)) for address, _, port in (t.rpartition(":") for t in texts)]


def version(address: str) -> int:
    return 6 if ":" in address else 4


def multicast_sender(version: int) -> socket.socket:
    if version == 6:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface())
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        return sock
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    request = struct.pack("=4s4si", bytes(4), bytes(4), interface())
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    return sock


def listen(address: str, port: int) -> socket.socket:
    six = version(address) == 6
    sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    if six:
        sock.bind((address, port, 0, interface()))
        request = struct.pack("=16si", socket.inet_pton(socket.AF_INET6, address), interface())
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
    else:
        sock.bind((address, port))
        request = struct.pack("=4s4si", socket.inet_aton(address), bytes(4), interface())
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    return sock


def interface() -> int:
    return socket.if_nametoindex("eth0")


if __name__ == "__main__":
    main()
