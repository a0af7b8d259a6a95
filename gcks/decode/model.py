"""What `gcks decode` says, as frozen records; the text and the JSON are made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from gcks.decode.carriers import Carried
from gcks.group.sa_key_log_entry import GroupSaKeyLogEntry
from gcks.wire.header import Header

SaKeys = Mapping[tuple[int, bytes], GroupSaKeyLogEntry]
"""Protocol and SPI -> keys of a group SA."""


class Item(NamedTuple):
    """A field: its name in RFC terms, its value for people, and what is inside."""

    name: str
    value: str = ""
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class ExplainedPayload:
    title: str
    """The RFC's notation, such as SAg."""
    long_title: str
    reference: str
    """Where it is defined."""
    octets: int
    """Of the payload, its generic header included."""
    critical: bool = False
    items: tuple[Item, ...] = ()
    problem: str = ""
    """What is malformed, and where."""


class Protection(Enum):
    """How the payloads of a message were protected."""

    CLEAR = "clear"
    DECRYPTED = "decrypted"
    ENCRYPTED = "encrypted"
    """No key fits, or the right one isn't there."""
    FRAGMENT = "fragment"
    """Decrypted; the rest of the message isn't there yet."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One IKE message."""

    number: int
    carried: Carried
    header: Header | None
    protection: Protection = Protection.CLEAR
    checks: tuple[Item, ...] = ()
    """What was verified: integrity, signature, fragments."""
    payloads: tuple[ExplainedPayload, ...] = ()
    problem: str = ""
    repeats: int | None = None
    """The number of the message that has the same octets."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a renderer may need to know beside its payload."""

    exchange: int = 0
    is_response: bool = False
    show_secrets: bool = False
    keys: SaKeys = field(default_factory=dict, repr=False)
