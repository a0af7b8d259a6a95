"""SK and SKF payloads and the protection of an IKE SA."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcks.crypto.encr import Cipher, encr_key_octets, integ_key_octets, make_cipher
from gcks.errors import Discard, DropReason, WireError
from gcks.iana import Encr, ExchangeType, Integ, NotifyType, PayloadType
from gcks.ike.protect import (
    Envelope,
    Fragment,
    IkeProtection,
    Inner,
    header_octets,
    join_fragments,
    open_chain,
    open_fragment,
    seal_chain,
    seal_fragments,
)
from gcks.wire.encrypted import GENERIC, SK_BODY_AT
from gcks.wire.header import FLAG_INITIATOR, HEADER_OCTETS, MAX_MESSAGE_OCTETS, decode_header
from gcks.wire.notify import Notify
from gcks.wire.payloads import decode_chain

SUITES = [
    (Encr.AES_GCM_16, 128, Integ.NONE),
    (Encr.AES_GCM_16, 256, Integ.NONE),
    (Encr.CHACHA20_POLY1305, None, Integ.NONE),
    (Encr.AES_CBC, 256, Integ.HMAC_SHA2_256_128),
    (Encr.AES_CBC, 128, Integ.HMAC_SHA2_512_256),
]
ENVELOPE = Envelope(b"i" * 8, b"r" * 8, ExchangeType.GSA_AUTH, FLAG_INITIATOR, 1)


def make(suite: tuple[int, int | None, int], mark: int = 1) -> Cipher:
    encr, bits, integ = suite
    key_e = bytes((mark,)) * encr_key_octets(encr, bits)
    return make_cipher(encr, integ, key_e, bytes((mark,)) * integ_key_octets(integ))


@pytest.fixture(params=SUITES, ids=lambda s: f"{s[0]}-{s[1]}-{s[2]}")
def cipher(request: pytest.FixtureRequest) -> Cipher:
    return make(request.param)


def opened(cipher: Cipher, datagram: bytes) -> Inner:
    return open_chain(cipher, datagram, decode_header(datagram))


@pytest.mark.parametrize("octets", [0, 1, 8, 14, 15, 16, 17, 31, 32, 255, 256, 1400])
def test_open_undoes_seal_for_every_padding(cipher: Cipher, octets: int) -> None:
    """RFC 7296 section 3.14: header and payload length cover all, the padding fills a block."""
    chain = os.urandom(octets)
    datagram = seal_chain(cipher, bytes(cipher.iv_octets), ENVELOPE, PayloadType.IDi, chain)
    header = decode_header(datagram)
    assert header.next_payload == PayloadType.SK and header.exchange == ExchangeType.GSA_AUTH
    content = len(datagram) - SK_BODY_AT - cipher.iv_octets - cipher.icv_octets
    assert content % cipher.block_octets == 0 and 1 <= content - octets <= cipher.block_octets
    assert opened(cipher, datagram) == (PayloadType.IDi, 0, chain)


def test_a_message_larger_than_a_datagram_is_our_own_mistake(cipher: Cipher) -> None:
    with pytest.raises(ValueError, match="octets"):
        seal_chain(cipher, bytes(cipher.iv_octets), ENVELOPE, 40, bytes(MAX_MESSAGE_OCTETS))


def test_every_changed_octet_is_noticed(cipher: Cipher) -> None:
    datagram = seal_chain(cipher, bytes(cipher.iv_octets), ENVELOPE, 40, bytes(40))
    for place in range(len(datagram)):
        changed = bytearray(datagram)
        changed[place] ^= 1
        with pytest.raises((Discard, WireError)):
            opened(cipher, bytes(changed))


def test_a_wrong_icv_is_dropped_by_that_name(cipher: Cipher) -> None:
    """RFC 7296 section 2.21.2: never answered."""
    datagram = seal_chain(cipher, bytes(cipher.iv_octets), ENVELOPE, 40, bytes(40))
    with pytest.raises(Discard) as caught:
        opened(cipher, datagram[:-1] + bytes((datagram[-1] ^ 1,)))
    assert caught.value.reason is DropReason.BAD_INTEGRITY


def relabelled(datagram: bytes) -> bytes:
    """The same octets with both lengths set to what there is."""
    header = decode_header(datagram[:24] + len(datagram).to_bytes(4, "big") + datagram[28:])
    generic = GENERIC.pack(datagram[HEADER_OCTETS], 0, len(datagram) - HEADER_OCTETS)
    return header.encode() + generic + datagram[SK_BODY_AT:]


def test_truncation_at_every_octet(cipher: Cipher) -> None:
    datagram = seal_chain(cipher, bytes(cipher.iv_octets), ENVELOPE, 40, bytes(40))
    for size in range(len(datagram)):
        with pytest.raises(WireError):
            opened(cipher, datagram[:size])
    for size in range(SK_BODY_AT, len(datagram)):
        with pytest.raises((Discard, WireError)):
            opened(cipher, relabelled(datagram[:size]))


def seal_raw(cipher: Cipher, plaintext: bytes) -> bytes:
    iv = bytes(cipher.iv_octets)
    length = SK_BODY_AT + len(iv) + len(plaintext) + cipher.icv_octets
    aad = header_octets(ENVELOPE, PayloadType.SK, length)
    aad += GENERIC.pack(PayloadType.NONCE, 0, length - HEADER_OCTETS)
    return aad + iv + cipher.seal(iv, plaintext, aad)


def test_padding_of_any_content_and_length_is_taken(cipher: Cipher) -> None:
    """RFC 7296 section 3.14: the recipient must accept any length that results in alignment."""
    for pad in (0, 15, 31, 255):
        size = -(3 + pad + 1) % 16 + 3
        plaintext = b"c" * size + os.urandom(pad) + bytes((pad,))
        assert opened(cipher, seal_raw(cipher, plaintext)).octets == b"c" * size


def test_padding_longer_than_the_plaintext_is_malformed(cipher: Cipher) -> None:
    for pad in (16, 17, 255):
        with pytest.raises(WireError):
            opened(cipher, seal_raw(cipher, bytes(15) + bytes((pad,))))
    assert opened(cipher, seal_raw(cipher, bytes(15) + b"\x0f")).octets == b""


def test_an_sk_payload_without_content_is_malformed(cipher: Cipher) -> None:
    datagram = seal_raw(cipher, bytes(16))
    for size in (0, cipher.iv_octets, cipher.iv_octets + cipher.icv_octets):
        with pytest.raises(WireError):
            opened(cipher, relabelled(datagram[: SK_BODY_AT + size]))


@given(st.binary(max_size=120), st.sampled_from(SUITES))
def test_any_octets_after_the_header_give_an_error_of_ours(
    body: bytes, suite: tuple[int, int | None, int]
) -> None:
    length = HEADER_OCTETS + len(body)
    datagram = header_octets(ENVELOPE, PayloadType.SK, length) + body
    with pytest.raises((WireError, Discard)):
        opened(make(suite), datagram)


def fragments(cipher: Cipher, chain: bytes, room: int) -> list[bytes]:
    count = iter(range(1 << 16))
    return list(
        seal_fragments(
            cipher,
            lambda: next(count).to_bytes(cipher.iv_octets, "big"),
            ENVELOPE,
            PayloadType.GSA,
            chain,
            room,
        )
    )


def parts_of(cipher: Cipher, datagrams: list[bytes]) -> list[Fragment]:
    return [open_fragment(cipher, d, decode_header(d)) for d in datagrams]


@pytest.mark.parametrize("room", [120, 140, 576, 1280])
def test_fragments_fit_and_join_again(cipher: Cipher, room: int) -> None:
    """RFC 7383 sections 2.5, 2.6."""
    chain = os.urandom(3000)
    datagrams = fragments(cipher, chain, room)
    assert len(datagrams) > 1 and max(map(len, datagrams)) <= room
    parts = parts_of(cipher, datagrams)
    assert [part.inner.first for part in parts] == [PayloadType.GSA] + [0] * (len(parts) - 1)
    assert join_fragments(parts) == (PayloadType.GSA, 0, chain)


def test_reserved_of_the_whole_is_that_of_the_first_fragment() -> None:
    """RFC 9838 section 2.4.1.2: RESERVED MUST be that of Fragment Number 1 (ruling 21: C too)."""
    first = Fragment(1, 2, Inner(PayloadType.GSA, 0x85, b"ab"))
    second = Fragment(2, 2, Inner(0, 0x12, b"cd"))
    assert join_fragments([first, second]) == (PayloadType.GSA, 0x85, b"abcd")


def test_only_a_complete_set_is_joined(cipher: Cipher) -> None:
    parts = parts_of(cipher, fragments(cipher, os.urandom(400), 200))
    other = parts_of(cipher, fragments(cipher, os.urandom(900), 200))
    for wrong in (
        parts[:-1],
        parts[1:],
        parts[::-1],
        [*parts[:-1], other[-1]],
        [],
        [*parts, parts[0]],
    ):
        with pytest.raises(WireError):
            join_fragments(wrong)


def test_fragment_numbers_are_protected(cipher: Cipher) -> None:
    """RFC 7383 section 2.5: the associated data reaches to Total Fragments."""
    for datagram in fragments(cipher, os.urandom(400), 200)[1:]:
        for place in range(HEADER_OCTETS, len(datagram)):
            changed = bytearray(datagram)
            changed[place] ^= 1
            with pytest.raises((Discard, WireError)):
                parts_of(cipher, [bytes(changed)])


def test_room_for_nothing_is_our_own_mistake(cipher: Cipher) -> None:
    with pytest.raises(ValueError, match="room"):
        fragments(cipher, bytes(10), HEADER_OCTETS)


def both_sides(suite: tuple[int, int | None, int]) -> tuple[IkeProtection, IkeProtection]:
    ours, theirs = make(suite, 1), make(suite, 2)
    spis = b"i" * 8, b"r" * 8
    return (
        IkeProtection(*spis, ours, theirs, os.urandom),
        IkeProtection(*spis, theirs, ours, os.urandom),
    )


@pytest.mark.parametrize("suite", SUITES)
def test_each_side_opens_what_the_other_seals(suite: tuple[int, int | None, int]) -> None:
    initiator, responder = both_sides(suite)
    payloads = (Notify(NotifyType.INITIAL_CONTACT), Notify(NotifyType.GROUP_SENDER, b"\0\0\0\1"))
    for sender, receiver in ((initiator, responder), (responder, initiator)):
        datagram = sender.seal_messages(ExchangeType.GSA_AUTH, 0, 1, payloads, None)[0]
        header = decode_header(datagram)
        assert decode_chain(*receiver.open(datagram, header)) == payloads
        with pytest.raises(Discard):  # not one's own, reflected
            decode_chain(*sender.open(datagram, header))


@pytest.mark.parametrize("suite", SUITES)
def test_no_iv_twice_under_a_key(suite: tuple[int, int | None, int]) -> None:
    """RFC 5282 section 3.1: a second use of an AEAD's IV would give the key away."""
    initiator, _ = both_sides(suite)
    size = make(suite).iv_octets
    ivs = {
        message[SK_BODY_AT : SK_BODY_AT + size]
        for number in range(200)
        for message in initiator.seal_messages(ExchangeType.INFORMATIONAL, 0, number, (), None)
    }
    assert len(ivs) == 200


def test_cbc_ivs_come_from_entropy() -> None:
    """RFC 7296 section 3.14: unpredictable for CBC."""
    drawn: list[int] = []

    def entropy(octets: int) -> bytes:
        drawn.append(octets)
        return b"\xa5" * octets

    suite = SUITES[3]
    protection = IkeProtection(b"i" * 8, b"r" * 8, make(suite), make(suite), entropy)
    datagram = protection.seal_messages(ExchangeType.INFORMATIONAL, 0, 0, (), None)[0]
    assert datagram[SK_BODY_AT : SK_BODY_AT + 16] == b"\xa5" * 16
    assert drawn == [16]


def test_an_empty_message_has_no_first_payload() -> None:
    initiator, responder = both_sides(SUITES[0])
    datagram = initiator.seal_messages(ExchangeType.INFORMATIONAL, 0, 3, (), None)[0]
    assert datagram[HEADER_OCTETS] == PayloadType.NONE
    assert decode_chain(*responder.open(datagram, decode_header(datagram))) == ()


def test_authentic_nonsense_is_malformed_not_dropped() -> None:
    _, responder = both_sides(SUITES[0])
    datagram = seal_chain(make(SUITES[0], 1), b"\xff" * 8, ENVELOPE, PayloadType.NONCE, b"\0\0\0\1")
    with pytest.raises(WireError):
        decode_chain(*responder.open(datagram, decode_header(datagram)))
