"""`gcks check`: what is wrong with a configuration, all of it, without starting anything."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gcks.daemon.config.loaded import ServerConfig
from gcks.daemon.config.problems import ConfigError, Problem
from gcks.daemon.config.server_file import read_server

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Report:
    """Every problem of one file; usable if none is an error."""

    file: str
    problems: tuple[Problem, ...]
    config: ServerConfig | None

    @property
    def usable(self) -> bool:
        return self.config is not None


def check_server(path: Path) -> Report:
    """Check a key server's configuration; never raises for what is in the file."""
    try:
        config, findings = read_server(path)
    except ConfigError as error:
        return Report(str(path), error.problems, None)
    return Report(str(path), tuple(findings.problems), config)


def describe(report: Report) -> str:
    """Return one line per problem, and a summary."""
    lines = [str(problem) for problem in report.problems]
    if report.config is not None:
        groups = report.config.groups
        sas = sum(len(group.data_sas) for group in groups.values())
        lines.append(f"{report.file}: usable; {len(groups)} groups, {sas} Data-Security SAs")
    return "\n".join(lines)


def describe_json(report: Report) -> dict[str, Any]:
    """Return the report as JSON-ready data."""
    return {
        "schema_version": SCHEMA_VERSION,
        "file": report.file,
        "usable": report.usable,
        "problems": [dataclasses.asdict(problem) for problem in report.problems],
    }
