"""A key server in the wrong hands: authentic messages with any content at all.

Whatever comes, the member raises nothing but its own errors, installs nothing
beyond the ceiling, and holds a bounded number of SAs.

Shows gcks/member/ceiling.py, and all of gcks/member behind it.
"""

from __future__ import annotations

import os
from dataclasses import replace
from ipaddress import ip_address
from random import Random

import pytest

from gcks.errors import GcksError
from gcks.group.key_download import rekey_keys
from gcks.group.rekey_message import envelope, rekey_cipher
from gcks.iana import ProtocolId
from gcks.ike.protect import seal_chain
from gcks.member.ceiling import Ceiling
from gcks.member.data_plane import Direction, InstallSa
from gcks.wire.gsa import GroupSecurityAssociation, GroupWidePolicy
from gcks.wire.kd import KeyDownload, MemberKeyBag
from gcks.wire.payloads import Payload, decode_chain, encode_chain
from tests.support.little_gcks import LittleGcks, Member, delete, esp, wrapped

CEILING = Ceiling(allow_implicit_authentication=True, max_data_sas=8)
ROUNDS = 400


def mutate(random: Random, chain: bytes) -> bytes:
    """Change a few octets; sometimes cut, repeat or insert a piece."""
    octets = bytearray(chain)
    for _ in range(random.randrange(1, 5)):
        place = random.randrange(len(octets))
        kind = random.randrange(8)
        if kind < 5:
            octets[place] = random.choice((0, 1, 2, 3, 4, 6, 14, 0x7F, 0x80, 0xFF))
        elif kind == 5:
            octets[place : place + 4] = random.randbytes(4)
        elif kind == 6 and len(octets) > 8:
            del octets[place : place + random.randrange(1, 5)]
        else:
            octets[place:place] = octets[place : place + random.randrange(1, 20)]
    return bytes(octets)


def check_what_is_held(member: Member) -> None:
    holding = member.group.holding
    assert len(holding.data_sas) <= CEILING.max_data_sas
    for command in member.of(InstallSa):
        assert command.protocol in (ProtocolId.ESP, ProtocolId.AH)
        assert ip_address(command.destination.start_address).is_multicast
        assert ip_address(command.destination.end_address).is_multicast
        assert command.encr in CEILING.encr or command.protocol is ProtocolId.AH
        assert command.direction is Direction.IN
        assert 0 < (command.lifetime_seconds or 0) <= CEILING.max_lifetime_seconds


def implicit_member() -> tuple[LittleGcks, Member]:
    gcks, member = LittleGcks(implicit=True), Member(ceiling=CEILING)
    member.register(gcks.registration(esp(1), esp(2, cbc=True, destination="239.1.2.4")))
    return gcks, member


def templates(gcks: LittleGcks) -> list[tuple[Payload, ...]]:
    """Return contents of rekey messages of every kind."""
    tree = MemberKeyBag((wrapped(4, 0, os.urandom(32), gcks.gsk_w),), None, ())
    wide = GroupWidePolicy(1, 2)
    plain = gcks.registration(esp(3), esp(4, cbc=True, destination="239.1.2.4"), rekey=False)
    gsa, kd = plain
    assert isinstance(gsa, GroupSecurityAssociation)
    assert isinstance(kd, KeyDownload)
    bags = tuple(
        replace(bag, sa_keys=(wrapped(0, 0, gcks.keymats[bag.spi], gcks.gsk_w),))
        for bag in kd.group_bags
    )
    with_delays = GroupSecurityAssociation(gsa.policies, wide)
    return [
        (with_delays, KeyDownload(bags, (tree,))),
        (with_delays, KeyDownload(bags)),
        (delete(ProtocolId.ESP, b"\0\0\0\1"), delete(ProtocolId.GIKE_UPDATE, bytes(16))),
        (delete(ProtocolId.AH, bytes(4)),),
    ]


@pytest.mark.parametrize("seed", range(6))
def test_any_authentic_rekey_is_survived(seed: int) -> None:
    random = Random(seed)
    gcks, member = implicit_member()
    accepted = 0
    for number in range(ROUNDS):
        if member.group.holding.current_rekey is None:
            gcks, member = implicit_member()
        content = random.choice(templates(gcks))
        first, chain = encode_chain(content)
        policy = gcks.rekey_policy()
        cipher = rekey_cipher(policy.transforms, rekey_keys(gcks.keymats[gcks.rekey_spi], policy))
        head = envelope(gcks.rekey_spi, gcks.message_id)
        gcks.message_id += 1
        mutated = chain if number % 5 == 0 else mutate(random, chain)
        datagram = seal_chain(cipher, os.urandom(8), head, first, mutated)
        try:
            member.receive(datagram, float(number))
            accepted += 1
        except GcksError:
            pass
        member.at(float(number) + 0.5)
        check_what_is_held(member)
    assert accepted > ROUNDS // 20


@pytest.mark.parametrize("seed", range(6))
def test_any_authentic_registration_is_survived(seed: int) -> None:
    random = Random(seed)
    gcks, member = LittleGcks(implicit=True), Member(ceiling=CEILING)
    content = gcks.registration(esp(1), esp(2, cbc=True, destination="239.1.2.4"))
    first, chain = encode_chain(content)
    accepted = 0
    for number in range(ROUNDS):
        mutated = chain if number % 9 == 0 else mutate(random, chain)
        try:
            member.register(tuple(decode_chain(first, mutated)), float(number))
            accepted += 1
        except GcksError:
            pass
        member.at(float(number) + 0.5)
        check_what_is_held(member)
    assert accepted > ROUNDS // 20
