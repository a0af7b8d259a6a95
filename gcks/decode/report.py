"""Explanations as JSON, as config/decode.schema.json says it."""

from __future__ import annotations

from typing import Any, Final

from gcks.decode.carriers import Carried, Census
from gcks.decode.model import ExplainedPayload, Explanation, Item, SaKeys
from gcks.decode.text import flags_of, kind_of, time_text
from gcks.decode.titles import EXCHANGES
from gcks.iana import ExchangeType, ProtocolId
from gcks.wire.header import Header

SCHEMA_VERSION: Final = 1
"""Of the whole answer; fields may be added without changing it."""


def message_json(explanation: Explanation) -> dict[str, Any]:
    """Return one message."""
    return {
        "number": explanation.number,
        **_carried(explanation.carried),
        "header": None if explanation.header is None else _header(explanation.header),
        "protection": explanation.protection.value,
        "checks": [_item(check) for check in explanation.checks],
        "payloads": [_payload(payload) for payload in explanation.payloads],
        "problem": explanation.problem or None,
        "repeats": explanation.repeats,
    }


def _carried(carried: Carried) -> dict[str, Any]:
    return {
        "packet": carried.packet,
        "time": time_text(carried.time) or None,
        "from": None if carried.source is None else str(carried.source),
        "to": None if carried.destination is None else str(carried.destination),
        "transport": carried.transport,
        "octets": len(carried.octets),
    }


def _header(header: Header) -> dict[str, Any]:
    return {
        "spi_i": header.spi_i.hex(),
        "spi_r": header.spi_r.hex(),
        "version": f"{header.major}.{header.version & 0x0F}",
        "exchange": str(ExchangeType(header.exchange)),
        "exchange_type": header.exchange,
        "kind": kind_of(header),
        "flags": flags_of(header),
        "message_id": header.message_id,
        "reference": EXCHANGES.get(header.exchange),
    }


def _payload(payload: ExplainedPayload) -> dict[str, Any]:
    return {
        "payload": payload.title,
        "name": payload.long_title,
        "reference": payload.reference,
        "octets": payload.octets,
        "critical": payload.critical,
        "problem": payload.problem or None,
        "items": [_item(item) for item in payload.items],
    }


def _item(item: Item) -> dict[str, Any]:
    return {"name": item.name, "value": item.value, "items": [_item(inner) for inner in item.items]}


def report(messages: list[dict[str, Any]], census: Census, group_sas: SaKeys) -> dict[str, Any]:
    """Return the whole answer."""
    return {
        "schema_version": SCHEMA_VERSION,
        "messages": messages,
        "packets": census.packets,
        "esp": [_esp(spi, count, group_sas) for spi, count in sorted(census.esp.items())],
        "left_out": dict(sorted(census.others.items())),
        "problem": census.problem or None,
    }


def _esp(spi: bytes, count: int, group_sas: SaKeys) -> dict[str, Any]:
    known = group_sas.get((ProtocolId.ESP, spi))
    return {"spi": spi.hex(), "packets": count, "group": None if known is None else known.group}
