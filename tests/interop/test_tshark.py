"""tshark, written by others, decrypts a captured registration and names its payloads."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from typer.testing import CliRunner

from gcks.cli import server_command as server
from gcks.daemon.dev_files import prepare
from gcks.datagrams import Endpoint
from gcks.decode.key_log_format import HEADER, encode_entry
from gcks.group.sa_key_log_entry import GroupSaKeyLogEntry, KeyLogEntry
from gcks.iana import Encr, Integ
from tests.support import captures
from tests.support.esp_packets import GCM, SPI, esp_gcm, padded
from tests.support.free_ports import free_port
from tests.support.initiator import DEMO, Initiator, group_sender
from tests.support.registrations import exchange, loopback_config
from tests.support.sample_messages import REKEYS, rekey_entry, rekey_messages
from tests.support.server_process import start_server

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
capturing = pytest.mark.skipif(os.geteuid() != 0, reason="capturing needs root")

CAPTURE_SECONDS = 10.0


@pytest.fixture(scope="module")
def packets(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """One registration over loopback, as tshark dissects it with our key table."""
    directory = tmp_path_factory.mktemp("tshark")
    files, port = prepare(directory), free_port()
    keys, capture = directory / "keys", directory / "capture.pcap"
    running = start_server(loopback_config(files, port), directory / "log", keys)
    dump = capture_loopback(port, capture)
    try:
        register(port, files.secret.read_bytes())
        wait_for_packets(capture)
    finally:
        dump.terminate()
        dump.wait()
        running.kill()
    return dissect(capture, wireshark_profile(directory, capture, keys), port)


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


def wireshark_profile(directory: Path, capture: Path, keys: Path) -> Path:
    """Have `gcks decode` write the key tables into a profile directory of Wireshark."""
    profile = directory / "profile"
    arguments = ["decode", str(capture), "--keys", str(keys), "--wireshark", str(profile)]
    result = CliRunner().invoke(server.app, arguments)
    assert result.exit_code == 0, result.stderr
    return profile


def dissect(capture: Path, profile: Path, port: int, *options: str) -> list[dict[str, Any]]:
    command = [
        "tshark", "-r", str(capture), "-d", f"udp.port=={port},isakmp", *options,
        "-T", "json", "--no-duplicate-keys",
    ]  # fmt: skip
    environment = {**os.environ, "WIRESHARK_CONFIG_DIR": str(profile)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "UAT" not in done.stderr and "rror" not in done.stderr, done.stderr
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


@capturing
def test_both_messages_of_ike_sa_init_dissect(packets: list[dict[str, Any]]) -> None:
    request, response = of_exchange(packets, "34")
    for packet in (request, response):
        assert {"33", "34", "40", "41"} <= payload_types(packet)
        assert not list(fields(packet, "_ws.malformed"))


@capturing
def test_gsa_auth_decrypts_and_its_payloads_are_named(packets: list[dict[str, Any]]) -> None:
    """RFC 9838 section 2.3.1: IDi, AUTH, IDg and N; IDr, AUTH, GSA and KD."""
    request, response = of_exchange(packets, "39")
    assert {"35", "39", "50", "41"} <= payload_types(request)
    assert {"36", "39", "51", "52"} <= payload_types(response)
    for packet in (request, response):
        assert list(fields(packet["isakmp"], "isakmp.enc.decrypted"))
        assert "gm1.dev" in str(packet) or packet is response


@capturing
def test_the_icv_is_right_by_its_reckoning(packets: list[dict[str, Any]]) -> None:
    for packet in of_exchange(packets, "39"):
        assert "incorrect" not in str(packet)


# --- GSA_REKEY and ESP with the tables of a key log --------------------------------------


def written(directory: Path, packets: list[bytes], *entries: KeyLogEntry) -> tuple[Path, Path]:
    """Write a capture, and the tables for it; return both."""
    capture, keys = directory / "capture.pcap", directory / "keys"
    capture.write_bytes(captures.pcap(packets))
    keys.write_text("\n".join([HEADER, *map(encode_entry, entries)]) + "\n")
    return capture, wireshark_profile(directory, capture, keys)


@pytest.mark.parametrize("vector", [REKEYS[0], REKEYS[2]], ids=["AES-GCM", "AES-CBC"])
def test_gsa_rekey_decrypts(vector: dict[str, Any], tmp_path: Path) -> None:
    """RFC 9838 section 2.4.1: the golden vectors, by the Rekey SA's line in the IKEv2 table."""
    (octets,) = rekey_messages(vector)
    packet = captures.ipv4(captures.udp(octets, 848, 848))
    capture, profile = written(tmp_path, [packet], rekey_entry(vector))
    (found,) = dissect(capture, profile, 848)
    assert list(fields(found["isakmp"], "isakmp.enc.decrypted"))
    assert {"51", "52", "42", "39"} <= payload_types(found)
    assert "incorrect" not in str(found)


def esp_cbc(spi: bytes, keys: GroupSaKeyLogEntry, inner: bytes) -> bytes:
    """RFC 3602 and RFC 4868."""
    head, iv = spi + (1).to_bytes(4, "big"), bytes(range(16))
    encryptor = Cipher(algorithms.AES(keys.key_e), modes.CBC(iv)).encryptor()
    sealed = head + iv + encryptor.update(padded(inner, 16)) + encryptor.finalize()
    mac = hmac.HMAC(keys.key_a, hashes.SHA256())
    mac.update(sealed)
    return sealed + mac.finalize()[:16]


CBC = replace(
    GCM, encr=Encr.AES_CBC, integ=Integ.HMAC_SHA2_256_128, source=captures.SOURCE,
    key_e=bytes(range(32)), key_a=bytes(range(32)),
)  # fmt: skip


@pytest.mark.parametrize(("keys", "seal"), [(GCM, esp_gcm), (CBC, esp_cbc)], ids=["GCM", "CBC"])
def test_esp_decrypts(
    keys: GroupSaKeyLogEntry,
    seal: Callable[[bytes, GroupSaKeyLogEntry, bytes], bytes],
    tmp_path: Path,
) -> None:
    inner = captures.ipv4(captures.udp(b"sixteen octets..", 4242, 5000))
    capture, profile = written(tmp_path, [captures.ipv4(seal(SPI, keys, inner), 50)], keys)
    decrypt = ["esp.enable_encryption_decode", "esp.enable_authentication_check"]
    options = [word for name in decrypt for word in ("-o", f"{name}:TRUE")]
    (found,) = dissect(capture, profile, 848, *options)
    assert list(fields(found, "udp.dstport")) == ["5000"]
    assert "Bad" not in str(found) and "incorrect" not in str(found)
