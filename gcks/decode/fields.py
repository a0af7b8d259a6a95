"""Small pieces that several payloads share: octets, identities, transforms, selectors."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from gcks.crypto.signature import BY_IDENTIFIER, PKCS1_V15
from gcks.decode.model import Item
from gcks.iana import ProtocolId, Sn, TransformType
from gcks.wire.attribute import Attribute
from gcks.wire.identification import Identity
from gcks.wire.traffic_selector import MAX_PORT, SecurityLabel, Selector, TrafficSelector
from gcks.wire.transform import Transform

_SHOWN_OCTETS: Final = 64
"""Octets of a field that are shown in hexadecimal; the rest is only counted."""
_IP_PROTOCOLS: Final = {0: "any protocol", 1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6"}

_SN_MEANINGS: Final = {
    Sn.SEQUENTIAL_32: "32-bit sequential sequence numbers",
    Sn.PARTIAL_64: "lower part of 64-bit sequential numbers",
    Sn.UNSPECIFIED_32: "32-bit numbers that need not be unique: no replay protection",
}


def octets_text(octets: bytes) -> str:
    """Return octets in hexadecimal, long ones cut."""
    if len(octets) <= _SHOWN_OCTETS:
        return octets.hex() or "empty"
    return f"{octets[:_SHOWN_OCTETS].hex()}... ({len(octets)} octets)"


def count_text(octets: bytes) -> str:
    return f"{len(octets)} octets"


def printable(text: str) -> str:
    """Keep what a peer wrote from moving the reader's cursor."""
    return text if text.isprintable() else ascii(text)


def protocol_text(protocol: int) -> str:
    return str(ProtocolId(protocol))


def identity_text(identity: Identity) -> str:
    return printable(str(identity))


def signature_name(identifier: bytes) -> str:
    """Name an AlgorithmIdentifier (RFC 7427 appendix A)."""
    known = BY_IDENTIFIER.get(identifier) or PKCS1_V15.get(identifier)
    return known.name if known is not None else f"AlgorithmIdentifier {octets_text(identifier)}"


def transform_item(transform: Transform) -> Item:
    """Explain one transform: its type, its name with the key length, its attributes."""
    name, _, value = str(transform).partition("=")
    if transform.type == TransformType.SN and transform.id in _SN_MEANINGS:
        value += f": {_SN_MEANINGS[Sn(transform.id)]}"
    if transform.signature_algorithm:
        value += f", {signature_name(transform.signature_algorithm)}"
    return Item(name, value, tuple(map(unknown_attribute, transform.others)))


def unknown_attribute(attribute: Attribute) -> Item:
    return Item(f"attribute {attribute.type}", f"unknown, {octets_text(attribute.value)}")


def selector_text(selector: Selector) -> str:
    """Return a Traffic Selector as people write it: 239.0.0.0/8 UDP port 5000."""
    if isinstance(selector, SecurityLabel):
        return f"security label {label_text(selector.label)}"
    protocol = _IP_PROTOCOLS.get(selector.ip_protocol, f"protocol {selector.ip_protocol}")
    return f"{_addresses(selector)}, {protocol}, {_ports(selector)}"


def label_text(label: bytes) -> str:
    """Return a security label (RFC 9478), which on Linux is a text that ends with NUL."""
    text = label.removesuffix(b"\0").decode("ascii", "replace")
    return text if text.isprintable() and text else octets_text(label)


def _addresses(selector: TrafficSelector) -> str:
    first, last = ip_address(selector.start_address), ip_address(selector.end_address)
    if first == last:
        return str(first)
    differ = int(first) ^ int(last)
    if differ & (differ + 1) or int(first) & differ:
        return f"{first}-{last}"
    prefix = first.max_prefixlen - differ.bit_length()
    return f"{first}/{prefix}" if prefix else f"any IPv{first.version} address"


def _ports(selector: TrafficSelector) -> str:
    start, end = selector.start_port, selector.end_port
    if (start, end) == (0, MAX_PORT):
        return "any port"
    if (start, end) == (MAX_PORT, 0):
        return "OPAQUE ports"
    return f"port {start}" if start == end else f"ports {start}-{end}"
