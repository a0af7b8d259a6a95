"""Frozen records of what happened; the edge turns them into log lines and metrics.

Nothing here holds a secret.  `remote` is "address:port" or "[address]:port";
identities and groups are in their text form ("fqdn:gm1.example").
"""

from __future__ import annotations

from typing import Final

from gcks.events import base, member_events, server_events
from gcks.events.base import *
from gcks.events.member_events import *
from gcks.events.server_events import *

KINDS: Final[tuple[type[base.Event], ...]] = tuple(
    kind
    for part in (base, server_events, member_events)
    for kind in vars(part).values()
    if isinstance(kind, type) and "name" in vars(kind) and issubclass(kind, base.Event)
)
"""Every kind of event.  What has no name is a base."""
