"""What is configured: one record that all parts of the front look into."""

from __future__ import annotations

from dataclasses import dataclass

from gcks.ike.credentials import Credentials
from gcks.keyserver.settings import ServerSettings


@dataclass(slots=True)
class Configured:
    """A reload replaces what is in it."""

    settings: ServerSettings
    credentials: Credentials
