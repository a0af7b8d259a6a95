"""docs/events.md: every event with its fields, and every other line of the log.

Made of the classes in gcks.events, their docstrings and those of their fields, so that a
change of what others rely on shows in the page.
"""

from __future__ import annotations

import ast
import inspect
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields
from enum import Enum
from textwrap import wrap
from typing import Any, Final

from gcks import events as e
from gcks.daemon import audit_notes
from gcks.daemon.control.event_lines import MISSED
from gcks.errors import DropReason, RefusalReason

_COLUMNS: Final = 118
_PARTS: Final = (*e.PARTS, audit_notes)
_FIELDS: Final = {
    "group": "the group",
    "identity": "whom it is about",
    "remote": "its address and port",
    "server": "the key server's address and port",
    "cause": "why, in one sentence",
    "hint": "what to do about it",
    "members": "how many the group has now",
    "method": "how it proved who it is",
    "protocol": "`ESP`, `AH`, or `GIKE_UPDATE` for the Rekey SA",
    "spi": "in hexadecimal",
    "message_id": "of the GSA_REKEY message",
    "notify": "the notification that it was answered with",
    "reason": "why, in a word",
    "version": "of gcks",
    "config": "the configuration file",
    "failed": "whether it ends because it can't go on",
    "by": "the user, as the kernel names it: `ann (uid 1000)`",
}
"""What fields mean that are the same everywhere; others say it themselves."""
_KINDS: Final[Mapping[Any, str]] = {
    str: "text", int: "whole number", float: "number", bool: "`true` or `false`",
    tuple[str, ...]: "list of texts", tuple[int, ...]: "list of whole numbers",
}  # fmt: skip
_WORDS: Final = frozenset({DropReason, RefusalReason, e.RegisterAgain, e.SaChange})
"""Whose values are ours, and listed; others have the names of IANA's registries."""
_SECTIONS: Final = {
    "Of both programs": lambda kind: not issubclass(kind, e.ServerEvent | e.MemberEvent),
    "Of a key server": lambda kind: issubclass(kind, e.ServerEvent),
    "Of a member": lambda kind: issubclass(kind, e.MemberEvent),
}
_OPENING: Final = (
    "What stands in the log, in the journal (`GCKS_EVENT=...`, each field as `GCKS_NAME`), in"
    " `gcks events` and, where it says so, in the audit log. Names of events and fields, and the"
    " words that a `reason` can be, are stable: a name that changes or goes away is in"
    " CHANGELOG.md; new ones may be added. Fields that are empty texts are left out."
)

_LEFT_OUT: Final = (
    "Of an event that strangers can cause, few lines are written in a second. How many were left"
    " out is said as soon as something happens in a later second."
)


def page() -> str:
    """Return docs/events.md.  Raises KeyError where nothing says what a field means."""
    told = field_docstrings()
    lines = [
        "<!-- Made by docs/generate of gcks/events and gcks/daemon/audit_notes.py. -->",
        "",
        "# Events and other lines of the log",
        "",
        *wrap(_OPENING, _COLUMNS),
        "",
    ]
    for title, belongs in _SECTIONS.items():
        lines += [f"## {title}", ""]
        for kind in sorted(filter(belongs, e.KINDS), key=lambda one: one.name):
            lines += [*_event(kind, told[kind.__name__]), ""]
    lines += [*_others(), *_only_audited(told), ""]
    return "\n".join(lines)


def field_docstrings() -> dict[str, dict[str, str]]:
    """Return class -> field -> the text below the field."""
    classes = [one for part in _PARTS for one in ast.parse(inspect.getsource(part)).body]
    return {one.name: _texts_below(one) for one in classes if isinstance(one, ast.ClassDef)}


def _texts_below(owner: ast.ClassDef) -> dict[str, str]:
    found: dict[str, str] = {}
    for before, after in zip(owner.body, owner.body[1:], strict=False):
        if (
            isinstance(before, ast.AnnAssign)
            and isinstance(before.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[before.target.id] = " ".join(str(after.value.value).split())
    return found


# --- events -----------------------------------------------------------------------------


def _event(kind: type[e.Event], told: Mapping[str, str]) -> Iterator[str]:
    yield f"### `{kind.name}`"
    yield ""
    text = " ".join((inspect.getdoc(kind) or "").split())
    notes = [_level(kind)]
    if kind.limit is not None:
        notes.append(f"Few lines a second for each `{kind.limit.by}`.")
    if kind.audited:
        notes.append("Also in the audit log.")
    yield from wrap(f"{_linked(text)} *{' '.join(notes)}*", _COLUMNS)
    yield ""
    hints = typing.get_type_hints(kind)
    for field in fields(kind):
        meaning = told.get(field.name) or _FIELDS[field.name]
        yield from _item(field.name, _kind(hints[field.name]), meaning)


def _level(kind: type[e.Event]) -> str:
    text = f"Level {kind.usual_level.name.lower()}"
    if "level" not in vars(kind):
        return f"{text}."
    return f"{text}; {_uncapitalized(inspect.getdoc(vars(kind)['level']) or '')}"


def _item(name: str, kind: str, meaning: str) -> list[str]:
    text = f"- `{name}` ({kind}): {_uncapitalized(_linked(meaning.rstrip('.')))}"
    return wrap(text, _COLUMNS, subsequent_indent="  ", break_on_hyphens=False)


def _linked(text: str) -> str:
    return re.sub(r"\b([a-z]+\.md)\b", r"[\1](\1)", text)


def _uncapitalized(text: str) -> str:
    """Begin a text in the middle of a sentence, unless its first word is a name."""
    first = text.split()[0]
    return text if first[1:] != first[1:].lower() else text[0].lower() + text[1:]


def _kind(hint: Any) -> str:
    if not (isinstance(hint, type) and issubclass(hint, Enum)):
        return _KINDS[hint]
    if hint in _WORDS:
        return "one of " + ", ".join(f"`{one.value}`" for one in hint)
    return "a name of IANA's registry"


# --- other lines ------------------------------------------------------------------------


def _others() -> Iterator[str]:
    yield from (
        "## Other lines",
        "",
        *wrap(_LEFT_OUT, _COLUMNS),
        "",
        "| line | level | of | fields |",
        "| --- | --- | --- | --- |",
    )
    for kind in e.KINDS:
        if kind.limit is not None:
            level, by = kind.usual_level.name.lower(), kind.limit.by
            of = "server" if issubclass(kind, e.ServerEvent) else "both"
            told = f"`{by}`: of those; `count`: how many were left out"
            yield f"| `{kind.name}_not_logged` | {level} | {of} | {told} |"
    yield from (
        "",
        f"Who reads `gcks events` too slowly is told how many it missed: `{MISSED}`, with `count`.",
        "",
    )


def _only_audited(told: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    yield from ("## Only in the audit log", "", "| line | when | fields |", "| --- | --- | --- |")
    for note in audit_notes.NOTES:
        meanings = told[note.__name__].items()
        texts = (f"`{name}`: {_uncapitalized(text.rstrip('.'))}" for name, text in meanings)
        yield f"| `{note.name}` | {inspect.getdoc(note)} | {'; '.join(texts)} |"
