"""Log lines as fields of the systemd journal: `journalctl -u gcks GCKS_EVENT=registration_refused`.

systemd.journal-fields(7) and JOURNAL_NATIVE_PROTOCOL say how.  MESSAGE is the
whole line, every field stands beside it as GCKS_NAME.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from functools import partial
from typing import Any, Final

import structlog
from logging_journald import JournaldTransport, check_journal_stream

from gcks.daemon.log_queue import LOG_QUEUE

PREFIX: Final = "GCKS_"
_PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""syslog(3)."""
_as_text = structlog.processors.LogfmtRenderer(
    key_order=["event"], drop_missing=True, bool_as_flag=False
)

Line = MutableMapping[str, Any]


def to_journal() -> bool:
    """Say whether standard error leads to the journal: a service's does."""
    try:
        return check_journal_stream()
    except (OSError, ValueError):
        return False  # no standard error, or a JOURNAL_STREAM that isn't one


def as_fields(_: Any, __: str, line: Line) -> dict[str, object]:
    """Return a line of structlog as the fields of a journal entry."""
    fields: dict[str, object] = {"PRIORITY": _PRIORITIES[line.pop("level")]}
    fields |= {PREFIX + name.upper(): _plain(value) for name, value in line.items()}
    return {"MESSAGE": as_text(line).removeprefix("event="), **fields}


def as_text(fields: Mapping[str, object]) -> str:
    """Return fields in one line, name=value; values with spaces stand in quotes."""
    return _as_text(None, "", {name: _plain(value) for name, value in fields.items()})


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


class JournalLogger:
    """Takes fields and sends them as one entry; the keys go on without a journal."""

    def __init__(self, identifier: str) -> None:
        self._identifier = identifier
        self._transport = JournaldTransport(connected=False)

    def msg(self, **fields: object) -> None:
        entry = (*fields.items(), ("SYSLOG_IDENTIFIER", self._identifier))
        octets = sum(len(str(value)) for value in fields.values())
        LOG_QUEUE.put(partial(self._transport.send, entry), octets)

    debug = info = warning = error = critical = msg
