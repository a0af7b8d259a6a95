"""Processing a registration: which SAs are installed, which way, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.errors import GcksError
from gcks.events import NothingToSendOn
from gcks.group.key_download import key_download
from gcks.iana import Kwa, NotifyType, ProtocolId
from gcks.member.ceiling import Ceiling, PolicyUnacceptable
from gcks.member.change import MemberChange
from gcks.member.data_plane import (
    ActivateSa,
    Direction,
    InstallSa,
    JoinMulticast,
    LeaveMulticast,
    Mode,
    RemoveSa,
)
from gcks.member.opening import KeySource
from gcks.wire.gsa import GroupSecurityAssociation
from gcks.wire.kd import KeyDownload, MemberKeyBag
from gcks.wire.notify import Notify
from tests.support.little_gcks import (
    ATD,
    DTD,
    IKE_GSK_W,
    MEMBER_ADDRESS,
    LittleGcks,
    Member,
    esp,
    wrapped,
)


def test_a_receiver_installs_inbound_only_and_at_once() -> None:
    """RFC 9838 section 2.3.3: a non-sender MUST install only in the inbound direction."""
    gcks, member = LittleGcks(), Member()
    member.register(gcks.registration(esp(1)))
    (install,) = member.of(InstallSa)
    assert install.direction is Direction.IN
    assert install.key_e == gcks.keymats[install.spi]
    assert install.mode is Mode.TUNNEL
    assert not install.replay_protection
    assert member.of(JoinMulticast) == [
        JoinMulticast("keyid:demo", "239.255.84.8", 848, None, "192.0.2.1")
    ]
    assert member.at(ATD + 1) == []


def test_a_sender_sends_after_the_activation_delay() -> None:
    """RFC 9838 section 4.4.3.1.1: ATD."""
    gcks, member = LittleGcks(), Member(sender=True)
    member.register(gcks.registration(esp(1), sender_ids=(3,), bits=8))
    (install,) = member.of(InstallSa)
    assert install.direction is Direction.BOTH
    assert (install.sender_ids, install.sender_id_bits) == ((3,), 8)
    assert member.at(ATD - 0.1) == []
    assert member.at(ATD) == [ActivateSa("keyid:demo", ProtocolId.ESP, install.spi)]


@pytest.mark.parametrize(
    ("own", "expected"), [(False, Direction.OUT), (True, Direction.BOTH)]
)  # fmt: skip
def test_the_only_sender_of_an_sa_installs_outbound_only(own: bool, expected: Direction) -> None:
    """RFC 9838 section 2.3.3: a sender that won't receive its data MUST install outgoing only."""
    gcks, member = LittleGcks(), Member(sender=True, receive_own_data=own)
    policy = esp(1, source=MEMBER_ADDRESS)
    member.register(gcks.registration(policy, sender_ids=(0,), bits=8))
    (install,) = member.of(InstallSa)
    assert install.direction is expected
    assert install.replay_protection


def test_a_sender_receives_on_the_sas_of_others() -> None:
    gcks, member = LittleGcks(), Member(sender=True)
    policies = (esp(1, source="192.0.2.99"), esp(2, source=MEMBER_ADDRESS))
    member.register(gcks.registration(*policies, sender_ids=(0,), bits=8))
    other, own = member.of(InstallSa)
    assert (other.direction, own.direction) == (Direction.IN, Direction.OUT)
    assert other.sender_ids == ()
    assert member.of(NothingToSendOn) == []


def test_a_sender_without_an_sa_to_send_on_says_so() -> None:
    gcks, member = LittleGcks(), Member(sender=True)
    policy = esp(1, source="192.0.2.99")
    member.register(gcks.registration(policy, sender_ids=(0,), bits=8))
    (event,) = member.of(NothingToSendOn)
    assert event.addresses == (MEMBER_ADDRESS,)
    assert "data_addresses" in event.hint


def test_use_transport_mode_decides_the_mode() -> None:
    """RFC 9838 section 2.3.4."""
    gcks, member = LittleGcks(), Member()
    notify = Notify(NotifyType.USE_TRANSPORT_MODE)
    member.register(gcks.registration(esp(1), notifies=(notify,)))
    assert member.of(InstallSa)[0].mode is Mode.TRANSPORT


def test_keys_of_cbc_and_hmac_come_encryption_first() -> None:
    """RFC 9838 section 3.4: the encryption key MUST be the leftmost bits."""
    gcks, member = LittleGcks(), Member()
    member.register(gcks.registration(esp(1, cbc=True)))
    (install,) = member.of(InstallSa)
    assert install.key_e + install.key_a == gcks.keymats[install.spi]
    assert (len(install.key_e), len(install.key_a)) == (32, 32)


@pytest.mark.parametrize(("number", "bits"), [(256, 8), (1, 0), (0, 64)])
def test_a_sender_id_that_doesnt_fit_is_fatal(number: int, bits: int) -> None:
    """RFC 9838 section 2.5.2."""
    gcks, member = LittleGcks(), Member(sender=True)
    with pytest.raises(GcksError):
        member.register(gcks.registration(esp(1), sender_ids=(number,), bits=bits))
    assert member.commands == []


def test_a_counter_mode_sender_without_sender_id_installs_nothing() -> None:
    """RFC 9838 section 5, note 1."""
    gcks, member = LittleGcks(), Member(sender=True)
    with pytest.raises(GcksError):
        member.register(gcks.registration(esp(1)))
    assert member.commands == []


def broken_registrations() -> list[tuple[str, tuple[object, ...]]]:
    gcks = LittleGcks()
    gsa, kd = gcks.registration(esp(1))
    assert isinstance(gsa, GroupSecurityAssociation)
    assert isinstance(kd, KeyDownload)
    rekey_bag, esp_bag = kd.group_bags
    other_key = replace(esp_bag, sa_keys=(wrapped(0, 0, b"\x01" * 36, b"\x99" * 32),))
    short_key = replace(esp_bag, sa_keys=(wrapped(0, 0, b"\x01" * 35, IKE_GSK_W),))
    named_key = replace(esp_bag, sa_keys=(wrapped(1, 0, b"\x01" * 36, IKE_GSK_W),))
    tree_key = replace(esp_bag, sa_keys=(wrapped(0, 4, b"\x01" * 36, IKE_GSK_W),))
    foreign = replace(esp_bag, spi=b"\x00\x00\x00\x63")
    no_auth_key = replace(kd, member_bags=())
    junk_auth_key = replace(kd, member_bags=(MemberKeyBag(auth_key=b"\x30\x03\x01\x02\x03"),))
    return [
        ("no KD", (gsa,)),
        ("no GSA", (kd,)),
        ("no bag for the ESP SA", (gsa, replace(kd, group_bags=(rekey_bag,)))),
        ("a foreign bag", (gsa, replace(kd, group_bags=(*kd.group_bags, foreign)))),
        ("a key under another KWK", (gsa, replace(kd, group_bags=(rekey_bag, other_key)))),
        ("a key of the wrong size", (gsa, replace(kd, group_bags=(rekey_bag, short_key)))),
        ("a data key under a tree key", (gsa, replace(kd, group_bags=(rekey_bag, tree_key)))),
        ("a key with a Key ID", (gsa, replace(kd, group_bags=(rekey_bag, named_key)))),
        ("two SA_KEYs", (gsa, replace(kd, group_bags=(rekey_bag, _doubled(esp_bag))))),
        ("no AUTH_KEY", (gsa, no_auth_key)),
        ("an unreadable AUTH_KEY", (gsa, junk_auth_key)),
        ("unasked Sender-IDs", gcks.registration(esp(1), sender_ids=(0,), bits=8)),
    ]


def _doubled(bag):  # type: ignore[no-untyped-def]
    return replace(bag, sa_keys=bag.sa_keys * 2)


@pytest.mark.parametrize(
    "payloads", [pytest.param(payloads, id=name) for name, payloads in broken_registrations()]
)
def test_what_contradicts_rfc_9838_changes_nothing(payloads) -> None:  # type: ignore[no-untyped-def]
    """RFC 9838 sections 4.5, 5: all or nothing."""
    member = Member()
    with pytest.raises(GcksError):
        member.register(payloads)
    assert member.commands == []
    assert member.group.holding.current_rekey is None


def test_a_policy_beyond_the_ceiling_changes_nothing() -> None:
    member = Member(ceiling=Ceiling(destinations=("239.9.0.0/16",)))
    with pytest.raises(PolicyUnacceptable, match=r"239\.1\.2\.3"):
        member.register(LittleGcks().registration(esp(1)))
    assert member.commands == []


def test_a_new_registration_replaces_the_old_one() -> None:
    """RFC 9838 section 2.3.3: any information of a previous registration MUST be replaced."""
    gcks, member = LittleGcks(), Member(sender=True)
    member.register(gcks.registration(esp(1), esp(2, destination="239.1.2.4"),
                                      sender_ids=(3,), bits=8))  # fmt: skip
    member.at(ATD)
    other = LittleGcks(rekey_spi=b"\x06" * 16, address="239.255.84.9")
    member.commands.clear()
    member.register(other.registration(esp(11), sender_ids=(4,), bits=8), now=100.0)
    assert member.group.holding.sender_ids == (4,)
    assert member.group.holding.rekey_sa(gcks.rekey_spi) is None
    assert [one.address for one in member.of(LeaveMulticast)] == ["239.255.84.8"]
    assert member.of(ActivateSa) == member.of(RemoveSa) == []
    (activate,) = member.at(100.0 + ATD)
    assert activate == ActivateSa(
        "keyid:demo", ProtocolId.ESP, b"\0\0\0\x0b", replaces=(b"\0\0\0\1",)
    )
    gone = member.at(100.0 + DTD)
    assert {one.spi for one in gone if isinstance(one, RemoveSa)} == {b"\0\0\0\1", b"\0\0\0\2"}


def test_an_sa_that_is_still_current_goes_on_undisturbed() -> None:
    """Its sequence numbers and Sender-ID stay in use: no nonce comes twice."""
    gcks, member = LittleGcks(), Member(sender=True)
    member.register(gcks.registration(esp(1), sender_ids=(3,), bits=8))
    member.at(ATD)
    member.commands.clear()
    member.register(gcks.registration(esp(1, lifetime=500), sender_ids=(4,), bits=8), now=50.0)
    assert member.commands == []
    assert member.at(549.0) == []
    assert RemoveSa("keyid:demo", ProtocolId.ESP, b"\0\0\0\1") in member.at(551.0)


def test_the_same_spi_with_other_keys_is_a_new_sa() -> None:
    gcks, member = LittleGcks(), Member()
    member.register(gcks.registration(esp(1)))
    member.commands.clear()
    member.register(LittleGcks().registration(esp(1)), now=5.0)
    assert [type(one) for one in member.commands] == [RemoveSa, InstallSa]


def test_initial_message_id_never_goes_back_under_one_spi() -> None:
    """RFC 9838 section 2.3.3 and ruling 7: a stale value MUST be ignored."""
    gcks, member = LittleGcks(message_id=9), Member()
    member.register(gcks.registration(esp(1)))
    gcks.message_id = 4
    member.register(gcks.registration(esp(1)), now=1.0)
    rekey = member.group.holding.current_rekey
    assert rekey is not None
    assert rekey.next_message_id == 9


def test_the_key_wraps_of_ike_sa_and_rekey_sa_may_differ() -> None:
    """RFC 9838 section 4.5.4: each SA's keys are wrapped with that SA's algorithm and GSK_w."""
    gcks, member = LittleGcks(), Member()
    gsa, _ = gcks.registration(esp(1))
    assert isinstance(gsa, GroupSecurityAssociation)
    kwk = b"\x16" * 16
    keys = [(policy.protocol, policy.spi, gcks.keymat(policy)) for policy in gsa.policies]
    payloads = (gsa, key_download(keys, kwk, gcks.auth_key))
    source = KeySource(Kwa.KW_5649_128, kwk)
    member.group.accept_registration(payloads, source, 0.0, MemberChange())
    assert len(gcks.gsk_w) == 32
    member.receive(gcks.rekey(esp(2)))
    (install,) = member.of(InstallSa)
    assert install.key_e == gcks.keymat(esp(2))


def test_an_expired_sa_is_removed_with_its_keys() -> None:
    """RFC 9838 section 4.4.2.2.1: when the lifetime expires the SA MUST be deleted."""
    gcks, member = LittleGcks(lifetime=200), Member()
    member.register(gcks.registration(esp(1, lifetime=100)))
    assert RemoveSa("keyid:demo", ProtocolId.ESP, b"\0\0\0\1") in member.at(100.0)
    assert [type(one) for one in member.at(200.0)] == [LeaveMulticast]
    assert member.group.holding.current_rekey is None


def test_no_secret_is_printed() -> None:
    gcks, member = LittleGcks(), Member()
    member.register(gcks.registration(esp(1)))
    shown = repr(member.group.holding.data_sas) + repr(member.group.holding.current_rekey)
    for keymat in gcks.keymats.values():
        assert keymat[:8].hex() not in shown
        assert repr(keymat[:8])[2:-1] not in shown
