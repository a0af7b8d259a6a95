"""tshark, written by others, decrypts a captured registration and names its payloads."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gcks.daemon.dev_files import prepare
from gcks.decode.key_log import decode_key_log
from gcks.decode.wireshark import ike_line
from gcks.outcome import Endpoint
from tests.benchmarks.bench_registration import bench_config, exchange, free_port
from tests.benchmarks.server_process import start_server
from tests.exchange.initiator import DEMO, Initiator, group_sender

pytestmark = [
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="capturing needs root"),
]

CAPTURE_SECONDS = 10.0


@pytest.fixture(scope="module")
def packets(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """One registration over loopback, as tshark dissects it with our key table."""
    directory = tmp_path_factory.mktemp("tshark")
    files, port = prepare(directory), free_port()
    keys, capture = directory / "keys", directory / "capture.pcap"
    server = start_server(bench_config(files, port), directory / "log", keys)
    dump = capture_loopback(port, capture)
    try:
        register(port, files.secret.read_bytes())
        wait_for_packets(capture)
    finally:
        dump.terminate()
        dump.wait()
        server.kill()
    return dissect(capture, ike_line(decode_key_log(keys.read_text()).entries[-1]), port)


def capture_loopback(port: int, capture: Path) -> subprocess.Popen[bytes]:
    dump = subprocess.Popen(
        ["tshark", "-q", "-i", "lo", "-f", f"udp port {port}", "-F", "pcap", "-w", str(capture)],
        stderr=subprocess.PIPE,
    )
    assert dump.stderr is not None
    for line in dump.stderr:
        if b"Capturing on" in line:
            break
    end = time.monotonic() + CAPTURE_SECONDS
    while not capture.exists() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.5)
    return dump


def register(port: int, secret: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.settimeout(10)
        peer = Initiator("gm1", secret=secret)
        local = Endpoint(*sock.getsockname())
        peer.path = peer.path._replace(local=Endpoint("127.0.0.1", port), remote=local)
        peer.accept(exchange(sock, [peer.init()])[peer.spi_i])
        exchange(sock, [peer.auth(DEMO, group_sender())])


def wait_for_packets(capture: Path) -> None:
    end = time.monotonic() + CAPTURE_SECONDS
    while capture.stat().st_size < 1200 and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(0.5)


def dissect(capture: Path, key_line: str, port: int) -> list[dict[str, Any]]:
    command = [
        "tshark", "-r", str(capture), "-d", f"udp.port=={port},isakmp",
        "-o", f"uat:ikev2_decryption_table:{key_line}", "-T", "json", "--no-duplicate-keys",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [packet["_source"]["layers"] for packet in json.loads(done.stdout)]


def fields(node: Any, name: str) -> Iterator[str]:
    """Yield every value of a field, however deep it stands."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == name:
                yield from value if isinstance(value, list) else [value]
            yield from fields(value, name)
    elif isinstance(node, list):
        for item in node:
            yield from fields(item, name)


def payload_types(packet: dict[str, Any]) -> set[str]:
    found = set(fields(packet["isakmp"], "isakmp.nextpayload"))
    return found | set(fields(packet["isakmp"], "isakmp.typepayload"))


def of_exchange(packets: list[dict[str, Any]], number: str) -> list[dict[str, Any]]:
    return [p for p in packets if number in fields(p["isakmp"], "isakmp.exchangetype")]


def test_both_messages_of_ike_sa_init_dissect(packets: list[dict[str, Any]]) -> None:
    request, response = of_exchange(packets, "34")
    for packet in (request, response):
        assert {"33", "34", "40", "41"} <= payload_types(packet)
        assert not list(fields(packet, "_ws.malformed"))


def test_gsa_auth_decrypts_and_its_payloads_are_named(packets: list[dict[str, Any]]) -> None:
    """RFC 9838 section 2.3.1: IDi, AUTH, IDg and N; IDr, AUTH, GSA and KD."""
    request, response = of_exchange(packets, "39")
    assert {"35", "39", "50", "41"} <= payload_types(request)
    assert {"36", "39", "51", "52"} <= payload_types(response)
    for packet in (request, response):
        assert list(fields(packet["isakmp"], "isakmp.enc.decrypted"))
        assert "gm1.dev" in str(packet) or packet is response


def test_the_icv_is_right_by_its_reckoning(packets: list[dict[str, Any]]) -> None:
    for packet in of_exchange(packets, "39"):
        assert "incorrect" not in str(packet)
