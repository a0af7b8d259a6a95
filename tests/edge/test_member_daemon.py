"""A member daemon's life as an operator sees it: begin, leave, stop, trouble."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon_process import MEMBER, Daemon
from tests.support.free_ports import free_port
from tests.support.site import GROUP, Site

IDLE = "ike: {idle: 1s}\n"
"""Of the server: it closes the IKE SA before anybody leaves."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    site.config.write_text(site.text() + IDLE)
    yield site
    for daemon in site.daemons:
        daemon.stop(signal.SIGKILL)


def events(site: Site, kind: str) -> list[dict[str, Any]]:
    """Return what the server told of that kind."""
    lines = [json.loads(line) for line in site.daemons[0].text.splitlines() if line[0] == "{"]
    return [line for line in lines if line["event"] == kind]


def join_for_long(site: Site) -> tuple[Daemon, Daemon, tuple[str, str]]:
    """Start a server and a member, and wait until there is no IKE SA between them."""
    server, member = site.serve(), site.join("gm1")
    member.says("registered ")
    at_socket = ("--socket", str(site.directory / "gm1.sock"))
    for _ in range(100):
        if json.loads(site.member("status", "--json", *at_socket))["ike_sa"] == "none":
            return server, member, at_socket
    raise AssertionError("the IKE SA stays")


def test_leaving_is_told_to_the_server_and_recorded(site: Site) -> None:
    """RFC 9838 section 2.3.2: also long after the IKE SA was closed."""
    _, member, at_socket = join_for_long(site)
    assert "which the server knows" in site.member("leave", *at_socket)
    assert member.process.wait(20) == 0
    (left,) = events(site, "member_left")
    assert (left["identity"], left["group"]) == ("fqdn:gm1.test", GROUP)
    assert site.ask("show", "members")["members"] == []
    entries = map(json.loads, (site.directory / "audit.log").read_text().splitlines())
    assert [one["identity"] for one in entries if one["event"] == "member_left"] == [
        "fqdn:gm1.test"
    ]
    assert "left_group" in member.text and "an operator's order to leave" in member.text
    assert "member_stopping" in member.text and "Traceback" not in member.text


def test_a_server_that_cant_be_told_is_an_error_and_the_member_ends(site: Site) -> None:
    server, member, at_socket = join_for_long(site)
    server.stop(signal.SIGKILL)
    text = site.member("leave", *at_socket, code=1)
    assert "left here, but the server" in text and "no answer within 5 s" in text
    assert "gcks exclude" in text
    assert member.process.wait(20) == 0
    assert "server_not_told" in member.text


def test_a_stop_is_no_departure(site: Site) -> None:
    """A restart must not cost the group a rekey."""
    _, member, _ = join_for_long(site)
    assert member.stop() == 0
    assert events(site, "member_left") == []
    assert len(site.ask("show", "members")["members"]) == 1
    assert "stopped by SIGTERM" in member.text
    assert "left_group" in member.text and "operator" not in member.text


def test_both_say_what_they_are_and_why_they_end(site: Site) -> None:
    server, member = site.serve(), site.join("gm1")
    member.says("registered ")
    assert member.stop(signal.SIGINT) == server.stop() == 0
    (started,) = events(site, "server_started")
    assert started["config"] == str(site.config) and started["groups"] == 1
    assert started["listening"] == [
        f"127.0.0.1 udp {site.port}", f"127.0.0.1 udp {site.natt}",
    ]  # fmt: skip
    (stopping,) = events(site, "server_stopping")
    assert (stopping["cause"], stopping["failed"]) == ("stopped by SIGTERM", False)
    assert stopping["level"] == "info"
    text = member.text
    assert text.count("member_started") == text.count("member_stopping") == 1
    assert text.index("member_started") < text.index("registering")
    assert f"config={site.directory / 'gm1.yaml'}" in text and "stopped by SIGINT" in text
    assert f"server=127.0.0.1:{site.port}" in text


def test_a_wrong_interface_is_found_before_anybody_registers(site: Site) -> None:
    site.serve()
    member = site.join("gm1", "interface: nosuch0")
    assert member.process.wait(20) == 1
    (line,) = member.text.splitlines()
    assert line.startswith("gcks-member: local.interface: there is no interface nosuch0")
    assert "lo (127.0.0.1" in line
    assert events(site, "member_registered") == []


def test_a_data_plane_that_fails_is_seen_everywhere(site: Site) -> None:
    hook = site.directory / "hook"
    hook.write_text("#!/bin/sh\ncat >/dev/null\necho no such algorithm >&2\nexit 1\n")
    hook.chmod(0o755)
    site.serve()
    file = site.directory / "gm1.yaml"
    site.join("gm1").says("registered ")
    site.daemons.pop().stop()
    text = file.read_text().replace("kind: none", f"kind: exec, command: [{hook}]")
    listen = f"127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    file.write_text(text + f"metrics: {{listen: '{listen}'}}\n")
    member = Daemon([*MEMBER, "--config", str(file)], site.directory / "failing.log")
    site.daemons.append(member)
    member.says("data_plane_failed")
    assert "command=install" in member.text
    shown = site.member("status", "--socket", str(site.directory / "gm1.sock"), "--json")
    (membership,) = json.loads(shown)["memberships"]
    assert membership["sas_not_installed"] == 1
    assert "no such algorithm" in membership["last_error"]
    with urllib.request.urlopen(f"http://{listen}/metrics", timeout=10) as answer:
        page = answer.read().decode()
    assert 'gcks_member_data_plane_failures_total{command="install"} 1.0' in page
    assert f'gcks_member_data_sas_not_installed{{group="{GROUP}"}} 1.0' in page
