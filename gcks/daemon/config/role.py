"""Which of the two programs a configuration is for."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from gcks.daemon.config.problems import ConfigError, Problem


class Role(StrEnum):
    SERVER = "key server"
    MEMBER = "group member"


_STARTED_BY: Final = {
    Role.SERVER: "gcks serve {}",
    Role.MEMBER: "gcks-member run --config {}",
}


def role_of(content: Mapping[str, Any]) -> Role:
    """Only a member's has an identity at the top, only a server's says where it listens."""
    return Role.MEMBER if "identity" in content and "listen" not in content else Role.SERVER


def refuse_others(content: Mapping[str, Any], path: Path, expected: Role) -> None:
    """Raise `ConfigError`, in one line, for what is clearly the other program's."""
    role = role_of(content)
    if role is not expected and (role is Role.MEMBER or "listen" in content):
        remedy = f"start it with: {_STARTED_BY[role].format(path)}"
        raise ConfigError([Problem(str(path), 0, "", f"this configures a {role}", remedy)])
