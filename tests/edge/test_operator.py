"""The operator's commands against a running server: what they print, and what they do."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from gcks.cli.client import Client
from gcks.crypto.certificate_reading import REFERENCE_OCTETS
from generated_by.answers import MEMBER_VIEWS
from generated_by.event_schema import event_schema
from tests.support.daemon_process import SERVE, Daemon
from tests.support.pem_authority import PemAuthority
from tests.support.site import GROUP, Site
from tests.support.waiting import wait_for


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    for daemon in site.daemons:
        daemon.stop(signal.SIGKILL)


@pytest.fixture
def crowd(site: Site) -> list[Daemon]:
    """A server with three members."""
    site.serve()
    members = [site.join(f"gm{number}") for number in (1, 2, 3)]
    for member in members:
        member.says("registered ")
    return members


def test_everything_can_be_shown(site: Site, crowd: list[Daemon]) -> None:
    server = site.ask("show", "server")
    assert (server["groups"], server["members"], server["admission"]) == (1, 3, "open")
    (group,) = site.ask("show", "groups")["groups"]
    assert (group["group"], group["members"], group["key_management"]) == (GROUP, 3, "lkh")
    members = site.ask("show", "members")["members"]
    assert {one["identity"] for one in members} == {f"fqdn:gm{n}.test" for n in (1, 2, 3)}
    assert {one["role"] for one in members} == {"sender"}
    rekey, data = site.ask("show", "sas", "--group", GROUP)["sas"]
    assert (rekey["name"], data["name"]) == ("rekey", "one")
    assert data["replay"].startswith("unprotected: many senders")
    (row,) = site.ask("show", "rekeys")["rekeys"]
    assert (row["next_message_id"], row["authentication"]) == (0, "ed25519")
    assert len(site.ask("show", "senders")["senders"]) == 3
    (kind,) = site.ask("show", "census")["census"]
    assert kind["members"] == 3 and any("ESP" in one for one in kind["announced"])
    assert site.ask("show", "exclusions")["exclusions"] == []
    assert len(site.ask("show", "members", "--match", "fqdn:gm[12].*")["members"]) == 2
    for subject in ("server", "groups", "members", "sas", "rekeys", "senders", "census"):
        assert GROUP in site.gcks("show", subject) or subject in ("server", "members")
    assert site.gcks("show", "exclusions") == "none\n"
    assert any(one["document"] == "RFC 9838" for one in site.ask("show", "features")["features"])
    assert "x25519" in site.gcks("show", "features")
    assert crowd[0].stop() == 0


def test_a_plan_is_said_and_then_done(site: Site, crowd: list[Daemon]) -> None:
    """The file on disk is planned, and nothing changes until the reload."""
    assert "nothing changes" in site.gcks("plan")
    spi = site.ask("show", "sas")["sas"][1]["spi"]
    site.write(suite="aes128gcm16")
    (planned,) = site.ask("plan")["groups"]
    assert planned["renewed"] == ["one"] and planned["grace_seconds"] == 2.5
    assert site.ask("show", "sas")["sas"][1]["spi"] == spi
    assert "rekey: renewed one" in site.gcks("plan")
    other = site.directory / "other.yaml"
    other.write_text(site.text(keys="simple"))
    assert "all 3 members have to register again" in site.gcks("plan", str(other))
    site.ask("reload")
    assert site.ask("show", "sas")["sas"][1]["spi"] != spi
    for member in crowd:
        member.says("rekey_received")
        assert "reregistering" not in member.text


def test_what_can_not_be_reloaded_is_said_before(site: Site) -> None:
    server = site.serve()
    site.config.write_text(site.text().replace("gcks.sqlite", "other.sqlite"))
    assert "store.path can only change by restart" in site.gcks("plan", code=1)
    assert "restart gcks" in site.gcks("reload", code=1)
    site.config.write_text(site.text(suite="rot13"))
    assert "rot13" in site.gcks("plan", code=1)
    assert "rot13" in site.gcks("reload", code=1)
    assert "rot13" in site.gcks("plan", str(site.config), code=1)
    assert server.process.poll() is None


def test_a_reload_names_the_groups_that_follow_later(site: Site) -> None:
    server = site.serve()
    slow = site.text().replace("spread: 500ms", "authentication: rsa-pss, spread: 500ms")
    site.config.write_text(slow)
    assert GROUP in site.gcks("reload")  # its RSA key takes a while to make
    server.says('"protocol": "GIKE_UPDATE"', 2)
    assert GROUP not in site.gcks("reload")


def test_a_member_is_excluded_and_readmitted(site: Site, crowd: list[Daemon]) -> None:
    outlook = site.ask("exclude", GROUP, "fqdn:gm2.test", "--dry-run")
    assert (outlook["excluded"], outlook["starts_over"]) == (["fqdn:gm2.test"], False)
    assert len(site.ask("show", "members")["members"]) == 3
    site.ask("exclude", GROUP, "fqdn:gm2.test", "--now")
    for member in (crowd[0], crowd[2]):
        member.says("rekey_received", 2)
        assert "reregistering" not in member.text
    assert "rekey_received" not in crowd[1].text
    (row,) = site.ask("show", "exclusions")["exclusions"]
    assert (row["name"], row["kind"]) == ("fqdn:gm2.test", "identity")
    assert "uid" in row["by"]
    assert crowd[1].stop() == 0
    again = site.join("gm2")
    again.says("AUTHORIZATION_FAILED")
    assert "is not excluded" in site.gcks("readmit", GROUP, "fqdn:gm7.test", code=1)
    site.gcks("readmit", GROUP, "fqdn:gm2.test")
    again.says("registered ")


def test_exclusions_come_in_pages_and_by_a_pattern(site: Site) -> None:
    site.serve()
    names = [f"fqdn:out{number}.test" for number in range(5)]
    site.gcks("exclude", GROUP, *names)
    found: list[str] = []
    start: int | None = 0
    with Client(site.directory / "control.sock") as client:
        while start is not None:
            page = client.ask("show", what="exclusions", start=start, limit=2)
            found += [row["name"] for row in page["exclusions"]]
            start = page["next"]
            assert len(page["exclusions"]) == (2 if start else 1)
    assert found == names
    (row,) = site.ask("show", "exclusions", "--match", "fqdn:out[4-9]*")["exclusions"]
    assert row["name"] == names[4]


def test_what_troubles_everybody_wants_a_yes(site: Site) -> None:
    site.write(keys="simple")
    server = site.serve()
    site.join("gm1").says("registered ")
    site.join("gm2").says("registered ")
    assert "say --yes" in site.gcks("exclude", GROUP, "fqdn:gm1.test", code=1)
    assert "group_started_over" not in server.text
    site.gcks("exclude", GROUP, "fqdn:gm1.test", "--yes")
    server.says("group_started_over")


def test_a_rekey_by_hand_and_events(site: Site, crowd: list[Daemon]) -> None:
    follower = Daemon(
        [
            sys.executable,
            "-m",
            "gcks",
            "events",
            "--follow",
            "--json",
            "--last",
            "3",
            "--socket",
            str(site.directory / "control.sock"),
        ],
        site.directory / "events.log",
    )
    site.daemons.append(follower)
    wait_for(lambda: follower.text.count("\n") >= 3, "the past")
    site.gcks("rekey", GROUP)
    follower.says('"event": "rekey_sent"')
    crowd[0].says("rekey_received")
    lines = [json.loads(line) for line in follower.text.splitlines()]
    for line in lines:
        Draft202012Validator(event_schema()).validate(line)
    past = site.gcks("events", "--last", "1000").splitlines()
    assert any(" member_registered " in one and "identity=fqdn:gm1.test" in one for one in past)
    assert len(site.gcks("events", "-n", "2").splitlines()) == 2


def test_a_member_tells_its_state_and_leaves(site: Site, crowd: list[Daemon]) -> None:
    socket = ("--socket", str(site.directory / "gm1.sock"))
    answer = json.loads(site.member("status", "--json", *socket))
    Draft202012Validator(MEMBER_VIEWS["status"].model_json_schema()).validate(answer)
    assert answer["identity"] == "fqdn:gm1.test"
    (held,) = answer["memberships"]
    assert (held["state"], len(held["data_sas"])) == ("registered", 1)
    text = site.member("status", *socket)
    assert GROUP in text and "registered" in text
    assert "leaves" in site.member("leave", *socket)
    assert crowd[0].process.wait(20) == 0
    assert len(site.ask("show", "members")["members"]) == 2
    assert "no member at" in site.member("status", *socket, code=3)


def test_who_did_what_is_recorded_and_verified(site: Site, crowd: list[Daemon]) -> None:
    """The audit log names who was admitted and what the operator ordered."""
    del crowd
    site.gcks("rekey", GROUP)
    site.gcks("exclude", GROUP, "fqdn:gm2.test", "--now")
    site.gcks("reload")
    file = site.directory / "audit.log"
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    admitted = [one["identity"] for one in entries if one["event"] == "member_registered"]
    assert sorted(admitted) == [f"fqdn:gm{n}.test" for n in (1, 2, 3)]
    orders = [(one["order"], one["by"]) for one in entries if one["event"] == "operator_ordered"]
    assert [order for order, _ in orders] == ["rekey", "reload"]
    assert all("uid" in by for _, by in orders)
    (excluded,) = [one for one in entries if one["event"] == "operator_excluded"]
    assert excluded["names"] == ["fqdn:gm2.test"]
    assert "unbroken" in site.gcks("audit", str(file))
    site.daemons[0].stop()
    checkpoint = [
        json.loads(line)
        for line in site.daemons[0].text.splitlines()
        if '"audit_checkpoint"' in line
    ][-1]
    at = f"{checkpoint['number']}:{checkpoint['hash']}"
    assert "unbroken" in site.gcks("audit", str(file), "--checkpoint", at)
    whole = file.read_text()
    file.write_text("\n".join(whole.splitlines()[:-1]) + "\n")
    assert "cut off" in site.gcks("audit", str(file), "--checkpoint", at, code=1)
    file.write_text(whole.replace("gm3", "gm9"))
    verdict = json.loads(site.gcks("audit", str(file), "--json", code=1))
    assert "doesn't follow" in verdict["problem"]


def test_a_wrong_interface_is_named_on_either_side(site: Site) -> None:
    """The tenth row of tests/exchange/test_misconfigured.py."""
    site.serve()
    member = site.join("gm1", "interface: nosuch0")
    assert member.process.wait(20) == 1
    assert "nosuch0" in member.text and "local.interface" in member.text
    site.daemons[0].stop()
    text = site.text().replace("spread: 500ms", "spread: 500ms, interface: nosuch0")
    site.config.write_text(text)
    server = Daemon([*SERVE, str(site.config)], site.directory / "server.log")
    assert server.process.wait(20) == 1
    assert "nosuch0" in server.text and "rekey.interface" in server.text


SECOND = """
  - id: keyid:other
    members: [{{identity: 'fqdn:gm*.test'}}]
    rekey: {{address: '239.255.84.79', port: {rekey_port}, source_port: {port}}}
    data_sas: [{{name: two, destination: '239.255.84.80'}}]
"""


def test_members_of_all_groups_are_shown_together(site: Site) -> None:
    site.config.write_text(site.text() + SECOND.format(**vars(site)))
    site.serve()
    site.join("gm1").says("registered ")
    answer = site.ask("show", "members")
    assert [(row["identity"], row["group"]) for row in answer["members"]] == [
        ("fqdn:gm1.test", GROUP)
    ]
    assert answer["group"] == ""
    assert [row["group"] for row in site.ask("show", "senders")["senders"]] == [GROUP]
    one = json.loads(site.gcks("show", "members", "--group", "keyid:other", "--json"))
    assert (one["group"], one["members"]) == ("keyid:other", [])


def test_errors_name_the_remedy(site: Site) -> None:
    assert "start it" in site.gcks("show", "groups", code=3)
    site.serve()
    assert f"there is {GROUP}" in site.gcks("rekey", "keyid:nope", code=1)
    assert "either identities or --certificate" in site.gcks("exclude", GROUP, code=2)
    assert "No such file" in site.gcks(
        "exclude", GROUP, "--certificate", "/nonexistent.pem", code=2
    )


def test_who_is_excluded_by_certificate_is_named(site: Site) -> None:
    """The server keeps a hash; people read the subject, and the serial number."""
    PemAuthority(site.directory).leaf("member", "gm7.test")
    site.serve()
    exclude = ("exclude", GROUP, "--certificate", str(site.directory / "member.pem"))
    site.gcks(*exclude)
    (row,) = site.ask("show", "exclusions")["exclusions"]
    assert row["kind"] == "certificate" and len(bytes.fromhex(row["name"])) == REFERENCE_OCTETS
    assert re.fullmatch(r"CN=gm7\.test, serial [0-9a-f]+", row["about"])
    assert row["about"] in site.gcks("show", "exclusions")
    site.daemons.pop().stop()
    site.serve()
    assert site.ask("show", "exclusions")["exclusions"] == [row]
    site.gcks("readmit", *exclude[1:])
    assert site.ask("show", "exclusions")["exclusions"] == []


def test_a_killed_server_comes_back_with_its_socket(site: Site) -> None:
    site.serve().stop(signal.SIGKILL)
    assert "start it" in site.gcks("show", code=3)
    site.serve()
    assert site.ask("show", "server")["groups"] == 1
