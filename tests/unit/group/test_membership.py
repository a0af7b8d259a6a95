"""Membership by columns against a plain dictionary."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gcks.group.identity_index import IdentityIndex
from gcks.group.membership import MAX_SHARED_SAGS, Membership
from gcks.journal import MemberSaved

NAMES = st.integers(0, 30).map("fqdn:gm{}.example".format) | st.text(max_size=12)
RECORDS = st.builds(
    MemberSaved,
    st.just("keyid:a"),
    NAMES,
    st.sampled_from(["192.0.2.1", "2001:db8::1", ""]),
    st.lists(st.integers(0, 9), max_size=2).map(tuple),
    st.binary(max_size=3),
    st.floats(0, 4e9),
    st.booleans(),
    st.sampled_from([inf, 10.0, 20.0]),
    st.sampled_from([b"", b"a" * 16, b"b" * 16 + b"c" * 16]),
    st.integers(-1, 100),
    st.booleans(),
)


class Comparison(RuleBasedStateMachine):
    """Everything that a group does with its members, done to both."""

    def __init__(self) -> None:
        super().__init__()
        self.members, self.model = Membership(), dict[str, MemberSaved]()

    @rule(saved=RECORDS)
    def put(self, saved: MemberSaved) -> None:
        self.members.put(saved)
        self.model[saved.identity] = saved

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        assert self.members.remove(name) is (self.model.pop(name, None) is not None)

    @rule(at=st.sampled_from([5.0, 10.0, 30.0]))
    def expire(self, at: float) -> None:
        ended = {name for name, one in self.model.items() if one.certificate_ends <= at}
        assert set(self.members.take_expired(at)) == ended
        for name in ended:
            self.model[name] = replace(self.model[name], certificate_ends=inf)

    @rule(revoked=st.sampled_from([b"a" * 16, b"c" * 16]))
    def revoke(self, revoked: bytes) -> None:
        ended = {name for name, one in self.model.items() if revoked in one.certificates}
        assert set(self.members.take_revoked({revoked})) == ended
        for name in ended:
            self.model[name] = replace(self.model[name], certificates=b"")

    @rule()
    def clear(self) -> None:
        self.members.clear()
        self.model.clear()

    @invariant()
    def same(self) -> None:
        assert len(self.members) == len(self.model)
        assert set(self.members.identities()) == set(self.model)
        assert self.members.all_reassemble == all(one.reassembles for one in self.model.values())
        assert self.members.senders == sum(one.sender for one in self.model.values())
        ends = min((one.certificate_ends for one in self.model.values()), default=inf)
        assert self.members.certificate_ends <= ends
        for name, one in self.model.items():
            found = self.members.get(name)
            assert found is not None and name in self.members
            assert found == (
                one.address, one.sender_ids, one.sag, one.registered_at, one.reassembles,
                one.certificate_ends, one.certificates, one.leaf, one.sender,
            )  # fmt: skip
        assert self.members.get("fqdn:nobody") is None
        kinds = Counter((one.sag, one.sender) for one in self.model.values())
        assert self.members.kinds() == kinds
        for kind in kinds:
            named = {name for name, one in self.model.items() if (one.sag, one.sender) == kind}
            assert {name for name, _ in self.members.of_kinds({kind})} == named
        assert dict(self.members.items()) == {n: self.members.get(n) for n in self.model}


TestComparison = Comparison.TestCase
TestComparison.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 400)), max_size=600))
@settings(max_examples=30, deadline=None)
def test_the_index_stays_right_through_growth_and_removal(deeds: list[tuple[bool, int]]) -> None:
    index, model = IdentityIndex(), dict[str, str]()
    for adds, number in deeds:
        name = f"fqdn:gm{number}.example"
        if adds and name not in model:
            index.add(name, f"note {number}")
            model[name] = f"note {number}"
        elif not adds:
            assert (index.remove(name) is not None) is (model.pop(name, None) is not None)
    assert sorted(index) == sorted(model)
    assert {name: index.note(slot) for name, slot in index.items()} == model


def test_texts_of_the_removed_are_given_back() -> None:
    index = IdentityIndex()
    for turn in range(40):
        for number in range(300):
            index.add(f"fqdn:gm{number}.example.{'x' * turn}", "10.0.0.1")
        for number in range(300):
            index.remove(f"fqdn:gm{number}.example.{'x' * turn}")
    assert len(index._texts) < 3 * (1 << 16)
    assert len(index._starts) == 300
    assert len(index._table) <= 1024


def test_whoever_varies_its_sag_shares_nothing() -> None:
    members = Membership()
    for number in range(2 * MAX_SHARED_SAGS):
        sag = number.to_bytes(4, "big")
        members.put(MemberSaved("keyid:a", f"fqdn:gm{number}", "10.0.0.1", (), sag, 0.0))
    assert len(members._shared) == MAX_SHARED_SAGS
    found = members.get(f"fqdn:gm{2 * MAX_SHARED_SAGS - 1}")
    assert found is not None and found.sag == (2 * MAX_SHARED_SAGS - 1).to_bytes(4, "big")
