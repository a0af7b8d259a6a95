"""`gcks decode` end to end: daemons log their keys, tcpdump captures, all is explained."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from generated_by.decode_schema import decode_schema
from tests.support.daemon_process import MEMBER, PORTS, SERVE, Daemon
from tests.support.repository import ROOT
from tests.support.waiting import wait_for

pytestmark = [
    pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="capturing needs root"),
]

DECODE = [sys.executable, "-m", "gcks", "decode"]
FILTER = " or ".join(f"port {port}" for port in PORTS)


class Recorded:
    """What one registration and some rekeys left behind."""

    def __init__(self, directory: Path) -> None:
        self.capture = directory / "capture.pcap"
        self.server_keys, self.member_keys = directory / "server.keys", directory / "member.keys"
        self.outputs: dict[str, str] = {}

    def decode(self, *arguments: object) -> str:
        ports = [option for port in PORTS for option in ("--port", str(port))]
        command = [*DECODE, str(self.capture), *ports, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module", params=["udp", "tcp"])
def recorded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recorded]:
    directory = tmp_path_factory.mktemp("decode")
    found, state = Recorded(directory), directory / "dev"
    dump = start_tcpdump(found.capture)
    serve = [*SERVE, "--dev", "--data-dir", str(state), "--rekey-seconds", "3"]
    server = Daemon([*serve, "--key-log", str(found.server_keys)], directory / "server.log")
    try:
        wait_for(lambda: (state / "dev.json").exists(), "dev.json")
        options = ["--transport", request.param, "--key-log", str(found.member_keys)]
        member = Daemon([*MEMBER, "--dev", str(state), *options], directory / "member.log")
        member.says("rekey_received", 3)  # one may have met the registration on its way
        assert member.stop() == 0
        time.sleep(0.5)
        assert server.stop() == 0
    finally:
        server.stop(signal.SIGKILL)
        dump.terminate()
        dump.wait()
    found.outputs = {"server": server.text, "member": member.text}
    yield found


def start_tcpdump(capture: Path) -> subprocess.Popen[bytes]:
    command = ["tcpdump", "-i", "lo", "-U", "-Z", "root", "-w", str(capture), FILTER]
    dump = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert dump.stderr is not None
    for line in dump.stderr:
        if b"listening on" in line:
            break
    return dump


def of_exchange(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [
        one
        for one in answer["messages"]
        if one["header"]["exchange"] == name and one["payloads"] and not one["repeats"]
    ]


def names(message: dict[str, Any]) -> list[str]:
    return [payload["payload"] for payload in message["payloads"]]


@pytest.mark.parametrize("whose", ["server_keys", "member_keys"])
def test_a_registration_and_a_rekey_are_decrypted_and_explained(
    recorded: Recorded, whose: str
) -> None:
    answer = json.loads(recorded.decode("--keys", getattr(recorded, whose), "--json"))
    jsonschema.validate(answer, decode_schema())
    init = of_exchange(answer, "IKE_SA_INIT")
    assert [one["header"]["kind"] for one in init] == ["request", "response"]
    assert {"SA", "KE", "Ni", "N"} <= set(names(init[0]))
    request, response = of_exchange(answer, "GSA_AUTH")
    assert request["protection"] == response["protection"] == "decrypted"
    assert {"IDi", "AUTH", "IDg", "SAg"} <= set(names(request))
    assert {"IDr", "AUTH", "GSA", "KD"} <= set(names(response))
    rekeys = of_exchange(answer, "GSA_REKEY")
    assert rekeys
    followed = [one for one in rekeys if one["number"] > response["number"]]
    for rekey in followed:
        checks = {check["name"]: check["value"] for check in rekey["checks"]}
        assert rekey["protection"] == "decrypted"
        assert checks["signature"] == f"valid, by the AUTH_KEY of message #{response['number']}"
        assert [name for name in names(rekey) if name != "N"] == ["GSA", "KD", "D", "AUTH"]
    assert len(followed) >= 2


def test_the_text_names_who_joined_what(recorded: Recorded) -> None:
    text = recorded.decode("--keys", recorded.server_keys)
    for pattern in (
        r"IKE_SA_INIT request +RFC 7296 section 1.2",
        r"GSA_AUTH response +RFC 9838 section 2.3.1",
        r"GSA_REKEY one-way +RFC 9838 section 2.4.1",
        r"identity +fqdn:gm1.dev",
        r"identity +keyid:demo",
        r"Rekey SA policy +GIKE_UPDATE, SPI [0-9a-f]{32}",
    ):
        assert re.search(pattern, text), pattern
    assert max(map(len, text.splitlines())) <= 80


def test_without_keys_it_stays_encrypted(recorded: Recorded) -> None:
    answer = json.loads(recorded.decode("--json"))
    for one in (*of_exchange(answer, "GSA_AUTH"), *of_exchange(answer, "GSA_REKEY")):
        assert one["protection"] == "encrypted"
    assert "fqdn:gm1.dev" not in json.dumps(answer)


def test_both_daemons_warn_and_keep_the_log_private(recorded: Recorded) -> None:
    for path in (recorded.server_keys, recorded.member_keys):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for output in recorded.outputs.values():
        assert output.startswith("WARNING: all keys are written to ")
        assert "keys_are_logged" in output
        assert not re.search("[0-9a-f]{64}", output)


def test_a_keyed_restart_logs_the_sas_that_go_on(tmp_path: Path) -> None:
    state, keys = tmp_path / "dev", tmp_path / "keys"
    serve = [*SERVE, "--dev", "--data-dir", str(state)]
    for number, options in enumerate(([], ["--key-log", str(keys)])):
        server = Daemon([*serve, *options], tmp_path / f"log{number}")
        wait_for(lambda: (state / "dev.json").exists(), "dev.json")
        assert server.stop() == 0
        (state / "dev.json").unlink()
    kinds = [json.loads(line)["type"] for line in keys.read_text().splitlines()]
    assert kinds[0] == "gcks-key-log"
    assert {"rekey_sa", "data_sa"} <= set(kinds)
