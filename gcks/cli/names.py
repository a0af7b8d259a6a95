"""Names that the shell completes: asked of the running server, silent without one.

What is typed already counts: the --socket, the group, names that need no second time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from glob import escape
from itertools import islice
from typing import Any, Final

import typer

from gcks.cli.client import Client, socket_path
from gcks.errors import LocalError

MAX_NAMES: Final = 50
"""Offered for what is typed; who has more types more."""
PATIENCE_SECONDS: Final = 1.0
"""For all of it: a shell waits."""


def groups(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the names of groups."""
    with suppress(LocalError), _client(ctx) as client:
        answer = client.ask("show", what="groups")
        names = (row["group"] for row in answer["groups"])
        return [*islice((name for name in names if name.startswith(incomplete)), MAX_NAMES)]
    return []


def members(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the identities of members of the group that is typed."""
    return _names(ctx, incomplete, "members")


def matching(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete a pattern by what it is looked for in: members, senders or exclusions."""
    # Behind an option without its value yet, words that were typed are left where they were.
    typed = (*ctx.args, ctx.params.get("what"))
    what = next((str(word) for word in typed if word in _FIELDS), None)
    return _names(ctx, incomplete, what) if what is not None else []


def exclusions(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the names under which an operator shut somebody out of the group."""
    return _names(ctx, incomplete, "exclusions")


def events(incomplete: str) -> list[str]:
    """Complete the names of events."""
    from gcks.daemon.control.event_lines import EVENT_NAMES

    return sorted(name for name in EVENT_NAMES if name.startswith(incomplete))


_FIELDS: Final = {"members": "identity", "senders": "identity", "exclusions": "name"}
"""What can be shown by a pattern -> the field that the pattern is for."""


def _names(ctx: typer.Context, incomplete: str, what: str) -> list[str]:
    if ctx.params.get("certificate") is not None:
        return []
    known = set(ctx.params.get("names") or ())
    with suppress(LocalError), _client(ctx) as client:
        rows = _asked(client, what, ctx.params.get("group"), incomplete)
        fresh = (row[_FIELDS[what]] for row in rows if _can_be_named(row))
        return [*islice((name for name in fresh if name not in known), MAX_NAMES)]
    return []


def _can_be_named(row: dict[str, Any]) -> bool:
    """Leave out certificates, which their files name, and what the configuration excludes."""
    return row.get("kind", "identity") == "identity" and row.get("excluded_at", "") is not None


def _asked(client: Client, what: str, group: str | None, begin: str) -> Iterator[dict[str, Any]]:
    """Yield what begins so, page by page, while there is time."""
    match = f"{escape(begin)}*" if begin else None
    start: int | None = 0
    until = time.monotonic() + PATIENCE_SECONDS
    while start is not None and time.monotonic() < until:
        answer = client.ask(
            "show", what=what, group=group, match=match, start=start, limit=MAX_NAMES
        )
        yield from answer[what]
        start = answer["next"]


def _client(ctx: typer.Context) -> Client:
    return Client(socket_path(ctx.params.get("socket")), seconds=PATIENCE_SECONDS)
