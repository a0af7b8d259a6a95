"""Following GSA_REKEY: what is trusted, what changes, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gcks.crypto.signature import SigningKey
from gcks.errors import Discard, DropReason
from gcks.events import PolicyRefused, RekeyReceived, Reregistering
from gcks.iana import ProtocolId
from gcks.member.ceiling import Ceiling
from gcks.member.change import MemberChange
from gcks.member.data_plane import (
    ActivateSa,
    InstallSa,
    JoinMulticast,
    LeaveMulticast,
    RemoveSa,
)
from gcks.member.delay import UNTOLD_SECONDS
from gcks.member.key_path import PathKey
from gcks.member.phases import AwaitingRekeys, MembershipState
from gcks.wire.delete import Delete
from gcks.wire.gsa import GroupSecurityAssociation, GroupWidePolicy
from gcks.wire.kd import GroupKeyBag, KeyDownload, MemberKeyBag
from tests.support.little_gcks import (
    ATD,
    DTD,
    ESP1,
    ESP2,
    ESP3,
    LittleGcks,
    Member,
    delete,
    esp,
    joined,
    with_message_id,
    wrapped,
)


def dropped(member: Member, datagram: bytes, now: float = 10.0) -> DropReason:
    """Receive what must be dropped without any effect; return why."""
    before = (member.group.holding.data_sas, member.group.holding.current_rekey)
    with pytest.raises(Discard) as caught:
        member.receive(datagram, now)
    assert member.commands == []
    assert (member.group.holding.data_sas, member.group.holding.current_rekey) == before
    return caught.value.reason


# --- make before break ---------------------------------------------------------------------


def test_a_new_data_sa_goes_in_at_once_out_after_atd_and_replaces_after_dtd() -> None:
    """RFC 9838 sections 2.4.1.4, 4.4.3.1.1."""
    gcks, member = joined(sender=True)
    member.receive(gcks.rekey(esp(2), deletes=(delete(ProtocolId.ESP, ESP1),)), 100.0)
    (install,) = member.of(InstallSa)
    assert (install.spi, install.sender_ids) == (ESP2, (3,))
    assert member.commands == [install]
    assert member.at(100.0 + ATD) == [
        ActivateSa("keyid:demo", ProtocolId.ESP, ESP2, replaces=(ESP1,))
    ]
    assert member.at(100.0 + DTD - 0.1) == []
    assert member.at(100.0 + DTD) == [RemoveSa("keyid:demo", ProtocolId.ESP, ESP1)]
    assert member.of(RekeyReceived) == [
        RekeyReceived("keyid:demo", 0, 1, rekey_sa=False, deleted=1)
    ]


def test_delays_of_the_message_itself_win() -> None:
    """RFC 9838 section 4.4.3.1.1."""
    gcks, member = joined(sender=True)
    wide = GroupWidePolicy(atd_seconds=1, dtd_seconds=2)
    member.receive(gcks.rekey(esp(2), deletes=(delete(ProtocolId.ESP, ESP1),), wide=wide), 100.0)
    assert [type(one) for one in member.at(101.0)] == [ActivateSa]
    assert [type(one) for one in member.at(102.0)] == [RemoveSa]


def test_without_delays_everything_happens_at_once_in_order() -> None:
    gcks, member = joined(sender=True)
    message = gcks.rekey(esp(2), deletes=(delete(ProtocolId.ESP, ESP1),), wide=GroupWidePolicy())
    member.receive(message, 100.0)
    assert [type(one) for one in member.commands] == [InstallSa, ActivateSa, RemoveSa]


def test_a_new_rekey_sa_replaces_the_old_one_after_dtd() -> None:
    """RFC 9838 section 2.4.1.4: the current Rekey SA MUST be deleted after waiting DTD."""
    gcks, member = joined()
    old = gcks.rekey_spi
    member.receive(gcks.rekey(new_rekey_spi=b"\x08" * 16), 100.0)
    rekey = member.group.holding.current_rekey
    assert rekey is not None and rekey.spi == b"\x08" * 16
    assert member.group.holding.rekey_sa(old) is not None
    assert member.commands == []  # the address is the same: nothing to join
    member.at(100.0 + DTD)
    assert member.group.holding.rekey_sa(old) is None
    member.receive(gcks.rekey(esp(2)), 130.0)
    assert [one.spi for one in member.of(InstallSa)] == [ESP2]


def test_the_first_message_over_a_new_rekey_sa_is_number_zero() -> None:
    """RFC 9838 section 2.4.1.3."""
    gcks, member = joined(gcks=LittleGcks(message_id=40))
    member.receive(gcks.rekey(new_rekey_spi=b"\x08" * 16), 100.0)
    assert gcks.message_id == 0
    member.receive(gcks.rekey(esp(2)), 101.0)
    assert member.group.history.rekeys == 2


def test_a_new_rekey_address_is_joined_and_the_old_one_left_after_dtd() -> None:
    gcks, member = joined()
    gcks.address = "239.255.84.9"
    member.receive(gcks.rekey(new_rekey_spi=b"\x08" * 16), 100.0)
    assert [type(one) for one in member.commands] == [JoinMulticast]
    assert [one.address for one in member.at(100.0 + DTD) if isinstance(one, LeaveMulticast)] == [
        "239.255.84.8"
    ]


# --- replay and order --------------------------------------------------------------------


def test_bit_identical_copies_are_ignored_quietly() -> None:
    """RFC 9838 section 2.4.1.3: the GCKS may send several copies."""
    gcks, member = joined()
    message = gcks.rekey(esp(2))
    for _ in range(3):
        member.receive(message)
    assert len(member.of(InstallSa)) == len(member.of(RekeyReceived)) == 1


def test_a_smaller_message_id_is_a_replay() -> None:
    """RFC 9838 section 2.4.1.4: a GM rejects a Message ID that isn't greater."""
    gcks, member = joined()
    first, second = gcks.rekey(esp(2)), gcks.rekey(esp(3))
    member.receive(second)
    member.commands.clear()
    assert dropped(member, first) is DropReason.REPLAY


def test_the_same_message_id_with_other_content_is_a_replay() -> None:
    """RFC 9838 section 8.2.4: less than or equal to the last received MUST be discarded."""
    gcks, member = joined()
    again = replace(gcks, keymats=gcks.keymats)
    member.receive(gcks.rekey(esp(2)))
    member.commands.clear()
    assert dropped(member, again.rekey(esp(3))) is DropReason.REPLAY


def test_message_ids_may_skip() -> None:
    """RFC 9838 section 2.4.1: the windowing mechanism MUST NOT be used."""
    gcks, member = joined()
    gcks.rekey(esp(2))
    member.receive(gcks.rekey(esp(3)))
    assert [one.spi for one in member.of(InstallSa)] == [ESP3]


def test_message_ids_that_never_came_are_counted() -> None:
    """Copies, replays, and what comes over a new Rekey SA are no gaps."""
    gcks, member = joined()
    messages = [gcks.rekey(esp(number)) for number in (2, 3, 4, 5)]
    member.receive(messages[0])
    assert member.group.reception.missed == 0
    member.receive(messages[3])
    member.receive(messages[3])
    with pytest.raises(Discard):
        member.receive(messages[1])
    assert (member.group.reception.missed, member.group.history.rekeys) == (2, 2)
    member.receive(gcks.rekey(new_rekey_spi=b"\x08" * 16))
    member.receive(gcks.rekey(esp(6)))
    assert member.group.reception.missed == 2
    gcks.message_id += 3
    member.receive(gcks.rekey(esp(7)))
    assert member.group.reception.missed == 5


def test_the_first_rekey_may_be_missed_too() -> None:
    """Counted from GSA_INITIAL_MESSAGE_ID, which the registration told."""
    gcks, member = joined(gcks=LittleGcks(message_id=17))
    gcks.message_id = 19
    member.receive(gcks.rekey(esp(2)))
    assert member.group.reception.missed == 2


def test_the_first_message_id_may_equal_the_initial_one() -> None:
    """RFC 9838 section 2.3.3: greater or equal to GSA_INITIAL_MESSAGE_ID."""
    gcks, member = joined(gcks=LittleGcks(message_id=17))
    member.receive(gcks.rekey(esp(2)))
    assert member.group.history.rekeys == 1


def test_below_the_initial_message_id_is_a_replay() -> None:
    gcks, member = joined(gcks=LittleGcks(message_id=17))
    gcks.message_id = 16
    assert dropped(member, gcks.rekey(esp(2))) is DropReason.REPLAY


def test_without_initial_message_id_zero_is_the_first() -> None:
    """RFC 9838 section 2.4.1.4: the GM MUST assume zero."""
    gcks, member = joined()
    assert gcks.message_id == 0
    member.receive(gcks.rekey(esp(2)))
    assert member.group.history.rekeys == 1


def test_a_new_message_over_a_replaced_rekey_sa_is_stale() -> None:
    """Ruling 28."""
    gcks, member = joined()
    old, keymats = gcks.rekey_spi, dict(gcks.keymats)
    member.receive(gcks.rekey(new_rekey_spi=b"\x08" * 16))
    impostor = replace(gcks, rekey_spi=old, message_id=5, keymats=keymats)
    assert dropped(member, impostor.rekey(esp(2))) is DropReason.STALE


# --- trust ---------------------------------------------------------------------------------


def test_a_forged_message_id_fails_the_icv() -> None:
    gcks, member = joined()
    forged = with_message_id(gcks.rekey(esp(2)), 9)
    assert dropped(member, forged) is DropReason.BAD_INTEGRITY


def test_another_signer_is_refused_before_anything_changes() -> None:
    """RFC 9838 section 2.4.1.4: a member knows the keys, but can't sign."""
    gcks, member = joined()
    insider = replace(gcks, key=SigningKey.generate("ed25519"))
    assert dropped(member, insider.rekey(esp(2))) is DropReason.BAD_SIGNATURE
    member.receive(gcks.rekey(esp(2)))  # the Message ID wasn't used up
    assert member.group.history.rekeys == 1


def test_an_unsigned_message_is_refused_where_signatures_are_used() -> None:
    """RFC 9838 section 4.4.2.1.1: AUTH MUST be there."""
    gcks, member = joined()
    assert dropped(member, replace(gcks, implicit=True).rekey(esp(2))) is DropReason.BAD_SIGNATURE


def test_implicit_authentication_needs_no_signature_and_admits_none() -> None:
    """RFC 9838 section 4.4.2.1.1: AUTH MUST NOT be included."""
    gcks, member = joined(gcks=LittleGcks(implicit=True))
    signing = replace(gcks, implicit=False)
    assert dropped(member, signing.rekey(esp(2))) is DropReason.BAD_SIGNATURE
    member.receive(gcks.rekey(esp(2)))
    assert member.group.history.rekeys == 1


@pytest.mark.parametrize("flags", [0x10, 0x20, 0x01, 0x80])
def test_response_version_and_reserved_flags_must_be_clear(flags: int) -> None:
    """Ruling 10."""
    gcks, member = joined()
    datagram = bytearray(gcks.rekey(esp(2)))
    datagram[19] = flags
    assert dropped(member, bytes(datagram)) is DropReason.MALFORMED


def test_another_version_is_dropped() -> None:
    gcks, member = joined()
    datagram = bytearray(gcks.rekey(esp(2)))
    datagram[17] = 0x30
    assert dropped(member, bytes(datagram)) is DropReason.UNKNOWN_VERSION


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-p256", "rsa-pss"])
def test_every_signature_algorithm_is_followed(kind: str) -> None:
    gcks, member = joined(gcks=LittleGcks(key=SigningKey.generate(kind)))
    member.receive(gcks.rekey(esp(2)))
    assert member.group.history.rekeys == 1


def test_auth_key_is_replaced_for_the_messages_that_follow() -> None:
    """RFC 9838 section 2.4.1: a new AUTH_KEY comes in a GSA_REKEY message."""
    gcks, member = joined()
    new = SigningKey.generate("ed25519")
    bag = MemberKeyBag(auth_key=new.public_spki)
    member.receive(gcks.rekey(esp(2), member_bags=(bag,)))
    member.commands.clear()
    assert dropped(member, gcks.rekey(esp(3))) is DropReason.BAD_SIGNATURE
    gcks.key = new
    member.receive(gcks.rekey(esp(3)))
    assert member.group.history.rekeys == 2


def test_auth_key_of_another_kind_is_refused() -> None:
    """RFC 9838 section 4.4.2.1.1: the authentication method MUST NOT change by rekey."""
    gcks, member = joined()
    bag = MemberKeyBag(auth_key=SigningKey.generate("ecdsa-p256").public_spki)
    with pytest.raises(Discard):
        member.receive(gcks.rekey(esp(2), member_bags=(bag,)))
    assert member.commands == []
    member.receive(gcks.rekey(esp(3)))
    assert member.group.history.rekeys == 1


def test_auth_key_under_implicit_authentication_is_refused() -> None:
    gcks, member = joined(gcks=LittleGcks(implicit=True))
    bag = MemberKeyBag(auth_key=SigningKey.generate("ed25519").public_spki)
    with pytest.raises(Discard):
        member.receive(gcks.rekey(esp(2), member_bags=(bag,)))
    assert member.commands == []


# --- content that must not be ---------------------------------------------------------------


BAD_CONTENTS: dict[str, Callable[[LittleGcks], bytes]] = {
    "Sender-IDs": lambda g: g.rekey(esp(2), member_bags=(MemberKeyBag(sender_ids=(1,)),)),
    "Sender-ID bits": lambda g: g.rekey(esp(2), wide=GroupWidePolicy(sender_id_bits=8)),
    "GSA without KD": lambda g: g.message((GroupSecurityAssociation((esp(2),)),)),
    "KD alone": lambda g: g.message((KeyDownload((GroupKeyBag(3, ESP2, ()),)),)),
    "GCAUTH and GSK_w of another SA": lambda g: g.message(g.registration(esp(2))),
    "Delete of an IKE SA": lambda g: g.message((Delete(ProtocolId.IKE, 0, ()),)),
    "protocol 0 with an SPI": lambda g: g.message((Delete(ProtocolId.NONE, 4, (ESP1,)),)),
    "a TEK beside WRAP_KEYs": lambda g: g.rekey(
        esp(2),
        new_rekey_spi=b"\x08" * 16,
        member_bags=(MemberKeyBag((wrapped(4, 0, b"\1" * 32, g.gsk_w),)),),
    ),
}


@pytest.mark.parametrize("name", list(BAD_CONTENTS))
def test_authentic_nonsense_changes_nothing_and_is_not_tried_twice(name: str) -> None:
    """RFC 9838 section 5 and rulings 1, 8, 9, 12, 22."""
    gcks, member = joined()
    datagram = BAD_CONTENTS[name](gcks)
    with pytest.raises(Discard) as caught:
        member.receive(datagram)
    assert caught.value.reason is DropReason.MALFORMED
    assert member.commands == []
    member.receive(datagram)  # a known copy by now
    assert member.group.history.rekeys == 0


@pytest.mark.parametrize("name", list(BAD_CONTENTS))
def test_a_half_bad_rekey_changes_nothing_but_its_message_id(name: str) -> None:
    """What is right in it isn't done either."""
    gcks, member = joined()
    datagram, held = BAD_CONTENTS[name](gcks), member.group.holding
    with pytest.raises(Discard):
        member.receive(datagram)
    assert member.group.phase == AwaitingRekeys(held.with_message(0, datagram))
    assert member.commands == [] and member.events == []


def test_a_policy_beyond_the_ceiling_is_refused_loudly() -> None:
    gcks, member = joined()
    member.receive(gcks.rekey(esp(2, lifetime=10**8)))
    assert member.commands == []
    assert "lifetime" in member.of(PolicyRefused)[0].cause
    assert len(member.of(Reregistering)) == 1
    member.receive(gcks.rekey(esp(3)))
    assert not member.group.wants_registration(10**6)  # all is well again


def test_a_flood_of_new_sas_is_bounded() -> None:
    """A hostile key server can't fill the kernel with SAs."""
    gcks, member = joined()
    for number in range(2, Ceiling().max_data_sas + 60):
        member.receive(gcks.rekey(esp(number)))
    assert len(member.group.holding.data_sas) == Ceiling().max_data_sas
    assert member.of(PolicyRefused)


def test_a_flood_of_new_rekey_sas_is_bounded() -> None:
    gcks, member = joined()
    for number in range(10, 40):
        member.receive(gcks.rekey(new_rekey_spi=bytes((number,)) * 16))
    held = [n for n in range(40) if member.group.holding.rekey_sa(bytes((n,)) * 16)]
    assert held == [36, 37, 38, 39]


# --- Delete ---------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [ProtocolId.ESP, ProtocolId.AH])
def test_a_zero_spi_deletes_all_data_sas_after_dtd(protocol: ProtocolId) -> None:
    """RFC 9838 section 2.4.3, ruling 9."""
    gcks, member = joined()
    member.receive(gcks.message((delete(protocol, bytes(4)),)), 100.0)
    assert member.at(100.0 + DTD - 1) == []
    assert member.at(100.0 + DTD) == [RemoveSa("keyid:demo", ProtocolId.ESP, ESP1)]
    assert member.group.state is MembershipState.REGISTERED


def test_a_zero_spi_spares_the_sas_of_the_same_message() -> None:
    """Ruling 9: it covers the SAs known before the message."""
    gcks, member = joined()
    member.receive(gcks.rekey(esp(2), deletes=(delete(ProtocolId.ESP, bytes(4)),)), 100.0)
    member.at(100.0 + DTD)
    assert [sa.install.spi for sa in member.group.holding.data_sas] == [ESP2]


@pytest.mark.parametrize(
    "payload",
    [
        delete(ProtocolId.GIKE_UPDATE, bytes(16)),
        Delete(ProtocolId.NONE, 0, ()),
        delete(ProtocolId.NONE, bytes(4)),
    ],
)
def test_deletion_of_the_group_means_excluded_and_registering_again(payload: Delete) -> None:
    """RFC 9838 sections 2.4.3 and 4.6: MUST re-register, after a random time."""
    gcks, member = joined()
    member.receive(gcks.message((payload,)), 100.0)
    assert {type(one) for one in member.commands} == {RemoveSa, LeaveMulticast}
    assert member.group.holding.data_sas == ()
    (again,) = member.of(Reregistering)
    assert again.delay_seconds == UNTOLD_SECONDS
    assert not member.group.wants_registration(104.9)
    assert member.group.wants_registration(105.0)


@pytest.mark.parametrize("protocol", [ProtocolId.ESP, ProtocolId.AH])
def test_deletion_of_all_data_sas_and_the_rekey_sa_is_an_exclusion(protocol: ProtocolId) -> None:
    """RFC 9838 section 2.4.3: zero SPI for AH or ESP, followed by zero SPI for GIKE_UPDATE."""
    gcks, member = joined()
    payloads = (delete(protocol, bytes(4)), delete(ProtocolId.GIKE_UPDATE, bytes(16)))
    member.receive(gcks.message(payloads), 100.0)
    assert member.group.holding.data_sas == ()
    assert member.group.holding.current_rekey is None
    assert member.of(Reregistering)


def test_an_unknown_spi_to_delete_is_no_error() -> None:
    gcks, member = joined()
    member.receive(gcks.message((delete(ProtocolId.ESP, b"\xff" * 4),)))
    assert member.commands == []
    assert member.group.history.rekeys == 1


def test_deleting_the_rekey_sa_alone_ends_in_registration() -> None:
    gcks, member = joined()
    member.receive(gcks.message((delete(ProtocolId.GIKE_UPDATE, gcks.rekey_spi),)), 100.0)
    assert member.of(Reregistering)
    member.at(100.0 + DTD)
    assert member.group.holding.current_rekey is None


# --- Sender-IDs -----------------------------------------------------------------------------


def test_a_sender_without_sender_id_doesnt_install_a_counter_mode_sa() -> None:
    """RFC 9838 section 2.4.1.4: MUST NOT install, MUST re-register."""
    gcks, member = LittleGcks(), Member(sender=True)
    member.register(gcks.registration(esp(1, cbc=True)))
    member.commands.clear()
    member.receive(gcks.rekey(esp(2), esp(3, cbc=True, destination="239.1.2.4")), 100.0)
    assert [one.spi for one in member.of(InstallSa)] == [ESP3]
    assert "Sender-ID" in member.of(Reregistering)[0].cause


def test_without_sender_id_the_counter_mode_sas_of_others_are_received() -> None:
    """RFC 9838 section 2.4.1.4: only a sender for that SA must not install it."""
    gcks, member = LittleGcks(), Member(sender=True)
    member.register(gcks.registration(esp(1, cbc=True)))
    member.commands.clear()
    member.receive(gcks.rekey(esp(2, source="192.0.2.99")), 100.0)
    assert [one.spi for one in member.of(InstallSa)] == [ESP2]
    assert member.of(Reregistering) == []


# --- key trees ------------------------------------------------------------------------------


def test_a_member_follows_a_key_tree_without_knowing_it() -> None:
    """RFC 9838 section 3.3."""
    gcks, member = joined()
    member.plant_path(PathKey(1, b"\1" * 32), PathKey(7, b"\7" * 32))
    member.receive(_tree_rekey(gcks, around=7, key=b"\7" * 32))
    assert [key.key_id for key in member.group.holding.path] == [15, 7]
    member.receive(gcks.rekey(esp(2)))
    assert [one.spi for one in member.of(InstallSa)] == [ESP2]


def test_without_a_key_path_the_member_is_excluded() -> None:
    """RFC 9838 section 3.3."""
    gcks, member = joined()
    member.plant_path(PathKey(8, b"\7" * 32))
    member.receive(_tree_rekey(gcks, around=7, key=b"\7" * 32))
    assert {type(one) for one in member.commands} == {RemoveSa, LeaveMulticast}
    assert "Key Path" in member.of(Reregistering)[0].cause


def _tree_rekey(gcks: LittleGcks, around: int, key: bytes) -> bytes:
    """Rekey the Rekey SA under tree key 15, wrapped under `around`."""
    old, policy_spi = gcks.rekey_spi, b"\x09" * 16
    gcks.rekey_spi = policy_spi
    policy = gcks.rekey_policy(registration=False)
    bag = GroupKeyBag(
        ProtocolId.GIKE_UPDATE, policy_spi, (wrapped(0, 15, gcks.keymat(policy), b"\x0f" * 32),)
    )
    tree = MemberKeyBag((wrapped(15, around, b"\x0f" * 32, key),))
    gsa = GroupSecurityAssociation((policy,), None)
    datagram = gcks.message((gsa, KeyDownload((bag,), (tree,))), spi=old)
    gcks.message_id = 0
    return datagram


# --- soft expiry ----------------------------------------------------------------------------


def test_an_sa_that_isnt_replaced_in_time_leads_to_registration() -> None:
    """RFC 9838 section 2.4.1.4: soft lifetime expiration SHOULD lead to a registration."""
    _, member = joined()
    member.at(3600.0 - 121)
    assert member.of(Reregistering) == []
    member.at(3600.0 - 120)
    assert "about to expire" in member.of(Reregistering)[0].cause
    assert member.group.due < 3600.0


def test_a_rekey_sa_that_isnt_replaced_in_time_leads_to_registration() -> None:
    """RFC 9838 section 2.4.1.4."""
    _, member = joined(gcks=LittleGcks(lifetime=1000))
    member.at(1000.0 - 49)
    assert "Rekey SA" in member.of(Reregistering)[0].cause


def test_a_replaced_sa_may_expire_in_peace() -> None:
    gcks, member = joined()
    member.receive(gcks.rekey(esp(2, lifetime=7200)), 100.0)
    member.at(3599.0)
    assert member.of(Reregistering) == []


def test_a_late_rekey_calls_the_registration_off() -> None:
    gcks, member = joined()
    member.at(3600.0 - 120)
    assert member.of(Reregistering)
    member.receive(gcks.rekey(esp(2, lifetime=7200)), 3600.0 - 118)
    assert not member.group.wants_registration(10**6)


def test_an_exclusion_during_a_registration_outlives_its_answer() -> None:
    """The answer may have been made before the GCKS deleted the group's SAs."""
    gcks, member = joined()
    answer = gcks.registration(esp(1))
    member.group.begin_registration(99.0, MemberChange())
    member.receive(gcks.message((delete(ProtocolId.GIKE_UPDATE, bytes(16)),)), 100.0)
    member.register(answer, 100.5)
    assert member.group.state is MembershipState.REGISTERED
    assert member.group.wants_registration(105.0)


def test_the_minor_version_is_ignored() -> None:
    """RFC 7296 section 2.5; it is part of the authenticated header, so the ICV speaks."""
    gcks, member = joined()
    datagram = bytearray(gcks.rekey(esp(2)))
    datagram[17] = 0x21
    assert dropped(member, bytes(datagram)) is DropReason.BAD_INTEGRITY
