"""`gcks check`: everything that is wrong, at once, with line, key and reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from gcks.cli.server_command import app
from gcks.daemon.config.check import (
    Report,
    check_member,
    check_server,
    describe,
    describe_json,
)
from gcks.daemon.config.member_file import load_member
from gcks.daemon.config.problems import ConfigError, Problem
from gcks.daemon.config.server_file import load_server
from generated_by.check_schema import check_schema
from tests.support.config_files import example, write
from tests.support.pem_authority import PemAuthority

# ruff: noqa: E501
WRONG = [
    ("atd: 5s", "atd: soon", "groups[0].atd", "no duration"),
    ("sender_id_bits: 16", "sender_id_bitz: 16", "groups[0].sender_id_bitz", "sender_id_bits?"),
    ("suite: aes256gcm16             # default; as", "suite: des #", "groups[0].rekey.suite", "none of"),
    ("address: 239.255.84.8", "address: 192.0.2.9", "groups[0].rekey.address", "not a multicast"),
    ("destination: 239.1.2.3", "destination: 192.0.2.3", "groups[0].data_sas[0].destination", "multicast"),
    ("dtd: 15s", "dtd: 4s", "groups[0].dtd", "longer than atd"),
    ("id: keyid:video", "id: video", "groups[0].id", "expected one of"),
    ("secret: file:${CREDENTIALS_DIRECTORY}/gm1.psk", "secret: file:none", "authentication.psk[0].secret", "can't read"),
    ("certificate: server.pem", "certificate: ca.pem", "server.key", "not the key of"),
    ("sender: fqdn:gm1.example ", "sender: fqdn:gm9.example ", "groups[0].data_sas[1].sender", "may not send"),
    ("senders: many", "senders: single", "groups[0].data_sas[0].sender", "must name it"),
    ("name: control", "name: stream", "groups[0].data_sas", "two SAs are named"),
    ("lifetime: 1h ", "lifetime: 20s ", "groups[0].data_sas[0].lifetime", "more than twice"),
    ("spread: 2s", "spread: 1h", "groups[0].rekey.spread", "a few seconds"),
    ("protocol: esp                # default", "protocol: ah #", "groups[0].data_sas[0].suite", "none of"),
    ("identity: fqdn:gcks.example", "identity: 7", "server.identity", "string"),
    ("- address: 192.0.2.1", "- address: nowhere", "listen[0].address", "no IP address"),
    ("authentication: ed25519", "authentication: md5", "groups[0].rekey.authentication", "choose one"),
    ("key_wrap: kw256", "key_wrap: kwarx", "groups[0].rekey.key_wrap", "no maintained implementation"),
    ("kw192-kw128\n    - aes256", "kw192-kwarx\n    - aes256", "ike.proposals", "no maintained implementation"),
    ("aggfrag: false", "aggfrag: true", "groups[0].data_sas[0].senders", "aggfrag needs"),
    ("ipcomp: null", "ipcomp: lzs", "groups[0].ipcomp", "'deflate'"),
    ("security_label: null", "security_label: 's0 c1'", "groups[0].data_sas[0].security_label", "printable ASCII"),
    ("excluded: []", 'excluded: ["fqdn:*\\e[2J"]', "groups[0].excluded[0]", "printable characters only"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "key", "reason"), WRONG)
def test_a_wrong_value_is_named_with_line_key_and_reason(
    directory: Path, right: str, wrong: str, key: str, reason: str
) -> None:
    text = example("gcks.yaml")
    assert right in text
    path = write(directory, text.replace(right, wrong, 1))
    report = check_server(path)
    assert not report.usable
    found = [p for p in report.problems if p.key == key and reason in p.text and not p.warning]
    assert found, report.problems
    assert all(one.remedy for one in report.problems), report.problems
    if key.rpartition(".")[2] == wrong.split(":")[0]:
        assert wrong.split()[0].rstrip(":") in path.read_text().splitlines()[found[0].line - 1]


def test_all_problems_come_at_once(directory: Path) -> None:
    text = example("gcks.yaml")
    text = text.replace("atd: 5s", "atd: soon").replace("capacity: 1000000", "capacity: many")
    with pytest.raises(ConfigError) as caught:
        load_server(write(directory, text))
    assert {"groups[0].atd", "groups[0].capacity"} <= {p.key for p in caught.value.problems}


def test_a_secret_that_others_can_read_is_refused(directory: Path) -> None:
    (directory / "gm1.psk").chmod(0o644)
    report = check_server(write(directory, example("gcks.yaml")))
    assert "chmod 600" in str(report.problems[0])


@pytest.mark.parametrize(
    "text", ["", "- a", "a: [", "server: {identity: 'fqdn:a'}\n\tx: 1", "a: b: c"]
)
def test_what_is_no_configuration_is_one_clear_error(directory: Path, text: str) -> None:
    report = check_server(write(directory, text))
    assert not report.usable
    assert report.problems


def test_a_key_given_twice_is_an_error(directory: Path) -> None:
    report = check_server(write(directory, example("gcks.yaml") + "\nstore: {master_key: x}\n"))
    assert any(p.key == "store" and "twice" in p.text for p in report.problems)


def test_a_wrong_key_hides_neither_files_nor_rules_elsewhere(directory: Path) -> None:
    """A schema error in one section, a missing file in another, a rule broken in a third."""
    text = example("gcks.yaml").replace("max_ike_sas", "max_ike_saz")
    text = text.replace("gm1.psk", "nowhere").replace("master.key ", "lost.key ")
    text = text.replace("dtd: 15s", "dtd: 4s").replace("server.pem", "absent.pem")
    (directory / "ca.pem").write_text("no certificate")
    report = check_server(write(directory, text))
    assert [p.key for p in report.problems if not p.warning] == [
        "server.certificate",
        "authentication.psk[0].secret",
        "authentication.trust_anchors[0]",
        "ike.max_ike_saz",
        "store.master_key",
        "groups[0].dtd",
    ]
    with pytest.raises(ConfigError) as caught:
        load_server(directory / "config.yaml")
    assert str(caught.value).count("\n") == 5


def test_a_wrong_value_does_not_hide_broken_rules_of_the_same_group(directory: Path) -> None:
    text = example("gcks.yaml").replace("atd: 5s", "atd: soon").replace("copies: 3", "copies: 99")
    text = text.replace("239.1.2.3", "192.0.2.3").replace("suite: aes256gcm16\n", "suite: des\n")
    report = check_server(write(directory, text))
    assert [p.key for p in report.problems if not p.warning] == [
        "groups[0].atd", "groups[0].rekey.copies", "groups[0].data_sas[0].destination",
        "groups[0].data_sas[1].suite",
    ]  # fmt: skip


def test_a_wrong_value_gives_no_problem_that_its_default_would_have(directory: Path) -> None:
    """Without its atd, dtd 4s would be too short; without its lifetime, renew 5h too late."""
    text = example("gcks.yaml").replace("atd: 5s", "atd: soon").replace("dtd: 15s", "dtd: 4s")
    text = text.replace("lifetime: 1h ", "lifetime: 9x ").replace("renew: 50m", "renew: 5h")
    report = check_server(write(directory, text))
    assert [p.key for p in report.problems] == ["groups[0].atd", "groups[0].data_sas[0].lifetime"]


def test_ah_has_no_default_suite(directory: Path) -> None:
    text = example("gcks.yaml").replace("name: cameras", "name: cameras\n        protocol: ah")
    problem = only(check_server(write(directory, text)))
    assert problem.key == "groups[0].data_sas[2].suite"
    assert "none of sha256" in problem.text


def test_a_private_key_that_others_can_read_is_refused(directory: Path) -> None:
    (directory / "server.key").chmod(0o640 | 0o004)
    assert "chmod 600" in only(check_server(write(directory, example("gcks.yaml")))).text


def test_a_group_may_read_what_systemd_gives_it(directory: Path) -> None:
    (directory / "master.key").chmod(0o440)
    assert check_server(write(directory, example("gcks.yaml"))).usable


def test_a_configuration_with_an_inline_secret_is_private(directory: Path) -> None:
    path = write(directory, example("gcks.yaml").replace(PSK, f"hex:{'00' * 16}"))
    path.chmod(0o644)
    problem = only(check_server(path))
    assert problem.key == "authentication.psk[0].secret"
    assert "chmod 600" in problem.text
    path.chmod(0o600)
    assert check_server(path).usable


def test_a_key_of_another_certificate_is_named(directory: Path, authority: PemAuthority) -> None:
    authority.leaf("other", "gcks.example")
    text = example("gcks.yaml").replace("/server.key", "/other.key")
    problem = only(check_server(write(directory, text)))
    assert (problem.key, problem.line) == ("server.key", line_of(directory, "/other.key"))
    assert "other.key is not the key of the certificate" in problem.text


def test_a_certificate_for_another_name_is_refused(
    directory: Path, authority: PemAuthority
) -> None:
    authority.leaf("server", "other.example")
    problem = only(check_server(write(directory, example("gcks.yaml"))))
    assert problem.key == "server.certificate"
    assert "does not name fqdn:gcks.example" in problem.text


def test_an_expired_certificate_is_refused_and_an_expiring_one_warned_of(
    directory: Path, authority: PemAuthority
) -> None:
    authority.leaf("server", "gcks.example", days=-1)
    report = check_server(write(directory, example("gcks.yaml")))
    assert not report.usable
    assert any("expired" in p.text for p in report.problems if not p.warning)
    authority.leaf("server", "gcks.example", days=3)
    report = check_server(write(directory, example("gcks.yaml")))
    assert report.usable
    assert any("expires on" in p.text for p in report.problems if p.warning)


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n", b"\xff\x00" * 50])
@pytest.mark.parametrize("name", ["server.pem", "server.key", "ca.pem"])
def test_nonsense_in_a_pem_file_is_named(directory: Path, name: str, pem: bytes) -> None:
    (directory / name).write_bytes(pem)
    problem = only(check_server(write(directory, example("gcks.yaml"))))
    assert name in problem.text


@pytest.mark.parametrize(
    ("octets", "good"),
    [
        (b"x" * 32, True),
        (b"ab" * 32 + b"\n", True),
        (b"x" * 31, False),
        (b"", False),
        (b"g" * 64, False),
    ],
)
def test_a_master_key_has_32_octets(directory: Path, octets: bytes, good: bool) -> None:
    (directory / "master.key").write_bytes(octets)
    report = check_server(write(directory, example("gcks.yaml")))
    assert report.usable == good
    assert good or "head -c 32 /dev/urandom" in only(report).text


def test_a_short_secret_is_refused(directory: Path) -> None:
    (directory / "gm1.psk").write_bytes(b"secret\n")
    assert "at least 16 octets" in only(check_server(write(directory, example("gcks.yaml")))).text


def test_an_unset_variable_is_named(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    report = check_server(write(directory, example("gcks.yaml")))
    assert {"server.key", "store.master_key"} <= {p.key for p in report.problems}
    for problem in report.problems:
        if not problem.warning:
            assert "the environment has no CREDENTIALS_DIRECTORY" in problem.text


def test_an_unreadable_file_is_named(directory: Path) -> None:
    (directory / "gm1.psk").unlink()
    (directory / "gm1.psk").mkdir(mode=0o700)
    problem = only(check_server(write(directory, example("gcks.yaml"))))
    assert "gm1.psk: Is a directory" in problem.text


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_a_configuration_that_cant_be_read_is_one_problem(directory: Path, name: str) -> None:
    assert "can't read it" in only(check_server(directory / name)).text


def test_two_groups_share_neither_id_nor_rekey_address(directory: Path) -> None:
    text = example("gcks.yaml")
    groups = text[text.index("  - id: keyid:video") :]
    report = check_server(write(directory, text + groups))
    assert [p.key for p in report.problems] == ["groups[1].id"]
    report = check_server(write(directory, text + groups.replace("keyid:video", "keyid:audio")))
    assert [p.key for p in report.problems] == ["groups[1].rekey.address"]


def test_a_port_and_a_secret_are_given_once(directory: Path) -> None:
    text = example("gcks.yaml").replace("natt_ports: [4500]", "natt_ports: [500]")
    text = text.replace("fqdn:branch*.example\n      secret", "fqdn:gm1.example\n      secret")
    report = check_server(write(directory, text))
    assert [p.key for p in report.problems] == [
        "listen[0].natt_ports",
        "authentication.psk[1].identity",
    ]


LISTEN = "listen:                              #"


def listening(*listeners: str) -> str:
    """Return the example with these listeners before its own, and rekeys without source."""
    text = example("gcks.yaml").replace("      source: 192.0.2.1 ", "      # ")
    assert LISTEN in text
    return text.replace(
        LISTEN, "\n".join(["listen:", *(f"  - {{{one}}}" for one in listeners), "#"])
    )


def test_a_wildcard_address_is_no_source_of_rekeys(directory: Path) -> None:
    text = listening().replace("  - address: 192.0.2.1", "  - address: 0.0.0.0")
    report = check_server(write(directory, text))
    assert [p.key for p in report.problems] == ["groups[0].rekey.source"]
    assert "give an address of this host" in report.problems[0].text
    listeners = "address: 0.0.0.0, ike_ports: [1500], natt_ports: [14500], tcp_ports: []"
    assert check_server(write(directory, listening(listeners))).usable


def test_a_wildcard_covers_other_listeners(directory: Path) -> None:
    text = listening("address: 0.0.0.0, ike_ports: [848], natt_ports: []")
    report = check_server(write(directory, text))
    assert [(p.key, p.text) for p in report.problems] == [
        ("listen[1].ike_ports", "0.0.0.0:848 covers 192.0.2.1:848; keep one")
    ]


PSK = "file:${CREDENTIALS_DIRECTORY}/gm1.psk"
HOSTILE = [
    "metrics: {listen: 9848}", "metrics: {listen: [1]}", "ike: {idle: .inf}", "ike: {idle: .nan}",
    "ike: {idle: 1e999s}", f"ike: {{idle: {'9' * 400}s}}", f"ike: {{idle: -{'9' * 400}}}",
    "ike: {idle: true}", "ike: {idle: {a: b}}", "ike: {proposals: []}", "ike: {proposals: [aes]}",
    "ike: {max_ike_sas: yes}", "server: {identity: 'fqdn:ä'}", "server: {identity: 'ipv4:::1'}",
    "server: {identity: 'keyid:hex:0'}", "listen: []", "listen: {a: 1}", "listen: [[]]", "groups: 5",
    "groups: [null]", "authentication: []", "authentication: {psk: {a: b}}", "store: ~",
    "authentication: {psk: [{identity: '*:[', secret: 'hex:zz'}]}", "server: !!python/object:os.x {}",
    "server: !!int x", "server: 2026-99-99", "server: !!binary '='", "? [a, b]\n: c", "<<: {a: b}",
    "a: &a [*a]", "a: " + "[" * 3000, "a: \0", "\ufeffa: 1", "--- a\n--- b", "%TAG",
    "listen: [{address: '::1%lo'}]", "listen: [{address: 1.2}]", "5: 6", "logging: {level: [debug]}",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("check", [check_server, check_member])
def test_no_file_gives_a_traceback(directory: Path, text: str, check: object) -> None:
    assert callable(check)
    report = check(write(directory, text))
    assert not report.usable
    assert describe(report)
    assert all(one.remedy for one in report.problems), describe(report)


REMEDIES = [
    ("server: {}", "server.identity", "missing; add it, such as identity: fqdn:gm1.example"),
    ("a: 1", "server", "missing; add it with identity in it"),
    ("a: 1", "groups", "missing; add entries with id, members and data_sas"),
    ("store: {path: x}", "store.master_key", "missing; add it, such as master_key: FILE"),
    ("listen: []", "listen", "add an entry with address"),
    ("listen: [[]]", "listen[0]", "expected keys and values below it; write address below it"),
    ("listen: [null]", "listen[0]", "no value; fill the entry in, or take it out"),
    ("listen: [{address: 1.2}]", "listen[0].address", "write it such as 192.0.2.1 or 2001:db8::1"),
    ("listen: [{ike_ports: [0]}]", "listen[0].ike_ports[0]", "write 1 to 65535"),
    ("listen: [{ike_ports: 500}]", "listen[0].ike_ports", "write it such as [500, 848]"),
    ("server: {identity: }", "server.identity", "no value; write it such as fqdn:gm1.example"),
    ("ike: {childless: 1}", "ike.childless", "write true or false"),
    ("ike: {max_ike_sas: 0}", "ike.max_ike_sas", "write 1 or more"),
    ("ike: {max_ike_sas: yes}", "ike.max_ike_sas", "write it such as 100000"),
    ("ike: {retransmit_factor: 99}", "ike.retransmit_factor", "write 1 to 10"),
    ("logging: {level: inf}", "logging.level", "did you mean info?"),
    ("logging: {level: 7}", "logging.level", "choose one, or leave the key out for info"),
    ("metrics: 5", "metrics", "write listen below it"),
    ("groups: [{data_sas: [{name: ''}]}]", "groups[0].data_sas[0].name", "write 1 to 64 characters"),
    ("groups: [{ipcomp: lzs}]", "groups[0].ipcomp", "write deflate, or leave the key out"),
    ("groups: [{id: video}]", "groups[0].id", "write it such as fqdn:gm1.example or keyid:demo"),
    ("groups: [{rekey: {suite: aes}}]", "groups[0].rekey.suite", "did you mean aes"),
    ("a: b: c", "", "not YAML: mapping values are not allowed in this context; indent with spaces, and put texts"),
]  # fmt: skip
"""What stands in the file, which key it is about, and the end of what is said."""


@pytest.mark.parametrize(("text", "key", "said"), REMEDIES)
def test_the_remedy_shows_what_would_be_right(
    directory: Path, text: str, key: str, said: str
) -> None:
    """By the kind of the error, and by what the schema says of the key."""
    found = [one for one in check_server(write(directory, text)).problems if one.key == key]
    assert any(said in one.text and said[-9:] in one.remedy for one in found), found


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (f"secret: {PSK} ", "secret: 1234567890123456789 "),
        (f"secret: {PSK} ", "secret: [hex:1234567890123456789] "),
        (f"secret: {PSK} ", "secret: hex:1234567890123456789 "),
        (f"secret: {PSK} ", "secrets: hex:1234567890123456789 "),
        ("master_key: ${CREDENTIALS_DIRECTORY}/master.key ", "master_key: 1234567890123456789 "),
        ("${CREDENTIALS_DIRECTORY}/master.key ", "a1234567890123456789" * 3 + "abcd "),
    ],
)
def test_no_message_repeats_a_secret(directory: Path, right: str, wrong: str) -> None:
    text = example("gcks.yaml")
    assert right in text
    report = check_server(write(directory, text.replace(right, wrong, 1)))
    assert not report.usable
    assert "123456789" not in describe(report)


def test_a_key_without_value_says_so(directory: Path) -> None:
    text = example("gcks.yaml").replace("idle: 5s", "idle:").replace("level: info", "level:")
    report = check_server(write(directory, text))
    assert [p.key for p in report.problems] == ["ike.idle", "logging.level"]
    assert {p.text for p in report.problems} == {
        "no value; give one, or leave the key out for its default"
    }


def test_aliases_cant_fill_the_memory(directory: Path) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    assert "aliases" in only(check_server(write(directory, "\n".join(rows)))).text


def test_times_of_day_and_dates_stay_text(directory: Path) -> None:
    """YAML 1.1 would read 10:30 as 630 and make a date of 2026-01-01."""
    text = example("gcks.yaml").replace("idle: 5s", "idle: 10:30")
    assert "'10:30' is no duration" in only(check_server(write(directory, text))).text


def test_a_usable_file_gives_one_line(directory: Path) -> None:
    report = check_server(write(directory, example("gcks.yaml")))
    assert describe(report) == (
        f"{directory / 'config.yaml'}: usable: fqdn:gcks.example, 3 UDP ports, 1 group, "
        "3 Data-Security SAs"
    )


def test_json_has_every_problem(directory: Path) -> None:
    text = example("gcks.yaml").replace("atd: 5s", "atd: soon")
    found = describe_json(check_server(write(directory, text)))
    Draft202012Validator(check_schema()).validate(found)
    assert found["usable"] is False
    assert found["problems"] == [
        {
            "file": str(directory / "config.yaml"),
            "line": line_of(directory, "atd: soon"),
            "key": "groups[0].atd",
            "reason": "'soon' is no duration",
            "remedy": "write it such as 30s, 15m, 12h or 7d",
            "warning": False,
        }
    ]


# --- the member -------------------------------------------------------------------------


MEMBER_WRONG = [
    ("psk: file:${CREDENTIALS_DIRECTORY}/member.psk", "psk: file:none", "authentication.psk", "can't read"),
    ("psk: file:${CREDENTIALS_DIRECTORY}/member.psk", "# none", "authentication", "give psk, or"),
    ("# certificate", "certificate", "authentication", "needs its key"),
    ("kind: xfrm", "kind: exec", "data_plane.command", "missing"),
    ("kind: xfrm", "kind: wire", "data_plane.kind", "'xfrm', 'exec' or 'none'"),
    ("features: []", "features: [ipcomp]", "data_plane.features", "xfrm knows its own"),
    ("features: []", "features: [esn]", "data_plane.features[0]", "'seclabel', 'aggfrag' or 'ipcomp'"),
    ("key_wrap: [kw256", "key_wrap: [kwarx", "ceiling.key_wrap", "no maintained implementation"),
    ("destinations: [224.0.0.0/4", "destinations: [224.0.0.1/4", "ceiling.destinations[0]", "host bits"),
    ("encryption: [aes256gcm16", "encryption: [null16", "ceiling.encryption", "none of"),
    ("signatures: [ed25519", "signatures: [md5", "ceiling.signatures", "none of"),
    ("address: 192.0.2.11", "address: '::1'", "local.address", "different IP versions"),
    ("sender_ids: 1 ", "sender_ids: 0 ", "groups[0].sender_ids", "greater than or equal to 1"),
    ("id: keyid:video", "id: video", "groups[0].id", "expected one of"),
    ("reregister_jitter: auto ", "reregister_jitter: often ", "ike.reregister_jitter", "or auto"),
    ("reregister_jitter", "reregister_jiter", "ike.reregister_jiter", "did you mean reregister_jitter"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "key", "reason"), MEMBER_WRONG)
def test_a_wrong_value_in_member_yaml_is_named(
    directory: Path, right: str, wrong: str, key: str, reason: str
) -> None:
    text = example("member.yaml")
    assert right in text
    report = check_member(write(directory, text.replace(right, wrong, 1)))
    assert not report.usable
    assert [p for p in report.problems if p.key == key and reason in p.text], report.problems
    assert all(one.remedy for one in report.problems), report.problems


def test_the_member_example_is_usable(directory: Path) -> None:
    report = check_member(write(directory, example("member.yaml")))
    assert "1 group of fqdn:gcks.example at 192.0.2.1:500" in describe(report)


def only(report: Report) -> Problem:
    (problem,) = [one for one in report.problems if not one.warning]
    return problem


def line_of(directory: Path, text: str) -> int:
    lines = (directory / "config.yaml").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


# --- the environment ------------------------------------------------------------------------------


def test_a_secret_may_come_from_the_environment(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the file that only refers to it may be read by all."""
    path = write(directory, example("gcks.yaml").replace(PSK, "hex:${GM1_PSK}"))
    path.chmod(0o644)
    assert "the environment has no GM1_PSK" in only(check_server(path)).text
    monkeypatch.setenv("GM1_PSK", "0g" * 32)
    assert "hexadecimal digits" in only(check_server(path)).text
    monkeypatch.setenv("GM1_PSK", "0a" * 32)
    psk = load_server(path).credentials.find_psk("fqdn:gm1.example")
    assert psk is not None and psk.secret == bytes.fromhex("0a" * 32)


@pytest.mark.parametrize(
    ("right", "wrong", "key"),
    [
        ("fqdn:gcks.example", "fqdn:${HOSTNAME}", "server.identity"),
        ("- address: 192.0.2.1", "- address: ${ADDRESS}", "listen[0].address"),
        ("identity: fqdn:gm1.example\n", "identity: fqdn:${X}\n", "authentication.psk[0].identity"),
        ("destination: 239.1.2.3", "destination: ${TO}", "groups[0].data_sas[0].destination"),
    ],
)
def test_nothing_else_refers_to_the_environment(
    directory: Path, right: str, wrong: str, key: str
) -> None:
    path = write(directory, example("gcks.yaml").replace(right, wrong, 1))
    reasons = [p.text for p in check_server(path).problems if p.key == key]
    assert any("for secrets and paths of files only" in reason for reason in reasons)


def test_a_hooks_command_keeps_its_own_references(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = "  kind: exec\n  command: [sh, -c, 'echo ${HOME}']\n"
    text = example("member.yaml").replace("command: []  ", "#")
    path = write(directory, text.replace("  kind: xfrm", command))
    assert not [p for p in check_member(path).problems if "environment is for" in p.text]


def test_what_is_not_there_is_missed_before_the_start(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the directories that systemd makes: the shipped files are right as they are."""
    text = example("gcks.yaml").replace("operators: null", "operators: nobodys-group")
    assert check_server(write(directory, example("gcks.yaml"))).problems == ()
    for name in ("lib/gcks/gcks.sqlite", "log/gcks/audit.log"):
        assert f"/var/{name}" in text
        text = text.replace(f"/var/{name}", f"/var/none/{name}")
    text = text.replace("/run/gcks/", "/run/none/")
    found = {p.key: p.text for p in check_server(write(directory, text)).problems}
    assert "groupadd" in found.pop("control.operators")
    assert found.keys() == {"store.path", "audit.path", "control.path"}
    assert all("there is no directory for /" in one for one in found.values())


def test_a_directory_that_the_asker_may_not_see_is_no_error(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`gcks check` by an ordinary user: Path.is_dir raises where a directory may not be entered."""
    path = write(directory, example("gcks.yaml").replace("/var/log/gcks/", "/root/gcks/"))
    is_dir = Path.is_dir

    def closed(self: Path) -> bool:
        if self == Path("/root/gcks"):
            raise PermissionError(13, "Permission denied")
        return is_dir(self)

    monkeypatch.setattr(Path, "is_dir", closed)
    report = check_server(path)
    (problem,) = report.problems
    assert report.usable and problem.warning and problem.key == "audit.path"
    assert "as root, or as the daemon's user" in problem.remedy


@pytest.mark.parametrize(
    ("name", "load", "remedy"),
    [
        ("member.yaml", load_server, "gcks-member run --config"),
        ("gcks.yaml", load_member, "gcks serve"),
    ],
)
def test_the_other_programs_configuration_is_one_line(
    directory: Path, name: str, load: Callable[[Path], object], remedy: str
) -> None:
    path = write(directory, example(name))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert re.fullmatch(f".*: this configures a .*; start it with: {remedy} .*", str(caught.value))


@pytest.mark.parametrize("name", ["gcks.yaml", "member.yaml"])
def test_an_installed_configuration_is_checked_from_any_shell(
    directory: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Credentials are where LoadCredential= finds them: beside the file, as in /etc/gcks."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    (directory / name).write_text(example(name))
    done = CliRunner().invoke(app, ["check", str(directory / name)])
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert done.exit_code == 0, done.output
    assert "warning: " not in done.output
    (directory / "gm1.psk").unlink()
    (directory / "member.psk").unlink()
    assert CliRunner().invoke(app, ["check", str(directory / name)]).exit_code == 1
