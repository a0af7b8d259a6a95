"""docs/exit-codes.md: the codes of every command, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from gcks.cli.exits import DONE, EXITS, NO_DAEMON, REFUSED, USAGE

GENERAL: Final = {
    DONE: "done",
    REFUSED: "refused, not possible, or something is wrong. Standard error says what and why; what "
    "check, plan, audit and decode find stands on standard output",
    USAGE: "the command line is wrong",
}
"""What holds for all commands of both programs."""


def page() -> str:
    """Return docs/exit-codes.md."""
    lines = [
        "<!-- Made by docs/generate of gcks/cli/exits.py. -->",
        "",
        "# Exit codes",
        "",
        *(f"- **{code}**: {text}." for code, text in GENERAL.items()),
        f"- **{NO_DAEMON}**: no server, or no member, answers at the control socket.",
        "",
        "A user that the control socket doesn't let in gets 1: the server is there, and refuses.",
    ]
    for program, commands in EXITS.items():
        lines += ["", *_rows(program, commands)]
    return "\n".join(lines) + "\n"


def _rows(program: str, commands: Mapping[str, Mapping[int, str]]) -> Iterator[str]:
    codes = sorted({code for meanings in commands.values() for code in meanings})
    yield f"| {program} | {' | '.join(map(str, codes))} |"
    yield f"| --- |{' --- |' * len(codes)}"
    for command, meanings in commands.items():
        yield f"| `{command}` | {' | '.join(meanings.get(code, '') for code in codes)} |"
