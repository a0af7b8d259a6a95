"""One JSON Schema for all that programs read: what `--json` prints, and the control socket.

`$defs` has an entry for each command, such as `gcks-show-groups` for `gcks show groups`,
and for each kind of line of the socket.  It is written to config/control.schema.json.
"""

from __future__ import annotations

from typing import Any, Final, get_args

from pydantic.json_schema import models_json_schema

from gcks.daemon.config.notation import WithoutTitles
from gcks.daemon.config.schema import DIALECT
from gcks.daemon.control.member_answers import MEMBER_REQUESTS
from gcks.daemon.control.peers import PeerRole
from gcks.daemon.control.requests import PROTOCOL, REQUESTS, ShowRequest
from gcks.daemon.control.views import EventsView, View
from generated_by.answers import MEMBER_VIEWS, VIEWS
from generated_by.check_schema import check_schema
from generated_by.event_schema import event_schema

Schema = dict[str, Any]

_REFERENCE: Final = "#/$defs/{model}"
_ORDERS: Final = ("plan", "reload", "rekey", "exclude", "readmit", "audit", "version")
_MEMBER_ORDERS: Final = ("status", "leave")
PRINTED: Final[dict[str, type[View]]] = {
    **{
        f"gcks-show-{subject}": VIEWS[subject]
        for subject in get_args(ShowRequest.model_fields["what"].annotation)
    },
    **{f"gcks-{order}": VIEWS[order] for order in _ORDERS},
    **{f"gcks-member-{order}": MEMBER_VIEWS[order] for order in _MEMBER_ORDERS},
    "gcks-member-version": VIEWS["version"],
}
"""Command -> what it prints with --json; what isn't a view is below."""


def control_schema() -> Schema:
    """Return the schema; `$defs` only, for others to refer to."""
    views: dict[type[View], None] = dict.fromkeys((*PRINTED.values(), EventsView))
    names, models = models_json_schema(
        [(view, "serialization") for view in views],
        schema_generator=WithoutTitles,
        ref_template=_REFERENCE,
    )
    definitions: Schema = {
        **{name: names[view, "serialization"] for name, view in PRINTED.items()},
        "gcks-check": check_schema(),
        "gcks-member-check": _refer("gcks-check"),
        "gcks-events": _refer("event"),
        "gcks-decode": {"$ref": "decode.schema.json"},
        "hello": _HELLO,
        "request": REQUESTS.json_schema(schema_generator=WithoutTitles),
        "member-request": MEMBER_REQUESTS.json_schema(schema_generator=WithoutTitles),
        "answer": _ANSWER,
        "events-answer": names[EventsView, "serialization"],
        "event": event_schema(),
        **models["$defs"],
    }
    definitions["EventsView"]["properties"]["events"]["items"] = _refer("event")
    for name in ("request", "member-request"):
        definitions |= definitions[name].pop("$defs")
    return {
        "$schema": DIALECT,
        "title": "gcks: what --json prints, and the control socket",
        "description": _ABOUT,
        "$defs": {name: _described(name, definition) for name, definition in definitions.items()},
    }


def _refer(name: str) -> Schema:
    return {"$ref": _REFERENCE.format(model=name)}


def _described(name: str, definition: Schema) -> Schema:
    """Say what an entry of `$defs` is about; models say it themselves."""
    about = _LINES.get(name) or (f"`{_command(name)} --json`" if name.startswith("gcks-") else "")
    definition = {key: value for key, value in definition.items() if key != "$schema"}
    return {"description": about, **definition} if about else definition


def _command(name: str) -> str:
    """Return gcks show groups for gcks-show-groups."""
    program = "gcks-member" if name.startswith("gcks-member-") else "gcks"
    return f"{program}{name.removeprefix(program).replace('-', ' ')}"


_ABOUT: Final = (
    "Of this very version: fields may be added without another schema_version, and are here then."
    " docs/control.md says what is asked and answered."
)
_LINES: Final = {
    "hello": "The first line that a server or member sends",
    "request": "A line to a server",
    "member-request": "A line to a member",
    "answer": "The line that answers a request; `result` is what the command of that name prints",
    "events-answer": "The result of a request for events",
    "event": "A line of events: of `gcks events --json`, and after the answer to who follows them",
}
_HELLO: Final = {
    "type": "object",
    "properties": {
        "hello": {"const": "gcks"},
        "version": {"type": "string"},
        "protocol": {"const": PROTOCOL},
        "role": {"enum": [role.name.lower() for role in PeerRole if role is not PeerRole.NOBODY]},
    },
    "required": ["hello", "version", "protocol", "role"],
    "additionalProperties": False,
}
_ID: Final = {"type": ["integer", "string", "null"]}
_ANSWER: Final = {
    "oneOf": [
        {
            "type": "object",
            "properties": {"id": _ID, "ok": {"const": True}, "result": {"type": "object"}},
            "required": ["id", "ok", "result"],
            "additionalProperties": False,
        },
        {
            "description": "Without `id` it ends the connection, in the place of the first line.",
            "type": "object",
            "properties": {"id": _ID, "ok": {"const": False}, "error": {"type": "string"}},
            "required": ["ok", "error"],
            "additionalProperties": False,
        },
    ]
}
