"""Answers as text: which fields make which columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from rich.console import Console

from gcks.cli.layout import print_event, print_fields, print_points, print_rows


class Column(NamedTuple):
    title: str
    field: str
    text: Callable[[Any], str] = str


def _list(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values)) or "-"


def _maybe(value: Any) -> str:
    return "-" if value is None or value == "" else str(value)


def _span(seconds: Any) -> str:
    """Seconds as people read them: 42 s, 12:30, 1 day, 2:00:00."""
    if seconds is None:
        return "-"
    return f"{seconds:.0f} s" if seconds < 90 else str(timedelta(seconds=round(seconds)))


def _ago(seconds: Any) -> str:
    return "-" if seconds is None else f"{_span(seconds)} ago"


def _when(at: Any) -> str:
    """Return a time to the second, in UTC; it comes in ISO 8601."""
    if not at:
        return "-"
    return datetime.fromisoformat(at).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _shortened(spi: str) -> str:
    return spi if len(spi) <= 8 else f"{spi[:8]}..."


def _member_sas(sas: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(_member_sa(sa) for sa in sas) or "-"


def _member_sa(sa: Mapping[str, Any]) -> str:
    sends = " sends" if sa["active_outbound"] else ""
    replay = " drops replays" if sa["replay_protection"] else ""
    return f"{sa['protocol']} {sa['spi']}{sends}{replay} ({_span(sa['expires_in_seconds'])})"


TABLES: Final[Mapping[str, tuple[Column, ...]]] = {
    "groups": (
        Column("group", "group"), Column("members", "members"),
        Column("expected", "expected_members", _maybe), Column("senders", "senders"),
        Column("mode", "mode"), Column("keys", "key_management"),
        Column("rekeyed by", "rekeyed_by"), Column("SAs", "data_sas"),
        Column("excluded", "excluded"), Column("Sender-IDs left", "sender_ids_left", _maybe),
        Column("next rekey", "next_rekey_seconds", _span),
    ),
    "members": (
        Column("identity", "identity"), Column("group", "group"),
        Column("address", "address"), Column("role", "role"),
        Column("rekeyed by", "rekeyed_by"), Column("Sender-IDs", "sender_ids", _list),
        Column("registered", "registered_at", _when),
        Column("certificate ends", "certificate_ends", _when),
    ),
    "sas": (
        Column("group", "group"), Column("SA", "name"), Column("SPI", "spi", _shortened),
        Column("state", "state"), Column("senders", "senders"),
        Column("age", "age_seconds", _span), Column("renewed in", "renews_in_seconds", _span),
        Column("ends in", "expires_in_seconds", _span), Column("replay", "replay"),
    ),
    "rekeys": (
        Column("group", "group"), Column("SPI", "spi", _shortened),
        Column("next ID", "next_message_id"), Column("to", "destination"),
        Column("signed", "authentication"), Column("copies", "copies"),
        Column("last sent", "last_sent_at", _when),
        Column("next in", "renews_in_seconds", _span),
        Column("waiting for", "waiting_for", _maybe),
    ),
    "senders": (
        Column("group", "group"), Column("identity", "identity"), Column("address", "address"),
        Column("Sender-IDs", "sender_ids", _list), Column("sends on", "sends_on", _list),
        Column("alone on", "alone_on", _list),
    ),
    "exclusions": (
        Column("group", "group"), Column("kind", "kind"), Column("name", "name"),
        Column("of", "about", _maybe), Column("since", "excluded_at", _when), Column("by", "by"),
    ),
    "features": (
        Column("on", "on", lambda on: "yes" if on else "no"),
        Column("document", "document"), Column("what", "title"),
    ),
    "algorithms": (Column("kind", "kind"), Column("names", "names", _list)),
    "memberships": (
        Column("group", "group"), Column("state", "state"), Column("rekeys", "rekeys"),
        Column("missed", "rekeys_missed"), Column("last rekey", "last_rekey_age_seconds", _ago),
        Column("next ID", "next_message_id"), Column("Sender-IDs", "sender_ids", _list),
        Column("SAs", "data_sas", _member_sas), Column("not installed", "sas_not_installed"),
        Column("registers in", "registers_in_seconds", _span),
        Column("last error", "last_error", _maybe), Column("hint", "hint", _maybe),
    ),
    "census": (
        Column("group", "group"), Column("members", "members"),
        Column("announced", "announced", lambda proposals: "; ".join(proposals) or "nothing"),
    ),
}  # fmt: skip
"""Field of an answer that is a list -> its columns."""


_NAMES: Final = {"ike_sas": "IKE SAs", "ike_sa": "IKE SA", "uptime_seconds": "up"}


def render(answer: Mapping[str, Any], console: Console | None = None) -> None:
    """Print an answer: its list as a table, else field by field."""
    console = console or Console()
    lists = [name for name in TABLES if isinstance(answer.get(name), list)]
    hidden = {"schema_version", "next", *lists, *(("group",) if lists else ())}
    fields = {
        _NAMES.get(name, name.replace("_", " ")): _field(name, value)
        for name, value in answer.items()
        if name not in hidden
    }
    print_fields(console, fields)
    for place, name in enumerate(lists):
        if fields or place:
            console.print()
        columns, rows = TABLES[name], answer[name]
        if rows:
            cells = [[column.text(row[column.field]) for column in columns] for row in rows]
            print_rows(console, [column.title for column in columns], cells)
        else:
            console.print("none")


def _field(name: str, value: Any) -> str:
    if isinstance(value, list):
        return _list(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _span(value) if name.endswith("_seconds") else _maybe(value)


def render_event(event: Mapping[str, Any], console: Console | None = None) -> None:
    """Print a line of `gcks events`."""
    told = {name: value for name, value in event.items() if name not in _HEAD}
    text = " ".join(f"{name}={_quoted(value)}" for name, value in told.items())
    print_event(console or Console(), _when(event["at"]), event["event"], text)


_HEAD: Final = frozenset({"schema_version", "at", "event"})


def _quoted(value: Any) -> str:
    """Write a value so that it stays on its line and shows where it ends."""
    plain = isinstance(value, str) and value.isprintable() and " " not in value and value
    return value if plain else json.dumps(value)


def render_plan(plan: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what a reload would do, group by group."""
    console = console or Console()
    if plan["needs_restart"]:
        what = ", ".join(plan["needs_restart"])
        print_points(console, f"A reload is refused: {what} can only change by restart.")
    if plan["server"]:
        print_points(console, f"server: without any message: {', '.join(plan['server'])}")
    for group in plan["groups"]:
        points = [*group["effects"]] or ["nothing changes"]
        if group["locked_out"] and group["unknown"]:
            unknown = group["unknown"]
            points.append(f"of {unknown} more members nobody knows: they announced nothing")
        print_points(console, f"{group['group']} ({group['members']} members)", points)
