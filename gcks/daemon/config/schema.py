"""The JSON Schema of both files, for editors; what it can't say, `check` does."""

from __future__ import annotations

from typing import Any, Final

from gcks.daemon.config.member_model import MemberFile
from gcks.daemon.config.notation import WithoutTitles
from gcks.daemon.config.server_model import ServerFile

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
TITLES: Final = {False: "gcks.yaml", True: "member.yaml"}


def schema_of(*, member: bool) -> dict[str, Any]:
    """Return the schema of a member's file, or of a server's.

    Every option has a description there, and its default as the file writes it.
    """
    model = MemberFile if member else ServerFile
    schema = model.model_json_schema(schema_generator=WithoutTitles)
    return {"$schema": DIALECT, **schema, "title": TITLES[member]}
