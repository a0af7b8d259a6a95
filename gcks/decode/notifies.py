"""Notifications: what each type means, and what its data says (RFC 7296 section 3.10.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address
from struct import Struct
from typing import Final, NamedTuple

from gcks.decode.fields import (
    count_text,
    identity_text,
    octets_text,
    printable,
    protocol_text,
    signature_name,
)
from gcks.decode.model import Item
from gcks.errors import WireError
from gcks.iana import AuthMethod, Hash, IpcompTransform, Ke, NotifyType, PayloadType, Prf
from gcks.iana import NotifyType as N
from gcks.ike.ike_rekey import OptimizedRekey
from gcks.wire.auth_methods import decode_announcements
from gcks.wire.identification import decode_identity
from gcks.wire.notify import Notify
from gcks.wire.puzzle import decode_puzzle
from gcks.wire.sa_usage import decode_aggfrag, decode_ipcomp

_METHOD_OCTETS: Final = 2
_SPREAD: Final = Struct(">II")
_ADDRESS_OCTETS: Final = {1: 4, 2: 16}

DataItems = Callable[[bytes], tuple[Item, ...]]


def _number(name: str, octets: int) -> DataItems:
    def read(data: bytes) -> tuple[Item, ...]:
        if len(data) != octets:
            raise WireError(f"{count_text(data)} of data, not {octets}")
        return (Item(name, str(int.from_bytes(data, "big"))),)

    return read


def _wanted_method(data: bytes) -> tuple[Item, ...]:
    if len(data) != _METHOD_OCTETS:
        raise WireError(f"{count_text(data)} of data, not {_METHOD_OCTETS}")
    return (Item("wanted method", str(Ke(int.from_bytes(data, "big")))),)


def _payload_type(data: bytes) -> tuple[Item, ...]:
    if len(data) != 1:
        raise WireError(f"{count_text(data)} of data, not one")
    return (Item("payload type", f"{PayloadType(data[0])} ({data[0]})"),)


def _cookie(data: bytes) -> tuple[Item, ...]:
    return (Item("cookie", f"{count_text(data)} {octets_text(data)}"),)


def _digest(data: bytes) -> tuple[Item, ...]:
    return (Item("SHA-1 of SPIs, address, port", octets_text(data)),)


def _hashes(data: bytes) -> tuple[Item, ...]:
    pairs = range(0, len(data) - 1, 2)
    names = (str(Hash(int.from_bytes(data[at : at + 2], "big"))) for at in pairs)
    return (Item("hash algorithms", ", ".join(names)),)


def _sender_count(data: bytes) -> tuple[Item, ...]:
    if not data:
        return (Item("Sender-IDs wanted", "one"),)
    return _number("Sender-IDs wanted", 4)(data)


def _group(data: bytes) -> tuple[Item, ...]:
    return (Item("group", identity_text(decode_identity(data))),) if data else ()


def _announcements(data: bytes) -> tuple[Item, ...]:
    return tuple(
        Item(
            str(AuthMethod(announced.method)),
            signature_name(announced.algorithm) if announced.algorithm else "",
            (Item("CA", f"number {announced.cert_link} of CERTREQ"),)
            if announced.cert_link
            else (),
        )
        for announced in decode_announcements(data)
    )


def _puzzle(data: bytes) -> tuple[Item, ...]:
    puzzle = decode_puzzle(data)
    bits = f"{puzzle.difficulty} zero bits" if puzzle.difficulty else "as much as you like"
    return Item("PRF", str(Prf(puzzle.prf))), Item("difficulty", bits)


def _aggfrag(data: bytes) -> tuple[Item, ...]:
    flags = decode_aggfrag(data)
    said = [
        *(["don't fragment inner packets"] if flags.dont_fragment else []),
        *(["congestion control wanted"] if flags.congestion_control else []),
        *([f"reserved bits {flags.reserved:#04x}"] if flags.reserved else []),
    ]
    return (Item("flags", ", ".join(said) or "none"),)


def _ipcomp(data: bytes) -> tuple[Item, ...]:
    content = decode_ipcomp(data)
    algorithm = IpcompTransform(content.transform)
    return Item("algorithm", str(algorithm)), Item("CPI", str(content.cpi))


def _gateway(data: bytes) -> tuple[Item, ...]:
    """RFC 5685 section 8: type, length, where to go."""
    if len(data) < 2 or len(data) < 2 + data[1]:
        raise WireError("a gateway that doesn't fit")
    where = data[2 : 2 + data[1]]
    if _ADDRESS_OCTETS.get(data[0]) == len(where):
        return (Item("new gateway", str(ip_address(where))),)
    return (Item("new gateway", printable(where.decode("ascii", "replace"))),)


def _seconds(data: bytes) -> tuple[Item, ...]:
    return _number("seconds", 4)(data)


def _spread(data: bytes) -> tuple[Item, ...]:
    """gcks' own; another vendor's data under the number is shown as it is."""
    if len(data) != _SPREAD.size:
        return (Item("data", f"{count_text(data)} {octets_text(data)}"),)
    everybody, senders = _SPREAD.unpack(data)
    return Item("members within", f"{everybody} s"), Item("senders within", f"{senders} s")


class Meaning(NamedTuple):
    text: str
    reference: str
    data: DataItems | None = None


_7296 = "RFC 7296 section "
_OPTIMIZED = "private use, draft-ietf-ipsecme-ikev2-sa-ts-payloads-opt"
_9838 = "RFC 9838 section "

MEANINGS: Final[dict[int, Meaning]] = {
    N.UNSUPPORTED_CRITICAL_PAYLOAD: Meaning(
        "a critical payload is not understood", _7296 + "2.5", _payload_type
    ),
    N.INVALID_IKE_SPI: Meaning("no IKE SA has these SPIs", _7296 + "2.21.4"),
    N.INVALID_MAJOR_VERSION: Meaning("another major version, please", _7296 + "2.5"),
    N.INVALID_SYNTAX: Meaning("the message was malformed", _7296 + "2.21"),
    N.INVALID_MESSAGE_ID: Meaning("a Message ID outside the window", _7296 + "2.3"),
    N.INVALID_SPI: Meaning("an IPsec packet with an unknown SPI", _7296 + "1.5"),
    N.NO_PROPOSAL_CHOSEN: Meaning("none of what is offered is acceptable", _7296 + "2.7"),
    N.INVALID_KE_PAYLOAD: Meaning(
        "another key exchange method is wanted", _7296 + "1.3", _wanted_method
    ),
    N.AUTHENTICATION_FAILED: Meaning("the peer is not who it says", _7296 + "2.21.2"),
    N.SINGLE_PAIR_REQUIRED: Meaning("one pair of addresses per SA only", _7296 + "2.9"),
    N.NO_ADDITIONAL_SAS: Meaning("no more SAs over this IKE SA", _7296 + "1.3"),
    N.TS_UNACCEPTABLE: Meaning("no Traffic Selector is acceptable", _7296 + "2.9"),
    N.TEMPORARY_FAILURE: Meaning("not now: try again", _7296 + "2.25"),
    N.CHILD_SA_NOT_FOUND: Meaning("the SA to be rekeyed is not there", _7296 + "2.25"),
    N.INVALID_GROUP_ID: Meaning("the GCKS knows no such group", _9838 + "4.7.1"),
    N.AUTHORIZATION_FAILED: Meaning("this GM may not join the group", _9838 + "4.7.2"),
    N.REGISTRATION_FAILED: Meaning(
        "the registration could not be completed, or the GM leaves", _9838 + "4.7.3", _group
    ),
    N.INITIAL_CONTACT: Meaning("this is the peer's only IKE SA with us", _7296 + "2.4"),
    N.SET_WINDOW_SIZE: Meaning(
        "how many requests may be under way", _7296 + "2.3", _number("window size", 4)
    ),
    N.IPCOMP_SUPPORTED: Meaning("inner packets may be compressed", _7296 + "2.22", _ipcomp),
    N.NAT_DETECTION_SOURCE_IP: Meaning("tells a NAT at the sender", _7296 + "2.23", _digest),
    N.NAT_DETECTION_DESTINATION_IP: Meaning("tells a NAT at the receiver", _7296 + "2.23", _digest),
    N.COOKIE: Meaning("send again with this cookie first", _7296 + "2.6", _cookie),
    N.USE_TRANSPORT_MODE: Meaning("transport mode, not tunnel mode", _7296 + "1.3.1"),
    N.REKEY_SA: Meaning("which SA is being replaced", _7296 + "1.3.3"),
    N.ESP_TFC_PADDING_NOT_SUPPORTED: Meaning("no TFC padding, please", _7296 + "1.3.1"),
    N.NON_FIRST_FRAGMENTS_ALSO: Meaning("fragments travel on this SA too", _7296 + "1.3.1"),
    N.AUTH_LIFETIME: Meaning("authenticate again in time", "RFC 4478 section 3", _seconds),
    N.REDIRECT_SUPPORTED: Meaning("the peer can be sent elsewhere", "RFC 5685 section 3"),
    N.REDIRECT: Meaning("go to another gateway", "RFC 5685 section 3", _gateway),
    N.REDIRECTED_FROM: Meaning("who sent us here", "RFC 5685 section 3"),
    N.EAP_ONLY_AUTHENTICATION: Meaning("EAP is to authenticate both", "RFC 5998 section 3"),
    N.CHILDLESS_IKEV2_SUPPORTED: Meaning("no Child SA is needed", "RFC 6023 section 3"),
    N.GROUP_SENDER: Meaning("the GM wants to send", _9838 + "4.7.4", _sender_count),
    N.IKEV2_FRAGMENTATION_SUPPORTED: Meaning(
        "messages may come in fragments", "RFC 7383 section 2.3"
    ),
    N.SIGNATURE_HASH_ALGORITHMS: Meaning(
        "hashes that signatures may use", "RFC 7427 section 4", _hashes
    ),
    N.PUZZLE: Meaning("solve this before you get an answer", "RFC 8019 section 8.1", _puzzle),
    N.USE_PPK: Meaning("post-quantum preshared keys are supported", "RFC 8784 section 3"),
    N.PPK_IDENTITY: Meaning("which post-quantum preshared key", "RFC 8784 section 3"),
    N.NO_PPK_AUTH: Meaning("AUTH without the preshared key", "RFC 8784 section 3"),
    N.INTERMEDIATE_EXCHANGE_SUPPORTED: Meaning(
        "IKE_INTERMEDIATE may follow IKE_SA_INIT", "RFC 9242 section 3.1"
    ),
    N.ADDITIONAL_KEY_EXCHANGE: Meaning("links IKE_FOLLOWUP_KE", "RFC 9370 section 2.2.4"),
    N.USE_AGGFRAG: Meaning("aggregation and fragmentation", "RFC 9347 section 5.1", _aggfrag),
    N.SUPPORTED_AUTH_METHODS: Meaning(
        "how the peer can be authenticated", "RFC 9593 section 3", _announcements
    ),
    # No registry holds these: what they mean between peers that are both gcks, by default.
    OptimizedRekey().supported: Meaning("gcks: IKE SAs can be rekeyed briefly", _OPTIMIZED),
    OptimizedRekey().rekey: Meaning("gcks: the SPI of the new IKE SA", _OPTIMIZED),
    N.REREGISTRATION_SPREAD: Meaning(
        "gcks: over how long to come back", "private use, RFC 9838 section 2.4.3", _spread
    ),
}
"""Notify Message Type -> what it means, where it is defined, how its data is read."""

_PRIVATE_ERRORS: Final = range(8192, 16384)
_PRIVATE_STATUS: Final = range(40960, 65536)


def notify_items(notify: Notify) -> tuple[Item, ...]:
    """Explain a notification: name, meaning, the SA it is about, its data."""
    kind = NotifyType(notify.type)
    meaning = MEANINGS.get(notify.type)
    sort = "error" if kind.is_error else "status"
    name = str(kind) if kind.assigned else _unnamed(notify.type)
    head = [Item("type", f"{name} ({sort} {int(kind)})")]
    if meaning is not None:
        head.append(Item("meaning", f"{meaning.text} ({meaning.reference})"))
    return (*head, *_about(notify), *_data(notify, meaning))


def _unnamed(number: int) -> str:
    if number in _PRIVATE_ERRORS or number in _PRIVATE_STATUS:
        return "private use"
    return "unassigned or unknown"


def _about(notify: Notify) -> Iterator[Item]:
    if notify.protocol or notify.spi:
        spi = f" SPI {notify.spi.hex()}" if notify.spi else ""
        yield Item("about", f"{protocol_text(notify.protocol)}{spi}")


def _data(notify: Notify, meaning: Meaning | None) -> tuple[Item, ...]:
    """Explain the data; one that its own rules don't fit is shown as it is."""
    if meaning is not None and meaning.data is not None:
        try:
            return meaning.data(notify.data)
        except WireError as error:
            return (Item("malformed", str(error)), Item("data", octets_text(notify.data)))
    if not notify.data:
        return ()
    return (Item("data", f"{count_text(notify.data)} {octets_text(notify.data)}"),)
