"""Answers on screens: wide, narrow, without colour, and in a pipe."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from gcks.cli.layout import print_fields, print_rows
from gcks.cli.tables import render, render_event

END = "2036-11-21T09:17:14+00:00"
MEMBERS = {
    "schema_version": 1,
    "group": "keyid:demo",
    "members": [
        {
            "identity": f"fqdn:{name}.example", "group": "keyid:demo",
            "address": "192.0.2.11", "role": "sender",
            "rekeyed_by": "multicast", "sender_ids": [3, 4], "fragments": True,
            "registered_at": "2026-11-24T09:17:16+00:00", "certificate_ends": ends,
        }
        for name, ends in (("gm1", None), ("a-member-with-a-long-name", END))
    ],
    "next": None,
}  # fmt: skip
SERVER = {
    "schema_version": 1, "version": "0.1.0", "identity": "fqdn:gcks.example",
    "listening": [f"192.0.2.1 udp {port}" for port in (500, 848, 4500)] * 2, "ike_sas": 0,
    "uptime_seconds": 7200.0,
}  # fmt: skip
EVENT = {
    "schema_version": 1, "at": "2026-11-24T09:17:16.5+00:00", "event": "registration_refused",
    "group": "keyid:demo", "cause": "the pre-shared keys differ", "hint": "compare\x1b[2J both",
}  # fmt: skip


def shown(answer: dict[str, Any], width: int, *, terminal: bool = True) -> list[str]:
    screen = io.StringIO()
    console = Console(file=screen, width=width, force_terminal=terminal, no_color=True)
    (render_event if "event" in answer else render)(answer, console)
    text = screen.getvalue().replace("\x1b[0m", "").replace("\x1b[1m", "").replace("\x1b[2m", "")
    return [line.rstrip() for line in text.splitlines()]


@pytest.mark.parametrize("answer", [MEMBERS, SERVER, EVENT], ids=["rows", "fields", "event"])
@pytest.mark.parametrize("width", [48, 60, 80, 120, 160])
def test_no_line_is_wider_than_the_screen_and_no_word_broken(
    answer: dict[str, Any], width: int
) -> None:
    lines = shown(answer, width)
    assert max(map(len, lines)) <= width
    whole = " ".join(" ".join(lines).split())
    for word in ("fqdn:a-member-with-a-long-name.example", "2036-11-21 09:17:14Z"):
        assert word in whole or answer is not MEMBERS
    assert "192.0.2.1 udp 4500" in whole or answer is not SERVER


def test_what_fits_is_a_table() -> None:
    title, first, second = shown(MEMBERS, 160)
    assert title.split()[:3] == ["identity", "group", "address"]
    assert first.index("192.0.2.11") == second.index("192.0.2.11") == title.index("address")
    assert first.endswith("-")


def test_what_does_not_fit_names_every_value_without_colour() -> None:
    lines = shown(MEMBERS, 80)
    assert lines[0] == "fqdn:gm1.example"
    assert lines[1].startswith("    group: keyid:demo  address: 192.0.2.11  role: sender")
    assert "certificate ends" not in " ".join(lines[1:3]), "nothing to say"
    assert "certificate ends: 2036-11-21 09:17:14Z" in " ".join(lines)


def test_a_pipe_gets_a_table_of_any_width() -> None:
    assert shown(MEMBERS, 40, terminal=False) == shown(MEMBERS, 160)


def test_fields_have_names_for_people() -> None:
    lines = shown(SERVER, 80)
    assert any(line.startswith("IKE SAs") and line.endswith(" 0") for line in lines)
    assert lines[-1].split() == ["up", "2:00:00"]


def test_an_event_can_not_move_the_cursor() -> None:
    (line,) = shown(EVENT, 200)
    assert line.startswith("2026-11-24 09:17:16Z registration_refused group=keyid:demo cause=")
    assert '"the pre-shared keys differ"' in line
    assert "\x1b" not in line and "\\u001b" in line


def test_nothing_shown_moves_the_cursor_or_begins_a_line() -> None:
    out = io.StringIO()
    console = Console(file=out, width=200)
    print_rows(console, ("name", "by"), [("fqdn:*\x1b[2J\nX", "ann\x9b")])
    print_fields(console, {"name": "a\rb\u202e"})
    lines = out.getvalue().splitlines()
    assert len(lines) == 3 and all(line.isprintable() for line in lines)
    assert "fqdn:*\\x1b[2J\\nX" in lines[1]
