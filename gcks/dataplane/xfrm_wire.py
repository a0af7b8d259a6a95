"""The kernel's XFRM structures (linux/xfrm.h), packed in native order."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

NEWSA: Final = 0x10
DELSA: Final = 0x11
GETSA: Final = 0x12
DELPOLICY: Final = 0x14
GETPOLICY: Final = 0x15
UPDPOLICY: Final = 0x19

MODE_TRANSPORT: Final = 0
MODE_TUNNEL: Final = 1
DIR_IN: Final = 0
DIR_OUT: Final = 1
ALLOW: Final = 0
BLOCK: Final = 1

ATTR_AUTH_TRUNC: Final = 20
ATTR_CRYPT: Final = 2
ATTR_AEAD: Final = 18
ATTR_TEMPLATE: Final = 5

_ANY_ALGORITHM: Final = 0xFFFFFFFF
_INFINITE: Final = 0xFFFFFFFFFFFFFFFF
_ADDRESS_OCTETS: Final = 16
_ATTRIBUTE: Final = Struct("=HH")
_SELECTOR: Final = Struct("=16s16s4HHBBB3xiI")
_ID: Final = Struct("=16s4sB3x")
_LIFETIME: Final = Struct("=8Q")
_SA_TAIL: Final = Struct("=16s64s32x12xIIHBBB7x")
_SA_ID: Final = Struct("=16s4sHBx")
_POLICY_TAIL: Final = Struct("=64s32xIIBBBB4x")
_POLICY_ID: Final = Struct("=56sIB3x")
_TEMPLATE: Final = Struct("=24sH2x16sIBBBx3I")
_ALGORITHM: Final = Struct("=64sI")
_ALGORITHM_TRUNC: Final = Struct("=64sII")

_REQID_AT: Final = 208
_PRIORITY_AT: Final = 152
_POLICY_DIR_AT: Final = 160
_U32: Final = Struct("=I")


def pack_address(address: str) -> bytes:
    """Return xfrm_address_t: 16 octets, the first four for IPv4."""
    return ipaddress.ip_address(address).packed.ljust(_ADDRESS_OCTETS, b"\0")


def family_of(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def any_address(family: int) -> str:
    return "::" if family == socket.AF_INET6 else "0.0.0.0"  # noqa: S104


@dataclass(frozen=True, slots=True)
class Selector:
    """Networks and ports as the kernel takes them: prefixes, and one port or any (None)."""

    family: int
    source: str
    source_prefix: int
    destination: str
    destination_prefix: int
    protocol: int
    source_port: int | None
    destination_port: int | None

    def encode(self) -> bytes:
        ports = [*_port(self.destination_port), *_port(self.source_port)]
        return _SELECTOR.pack(
            pack_address(self.destination),
            pack_address(self.source),
            *ports,
            self.family,
            self.destination_prefix,
            self.source_prefix,
            self.protocol,
            0,
            0,
        )


def _port(port: int | None) -> tuple[int, int]:
    return (0, 0) if port is None else (socket.htons(port), 0xFFFF)


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One of the algorithm attributes; `truncated_bits` is the ICV's size where given."""

    attribute: int
    name: str
    key: bytes = field(repr=False)
    truncated_bits: int | None = None

    def encode(self) -> bytes:
        name, bits = self.name.encode(), len(self.key) * 8
        if self.truncated_bits is None:
            content = _ALGORITHM.pack(name, bits) + self.key
        else:
            content = _ALGORITHM_TRUNC.pack(name, bits, self.truncated_bits) + self.key
        return attribute(self.attribute, content)


@dataclass(frozen=True, slots=True)
class State:
    """An SA as the kernel keeps it, known by (destination, SPI, protocol)."""

    protocol: int
    spi: bytes
    source: str
    destination: str
    mode: int
    reqid: int
    replay_window: int
    lifetime_seconds: int
    algorithms: tuple[Algorithm, ...]

    def encode(self) -> bytes:
        family = family_of(self.destination)
        limits = _LIFETIME.pack(*[_INFINITE] * 4, 0, self.lifetime_seconds, 0, 0)
        selector = Selector(
            family=family,
            source=any_address(family),
            source_prefix=0,
            destination=any_address(family),
            destination_prefix=0,
            protocol=0,
            source_port=None,
            destination_port=None,
        ).encode()
        head = selector + _ID.pack(pack_address(self.destination), self.spi, self.protocol)
        tail = _SA_TAIL.pack(
            pack_address(self.source), limits, 0, self.reqid, family, self.mode,
            self.replay_window, 0,
        )  # fmt: skip
        return head + tail + b"".join(a.encode() for a in self.algorithms)


def state_id(destination: str, spi: bytes, protocol: int) -> bytes:
    """Return xfrm_usersa_id."""
    return _SA_ID.pack(pack_address(destination), spi, family_of(destination), protocol)


@dataclass(frozen=True, slots=True)
class Template:
    """What a policy asks for; an SPI of zeros means any."""

    protocol: int
    spi: bytes
    source: str
    destination: str
    mode: int
    reqid: int

    def encode(self) -> bytes:
        identifier = _ID.pack(pack_address(self.destination), self.spi, self.protocol)
        content = _TEMPLATE.pack(
            identifier, family_of(self.destination), pack_address(self.source), self.reqid,
            self.mode, 0, 0, *[_ANY_ALGORITHM] * 3,
        )  # fmt: skip
        return attribute(ATTR_TEMPLATE, content)


def policy(
    selector: Selector, direction: int, action: int, priority: int, template: Template | None
) -> bytes:
    """Return xfrm_userpolicy_info with its template."""
    limits = _LIFETIME.pack(*[_INFINITE] * 4, 0, 0, 0, 0)
    tail = _POLICY_TAIL.pack(limits, priority, 0, direction, action, 0, 0)
    return selector.encode() + tail + (template.encode() if template else b"")


def policy_id(selector_octets: bytes, direction: int) -> bytes:
    """Return xfrm_userpolicy_id."""
    return _POLICY_ID.pack(selector_octets, 0, direction)


def attribute(kind: int, content: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(content)
    return _ATTRIBUTE.pack(length, kind) + content + bytes(-length % 4)


# --- reading dumps ----------------------------------------------------------------------


def dumped_state_reqid(info: bytes) -> int:
    return int(_U32.unpack_from(info, _REQID_AT)[0])


def dumped_state_id(info: bytes) -> bytes:
    """Return the xfrm_usersa_id that deletes a dumped state."""
    identifier = info[_SELECTOR.size : _SELECTOR.size + _ID.size]
    address, spi, protocol = _ID.unpack(identifier)
    (family,) = Struct("=H").unpack_from(info, _REQID_AT + 4)
    return _SA_ID.pack(address, spi, family, protocol)


def dumped_policy_priority(info: bytes) -> int:
    return int(_U32.unpack_from(info, _PRIORITY_AT)[0])


def dumped_policy_id(info: bytes) -> bytes:
    """Return the xfrm_userpolicy_id that deletes a dumped policy."""
    return policy_id(info[: _SELECTOR.size], info[_POLICY_DIR_AT])
