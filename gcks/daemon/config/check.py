"""`check`: what is wrong with a configuration, all of it, without starting anything."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gcks.daemon.config.loaded import MemberConfig, ServerConfig
from gcks.daemon.config.member_file import read_member
from gcks.daemon.config.problems import ConfigError, Problem
from gcks.daemon.config.program import Program, program_of
from gcks.daemon.config.server_file import read_server
from gcks.daemon.config.yaml_source import read_yaml

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Report:
    """Every problem of one file; `summary` says what a usable one configures, else is empty."""

    file: str
    problems: tuple[Problem, ...]
    summary: str

    @property
    def usable(self) -> bool:
        return bool(self.summary)


def check_file(path: Path) -> Report:
    """Check a configuration of either role."""
    try:
        content, _ = read_yaml(path)
    except ConfigError as error:
        return Report(str(path), error.problems, "")
    return check_member(path) if program_of(content) is Program.MEMBER else check_server(path)


def check_server(path: Path) -> Report:
    """Check a key server's configuration; never raises for what is in the file."""
    try:
        config, findings = read_server(path)
    except ConfigError as error:
        return Report(str(path), error.problems, "")
    return Report(str(path), findings.in_order(), _server_summary(config) if config else "")


def check_member(path: Path) -> Report:
    """Check a member's configuration; never raises for what is in the file."""
    try:
        config, findings = read_member(path)
    except ConfigError as error:
        return Report(str(path), error.problems, "")
    return Report(str(path), findings.in_order(), _member_summary(config) if config else "")


def _server_summary(config: ServerConfig) -> str:
    sas = sum(len(group.data_sas) for group in config.groups.values())
    ports = sum(len(listener.ike) + len(listener.natt) for listener in config.listeners)
    return (
        f"{config.settings.identity}, {_count(ports, 'UDP port')}, "
        f"{_count(len(config.groups), 'group')}, {_count(sas, 'Data-Security SA')}"
    )


def _member_summary(config: MemberConfig) -> str:
    settings = config.settings
    return (
        f"{settings.identity}, {_count(len(settings.groups), 'group')} of "
        f"{settings.server_identity} at {settings.server}, data plane {config.data_plane.kind}"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def describe(report: Report) -> str:
    """Return one line per problem, or a summary below the warnings."""
    lines = [str(problem) for problem in report.problems]
    if report.usable:
        lines.append(f"{report.file}: usable: {report.summary}")
    return "\n".join(lines)


def describe_json(report: Report) -> dict[str, Any]:
    """Return the report as JSON-ready data."""
    return {
        "schema_version": SCHEMA_VERSION,
        "file": report.file,
        "usable": report.usable,
        "summary": report.summary,
        "problems": [dataclasses.asdict(problem) for problem in report.problems],
    }
