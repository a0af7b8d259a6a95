"""The host on the wire that isn't a member: sees every frame, and tries to read the groups.

usage: eve.py SECONDS LOCAL_ADDRESS GROUP:PORT ...
Prints one JSON object: IP protocols seen per group address, datagrams it could read,
and whether a payload of the members' traffic stood in any frame in clear.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

from traffic import MARK, listen

ETH_P_ALL = 3
ESP = 50
IPV4 = b"\x08\x00"


def main() -> None:
    seconds, local = float(sys.argv[1]), sys.argv[2]
    groups = [(text.split(":")[0], int(text.split(":")[1])) for text in sys.argv[3:]]
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    readers = [listen(address, port, local) for address, port in groups]
    seen: dict[str, dict[int, int]] = {address: {} for address, _ in groups}
    read = clear = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for sock in select.select([wire, *readers], [], [], 0.1)[0]:
            octets = sock.recv(4096)
            if sock is not wire:
                read += 1
                continue
            address = socket.inet_ntoa(octets[30:34]) if octets[12:14] == IPV4 else ""
            if address in seen:
                protocol = octets[23]
                seen[address][protocol] = seen[address].get(protocol, 0) + 1
                clear += protocol == ESP and MARK.encode() in octets
    print(json.dumps({"seen": seen, "read": read, "clear": clear}))


if __name__ == "__main__":
    main()
