"""`gcks decode` as it is called: what it takes, what it prints, how it ends."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner, Result

from gcks.cli import decode as command
from gcks.cli import server_command as server
from gcks.decode.key_log_format import HEADER, encode_entry
from generated_by.decode_schema import decode_schema
from tests.support import captures
from tests.support.sample_messages import INIT, REKEYS, rekey_entry, rekey_messages

REKEY = rekey_messages(REKEYS[0])[0]


def run(*arguments: object, given: bytes | None = None) -> Result:
    return CliRunner().invoke(server.app, ["decode", *map(str, arguments)], input=given)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"{HEADER}\n{encode_entry(rekey_entry(REKEYS[0]))}\n")
    return path


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "capture.pcap"
    path.write_bytes(captures.pcap([captures.ipv4(captures.udp(one)) for one in (INIT, REKEY)]))
    return path


def test_hexadecimal_as_argument_as_file_and_as_input(tmp_path: Path) -> None:
    path = tmp_path / "message.hex"
    path.write_text(INIT.hex(" "))
    results = [run(INIT.hex()), run(path), run("-", given=INIT.hex().encode())]
    for result in results:
        assert result.exit_code == 0
        assert "IKE_SA_INIT request" in result.stdout
    assert len({result.stdout for result in results}) == 1


def test_a_capture_as_file_and_as_input(capture: Path) -> None:
    for result in (run(capture), run("-", given=capture.read_bytes())):
        assert result.exit_code == 0
        assert "192.0.2.1:500 -> 239.1.2.3:500" in result.stdout
        assert "no key for these SPIs" in result.stdout
        assert result.stdout.endswith("2 IKE messages in 2 packets\n")


def test_with_keys_a_rekey_is_explained(capture: Path, keys: Path) -> None:
    result = run(capture, "--keys", keys)
    assert "the ICV is right (Rekey SA of keyid:demo)" in result.stdout
    assert re.search(r"Data-Security SA policy +ESP, SPI 2dece851", result.stdout)
    secrets = rekey_entry(REKEYS[0])
    for key in (secrets.key_e, secrets.key_w):
        assert key.hex() not in result.stdout
    assert "wrapped  " not in result.stdout
    assert re.search("wrapped +[0-9a-f]{9}", run(capture, "--keys", keys, "--show-secrets").stdout)


def test_json_fits_its_schema(capture: Path, keys: Path) -> None:
    result = run(capture, "--keys", keys, "--json")
    answer = json.loads(result.stdout)
    jsonschema.validate(answer, decode_schema())
    assert [one["header"]["exchange"] for one in answer["messages"]] == ["IKE_SA_INIT", "GSA_REKEY"]
    assert [p["payload"] for p in answer["messages"][1]["payloads"]] == ["GSA", "KD", "D", "AUTH"]


def test_wireshark_tables_are_private(capture: Path, keys: Path, tmp_path: Path) -> None:
    directory = tmp_path / "profile"
    for _ in range(2):  # and replace older ones
        assert run(capture, "--keys", keys, "--wireshark", directory).exit_code == 0
    for name in ("ikev2_decryption_table", "esp_sa"):
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600
    assert (
        "cd900c605c0741ad,c6e80c82e1726059," in (directory / "ikev2_decryption_table").read_text()
    )


def test_ports(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcap"
    path.write_bytes(captures.pcap([captures.ipv4(captures.udp(INIT, 10500, 10500))]))
    assert "1 packets left out: UDP on other ports" in run(path).stdout
    assert "IKE_SA_INIT" in run(path, "--port", 9, "--port", 10500).stdout


def test_a_damaged_capture_is_explained_as_far_as_it_goes(capture: Path) -> None:
    capture.write_bytes(capture.read_bytes()[:-1])
    result = run(capture)
    assert result.exit_code == 1
    assert "IKE_SA_INIT" in result.stdout
    assert "! the capture is cut off" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["no-such-file.pcap"], 1, "neither a capture nor a message in hexadecimal"),
        (["."], 1, "can't read .: Is a directory"),
        (["ab", "--keys", "/no/such/keys"], 1, "can't read /no/such/keys"),
        (["ab", "--keys", "/dev/null"], 1, "this is no key log"),
        (["ab", "--wireshark", "x"], 2, "--wireshark goes with --keys"),
        (["ab", "--port", "70000"], 2, "65535"),
    ],
)
def test_wrong_use_is_one_clear_message(arguments: list[str], code: int, said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert said in re.sub(r"\x1b\[[0-9;]*m", "", result.stderr)
    assert "Traceback" not in result.stderr


def test_damaged_lines_of_a_key_log_are_told(capture: Path, keys: Path) -> None:
    keys.write_text(keys.read_text() + '{"type": "rekey_sa"\n')
    result = run(capture, "--keys", keys)
    assert result.exit_code == 0
    assert "line 3 of the key log can't be used: not JSON" in result.stderr
    assert "the ICV is right" in result.stdout


def test_what_is_too_large_is_refused(
    capture: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "MAX_CAPTURE_OCTETS", 64)
    assert "cut out what matters" in run(capture).stderr
    monkeypatch.undo()
    monkeypatch.setattr(command, "MAX_HEXADECIMAL_OCTETS", 8)
    assert "neither a capture (pcap, pcapng)" in run("ab" * 9).stderr


def test_tables_that_cannot_be_written(capture: Path, keys: Path) -> None:
    result = run(capture, "--keys", keys, "--wireshark", keys / "below")
    assert result.exit_code == 1
    assert "can't write to" in result.stderr
