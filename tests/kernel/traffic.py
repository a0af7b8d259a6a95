"""One host of the kernel test: sends numbered packets to the groups and counts what it reads.

usage: traffic.py NAME LOCAL_ADDRESS BEGIN SECONDS RATE GROUP:PORT ...
BEGIN is on the monotonic clock: nobody sends before all listen.
Prints one JSON object: sent per group, received per (group, sender).
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
    name, local = sys.argv[1:3]
    begin, seconds, rate = map(float, sys.argv[3:6])
    groups = [(text.split(":")[0], int(text.split(":")[1])) for text in sys.argv[6:]]
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.bind((local, 0))
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(local))
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    receivers = {listen(address, port, local): address for address, port in groups}
    received: dict[str, list[int]] = {}
    blocked: list[list[object]] = []
    sent = 0
    while time.monotonic() - begin < seconds + LINGER_SECONDS:
        due = min(int((time.monotonic() - begin) * rate), int(seconds * rate))
        while sent < due:
            for group in groups:
                try:
                    sender.sendto(f"{name} {sent} {MARK}".encode(), group)
                except PermissionError:  # the policy blocks: no active SA
                    blocked.append([group[0], round(time.monotonic() - begin, 2)])
            sent += 1
        for sock in select.select(list(receivers), [], [], 0.005)[0]:
            origin, number, _ = sock.recv(2048).decode().split()
            if origin != name:
                received.setdefault(f"{receivers[sock]} {origin}", []).append(int(number))
    report = {key: [len(set(numbers)), len(numbers)] for key, numbers in received.items()}
    print(json.dumps({"name": name, "sent": sent, "blocked": blocked, "received": report}))


def listen(address: str, port: int, local: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.bind((address, port))
    request = struct.pack("=4s4s", socket.inet_aton(address), socket.inet_aton(local))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    return sock


if __name__ == "__main__":
    main()
