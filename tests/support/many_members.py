"""Many real members in one process: python many_members.py FILE FIRST COUNT

Each is a member daemon with sockets of its own; only the process is shared.  On SIGTERM
it prints what became of each, a JSON object a line.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from gcks.daemon.config.member_file import load_member
from gcks.daemon.member_runtime import MemberRuntime
from gcks.wire.identification import Identity


class Guest(MemberRuntime):
    """A member whose process isn't its own."""

    def _handle_signals(self) -> None:
        return


async def main(file: Path, first: int, count: int) -> None:
    os.nice(5)  # the server is what is measured
    config = load_member(file)
    guests = [
        Guest(
            replace(
                config,
                settings=replace(config.settings, identity=Identity.parse(f"fqdn:gm{number}.test")),
            )
        )
        for number in range(first, first + count)
    ]
    running = []
    for guest in guests:
        running.append(asyncio.create_task(guest.run()))
        await asyncio.sleep(0.05)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    print("all begun", flush=True)
    await stopped.wait()
    for guest in guests:
        (group,) = guest.status().groups
        spis = [sa.spi for sa in group.data_sas]
        print(
            json.dumps(
                {
                    "state": group.state,
                    "registrations": group.registrations,
                    "rekey_spi": group.rekey_spi,
                    "data_spis": spis,
                    "rekeys": group.rekeys,
                    "rekeys_missed": group.rekeys_missed,
                }
            )
        )
        guest.stop()
    await asyncio.gather(*running)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
