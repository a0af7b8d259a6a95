"""Inside the guest: the Debian package with the shipped configurations, under a real systemd.

usage: guest_systemd.py RESULT_DIRECTORY CLONE.  Leaves report.json and the journal there.  CLONE is
a clone of the repository where docs/operating.md has been followed up to the built package.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from guest import RESULT, ROOT, sh, wait_for

GROUP = "keyid:video"
ETC, UNITS, PREFIX = Path("/etc/gcks"), Path("/etc/systemd/system"), Path("/opt/gcks")
READER, STRANGER = "looker", "stranger"
CLONE = Path(sys.argv[2])
report: dict[str, Any] = {}


def out(*command: str, code: int | None = 0) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    if code is not None and done.returncode != code:
        raise SystemExit(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def ctl(*arguments: str) -> None:
    out("systemctl", *arguments)


# --- as the documents say ----------------------------------------------------------------------


def documented(document: str) -> list[list[str]]:
    """Return the commands of a document, block by block."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / document).read_text(), re.S)
    return [block.splitlines() for block in blocks]


_, PACKAGE, SERVER, MEMBER, DAILY = documented("docs/operating.md")
"""The first block installs without a package: tests/edge/test_debian.py follows it."""


def follow(lines: list[str], code: int | None = 0) -> dict[str, str]:
    """Carry commands out, each by itself, in the clone; return what they say."""
    os.chdir(CLONE)
    return {line: out("sh", "-c", line, code=code) for line in lines}


def installs() -> None:
    """All but the last lines, which start something."""
    Path("/var/lib/man-db/auto-update").unlink(missing_ok=True)  # its index takes minutes here
    follow(PACKAGE[1:])
    follow([*SERVER[:-1], *MEMBER[:-1]])
    ctl("daemon-reload")


def drop_in(unit: str, text: str) -> None:
    (UNITS / f"{unit}.d").mkdir(exist_ok=True)
    (UNITS / f"{unit}.d" / "test.conf").write_text(text)


def network() -> None:
    """The addresses of the examples: the server here, the member in a namespace."""
    sh(
        "ip netns add gm1 && ip link add eth0 type veth peer name eth0 netns gm1 && "
        "ip addr add 192.0.2.1/24 dev eth0 && ip link set eth0 up && ip -n gm1 link set lo up && "
        "ip -n gm1 addr add 192.0.2.11/24 dev eth0 && ip -n gm1 link set eth0 up && "
        "ip -n gm1 route add 224.0.0.0/4 dev eth0"
    )
    drop_in(
        "gcks-member.service",
        "[Service]\nNetworkNamespacePath=/run/netns/gm1\n",
    )


# --- what systemd and the journal say ----------------------------------------------------------


def state(unit: str) -> dict[str, str]:
    wanted = "ActiveState,SubState,MainPID,NRestarts,StatusText,Result,ExecMainStatus"
    lines = out("systemctl", "show", unit, "-p", wanted).splitlines()
    return dict(line.split("=", 1) for line in lines)


def process(unit: str) -> dict[str, str]:
    own = Path(f"/proc/{state(unit)['MainPID']}")
    fields = dict(line.split(":", 1) for line in (own / "status").read_text().splitlines())
    wanted = ("Uid", "CapEff", "NoNewPrivs", "Seccomp")
    memory = str((own / "mem").stat().st_uid)
    return {name: fields[name].strip() for name in wanted} | {"memory's owner": memory}


def journal(unit: str, event: str) -> list[dict[str, Any]]:
    text = out("journalctl", "-u", unit, f"GCKS_EVENT={event}", "-o", "json", code=None)
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def happens(unit: str, event: str, times: int, seconds: float = 40) -> None:
    wait_for(f"{unit} {event}", lambda: len(journal(unit, event)) >= times, seconds)


def show(subject: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(out(f"{PREFIX}/bin/gcks", "show", subject, "--json"))
    return answer


def members() -> int:
    count: int = show("groups")["groups"][0]["members"]
    return count


def states_in_kernel() -> int:
    return out("ip", "-n", "gm1", "xfrm", "state").count("proto esp")


# --- the story ----------------------------------------------------------------------------------


def starts() -> None:
    report["fresh"] = state("gcks")["ActiveState"]
    follow(SERVER[-1:])
    report["server"] = {**state("gcks"), **process("gcks")}
    follow(MEMBER[-1:])
    happens("gcks-member", "registered", 1)
    report["member"] = {**state("gcks-member"), **process("gcks-member")}
    wait_for("states", lambda: states_in_kernel() == 3, 10)
    report["xfrm"] = out("ip", "-n", "gm1", "xfrm", "policy")


def writes_a_journal() -> None:
    """Every command of docs/configuration.md about it, word by word."""
    report["journal"] = journal("gcks", "member_registered")
    wrong = ETC / "wrong.yaml"
    wrong.write_text(
        "identity: fqdn:branch1.example\n"
        "server: {address: 192.0.2.1, identity: 'fqdn:gcks.example'}\n"
        "authentication: {psk: 'file:member.psk'}\n"
        f"groups: [{{id: '{GROUP}'}}]\n"
        "data_plane: {kind: none}\n"
        f"control: {{path: {RESULT}/wrong.sock}}\n"
    )
    subprocess.Popen(
        ["timeout", "20", "ip", "netns", "exec", "gm1", PREFIX / "bin/gcks-member", "run",
         "--config", wrong],
        stderr=(RESULT / "wrong.log").open("w"),
    )  # fmt: skip
    happens("gcks", "registration_refused", 1)
    (about_logs,) = documented("docs/configuration.md")
    report["documented"] = follow(about_logs, code=None)


def works_day_by_day() -> None:
    """With what it says: nothing may fail."""
    report["daily"] = follow(DAILY)


def reloads() -> None:
    config = ETC / "gcks.yaml"
    good = config.read_text()
    config.write_text(good.replace("expected_members: 0 ", "expected_members: 7 "))
    ctl("reload", "gcks")
    report["reloaded"] = show("groups")["groups"][0]["expected_members"]
    config.write_text(good.replace("atd: 5s", "atd: sometime"))
    report["refused"] = subprocess.run(["systemctl", "reload", "gcks"]).returncode
    report["after_refusal"] = state("gcks")
    report["refusals"] = journal("gcks", "reload_refused")
    config.write_text(good)
    ctl("reload", "gcks")


def survives() -> None:
    """Killed, then stopped in its tracks: systemd starts it again, the group goes on."""
    before = show("rekeys")["rekeys"][0]["spi"]
    for number, (signal, result) in enumerate((("KILL", "signal"), ("STOP", "watchdog")), start=1):
        ctl("kill", "-s", signal, "--kill-who=main", "gcks")
        wait_for(result, lambda n=number: int(state("gcks")["NRestarts"]) == n, 60)  # type: ignore[misc]
        wait_for("serves again", lambda: state("gcks")["ActiveState"] == "active", 30)
    report["members_after"] = members()
    out(f"{PREFIX}/bin/gcks", "rekey", GROUP)
    happens("gcks-member", "rekey_received", 1)
    report["rekey_sas"] = [before, show("rekeys")["rekeys"][0]["spi"]]
    report["registered"] = len(journal("gcks-member", "registered"))
    report["messages"] = out("journalctl", "-u", "gcks", "-o", "cat", "--no-pager", code=None)


def hands_over() -> None:
    """systemd/gcks.socket: without privileges, started by the first datagram."""
    config = ETC / "gcks.yaml"
    text = config.read_text()
    entry = text[text.index("  - address: 192.0.2.1") : text.index("authentication:")]
    config.write_text(text.replace(entry, '  - address: 0.0.0.0\n  - address: "::"\n\n'))
    ctl("stop", "gcks-member")
    wait_for("states removed", lambda: not states_in_kernel(), 20)
    ctl("stop", "gcks")
    report["stopped"] = [state(unit) for unit in ("gcks", "gcks-member")]
    shutil.copy("/usr/share/gcks/systemd/gcks.service.d/socket.conf", UNITS / "gcks.service.d")
    ctl("daemon-reload")
    ctl("start", "gcks.socket")
    report["waiting"] = state("gcks")["ActiveState"]
    count = len(journal("gcks-member", "registered"))
    ctl("start", "gcks-member")
    happens("gcks-member", "registered", count + 1)
    report["activated"] = {**state("gcks"), **process("gcks")}
    subprocess.run(["systemctl", "restart", "--no-block", "gcks"], check=True)
    ctl("restart", "gcks-member")
    happens("gcks-member", "registered", count + 2)
    report["failed"] = len(journal("gcks-member", "registration_failed"))


def lets_groups_look() -> None:
    """control.readers: a UNIX group; others are told why not."""
    sh(f"groupadd gcks-readers && useradd -M -G gcks-readers {READER} && useradd -M {STRANGER}")
    config = ETC / "gcks.yaml"
    text = config.read_text()
    config.write_text(text.replace("readers: null       ", "readers: gcks-readers"))
    ctl("restart", "gcks")
    ask = f"{PREFIX}/bin/gcks"
    report["access"] = {
        f"{user} {command[0]}": out("runuser", "-u", user, "--", ask, *command, code=None)
        for user in (READER, STRANGER)
        for command in (("show", "groups"), ("rekey", GROUP))
    }


def is_updated_and_removed() -> None:
    """The package's maintainer scripts."""
    units = ("gcks.socket", "gcks", "gcks-member")
    before = [state(unit)["MainPID"] for unit in units[1:]]
    follow(["dpkg -i ./gcks_*.deb"])
    after = [state(unit)["MainPID"] for unit in units[1:]]
    report["updated"] = [*zip(before, after, strict=True)]
    follow(["dpkg -r gcks"])
    report["removed"] = [state(unit)["ActiveState"] for unit in units]
    report["left"] = [str(path) for path in (PREFIX, ETC / "gcks.yaml") if path.exists()]


def main() -> None:
    del os.environ["PYTHONPATH"]  # what is installed counts
    network()
    drop_in("gcks.service", "[Service]\nWatchdogSec=3\nTimeoutAbortSec=1\n")
    steps: tuple[Callable[[], None], ...] = (
        installs, starts, writes_a_journal, works_day_by_day, reloads, survives, hands_over,
        lets_groups_look, is_updated_and_removed,
    )  # fmt: skip
    try:
        for step in steps:
            print(f"== {time.monotonic():.0f} s {step.__name__}", flush=True)
            step()
    finally:
        (RESULT / "journal").write_text(out("journalctl", "--no-pager", code=None))
        (RESULT / "report.json").write_text(json.dumps(report, indent=1))


main()
