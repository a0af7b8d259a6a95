"""The exit codes of every command: one table, of which manual pages, --help and docs are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DONE: Final = 0
REFUSED: Final = 1
USAGE: Final = 2
"""typer's own."""
NO_DAEMON: Final = 3

_USAGE: Final = "the command line is wrong"
_NO_SERVER: Final = "no server answers"
_NO_MEMBER: Final = "no member answers"
_CHECK: Final = {
    DONE: "usable, perhaps with warnings",
    REFUSED: "not usable: standard output says why",
    USAGE: _USAGE,
}
_VERSION: Final = {DONE: "printed", USAGE: _USAGE}

EXITS: Final[Mapping[str, Mapping[str, Mapping[int, str]]]] = {
    "gcks": {
        "serve": {
            DONE: "told to stop",
            REFUSED: "can't start, or can't go on",
            USAGE: _USAGE,
        },
        "check": _CHECK,
        "plan": {
            DONE: "a reload would be taken over",
            REFUSED: "a reload would be refused: standard output says what needs a restart, "
            "standard error what is wrong with the file",
            USAGE: _USAGE,
            NO_DAEMON: _NO_SERVER,
        },
        "reload": {
            DONE: "taken over",
            REFUSED: "refused, and nothing has changed",
            USAGE: _USAGE,
            NO_DAEMON: _NO_SERVER,
        },
        "show": {
            DONE: "shown",
            REFUSED: "no such group, or you may not look",
            USAGE: _USAGE,
            NO_DAEMON: _NO_SERVER,
        },
        "rekey": {
            DONE: "the group has new keys",
            REFUSED: "no such group, or you may not give orders",
            USAGE: _USAGE,
            NO_DAEMON: _NO_SERVER,
        },
        "exclude": {
            DONE: "shut out; with --dry-run: said what would happen",
            REFUSED: "no such group, you may not give orders, or all others would have to "
            "register again and you didn't say yes",
            USAGE: _USAGE,
            NO_DAEMON: _NO_SERVER,
        },
        "readmit": {
            DONE: "may register again",
            REFUSED: "not excluded under that name, no such group, or you may not give orders",
            USAGE: _USAGE,
            NO_DAEMON: _NO_SERVER,
        },
        "events": {
            DONE: "printed; with --follow: interrupted",
            REFUSED: "you may not look, or 32 programs are asking already",
            USAGE: _USAGE,
            NO_DAEMON: "no server answers; with --follow: it has ended",
        },
        "audit": {
            DONE: "unbroken",
            REFUSED: "broken: standard output says where; or a file that can't be read",
            USAGE: _USAGE,
        },
        "decode": {
            DONE: "explained",
            REFUSED: "not readable; or a damaged capture: standard output explains the part that "
            "could be read",
            USAGE: _USAGE,
        },
        "demo": {
            DONE: "the end, or interrupted",
            REFUSED: "something didn't happen as it should",
            USAGE: _USAGE,
        },
        "version": _VERSION,
    },
    "gcks-member": {
        "run": {
            DONE: "told to stop, or told to leave",
            REFUSED: "can't start, or can't go on",
            USAGE: _USAGE,
        },
        "check": _CHECK,
        "status": {
            DONE: "shown",
            REFUSED: "you may not look, or 32 programs are asking already",
            USAGE: _USAGE,
            NO_DAEMON: _NO_MEMBER,
        },
        "leave": {
            DONE: "the member leaves and ends",
            REFUSED: "you may not give orders, or 32 programs are asking already",
            USAGE: _USAGE,
            NO_DAEMON: _NO_MEMBER,
        },
        "version": _VERSION,
    },
}
"""Program -> command -> code -> what it means there."""


def sentence(program: str, command: str) -> str:
    """Say the codes of one command in a sentence, without the one that is everywhere."""
    codes = EXITS[program][command].items()
    return ", ".join(f"{code} ({text})" for code, text in codes if code != USAGE)
