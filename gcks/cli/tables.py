"""Answers as text: tables that a terminal wraps and a pipe doesn't."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text


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
        Column("group", "group"), Column("members", "members"), Column("senders", "senders"),
        Column("mode", "mode"), Column("keys", "key_management"),
        Column("rekeyed by", "rekeyed_by"), Column("SAs", "data_sas"),
        Column("excluded", "excluded"), Column("Sender-IDs left", "sender_ids_left", _maybe),
        Column("next rekey", "next_rekey_seconds", _span),
    ),
    "members": (
        Column("identity", "identity"), Column("address", "address"), Column("role", "role"),
        Column("rekeyed by", "rekeyed_by"), Column("Sender-IDs", "sender_ids", _list),
        Column("registered", "registered_at"),
        Column("certificate ends", "certificate_ends", _maybe),
    ),
    "sas": (
        Column("group", "group"), Column("SA", "name"), Column("SPI", "spi", _shortened),
        Column("state", "state"), Column("senders", "senders"), Column("replay", "replay"),
        Column("age", "age_seconds", _span), Column("renewed in", "renews_in_seconds", _span),
        Column("ends in", "expires_in_seconds", _span),
    ),
    "rekeys": (
        Column("group", "group"), Column("SPI", "spi", _shortened),
        Column("next ID", "next_message_id"), Column("to", "destination"),
        Column("signed", "authentication"), Column("copies", "copies"),
        Column("last sent", "last_sent_at", _maybe),
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
        Column("since", "excluded_at", _maybe), Column("by", "by"),
    ),
    "features": (
        Column("document", "document"), Column("what", "title"),
        Column("on", "on", lambda on: "yes" if on else "no"),
    ),
    "algorithms": (Column("kind", "kind"), Column("names", "names", _list)),
    "memberships": (
        Column("group", "group"), Column("state", "state"), Column("rekeys", "rekeys"),
        Column("next ID", "next_message_id"), Column("Sender-IDs", "sender_ids", _list),
        Column("SAs", "data_sas", _member_sas),
        Column("registers in", "registers_in_seconds", _span),
        Column("last error", "last_error", _maybe),
    ),
    "census": (
        Column("group", "group"), Column("members", "members"),
        Column("announced", "announced", lambda proposals: "; ".join(proposals) or "nothing"),
    ),
}  # fmt: skip
"""Field of an answer that is a list -> its columns."""


def render(answer: Mapping[str, Any]) -> None:
    """Print an answer: its list as a table, else field by field."""
    lists = [name for name in TABLES if isinstance(answer.get(name), list)]
    hidden = {"schema_version", "next", *lists, *(("group",) if lists else ())}
    shown = {name: value for name, value in answer.items() if name not in hidden}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        text = _list(value) if isinstance(value, list) else _maybe(value)
        print(f"{name.replace('_', ' '):<{width}}  {text}")
    for place, name in enumerate(lists):
        if shown or place:
            print()
        _print_table(TABLES[name], answer[name])


def _print_table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        print("none")
        return
    cells = [[column.text(row[column.field]) for column in columns] for row in rows]
    if not sys.stdout.isatty():
        _print_plain([[column.title for column in columns], *cells])
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.title, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    Console().print(table)


def _print_plain(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        print(line.rstrip())


def render_plan(plan: Mapping[str, Any]) -> None:
    """Print what a reload would do, group by group."""
    if plan["needs_restart"]:
        print(
            f"A reload is refused: {', '.join(plan['needs_restart'])} can only change by restart."
        )
    if plan["server"]:
        print(f"server: without any message: {', '.join(plan['server'])}")
    for group in plan["groups"]:
        print(f"{group['group']} ({group['members']} members)")
        for effect in group["effects"] or ["nothing changes"]:
            print(f"  - {effect}")
        if group["locked_out"] and group["unknown"]:
            print(f"  - of {group['unknown']} more members nobody knows: they announced nothing")
