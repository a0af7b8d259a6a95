"""What a message of the GCKS leads to in a group: judged as a whole before anything changes.

Whoever judges a message reads what is held and returns one of these, or raises, and then
all is as it was.  `GroupMember` carries a decision out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from gcks.events import RegisterAgain, RekeyReceived
from gcks.group.sa_key_log_entry import KeyLogEntry
from gcks.member.delay import Reach
from gcks.member.holding import Holding


class Loss(NamedTuple):
    """What is missing, so that this member has to register again."""

    why: RegisterAgain
    cause: str


@dataclass(frozen=True, slots=True)
class Joined:
    """A registration is accepted."""

    holding: Holding
    """What is held from now on."""
    keys: tuple[KeyLogEntry, ...]
    data_sas: int
    """How many it has brought."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A rekey is followed."""

    holding: Holding
    """What is held from now on."""
    keys: tuple[KeyLogEntry, ...]
    received: RekeyReceived
    loss: Loss | None = None


@dataclass(frozen=True, slots=True)
class Excluded:
    """Every key is to be given up at once (RFC 9838 section 2.4.3)."""

    loss: Loss
    reach: Reach = Reach.EVERYBODY
    received: RekeyReceived | None = None


RekeyDecision = Followed | Excluded
ALL_KEYS_DELETED: Final = Loss(
    RegisterAgain.ALL_KEYS_DELETED, "the server deleted all keys of the group"
)
REKEY_SA_DELETED: Final = Loss(RegisterAgain.REKEY_SA_DELETED, "the Rekey SA was deleted")
NO_SENDER_ID: Final = Loss(RegisterAgain.NO_SENDER_ID, "a counter-mode SA needs a Sender-ID")
