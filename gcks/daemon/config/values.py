"""The values that configurations are made of, with units: 15m, hex:..., fqdn:gm1.example."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field

from gcks.outcome import Endpoint
from gcks.wire.identification import Identity

_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_PORTS: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_MAX_PORT: Final = 65535
_PROTOCOLS: Final = {"any": 0, "icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58}


def _duration(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError("write a duration such as 30s, 15m, 12h or 7d")
    if isinstance(value, int | float):
        return float(value)
    found = _DURATION.fullmatch(str(value))
    if found is None:
        raise ValueError(f"{value!r} is no duration; write it such as 30s, 15m, 12h or 7d")
    return float(found[1]) * _UNITS[found[2]]


def _whole_duration(value: Any) -> int:
    seconds = _duration(value)
    if seconds != int(seconds):
        raise ValueError("must be whole seconds")
    return int(seconds)


def _identity(value: str) -> str:
    return str(Identity.parse(value))


def _pattern(value: str) -> str:
    kind, colon, rest = value.partition(":")
    if not colon or not rest:
        raise ValueError(f"{value!r}: write a kind, a colon and a name, such as fqdn:gm*.example")
    if not set("*?[") & set(rest):
        return _identity(value)
    if kind == "*":
        return value
    _identity(f"{kind}:hex:00" if kind in ("dn", "gn") else f"{kind}:{_without_glob(kind)}")
    return value


def _without_glob(kind: str) -> str:
    return {"ipv4": "192.0.2.1", "ipv6": "2001:db8::1"}.get(kind, "name")


def _address(value: str) -> str:
    return str(ipaddress.ip_address(value))


def _endpoint(value: str) -> Endpoint:
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdigit() or int(port) > _MAX_PORT:
        raise ValueError(f"{value!r}: write address:port, such as 127.0.0.1:9848 or [::1]:9848")
    return Endpoint(_address(host.strip("[]")), int(port))


def _ports(value: Any) -> tuple[int, int]:
    if value == "any":
        return 0, _MAX_PORT
    found = _PORTS.fullmatch(str(value))
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if not first <= last <= _MAX_PORT:
        raise ValueError(f"{value!r}: write a port, a range such as 5000-5010, or any")
    return first, last


def _ip_protocol(value: Any) -> int:
    if isinstance(value, str) and value in _PROTOCOLS:
        return _PROTOCOLS[value]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255:
        return value
    raise ValueError(f"{value!r}: write {', '.join(_PROTOCOLS)} or a number to 255")


def _selector_address(value: str) -> str:
    return value if value == "any" else str(ipaddress.ip_network(value))


Seconds = Annotated[float, BeforeValidator(_duration), Field(ge=0)]
WholeSeconds = Annotated[int, BeforeValidator(_whole_duration), Field(ge=0)]
IdentityText = Annotated[str, AfterValidator(_identity)]
IdentityPattern = Annotated[str, AfterValidator(_pattern)]
Address = Annotated[str, AfterValidator(_address)]
EndpointText = Annotated[Any, BeforeValidator(_endpoint)]
Ports = Annotated[Any, BeforeValidator(_ports)]
IpProtocol = Annotated[int, BeforeValidator(_ip_protocol)]
SelectorAddress = Annotated[str, AfterValidator(_selector_address)]
Port = Annotated[int, Field(ge=1, le=_MAX_PORT)]
PortOrAny = Annotated[int, Field(ge=0, le=_MAX_PORT)]
