"""The IKE SAs of the server: found, limited, timed, and gone without a trace."""

from __future__ import annotations

import os
from dataclasses import replace
from random import Random

import pytest

from gcks.crypto.key_exchange import generate
from gcks.datagrams import Endpoint, Path
from gcks.errors import Discard, DropReason
from gcks.iana import ExchangeType, Ke
from gcks.ike.channel import Channel
from gcks.ike.ike_rekey import Parent
from gcks.ike.keymat import derive_keys
from gcks.ike.negotiation import choose
from gcks.ike.protect import IkeProtection
from gcks.keyserver.ike_sa import Established, HalfOpen, Refused
from gcks.keyserver.ike_sa_table import IkeSaTable
from gcks.wire.header import NO_SPI, Header
from gcks.wire.identification import Identity
from tests.support.world import SERVER_SETTINGS

SUITE = choose(SERVER_SETTINGS.ike_proposals, SERVER_SETTINGS.ike_proposals).suite
PAIR = generate(Ke.CURVE25519)
PATH = Path(Endpoint("192.0.2.1", 500), Endpoint("10.0.0.1", 500))
MOVED = Path(Endpoint("192.0.2.1", 4500), Endpoint("10.0.0.1", 4500), marker=True)


def half_open(table: IkeSaTable, spi_i: bytes = b"initiate", due: float = 30.0) -> HalfOpen:
    half = HalfOpen(
        spi_i=spi_i,
        spi_r=table.draw_spi(),
        suite=SUITE,
        pair=PAIR,
        peer_public=bytes(32),
        ni=bytes(32),
        nr=bytes(32),
        request=b"request",
        path=PATH,
        hashes=frozenset(),
        fragment_octets=None,
        behind_nat=False,
        began_at=due - 30.0,
        due=due,
    )
    table.add(half)
    return half


def established(table: IkeSaTable, half: HalfOpen) -> Established:
    keys = derive_keys(SUITE, bytes(32), bytes(32), bytes(32), half.spi_i, half.spi_r)
    cipher = SUITE.make_cipher(keys.sk_ei, keys.sk_ai)
    protection = IkeProtection(half.spi_i, half.spi_r, cipher, cipher, os.urandom)
    channel = Channel(protection, half.path, initiator=False)
    name = "fqdn:gm1.dev"
    sa = Established(channel, Parent(SUITE, keys.sk_d), bytes(32), Identity.parse(name), name)
    table.establish(half, sa)
    return sa


def header(spi_i: bytes, spi_r: bytes) -> Header:
    return Header(spi_i, spi_r, 46, 0x20, ExchangeType.GSA_AUTH, 8, 1, 28)


@pytest.fixture
def table() -> IkeSaTable:
    return IkeSaTable(os.urandom)


def test_an_sa_is_found_by_its_pair_of_spis_only(table: IkeSaTable) -> None:
    half = half_open(table)
    assert table.find(header(half.spi_i, half.spi_r)) is half
    for pair in ((b"somebody", half.spi_r), (half.spi_i, b"nowhere!"), (half.spi_r, half.spi_i)):
        with pytest.raises(Discard) as caught:
            table.find(header(*pair))
        assert caught.value.reason is DropReason.UNKNOWN_SPI


def test_spis_are_never_zero_and_never_twice() -> None:
    """RFC 7296 section 2.6: an SPI must not be zero; CVE-2023-30570 was a reused one."""
    drawn = iter([NO_SPI, b"firstone", b"firstone", NO_SPI, b"next one"])
    table = IkeSaTable(lambda _: next(drawn))
    assert half_open(table, b"a" * 8).spi_r == b"firstone"
    assert half_open(table, b"b" * 8).spi_r == b"next one"


def test_a_retransmitted_first_request_finds_its_half_open_sa(table: IkeSaTable) -> None:
    half = half_open(table)
    assert table.find_init(half.spi_i, PATH) is half
    assert table.find_init(half.spi_i, MOVED) is None


@pytest.mark.parametrize("end", ["drop", "establish", "refuse"])
def test_a_peer_that_moved_to_4500_leaves_nothing_behind(table: IkeSaTable, end: str) -> None:
    """RFC 7296 section 2.23: GSA_AUTH may come from another port than IKE_SA_INIT."""
    half = half_open(table)
    half.path = MOVED
    if end == "establish":
        table.drop(established(table, half))
    elif end == "refuse":
        refused = Refused(half, b"request", b"response")
        table.refuse(half, refused)
        assert table.find_init(half.spi_i, PATH) is None
        table.drop(refused)
    else:
        table.drop(half)
    assert (len(table), table.half_open, table.established) == (0, 0, 0)


def test_dropping_twice_counts_once(table: IkeSaTable) -> None:
    half, other = half_open(table), half_open(table, b"another!")
    for _ in range(2):
        table.drop(half)
    assert table.half_open == 1
    sa = established(table, other)
    for _ in range(2):
        table.drop(sa)
    assert (table.half_open, table.established, len(table)) == (0, 0, 0)


def test_a_refused_peer_still_counts_as_half_open(table: IkeSaTable) -> None:
    """Else wrong guesses would be a way around the limits."""
    half = half_open(table)
    table.refuse(half, Refused(half, b"request", b"response"))
    assert table.half_open == 1


def test_limits_are_kept(table: IkeSaTable) -> None:
    settings = replace(SERVER_SETTINGS, max_half_open=2, max_ike_sas=1)
    half = half_open(table)
    table.check_room("10.0.0.1", settings)
    half_open(table, b"another!")
    with pytest.raises(Discard) as caught:
        table.check_room("10.0.0.1", settings)
    assert caught.value.reason is DropReason.LIMIT
    established(table, half)
    with pytest.raises(Discard):
        table.check_room("10.0.0.1", settings)


def test_a_deadline_that_moved_forward_is_due_once(table: IkeSaTable) -> None:
    half = half_open(table, due=30.0)
    sa = established(table, half)
    table.touch(sa, 5.0)
    assert table.pop_due(5.0) == [sa]
    table.touch(sa, 30.0)
    assert table.pop_due(29.0) == []
    assert table.pop_due(30.0) == [sa], "the entry of the half-open SA must not make it two"


def test_a_deadline_that_moved_back_is_kept(table: IkeSaTable) -> None:
    sa = established(table, half_open(table, due=30.0))
    table.touch(sa, 5.0)
    table.touch(sa, 12.0)
    assert table.pop_due(5.0) == []
    assert table.timers.next == 12.0
    assert table.pop_due(12.0) == [sa]


def test_the_timers_of_what_is_gone_go_in_time(table: IkeSaTable) -> None:
    for number in range(100):
        table.drop(half_open(table, number.to_bytes(8, "big") or b"", due=30.0))
    assert table.pop_due(30.0) == []
    assert len(table.timers) == 0


def test_every_deadline_is_met_exactly_once_in_any_order() -> None:
    random = Random(3)
    table = IkeSaTable(random.randbytes)
    alive = [half_open(table, random.randbytes(8), random.uniform(0, 60)) for _ in range(40)]
    wanted, now = {sa.spi_r: sa.due for sa in alive}, 0.0
    while wanted:
        now += 0.5
        for sa in alive:
            if random.random() < 0.05 and sa.spi_r in wanted and now < 80:
                table.touch(sa, now + random.uniform(0, 20))
                wanted[sa.spi_r] = sa.due
        for sa in table.pop_due(now):
            assert now - 0.5 <= wanted.pop(sa.spi_r) <= now
            table.drop(sa)
    assert (len(table), table.half_open) == (0, 0)
