"""The host on the wire that isn't a member: sees every frame, and tries to read the groups.

usage: eve.py SECONDS GROUP:PORT ...
Prints one JSON object: IP protocols seen per group address, datagrams it could read,
and whether a payload of the members' traffic stood in any frame in clear.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

from traffic import MARK, listen, parse

ETH_P_ALL = 3
ESP = 50
IPV4, IPV6 = b"\x08\x00", b"\x86\xdd"


def main() -> None:
    seconds, groups = float(sys.argv[1]), parse(sys.argv[2:])
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    readers = [listen(address, port) for address, port in groups]
    seen: dict[str, dict[int, int]] = {address: {} for address, _ in groups}
    read = clear = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for sock in select.select([wire, *readers], [], [], 0.1)[0]:
            octets = sock.recv(4096)
            if sock is not wire:
                read += 1
                continue
            address, protocol = destination(octets)
            if address in seen:
                seen[address][protocol] = seen[address].get(protocol, 0) + 1
                clear += protocol == ESP and MARK.encode() in octets
    print(json.dumps({"seen": seen, "read": read, "clear": clear}))


def destination(frame: bytes) -> tuple[str, int]:
    """Return the destination address and the IP protocol (next header) of an Ethernet frame."""
    if frame[12:14] == IPV4:
        return socket.inet_ntoa(frame[30:34]), frame[23]
    if frame[12:14] == IPV6:
        return socket.inet_ntop(socket.AF_INET6, frame[38:54]), frame[20]
    return "", 0


if __name__ == "__main__":
    main()
