"""The values that configurations are made of, with units: 15m, hex:..., fqdn:gm1.example."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gcks.daemon.config.notation import (
    Notation,
    either,
    one_of,
    text,
    write_size,
    write_time,
)
from gcks.datagrams import Endpoint
from gcks.errors import Unfit
from gcks.wire.identification import Identity

_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h|d|w)")
_SIZE_UNITS: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20}
_SIZE: Final = re.compile(r"([0-9]{1,9})(B|KiB|MiB)?")
_PORTS: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_MAX_PORT: Final = 65535
_MAX_SECONDS: Final = 10 * 365 * 86400
_PROTOCOLS: Final = {"any": 0, "icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58}


def _duration(value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match = _DURATION.fullmatch(str(value))
    if number:
        seconds = float(max(-1, min(value, 2 * _MAX_SECONDS)))
    elif match is not None:
        seconds = float(match[1]) * _UNITS[match[2]]
    else:
        raise Unfit(f"{value!r} is no duration", "write it such as 30s, 15m, 12h or 7d")
    if not 0 <= seconds <= _MAX_SECONDS:
        raise Unfit(f"{value!r} is out of range", "a duration is 0 to ten years")
    return seconds


def _duration_or_auto(value: Any) -> float | None:
    try:
        return None if value == "auto" else _duration(value)
    except Unfit as error:
        raise Unfit(error.reason, f"{error.remedy}, or auto") from None


def _whole_duration(value: Any) -> int:
    seconds = _duration(value)
    if seconds != int(seconds):
        raise Unfit(f"{value!r} is not whole seconds", "write it such as 30s, 15m or 12h")
    return int(seconds)


def _octets(value: Any) -> int:
    """Read a size: octets, or with a unit such as 64KiB."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(str(value))
    if match is None:
        raise Unfit(f"{value!r} is no size", "write it such as 1200 or 64KiB")
    return int(match[1]) * _SIZE_UNITS[match[2] or "B"]


def _identity(value: str) -> str:
    if not value.isascii():
        raise Unfit(f"{value!r}: identities are ASCII", "write other octets as keyid:hex:...")
    return str(Identity.parse(value))


def _pattern(value: str) -> str:
    if not value.isprintable():
        raise Unfit(f"{value!r}: a pattern has printable characters only", "take the others out")
    kind, colon, rest = value.partition(":")
    if not colon or not rest:
        reason = f"{value!r} has no kind, colon and name"
        raise Unfit(reason, "write it such as fqdn:gm*.example")
    if not set("*?[") & set(rest):
        return _identity(value)
    if kind == "*":
        return value
    _identity(f"{kind}:hex:00" if kind in ("dn", "gn") else f"{kind}:{_without_glob(kind)}")
    return value


def _without_glob(kind: str) -> str:
    return {"ipv4": "192.0.2.1", "ipv6": "2001:db8::1"}.get(kind, "name")


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        reason = f"{value!r} is no IP address, and names are not looked up"
        raise Unfit(reason, "write it such as 192.0.2.1 or 2001:db8::1") from None


def _endpoint(value: Any) -> Endpoint:
    host, colon, port = str(value).rpartition(":")
    if not colon or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) <= _MAX_PORT:
        reason = f"{value!r} is no address with a port"
        raise Unfit(reason, "write it such as 127.0.0.1:9848 or [::1]:9848")
    return Endpoint(_address(host.strip("[]")), int(port))


def _ports(value: Any) -> tuple[int, int]:
    if value == "any":
        return 0, _MAX_PORT
    match = _PORTS.fullmatch(str(value))
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if not first <= last <= _MAX_PORT:
        raise Unfit(f"{value!r} is no port", "write one, a range such as 5000-5010, or any")
    return first, last


def _ip_protocol(value: Any) -> int:
    if isinstance(value, str) and value in _PROTOCOLS:
        return _PROTOCOLS[value]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255:
        return value
    raise Unfit(f"{value!r} is no IP protocol", f"write {', '.join(_PROTOCOLS)}, or 0 to 255")


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as error:
        raise Unfit(str(error), "write an address or a network such as 239.1.0.0/16") from None


def _selector_address(value: str) -> str:
    return value if value == "any" else _network(value)


def _write_ports(ports: tuple[int, int]) -> int | str:
    first, last = ports
    if ports == (0, _MAX_PORT):
        return "any"
    return first if first == last else f"{first}-{last}"


def _write_protocol(number: int) -> int | str:
    return next((name for name, known in _PROTOCOLS.items() if known == number), number)


# --- what an editor is to accept, and how defaults are written ----------------------------

_KINDS: Final = "fqdn|keyid|rfc822|ipv4|ipv6|dn|gn|type[0-9]{1,3}"
_IDENTITIES: Final = ["fqdn:gm1.example", "keyid:demo", "rfc822:a@example", "ipv4:192.0.2.1"]
_TIMES: Final = ["500ms", "30s", "15m", "12h", "7d"]
_SECONDS: Final[dict[str, Any]] = {"type": "number", "minimum": 0}
_NETWORK: Final = "[0-9a-fA-F:.]+(/[0-9.]{1,15})?"
_NETWORKS: Final = ["239.1.0.0/16", "192.0.2.11", "ff3e::/32"]

_TIME: Final = Notation(
    "time", either(_SECONDS, text(_DURATION.pattern), examples=_TIMES), write_time
)
_WHOLE_TIME: Final = Notation(
    "time in whole seconds",
    either({**_SECONDS, "multipleOf": 1}, text(_DURATION.pattern), examples=_TIMES[1:]),
    write_time,
)
_TIME_OR_AUTO: Final = Notation(
    "time or auto",
    either(_SECONDS, text(f"auto|{_DURATION.pattern}"), examples=["auto", *_TIMES[1:3]]),
    lambda seconds: "auto" if seconds is None else write_time(seconds),
)
_A_SIZE: Final = Notation(
    "size",
    either({"type": "integer", "minimum": 0}, text(_SIZE.pattern), examples=[1200, "64KiB"]),
    write_size,
)
_PORTS_SCHEMA: Final = either(
    {"type": "integer", "minimum": 0, "maximum": _MAX_PORT},
    text(f"any|{_PORTS.pattern}"),
    examples=[5004, "5000-5010", "any"],
)
_PROTOCOL_SCHEMA: Final = either(
    one_of(_PROTOCOLS), {"type": "integer", "minimum": 0, "maximum": 255}, examples=["udp", 132]
)
_ENDPOINT_SCHEMA: Final = text(r".+:[0-9]{1,5}", examples=["127.0.0.1:9848", "[::1]:9848"])

Seconds = Annotated[float, BeforeValidator(_duration), Field(ge=0), _TIME]
SecondsOrAuto = Annotated[float | None, BeforeValidator(_duration_or_auto), _TIME_OR_AUTO]
WholeSeconds = Annotated[int, BeforeValidator(_whole_duration), Field(ge=0), _WHOLE_TIME]
Octets = Annotated[int, BeforeValidator(_octets), _A_SIZE]
IdentityText = Annotated[
    str,
    AfterValidator(_identity),
    Notation("identity", text(f"({_KINDS}):.+", examples=_IDENTITIES)),
]
IdentityPattern = Annotated[
    str,
    AfterValidator(_pattern),
    Notation(
        "identity or pattern",
        text(rf"({_KINDS}|\*):.+", examples=["fqdn:gm1.example", "fqdn:branch*.example"]),
    ),
]
Address = Annotated[
    str,
    AfterValidator(_address),
    Notation("IP address", text("[0-9a-fA-F:.]+(%.+)?", examples=["192.0.2.1", "2001:db8::1"])),
]
EndpointText = Annotated[
    Any, BeforeValidator(_endpoint), Notation("address and port", _ENDPOINT_SCHEMA, str)
]
Ports = Annotated[Any, BeforeValidator(_ports), Notation("ports", _PORTS_SCHEMA, _write_ports)]
IpProtocol = Annotated[
    int, BeforeValidator(_ip_protocol), Notation("IP protocol", _PROTOCOL_SCHEMA, _write_protocol)
]
Network = Annotated[
    str,
    AfterValidator(_network),
    Notation("network", text(_NETWORK, examples=_NETWORKS)),
]
SelectorAddress = Annotated[
    str,
    AfterValidator(_selector_address),
    Notation("network or any", text(f"any|{_NETWORK}", examples=["any", *_NETWORKS])),
]
LogLevel = Literal["debug", "info", "warning", "error"]
FileName = Annotated[
    str, Notation("file", text(examples=["server.pem", "${CREDENTIALS_DIRECTORY}/server.key"]))
]
FilePattern = Annotated[
    str, Notation("file pattern", text(examples=["groups/*.yaml", "secrets.yaml"]))
]
Secret = Annotated[
    str,
    Notation(
        "secret",
        text("(hex|file):.+", examples=["file:${CREDENTIALS_DIRECTORY}/gm1.psk", "hex:${GM1_PSK}"]),
    ),
]
Port = Annotated[int, Field(ge=1, le=_MAX_PORT)]
PortOrAny = Annotated[int, Field(ge=0, le=_MAX_PORT)]
