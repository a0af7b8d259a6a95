"""Explanations as text for people, 80 columns wide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from textwrap import wrap
from typing import Final

from gcks.decode.carriers import Census
from gcks.decode.model import ExplainedPayload, Explanation, Item, Protection, SaKeys
from gcks.decode.titles import EXCHANGES
from gcks.iana import ExchangeType, ProtocolId
from gcks.wire.header import FLAG_INITIATOR, FLAG_RESPONSE, FLAG_VERSION, Header

COLUMNS: Final = 80
_INDENT: Final = 2
_MIN_VALUE_COLUMNS: Final = 24
_FLAGS: Final = (
    (FLAG_INITIATOR, "Initiator"), (FLAG_VERSION, "Version"), (FLAG_RESPONSE, "Response"),
)  # fmt: skip

PROTECTIONS: Final = {
    Protection.CLEAR: "",
    Protection.DECRYPTED: "decrypted",
    Protection.ENCRYPTED: "ENCRYPTED",
    Protection.FRAGMENT: "a fragment, decrypted; the message isn't complete yet",
}


def render(explanation: Explanation) -> Iterator[str]:
    """Yield the lines of one message; an empty line ends it."""
    carried = explanation.carried
    when = time_text(carried.time).replace("+00:00", " UTC")
    packet = f"packet {carried.packet}" if carried.packet is not None else ""
    yield "  ".join(part for part in (f"#{explanation.number}", when, packet) if part)
    if carried.source is not None:
        yield f"{carried.source} -> {carried.destination}"
    yield f"{carried.transport}, {len(carried.octets)} octets"
    if explanation.header is not None:
        yield from _header(explanation.header)
    yield from _state(explanation)
    for payload in explanation.payloads:
        yield from _payload(payload)
    yield ""


def time_text(time: float | None) -> str:
    """Return a capture's time in UTC; a damaged one as the number it is."""
    if time is None:
        return ""
    try:
        return datetime.fromtimestamp(time, UTC).isoformat(" ", "microseconds")
    except (ValueError, OverflowError, OSError):
        return f"time {time:g}"


def kind_of(header: Header) -> str:
    """Tell requests from responses; a GSA_REKEY is neither (RFC 9838 section 2.4.1)."""
    if header.exchange == ExchangeType.GSA_REKEY:
        return "one-way"
    return "response" if header.is_response else "request"


def flags_of(header: Header) -> list[str]:
    """Name the flags that are set (RFC 7296 section 3.1)."""
    known = [name for bit, name in _FLAGS if header.flags & bit]
    reserved = header.flags & ~(FLAG_INITIATOR | FLAG_VERSION | FLAG_RESPONSE)
    return [*known, f"reserved {reserved:#04x}"] if reserved else known


def _header(header: Header) -> Iterator[str]:
    name = f"{ExchangeType(header.exchange)} {kind_of(header)}"
    yield _with_reference(name, EXCHANGES.get(header.exchange, ""), 0)
    flags = ", ".join(flags_of(header)) or "none"
    yield f"  Message ID {header.message_id}, flags {flags}"
    if header.exchange == ExchangeType.GSA_REKEY:
        yield f"  Rekey SA SPI {(header.spi_i + header.spi_r).hex()}"
    else:
        yield f"  SPIi {header.spi_i.hex()}, SPIr {header.spi_r.hex()}"


def _state(explanation: Explanation) -> Iterator[str]:
    if explanation.repeats is not None:
        yield f"  the same octets as #{explanation.repeats}"
    if protection := PROTECTIONS[explanation.protection]:
        yield f"  {protection}"
    yield from _items(explanation.checks, _INDENT)
    if explanation.problem:
        yield from _wrapped("  ! ", explanation.problem)


def _payload(payload: ExplainedPayload) -> Iterator[str]:
    critical = ", critical" if payload.critical else ""
    name = f"{payload.title}  {payload.long_title}{critical}"
    yield _with_reference(name, payload.reference, _INDENT)
    if payload.problem:
        yield from _wrapped(" " * 4 + "! ", payload.problem)
    yield from _items(payload.items, 2 * _INDENT)


def _with_reference(text: str, reference: str, indent: int) -> str:
    """Put where a thing is defined at the right margin."""
    left = " " * indent + text
    return f"{left}{reference:>{max(COLUMNS - len(left), len(reference) + 2)}}".rstrip()


def _items(items: Iterable[Item], indent: int) -> Iterator[str]:
    listed = _merged(items)
    width = max((len(item.name) for item in listed), default=0)
    for item in listed:
        head = " " * indent + f"{item.name:<{width}}  "
        yield from _wrapped(head, item.value)
        yield from _items(item.items, indent + _INDENT)


def _merged(items: Iterable[Item]) -> list[Item]:
    """Put neighbours of one name on one line where their values are single words."""
    listed: list[Item] = []
    for name, same in groupby(items, lambda item: item.name):
        group = list(same)
        if all(item.value and " " not in item.value and not item.items for item in group):
            group = [Item(name, ", ".join(item.value for item in group))]
        listed += group
    return listed


def _wrapped(head: str, value: str) -> Iterator[str]:
    """Yield a value behind its name, its further lines below the first."""
    room = max(COLUMNS - len(head), _MIN_VALUE_COLUMNS)
    first, *further = wrap(value, room, break_on_hyphens=False) or [""]
    yield f"{head}{first}".rstrip()
    for line in further:
        yield " " * len(head) + line


# --- the end --------------------------------------------------------------------------


def render_summary(messages: int, census: Census, group_sas: SaKeys) -> Iterator[str]:
    """Yield what else was in the capture."""
    if census.packets:
        yield f"{messages} IKE messages in {census.packets} packets"
    elif not messages:
        yield "no IKE messages"
    for spi, count in sorted(census.esp.items()):
        known = group_sas.get((ProtocolId.ESP, spi))
        whose = f" of {known.group}" if known is not None else ""
        yield f"{count} ESP packets, SPI {spi.hex()}{whose}"
    for what, count in sorted(census.others.items()):
        yield f"{count} packets left out: {what}"
    if census.problem:
        yield f"! {census.problem}"
