"""Frozen records of what happened; the edge turns them into log lines and metrics.

Nothing here holds a secret.  `remote` is "address:port" or "[address]:port";
identities and groups are in their text form ("fqdn:gm1.example").

What comes to an end has one word for each kind of ending.  Names in logs are stable, so
that two of them keep an older word:

- A datagram is *dropped*: no answer, and nothing has changed.
- A request, a registration or an order is *refused*: the answer is an error.
- A registration is *abandoned*: the peer has begun and never proved who it is.
- A member's attempt to register has *failed*: it is made again.
- An IKE SA is *closed*, or *rekeyed* where a new one took over.
- An SA of a group *ends* (`sa_deleted`), as does a certificate that expires or is revoked.
- A group *starts over* (all its SAs end, everybody registers again) or *ends*
  (`group_removed`): the configuration doesn't name it any more.
- A member *leaves* a group, whatever the cause: it wanted to, was excluded, or its
  certificate ended.  *Excluded* is who may not come back until an operator readmits it;
  *locked out* who can't, because the policy asks for more than it can do.
- A daemon *stops*.

On the wire and in a data plane SAs are *deleted* and *removed*: the RFC's word and the kernel's.
"""

from __future__ import annotations

from typing import Final

from gcks.events import (
    base,
    daemon_events,
    group_events,
    member_events,
    operator_events,
    server_events,
)
from gcks.events.base import *
from gcks.events.daemon_events import *
from gcks.events.group_events import *
from gcks.events.member_events import *
from gcks.events.operator_events import *
from gcks.events.server_events import *

PARTS: Final = (
    base, daemon_events, server_events, group_events, operator_events, member_events,
)  # fmt: skip
KINDS: Final[tuple[type[base.Event], ...]] = tuple(
    kind
    for part in PARTS
    for kind in vars(part).values()
    if isinstance(kind, type) and "name" in vars(kind) and issubclass(kind, base.Event)
)
"""Every kind of event.  What has no name is a base."""
