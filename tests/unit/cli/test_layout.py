"""Answers on screens: wide, narrow, without colour, and in a pipe."""

from __future__ import annotations

import io
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel
from rich.console import Console

from gcks.cli.layout import print_fields, print_rows
from gcks.cli.tables import TABLES, render, render_event, render_plan
from gcks.daemon.control.member_answers import MemberView
from gcks.daemon.control.views import View
from generated_by.answers import VIEWS

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
    is_plan = "needs_restart" in answer
    (render_event if "event" in answer else render_plan if is_plan else render)(answer, console)
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
    assert "pre-shared keys differ" in whole or answer is not EVENT


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


# --- every answer ---------------------------------------------------------------------------------

OTHER_TEXT = {"version", "audit", "events"}
"""A line of the command's own, or one for each event: above."""
LONG = "dn:CN=gm1,OU=cameras of the northern building,O=Example Organisation for Multicast,C=DE"
REAL = {
    "group": "keyid:video", "identity": LONG, "spi": "5f" * 16, "next_spi": "60" * 16,
    "address": "[2001:db8:1234:5678:9abc:def0:1234:5678]:49152", "protocol": "GIKE_UPDATE",
    "mode": "one_sender", "key_management": "lkh", "rekeyed_by": "multicast",
    "at": END, "registered_at": END, "certificate_ends": END, "last_sent_at": END,
    "excluded_at": END,
    "replay": "unprotected: many senders number their packets by themselves",
    "waiting_for": "exclusions that share a message",
}  # fmt: skip
JSON_ONLY = {
    "groups": {"capacity"},
    "members": {"fragments"},
    "sas": {"protocol", "algorithms", "source", "destination", "next_spi"},
    "rekeys": {"source", "spread_seconds"},
    "memberships": {"rekey_spi", "rekey_address", "registrations"},
}
"""What a screen has no room for."""


def sample(kind: Any, name: str, number: int = 0) -> Any:
    """Return a value of a field, as long as it may get in reality."""
    arguments = [one for one in get_args(kind) if one is not NoneType]
    if get_origin(kind) is list:
        return [sample(arguments[0], name, place) for place in range(2)]
    if get_origin(kind) in (Union, UnionType):
        return sample(arguments[0], name, number)
    if kind is str:
        return REAL.get(name, f"{name.replace('_', ' ')} {number}")
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {n: sample(f.annotation, n, number) for n, f in kind.model_fields.items()}
    return {int: 848_000 + number, float: 86_399.5, bool: True}.get(kind)


def lists(view: type[View]) -> dict[str, type[BaseModel]]:
    """Return the fields that are tables, and their rows."""
    fields = {name: field.annotation for name, field in view.model_fields.items()}
    tables = [name for name, kind in fields.items() if name in TABLES and get_origin(kind) is list]
    return {name: get_args(fields[name])[0] for name in tables if view is not VIEWS["plan"]}


def texts(name: str, answer: dict[str, Any]) -> list[str]:
    """Return what a screen has to show of an answer."""
    if name == "plan":
        groups, options = answer["groups"], [*answer["needs_restart"], *answer["server"]]
        return [*options, *(text for one in groups for text in (one["group"], *one["effects"]))]
    found = [
        column.text(row[column.field])
        for table in lists(ANSWERS[name])
        for row in answer[table]
        for column in TABLES[table]
    ]
    for value in answer.values():
        if isinstance(value, str) or (isinstance(value, list) and isinstance(value[0], str)):
            found += [value] if isinstance(value, str) else value
    return found


ANSWERS = {**VIEWS, "status": MemberView}


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("name", sorted({*ANSWERS} - OTHER_TEXT))
def test_every_answer_fits_the_screen_and_loses_nothing(name: str, width: int) -> None:
    answer = sample(ANSWERS[name], name)
    lines = shown(answer, width)
    assert max(map(len, lines)) <= width, lines
    whole = " ".join(" ".join(lines).split())
    for text in texts(name, answer):
        assert " ".join(text.split()) in whole, lines


@pytest.mark.parametrize("view", ANSWERS.values())
def test_what_has_no_column_is_deliberate(view: type[View]) -> None:
    for name, row in lists(view).items():
        columns = {column.field for column in TABLES[name]}
        assert set(row.model_fields) - columns == JSON_ONLY.get(name, set())
