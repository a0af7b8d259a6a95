"""The documentation, followed: every block of commands, YAML and JSON in README and docs/ works."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gcks.daemon.audit import AuditLog
from gcks.daemon.config.check import check_file
from gcks.daemon.control.requests import read_request
from gcks.decode.key_log_format import HEADER, encode_entry
from gcks.errors import LocalError
from gcks.iana import ExchangeType
from gcks.wire.message import encode_message
from tests.support.captures import ipv4, pcap, udp
from tests.support.daemon_process import Daemon
from tests.support.esp_packets import GCM, SPI, esp_gcm
from tests.support.markdown import BLOCK
from tests.support.repository import ROOT
from tests.support.waiting import wait_for

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(kind: str) -> list[tuple[str, str]]:
    """Return document and text of every block of that kind."""
    return [
        (document.name, text)
        for document in DOCUMENTS
        for found, text in BLOCK.findall(document.read_text())
        if found == kind
    ]


def test_there_is_no_block_that_nobody_looks_at() -> None:
    """Nor commands in one that says of no language that it is in."""
    for document in DOCUMENTS:
        lines = document.read_text().splitlines()
        fences = [n for n, line in enumerate(lines) if line.lstrip().startswith(("```", "~~~"))]
        for begin, end in zip(fences[::2], fences[1::2], strict=True):
            assert re.fullmatch(r"```\w*", lines[begin]) and lines[end] == "```"
            if lines[begin] == "```":
                assert not [line for line in lines[begin + 1 : end] if is_command(line)], document
    kinds = {kind for document in DOCUMENTS for kind, _ in BLOCK.findall(document.read_text())}
    assert kinds <= {"sh", "yaml", "json"}
    names = {name for name, _ in blocks("sh")}
    assert names == {"README.md", *FOLLOWED, *FOLLOWED_IN_A_GUEST}


def is_command(line: str) -> bool:
    first = (*line.removeprefix("$ ").split(), "")[0]
    return first.startswith(("gcks", "sudo")) or shutil.which(first) is not None


# --- YAML and JSON --------------------------------------------------------------------------


@pytest.mark.parametrize(("document", "text"), blocks("yaml"))
def test_yaml_blocks_are_usable_configurations(document: str, text: str, tmp_path: Path) -> None:
    for name in ("psk", "master.key"):
        (tmp_path / name).write_bytes(os.urandom(32))
        (tmp_path / name).chmod(0o600)
    file = tmp_path / "file.yaml"
    file.write_text(text)
    report = check_file(file)
    assert report.usable, [str(one) for one in report.problems]


@pytest.mark.parametrize(("document", "text"), blocks("json"))
def test_json_lines_are_what_the_programs_say_or_understand(document: str, text: str) -> None:
    for line in text.splitlines():
        content = json.loads(line)
        if "do" not in content:
            continue
        read_request(line.encode())
        with pytest.raises(LocalError):
            read_request(json.dumps({**content, "do": "something else"}).encode())


# --- commands ---------------------------------------------------------------------------------


def audit(text: str, tmp_path: Path) -> None:
    """The paths are a real installation's: here they stand for files of the test."""
    new, old = tmp_path / "audit.log", tmp_path / "audit.log.1"
    log = AuditLog(new, lambda: 1.0)
    checkpoint = "{}:{}".format(*log.checkpoint)
    text = text.replace("/var/log/gcks", str(tmp_path)).replace("1042:9f0c...", checkpoint)
    for line in text.replace("gcks audit", f"{sys.executable} -m gcks audit").splitlines():
        if ".log.1" in line:
            new.rename(old)
            log.reopen()
        done = subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, cwd=ROOT, timeout=30
        )
        assert done.returncode == 0 and "unbroken" in done.stdout, done.stdout + done.stderr
    log.close()


def decode(text: str, tmp_path: Path) -> None:
    """The capture has a message of ours, and a packet that the key log opens."""
    request = encode_message(b"i" * 8, bytes(8), ExchangeType.IKE_SA_INIT, 8, 0, ())
    inner = ipv4(udp(b"to a camera", 4242, 5000))
    packets = [ipv4(udp(request)), ipv4(esp_gcm(SPI, GCM, inner), 50)]
    (tmp_path / "group.pcap").write_bytes(pcap(packets))
    (tmp_path / "keys.log").write_text(f"{HEADER}\n{encode_entry(GCM)}\n")
    (tmp_path / "keys.log").chmod(0o600)

    def run(command: str) -> str:
        command = command.replace("gcks decode", f"{sys.executable} -m gcks decode", 1)
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            capture_output=True, text=True, cwd=tmp_path, timeout=60,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, command + done.stdout + done.stderr
        return done.stdout

    for line in text.replace("696e6974...", request.hex()).splitlines():
        if line.startswith("tcpdump "):
            if os.geteuid() == 0:
                capture(line, request, tmp_path)
        elif line.startswith("WIRESHARK_CONFIG_DIR"):
            run("gcks decode group.pcap --keys keys.log --wireshark DIR")
            line = line.replace(" wireshark ", " tshark ").replace(" group.pcap", " -r group.pcap")
            shown = run(line)
            assert "IKE_SA_INIT" in shown and "4242 → 5000" in shown
        else:
            assert "IKE_SA_INIT" in run(line) or "jq" in line


def capture(line: str, datagram: bytes, tmp_path: Path) -> None:
    """Capture in a network that has nothing but a loopback interface."""
    inside = ["unshare", "--net", "bash", "-c", f"ip link set lo up && exec {line}"]
    (tmp_path / "datagram").write_bytes(datagram)
    report = tmp_path / "tcpdump.log"
    with report.open("wb") as file:
        tcpdump = subprocess.Popen(inside, stderr=file, cwd=tmp_path)
    try:
        wait_for(lambda: "listening on" in report.read_text(), "tcpdump listens")
        send = "exec cat datagram >/dev/udp/127.0.0.1/848"
        enter = ["nsenter", f"--net=/proc/{tcpdump.pid}/ns/net", "bash", "-c", send]
        subprocess.run(enter, check=True, timeout=10, cwd=tmp_path)

        def captured() -> bool:
            tcpdump.send_signal(signal.SIGUSR1)  # it tells how many
            return re.search(r"\b[1-9]\d* packets? captured", report.read_text()) is not None

        wait_for(captured, "a packet is captured")
    finally:
        tcpdump.terminate()
        assert tcpdump.wait(20) == 0


FOLLOWED: dict[str, Callable[[str, Path], None]] = {"audit.md": audit, "decode.md": decode}
"""Documents with commands, but for the README, and how they are followed."""


FOLLOWED_IN_A_GUEST = {
    "configuration.md": "tests/kernel/guest_systemd.py",
    "operating.md": "tests/kernel/guest_systemd.py",
}
"""Commands that need a systemd, and who follows every line of them.

The first block of operating.md, which installs without a package, is for test_debian.py.
"""


@pytest.mark.parametrize("document", FOLLOWED_IN_A_GUEST)
def test_a_guest_reads_the_commands_from_the_document(document: str) -> None:
    assert f'"docs/{document}"' in (ROOT / FOLLOWED_IN_A_GUEST[document]).read_text()


@pytest.mark.parametrize(("document", "text"), [b for b in blocks("sh") if b[0] in FOLLOWED])
def test_commands_of_the_documents(document: str, text: str, tmp_path: Path) -> None:
    FOLLOWED[document](text, tmp_path)


INSTALLED = (
    "man/man1/gcks.1",
    "man/man1/gcks-member.1",
    "bash-completion/completions/gcks.bash",
    "zsh/site-functions/_gcks",
    "fish/vendor_completions.d/gcks.fish",
    "gcks/gcks.yaml",
    "gcks/member.schema.json",
    "gcks/control.schema.json",
    "gcks/decode.schema.json",
    "gcks/prometheus/alerts.yml",
    "gcks/systemd/gcks.service",
    "gcks/systemd/gcks.service.d/socket.conf",
)
"""What comes with the wheel besides the programs."""


def test_the_first_five_minutes(
    clone: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """README, word by word, in a clone without anything: a server, and a member that joins."""
    serve, join, tests = [text.strip() for name, text in blocks("sh") if name == "README.md"]
    assert tests == "tests/run"  # which runs this
    home = tmp_path_factory.mktemp("home")  # a short path, as users have
    shell = ["env", "-u", "XDG_STATE_HOME", f"HOME={home}", "bash", "-c"]
    server = Daemon([*shell, f"cd {clone} && {_last(serve)}"], tmp_path / "server.log")
    try:
        ready = home / ".local/state/gcks-dev/dev.json"
        wait_for(lambda: ready.exists() or server.process.poll() is not None, serve, seconds=180)
        assert ready.exists(), server.text
        for name in INSTALLED:
            assert (clone / ".venv/share" / name).exists(), name
        member = Daemon([*shell, f"cd {clone} && exec {join}"], tmp_path / "member.log")
        try:
            member.says("registered ")
        finally:
            assert member.stop() == 0
    finally:
        assert server.stop() == 0
    assert "Traceback" not in server.text + member.text


def _last(command: str) -> str:
    """Let the last command take the shell's place, so that a signal reaches it."""
    before, and_then, last = command.rpartition("&& ")
    return f"{before}{and_then}exec {last}"
