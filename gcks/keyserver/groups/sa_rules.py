"""What RFC 9838 forbids in the policy of one SA; `rules` is about the whole group."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from gcks.crypto.encr import encr_key_octets, integ_key_octets, is_aead
from gcks.crypto.errors import UnsupportedAlgorithm
from gcks.crypto.key_wrap import KWAS
from gcks.iana import IMPLICIT_IV, Encr, Integ, ProtocolId
from gcks.keyserver.groups.policy import (
    IMPLICIT,
    MANY,
    SIGNATURE_ALGORITHM,
    SINGLE,
    DataSaPolicy,
    RekeyPolicy,
)
from gcks.wire.transform import Transform

MAX_LABEL_CHARACTERS: Final = 255
"""Of a security label; and MAX_DATA_SAS of them fit one GSA_REKEY message."""

_A_LABEL: Final = "system_u:object_r:ipsec_spd_t:s0"
MAX_COPIES: Final = 16
MAX_SEQUENCE_NUMBERS: Final = 1 << 32
FAST_SENDER_PACKETS: Final = 100_000
"""Packets per second of a sender that one should reckon with: 1 Gbit/s of 1,250 octets."""

MAX_SPREAD_SECONDS: Final = 10.0
_SUCH_AS_ESP: Final = "write a suite such as aes256gcm16 or aes256-sha256"
_SUCH_AS_AH: Final = "write a suite such as sha256"


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """One thing wrong, and what to do; a warning doesn't keep the daemon from starting."""

    where: str
    reason: str
    remedy: str
    warning: bool = False


Problems = Iterator[PolicyProblem]


def out_of_range(where: str, value: int, most: int | None = None) -> PolicyProblem:
    """Say that a number is not from 1 to `most`."""
    limits = "at least 1" if most is None else f"1 to {most}"
    return PolicyProblem(where, f"must be {limits}, not {value}", f"give {limits}")


# --- Data-Security SAs --------------------------------------------------------------------


def _protocol_transforms(sa: DataSaPolicy) -> Problems:
    """RFC 9838 section 4.4.2.1: which transforms go with ESP and AH."""
    if sa.protocol == ProtocolId.AH and (sa.encr is not None or sa.integ is None):
        yield PolicyProblem("suite", "AH takes an integrity algorithm and no cipher", _SUCH_AS_AH)
    if sa.protocol == ProtocolId.ESP and sa.encr is None:
        yield PolicyProblem("suite", "ESP needs a cipher", _SUCH_AS_ESP)
    if sa.protocol not in (ProtocolId.ESP, ProtocolId.AH):
        yield PolicyProblem(
            "protocol", f"{sa.protocol} is neither ESP nor AH", "choose one of them"
        )


def _data_cipher(sa: DataSaPolicy) -> Problems:
    if sa.encr is not None:
        yield from _cipher(sa.encr, sa.integ)
    elif sa.integ is not None:
        yield from _integrity(sa.integ)


def _senders(sa: DataSaPolicy) -> Problems:
    if sa.senders not in (MANY, SINGLE):
        yield PolicyProblem(
            "senders", f"{sa.senders!r} is neither many nor single", "choose one of them"
        )
    if sa.senders == SINGLE and not sa.sender:
        yield PolicyProblem(
            "sender", "an SA with a single sender must name it", "write sender: fqdn:NAME"
        )
    if sa.senders == SINGLE and sa.source.single_address is None:
        yield PolicyProblem(
            "source",
            "must be the single sender's address, and only that",
            "write it such as 192.0.2.11",
        )
    if sa.senders == MANY and sa.sender:
        yield PolicyProblem(
            "sender",
            "only an SA with senders: single names its sender",
            "leave it out, or write senders: single",
        )


def _selectors(sa: DataSaPolicy) -> Problems:
    if sa.source.type != sa.destination.type:
        yield PolicyProblem(
            "source", "source and destination are of different IP versions", "give both of one"
        )
    first = ipaddress.ip_address(sa.destination.start_address)
    last = ipaddress.ip_address(sa.destination.end_address)
    if not (first.is_multicast and last.is_multicast):
        yield PolicyProblem(
            "destination",
            f"{sa.destination} is not all multicast",
            "give a multicast address or network, such as 239.1.2.3",
        )


def _security_label(sa: DataSaPolicy) -> Problems:
    """RFC 9478; labels of more octets could make rekeys too large for a datagram."""
    label = sa.security_label
    if label and not (label.isascii() and label.isprintable() and " " not in label):
        yield PolicyProblem(
            "security_label",
            f"{label!r} is not printable ASCII without spaces",
            f"write it such as {_A_LABEL}",
        )
    if len(label) > MAX_LABEL_CHARACTERS:
        yield PolicyProblem(
            "security_label", f"longer than {MAX_LABEL_CHARACTERS} characters", "shorten it"
        )


def _sequence_numbers(sa: DataSaPolicy) -> Problems:
    """Section 2.6: a single-sender SA is renewed before its 32-bit numbers wrap."""
    if sa.senders == SINGLE and sa.lifetime_seconds * FAST_SENDER_PACKETS > MAX_SEQUENCE_NUMBERS:
        yield PolicyProblem(
            "lifetime",
            f"above {MAX_SEQUENCE_NUMBERS // sa.lifetime_seconds} packets per second"
            " the 32-bit sequence numbers wrap before the SA is renewed",
            "shorten the lifetime if the sender may be that fast",
            warning=True,
        )


DATA_RULES: Final[tuple[Callable[[DataSaPolicy], Problems], ...]] = (
    _protocol_transforms,
    _data_cipher,
    _senders,
    _selectors,
    _security_label,
    _sequence_numbers,
)


# --- the Rekey SA -------------------------------------------------------------------------


def _rekey_cipher(rekey: RekeyPolicy) -> Problems:
    yield from _cipher(rekey.encr, rekey.integ)
    if rekey.kwa not in KWAS:
        yield PolicyProblem(
            "key_wrap", "this key wrap algorithm is not implemented", "choose kw256"
        )


def _rekey_authentication(rekey: RekeyPolicy) -> Problems:
    if rekey.authentication == IMPLICIT:
        yield PolicyProblem(
            "authentication",
            "implicit: any member can forge rekeys (NOT RECOMMENDED, section 2.4.1)",
            "choose ed25519",
            warning=True,
        )
    elif rekey.authentication not in SIGNATURE_ALGORITHM:
        known = ", ".join(SIGNATURE_ALGORITHM)
        yield PolicyProblem(
            "authentication",
            f"{rekey.authentication!r} is no signature of rekeys",
            f"choose one of {known} or implicit",
        )


def _rekey_endpoints(rekey: RekeyPolicy) -> Problems:
    source, destination = (ipaddress.ip_address(e.host) for e in (rekey.source, rekey.destination))
    if not destination.is_multicast:
        yield PolicyProblem(
            "address",
            f"{destination} is not a multicast address (section 4.4.2)",
            "give one such as 239.255.84.8",
        )
    if source.version != destination.version or source.is_unspecified or source.is_multicast:
        yield PolicyProblem(
            "source",
            f"{source} can't be the source of messages to {destination}",
            "give an address of this host",
        )


def _rekey_sending(rekey: RekeyPolicy) -> Problems:
    if not 1 <= rekey.copies <= MAX_COPIES:
        yield out_of_range("copies", rekey.copies, MAX_COPIES)
    if not 0 <= rekey.spread_seconds <= MAX_SPREAD_SECONDS:
        yield PolicyProblem(
            "spread",
            "copies are sent within a few seconds (section 2.4.1.3)",
            f"give 0 to {MAX_SPREAD_SECONDS:g} s",
        )
    if not 1 <= rekey.ttl <= 255:
        yield out_of_range("ttl", rekey.ttl, 255)


REKEY_RULES: Final[tuple[Callable[[RekeyPolicy], Problems], ...]] = (
    _rekey_cipher,
    _rekey_authentication,
    _rekey_endpoints,
    _rekey_sending,
)


# --- algorithms ---------------------------------------------------------------------------


def _cipher(encr: Transform, integ: Transform | None) -> Problems:
    """RFC 9838 sections 2.7 and 4.4.2.1, RFC 7296 section 3.3."""
    has_integ = integ is not None and integ.id != Integ.NONE
    if encr.id in IMPLICIT_IV:
        reason = f"{Encr(encr.id)}: implicit IVs are forbidden (section 2.7)"
        yield PolicyProblem("suite", reason, _SUCH_AS_ESP)
        return
    try:
        encr_key_octets(encr.id, encr.key_length)
    except UnsupportedAlgorithm as error:
        yield PolicyProblem("suite", str(error), _SUCH_AS_ESP)
        return
    if is_aead(encr.id) and has_integ:
        reason = "an AEAD cipher goes without an integrity algorithm"
        yield PolicyProblem("suite", reason, "write the cipher alone")
    if not is_aead(encr.id) and not has_integ:
        reason = f"{Encr(encr.id)} needs an integrity algorithm"
        yield PolicyProblem("suite", reason, _SUCH_AS_ESP)
    if integ is not None:
        yield from _integrity(integ)


def _integrity(integ: Transform) -> Problems:
    try:
        integ_key_octets(integ.id)
    except UnsupportedAlgorithm as error:
        yield PolicyProblem("suite", str(error), _SUCH_AS_AH)
