"""The lines of the log that are no events: a table of what the daemons write by themselves.

A test holds it against the calls of the loggers; docs/events.md is made of it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gcks.daemon.audit import LOST
from gcks.daemon.audit_chain import TORN

BOTH: Final = "both"
SERVER: Final = "server"
MEMBER: Final = "member"

_CAUSE: Final = "why, in one sentence"


class Line(NamedTuple):
    level: str
    by: str
    """Who writes it."""
    when: str
    fields: dict[str, str]
    """Name -> meaning."""


LINES: Final[dict[str, Line]] = {
    "credentials_renewed": Line(
        "info", BOTH, "Certificates, CRLs, OCSP responses or keys were read again.",
        {"files": "those that had changed"},
    ),
    "credentials_not_renewed": Line(
        "error", BOTH, "They could not be: what was read before still counts.",
        {"files": "those that had changed", "cause": _CAUSE},
    ),
    "rekey_not_sent": Line(
        "error", SERVER, "A copy of a GSA_REKEY did not leave.",
        {
            "group": "the group; missing where only its old address is known",
            "destination": "that address",
            "cause": _CAUSE,
        },
    ),
    "sockets_not_used": Line(
        "warning", SERVER, "The service manager passed sockets that no listener is for.",
        {"sockets": "their addresses", "hint": "what to do"},
    ),
    "no_control_socket": Line(
        "warning", BOTH, "The control socket, at its default path, could not be opened.",
        {"cause": _CAUSE},
    ),
    "keys_are_logged": Line(
        "critical", BOTH, "At every start with `--key-log`.", {"warning": "what that means"}
    ),
    "internal_error": Line(
        "error", BOTH, "A bug of gcks, which didn't stop it; at most one line in ten seconds.",
        {"doing": "what failed", "cause": "error and place", "more": "how many were not told"},
    ),
    "log_lines_lost": Line(
        "warning", BOTH, "Nobody took the lines of the log, and there was no more room for them.",
        {"count": "how many were lost"},
    ),
    "audit_checkpoint": Line(
        "info", SERVER, "At the start, every hour and at the end: [audit.md](audit.md).",
        {"path": "the audit log", "number": "of its newest line", "hash": "SHA-256 of that line"},
    ),
    "audit_failed": Line(
        "error", SERVER, "The audit log could not be written or opened again, or can be once more.",
        {"path": "the audit log", "cause": f"{_CAUSE}; `over` when lines are written again"},
    ),
}  # fmt: skip

AUDIT_LINES: Final[dict[str, Line]] = {
    "audit_opened": Line("", SERVER, "The server has opened the log.", {"version": "of gcks"}),
    TORN: Line(
        "", SERVER, "The line before it was cut off by a crash or a full disk.",
        {"octets": "its length"},
    ),
    LOST: Line(
        "", SERVER, "There is room on the disk again.", {"count": "how many lines were lost"}
    ),
    "refusals_not_recorded": Line(
        "", SERVER, "More registrations were refused in a second than are recorded.",
        {"count": "how many were left out"},
    ),
}  # fmt: skip
"""Lines that only the audit log has."""
