"""Which of the two programs a configuration is for."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from gcks.daemon.config.problems import ConfigError, Problem


class Program(StrEnum):
    """The two programs, as problems name them to operators."""

    SERVER = "key server"
    MEMBER = "group member"


_STARTED_BY: Final = {
    Program.SERVER: "gcks serve {}",
    Program.MEMBER: "gcks-member run --config {}",
}


def program_of(content: Mapping[str, Any]) -> Program:
    """Only a member's has an identity at the top, only a server's says where it listens."""
    return Program.MEMBER if "identity" in content and "listen" not in content else Program.SERVER


def refuse_others(content: Mapping[str, Any], path: Path, expected: Program) -> None:
    """Raise `ConfigError`, in one line, for what is clearly the other program's."""
    program = program_of(content)
    if program is not expected and (program is Program.MEMBER or "listen" in content):
        remedy = f"start it with: {_STARTED_BY[program].format(path)}"
        raise ConfigError([Problem(str(path), 0, "", f"this configures a {program}", remedy)])
