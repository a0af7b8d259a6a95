"""IKE messages to explanations: headers, chains payload by payload, decryption, fragments."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Final, NamedTuple

from gcks.decode.carriers import Carried
from gcks.decode.keyring import KeyRing, Opener
from gcks.decode.model import Context, ExplainedPayload, Explanation, Item, Protection
from gcks.decode.payloads import explain
from gcks.decode.signatures import Signatures
from gcks.decode.titles import payload_title
from gcks.errors import Discard, WireError
from gcks.iana import ExchangeType, PayloadType
from gcks.ike.fragments import Reassembly
from gcks.ike.protect import Inner, open_chain, open_fragment
from gcks.wire.encrypted import GENERIC, read_encrypted, read_fragment
from gcks.wire.header import HEADER_OCTETS, LAYOUT, MAJOR_VERSION, Header, decode_header
from gcks.wire.payloads import CRITICAL, MAX_PAYLOADS, Payload, decode_chain

MAX_REMEMBERED: Final = 100_000
"""How many messages are remembered, to tell repetitions."""

_ENCRYPTED: Final = frozenset({PayloadType.SK, PayloadType.SKF})


class _Raw(NamedTuple):
    """A payload before it is read; `at` counts from the start of its message or chain."""

    kind: int
    flags: int
    at: int
    body: bytes


class Explainer:
    """Explains the messages of one capture, in their order."""

    def __init__(self, keys: KeyRing, *, show_secrets: bool = False) -> None:
        self._keys, self._show_secrets = keys, show_secrets
        self._number = 0
        self._seen: dict[bytes, int] = {}
        self._signatures = Signatures()
        self._reassemblies: dict[tuple[bytes, bytes, bool], Reassembly] = {}
        """Only of SAs whose keys we have, so a stranger makes none."""

    def explain(self, carried: Carried) -> Explanation:
        """Explain the next message; never raises for what stands in it."""
        self._number += 1
        try:
            header = decode_header(carried.octets)
        except WireError as error:
            return self._unreadable(carried, str(error))
        if header.major != MAJOR_VERSION:
            text = f"version {header.major}.{header.version & 0x0F}: only IKEv2 is explained"
            return Explanation(self._number, carried, header, problem=text)
        digest = sha256(carried.octets).digest()
        first = self._seen.get(digest)
        if first is not None:
            return Explanation(self._number, carried, header, repeats=first)
        if len(self._seen) < MAX_REMEMBERED:
            self._seen[digest] = self._number
        if header.next_payload in _ENCRYPTED:
            return self._protected(carried, header)
        _, payloads, problem = self._chain(
            header, header.next_payload, carried.octets[HEADER_OCTETS:], HEADER_OCTETS
        )
        return Explanation(self._number, carried, header, payloads=payloads, problem=problem)

    def _unreadable(self, carried: Carried, problem: str) -> Explanation:
        header = None
        if len(carried.octets) >= HEADER_OCTETS:
            header = Header._make(LAYOUT.unpack_from(carried.octets))
        return Explanation(self._number, carried, header, problem=f"malformed: {problem}")

    # --- payload chains -------------------------------------------------------------

    def _chain(
        self, header: Header, first: int, octets: bytes, base: int
    ) -> tuple[list[Payload], tuple[ExplainedPayload, ...], str]:
        """Return the payloads that can be read, all of them explained, and what is wrong."""
        context = Context(
            header.exchange, header.is_response, self._show_secrets, self._keys.group_sas
        )
        records: list[Payload] = []
        explained: list[ExplainedPayload] = []
        try:
            for raw in _split(first, octets, base):
                explained.append(_explained(raw, context, records))
        except WireError as error:
            return records, tuple(explained), f"malformed: {error}"
        return records, tuple(explained), ""

    # --- protected messages ---------------------------------------------------------

    def _protected(self, carried: Carried, header: Header) -> Explanation:
        opener = self._keys.opener(header)
        if opener is None:
            return self._closed(carried, header, Item("decryption", "no key for these SPIs"))
        try:
            if header.next_payload == PayloadType.SKF:
                return self._fragment(carried, header, opener)
            inner = open_chain(opener.cipher, carried.octets, header)
        except Discard as error:
            text = f"{error}: changed on the way, or not the keys of this SA"
            return self._closed(carried, header, Item("integrity", text))
        except WireError as error:
            return Explanation(self._number, carried, header, problem=f"malformed: {error}")
        return self._opened(carried, header, inner, (_icv(opener),))

    def _closed(self, carried: Carried, header: Header, check: Item) -> Explanation:
        """What can be said of a message that stays encrypted."""
        try:
            payload = _encrypted_payload(carried.octets, header)
        except WireError as error:
            return Explanation(self._number, carried, header, problem=f"malformed: {error}")
        return Explanation(
            self._number, carried, header, Protection.ENCRYPTED, (check,), (payload,)
        )

    def _fragment(self, carried: Carried, header: Header, opener: Opener) -> Explanation:
        """RFC 7383 section 2.6; GSA_REKEY messages, too (RFC 9838 section 2.4.1.2)."""
        fragment = open_fragment(opener.cipher, carried.octets, header)
        key = (header.spi_i, header.spi_r, header.from_initiator)
        reassembly = self._reassemblies.setdefault(key, Reassembly())
        place = Item("fragment", f"{fragment.number} of {fragment.total}")
        checks: tuple[Item, ...] = (_icv(opener), place)
        try:
            whole = reassembly.add(
                fragment,
                is_response=header.is_response,
                message_id=header.message_id,
                now=carried.time or 0.0,
            )
        except Discard as error:
            checks += (Item("reassembly", str(error)),)
            whole = None
        if whole is None:
            return Explanation(self._number, carried, header, Protection.FRAGMENT, checks)
        done = Item("reassembly", f"complete, {len(whole.octets)} octets of payloads")
        return self._opened(carried, header, whole, (*checks, done))

    def _opened(
        self, carried: Carried, header: Header, inner: Inner, checks: tuple[Item, ...]
    ) -> Explanation:
        if header.exchange == ExchangeType.GSA_REKEY:
            checks += (self._signatures.check(header, inner),)
        records, payloads, problem = self._chain(header, inner.first, inner.octets, 0)
        if not problem:
            self._signatures.learn(header, records, self._number)
        return Explanation(
            number=self._number,
            carried=carried,
            header=header,
            protection=Protection.DECRYPTED,
            checks=checks,
            payloads=payloads,
            problem=problem,
        )


def _icv(opener: Opener) -> Item:
    return Item("integrity", f"the ICV is right ({opener.sa})")


def _split(first: int, octets: bytes, base: int) -> Iterator[_Raw]:
    """Yield the payloads of a chain (RFC 7296 section 3.2).  Raises `WireError`, saying where."""
    position, kind, count = 0, first, 0
    while kind:
        where, left = base + position, len(octets) - position
        count += 1
        if count > MAX_PAYLOADS:
            raise WireError(f"more than {MAX_PAYLOADS} payloads, at octet {where}")
        if left < GENERIC.size:
            raise WireError(f"{PayloadType(kind)} payload cut off at octet {where}")
        following, flags, length = GENERIC.unpack_from(octets, position)
        if not GENERIC.size <= length <= left:
            raise WireError(
                f"{PayloadType(kind)} payload at octet {where}: length {length} of {left} octets"
            )
        yield _Raw(kind, flags, where, octets[position + GENERIC.size : position + length])
        position += length
        kind = PayloadType.NONE if kind in _ENCRYPTED else following
    if position != len(octets):
        raise WireError(f"{len(octets) - position} octets follow the last payload")


def _explained(raw: _Raw, context: Context, records: list[Payload]) -> ExplainedPayload:
    """Explain one payload, and keep its record where it can be read."""
    title = payload_title(raw.kind, context)
    octets = GENERIC.size + len(raw.body)
    critical = bool(raw.flags & CRITICAL)
    items: tuple[Item, ...] = ()
    problem = ""
    try:
        alone = GENERIC.pack(PayloadType.NONE, raw.flags, octets) + raw.body
        (record,) = decode_chain(raw.kind, alone)
        items = explain(record, context)
        records.append(record)
    except WireError as error:
        problem = f"malformed, in the payload at octet {raw.at}: {error}"
    return ExplainedPayload(*title, octets, critical, items, problem)


def _encrypted_payload(octets: bytes, header: Header) -> ExplainedPayload:
    """Explain SK or SKF from outside."""
    if header.next_payload == PayloadType.SKF:
        part = read_fragment(octets, header)
        items = [Item("fragment", f"{part.number} of {part.total}")]
        first = part.next_payload
    else:
        first, items = read_encrypted(octets, header).next_payload, []
    context = Context(header.exchange, header.is_response)
    inside = payload_title(first, context).short if first else "nothing"
    items += [Item("first inside", inside), Item("content", "encrypted")]
    title = payload_title(header.next_payload, context)
    return ExplainedPayload(*title, len(octets) - HEADER_OCTETS, items=tuple(items))
