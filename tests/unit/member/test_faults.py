"""Whatever goes wrong while a message is judged: what is held stays as it was.

A fault of the test's making strikes at each function that is called on the way, one run
for each of them.

Shows gcks/member.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from gcks.errors import GcksError
from gcks.events import PolicyRefused, RegisterAgain, Reregistering
from gcks.iana import ProtocolId
from gcks.member.ceiling import Ceiling
from gcks.member.change import MemberChange
from gcks.member.inband import follow_push, judge_push
from gcks.member.opening import KeySource
from gcks.member.phases import AwaitingRekeys, Phase
from gcks.member.registration import judge_registration
from gcks.member.rekey import judge_rekey
from gcks.member.rekey_reading import read_rekey
from gcks.wire.gsa import GroupWidePolicy
from gcks.wire.header import decode_header
from gcks.wire.kd import MemberKeyBag
from gcks.wire.payloads import Payload
from tests.support.faults import fault_at
from tests.support.little_gcks import ESP1, IKE_GSK_W, KWA, LittleGcks, Member, delete, esp, joined

MOST_CALLS = 3000
SOURCE = KeySource(KWA, IKE_GSK_W)


def strike_everywhere(prepare: Callable[[], Callable[[], object]]) -> Iterator[str]:
    """Do what `prepare` returns again and again, with a fault at another place each time.

    Yield where it struck, after it has; end where it strikes no more.
    """
    for number in range(1, MOST_CALLS):
        act = prepare()
        with fault_at(number, "member") as called:
            act()
        if len(called) < number:
            return
        yield called[-1]
    pytest.fail(f"more than {MOST_CALLS} calls")


def everything(gcks: LittleGcks) -> bytes:
    """Build a GSA_REKEY that changes all it can: SAs, Rekey SA, delays, AUTH_KEY, Deletes."""
    bag = MemberKeyBag(auth_key=gcks.auth_key)
    return gcks.rekey(
        esp(2),
        new_rekey_spi=b"\x08" * 16,
        deletes=(delete(ProtocolId.ESP, ESP1),),
        member_bags=(bag,),
        wide=GroupWidePolicy(),
    )


# --- judging changes nothing ------------------------------------------------------------


def test_a_fault_while_a_rekey_is_judged_changes_nothing() -> None:
    gcks, member = joined(sender=True)
    datagram, group = everything(gcks), member.group
    message = read_rekey(group.holding, datagram, decode_header(datagram), 10.0)
    assert message is not None
    before = repr(group.phase), group.phase
    places = list(
        strike_everywhere(lambda: lambda: judge_rekey(group.terms, group.holding, message, 10.0))
    )
    assert (repr(group.phase), group.phase) == before
    assert {"build_data_sa", "open_gsa", "Verifier.renewed", "Holding.advanced"} <= set(places)


def test_a_fault_while_a_registration_is_judged_changes_nothing() -> None:
    gcks, member = joined(sender=True)
    group, payloads = member.group, gcks.registration(esp(2), sender_ids=(4,), bits=8)
    before = repr(group.phase), group.phase
    places = set(
        strike_everywhere(
            lambda: lambda: judge_registration(group.terms, group.holding, payloads, SOURCE, 10.0)
        )
    )
    assert (repr(group.phase), group.phase) == before
    assert {"build_rekey_sa", "read_verifier", "Holding.with_rekey"} <= places


def test_a_fault_while_a_push_is_judged_changes_nothing() -> None:
    gcks, member = joined_in_band()
    group, payloads = member.group, gcks.registration(esp(2), rekey=False)
    before = repr(group.phase), group.phase
    places = set(
        strike_everywhere(
            lambda: lambda: judge_push(group.terms, group.holding, payloads, SOURCE, 10.0)
        )
    )
    assert (repr(group.phase), group.phase) == before
    assert {"Holding.without_data", "Deletions.carried_out"} <= places


def joined_in_band(*, sender: bool = False) -> tuple[LittleGcks, Member]:
    gcks, member = LittleGcks(), Member(sender=sender)
    member.register(gcks.registration(esp(1, cbc=True), rekey=False))
    return gcks, member


PUSHES: dict[str, Callable[[LittleGcks], tuple[Payload, ...]]] = {
    "a Delete of an IKE SA": lambda g: (
        *g.registration(esp(2), rekey=False),
        delete(ProtocolId.IKE),
    ),
    "GSA without KD": lambda g: g.registration(esp(2), rekey=False)[:1],
    "Sender-IDs": lambda g: g.registration(esp(2), rekey=False, sender_ids=(1,), bits=8),
    "a policy beyond the ceiling": lambda g: g.registration(
        esp(2), esp(3, lifetime=10**8), rekey=False
    ),
}


@pytest.mark.parametrize("name", list(PUSHES))
def test_a_half_bad_push_changes_nothing(name: str) -> None:
    """RFC 9838 section 2.4.2.2; the Delete beside a policy that is refused isn't done either."""
    gcks, member = joined_in_band()
    group, change = member.group, MemberChange()
    before = group.phase
    payloads = (*PUSHES[name](gcks), delete(ProtocolId.ESP, ESP1))
    with pytest.raises(GcksError):
        follow_push(group, payloads, SOURCE, 10.0, change)
    assert group.phase == before
    assert change == MemberChange()


def test_a_rekey_beyond_the_ceiling_changes_nothing_but_the_plan() -> None:
    gcks, member = joined()
    bad = gcks.rekey(esp(2), esp(3, lifetime=10**8), deletes=(delete(ProtocolId.ESP, ESP1),))
    held = member.group.holding
    member.receive(bad)
    assert member.group.holding == held.with_message(0, bad)
    assert member.commands == [] and member.of(PolicyRefused)


# --- and what is decided is done as a whole, or not at all ------------------------------------


def phases_of_everything() -> tuple[Phase, Phase, Phase]:
    """Return what a group is before the message, once it is noted, and after."""
    gcks, member = seeded()
    datagram = everything(gcks)
    before = member.group.phase
    noted = AwaitingRekeys(member.group.holding.with_message(0, datagram))
    member.receive(datagram, 10.0)
    return before, noted, member.group.phase


def seeded() -> tuple[LittleGcks, Member]:
    """Register as always the same: times, SPIs and generations are compared, keys aren't."""
    return joined(sender=True)


def shape(phase: Phase) -> object:
    """Return all that is the same in each run: the keys are drawn."""
    assert isinstance(phase, AwaitingRekeys)
    holding = phase.holding
    return (
        [(sa.key, sa.generation, sa.active, sa.remove_at) for sa in holding.data_sas],
        [(sa.spi, sa.next_message_id, sa.remove_at) for sa in holding.rekey_sas],
        (holding.atd_seconds, holding.dtd_seconds, len(holding.path)),
    )


def test_a_fault_at_any_place_leaves_all_or_nothing_and_a_registration_to_come() -> None:
    """The message is used up: who can't follow it registers again, and its keys still work."""
    wholes = [shape(phase) for phase in phases_of_everything()]
    members: list[Member] = []

    def prepare() -> Callable[[], object]:
        gcks, member = seeded()
        members.append(member)
        datagram = everything(gcks)
        return lambda: member.receive(datagram, 10.0)

    seen = set()
    for place in strike_everywhere(prepare):
        group = members[-1].group
        assert shape(group.phase) in wholes, place
        seen.add(wholes.index(shape(group.phase)))
        if shape(group.phase) == wholes[1]:
            (told,) = members[-1].of(Reregistering)
            assert told.reason is RegisterAgain.REKEY_LOST, place
            assert group.wants_registration(10.0 + told.delay_seconds)
    assert seen == {0, 1, 2}


# --- what judging must not let through -----------------------------------------------------


def test_a_push_without_sender_id_brings_no_counter_mode_sa_to_send_on() -> None:
    """RFC 9838 section 2.4.1.4: MUST NOT install, MUST re-register; nonces would repeat."""
    gcks, member = joined_in_band(sender=True)
    change = MemberChange()
    follow_push(member.group, gcks.registration(esp(2), rekey=False), SOURCE, 10.0, change)
    assert [sa.key[1] for sa in member.group.holding.data_sas] == [ESP1]
    (told,) = [event for event in change.events if isinstance(event, Reregistering)]
    assert told.reason is RegisterAgain.NO_SENDER_ID


def test_who_stood_still_until_all_was_over_registers_again() -> None:
    """A stopped process or a paused host comes back after the lifetimes."""
    _, member = joined()
    member.at(200_000.0)
    assert member.group.holding.data_sas == ()
    assert member.group.state.value == "waiting"
    assert member.group.wants_registration(200_000.0)


def test_a_ceiling_is_not_passed_by_a_push() -> None:
    gcks, member = LittleGcks(), Member(ceiling=Ceiling(max_data_sas=1))
    member.register(gcks.registration(esp(1), rekey=False))
    with pytest.raises(GcksError, match="more than 1"):
        follow_push(
            member.group, gcks.registration(esp(2), rekey=False), SOURCE, 1.0, MemberChange()
        )
