"""Membership by columns against a plain dictionary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gcks.journal import MemberSaved
from gcks.keyserver.groups import identity_index, membership
from gcks.keyserver.groups.globs import Globs
from gcks.keyserver.groups.identity_index import IdentityIndex
from gcks.keyserver.groups.membership import MAX_EXPIRED, MAX_SHARED_SAGS, Membership

GLOBS = st.lists(
    st.sampled_from(["*", "fqdn:*", "*1*", "fqdn:gm?.*", "fqdn:gm1*", "*[!5].example"])
    | st.sampled_from(
        ["[a-f]?dn:*", "192*", "*.2.*", "?*", "*?", "[*", "fqdn:gm3.example", "", "*\u0394*"]
    )
    | st.text("fgqdn:m1*?[]!", max_size=6),
    max_size=6,
)
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


@contextmanager
def small_pages() -> Iterator[None]:
    """Pages that a handful of texts fill."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity_index, "_PAGE_BITS", 7)
        patch.setattr(identity_index, "_PAGE_OCTETS", 128)
        yield


class Comparison(RuleBasedStateMachine):
    """Everything that a group does with its members, done to both."""

    def __init__(self) -> None:
        super().__init__()
        self._small = small_pages()
        self._small.__enter__()
        self.members, self.model = Membership(), dict[str, MemberSaved]()

    def teardown(self) -> None:
        self._small.__exit__(None, None, None)

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
        assert set(self.members.expired(at)) == ended
        for name in ended:
            self.model[name] = self.model[name]._replace(certificate_ends=inf)
            self.members.put(self.model[name])

    @rule(revoked=st.sampled_from([b"a" * 16, b"c" * 16]))
    def revoke(self, revoked: bytes) -> None:
        ended = {name for name, one in self.model.items() if revoked in one.certificates}
        assert set(self.members.holders({revoked})) == ended

    @rule(globs=GLOBS)
    def name(self, globs: list[str]) -> None:
        named = {one for one in self.model if any(fnmatchcase(one, glob) for glob in globs)}
        found = self.members.named(Globs(globs))
        assert (set(found), len(found)) == (named, len(named))
        others = self.members.unnamed(Globs(globs))
        assert sorted(others) == sorted(self.model.keys() - named)

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
                one.certificate_ends, one.certificates, one.leaf, one.sender, one.inband,
            )  # fmt: skip
        inband = {name for name, one in self.model.items() if one.inband}
        assert set(self.members.inband_identities()) == inband
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
    with small_pages():
        for adds, number in deeds:
            name = f"fqdn:gm{number}.example"
            if adds and name not in model:
                index.add(name, f"note {number}")
                model[name] = f"note {number}"
            elif not adds:
                assert (index.remove(name) is not None) is (model.pop(name, None) is not None)
        agrees(index, model)


def agrees(index: IdentityIndex, model: dict[str, str]) -> None:
    assert sorted(index) == sorted(model)
    assert {index.identity(slot): index.note(slot) for slot in index.slots()} == model
    assert all(index.identity(index.find(name) or 0) == name for name in model)


def test_a_table_is_taken_over_little_by_little() -> None:
    """No registration waits until all members have found their place in a larger table."""
    index, model = IdentityIndex(), dict[str, str]()
    left = steps = 0
    for number in range(3000):
        name = f"fqdn:gm{number}.example"
        model[name] = str(number)
        index.add(name, str(number))
        before, left = left, len(index._former) - index._moved if index._former else 0
        assert before - left <= identity_index._MOVES
        steps += before > left
        if before > left and steps % 50 == 0:
            agrees(index, model)
            gone = next(iter(model))  # in one table or the other
            assert index.remove(gone) is not None and index.find(gone) is None
            del model[gone]
            left = len(index._former) - index._moved if index._former else 0
    assert steps > 150 and not left
    assert 3 * index._filled <= 2 * len(index._table)


def test_a_text_may_be_larger_than_a_page() -> None:
    index, name = IdentityIndex(), f"keyid:{'x' * 70_000}"
    for one in ("fqdn:a", name, "fqdn:b"):
        index.add(one, one[-3:])
    agrees(index, {"fqdn:a": "n:a", name: "xxx", "fqdn:b": "n:b"})
    index.remove(name)
    index.add("fqdn:c", "")
    agrees(index, {"fqdn:a": "n:a", "fqdn:b": "n:b", "fqdn:c": ""})


def test_texts_of_the_removed_are_given_back() -> None:
    index = IdentityIndex()
    for turn in range(40):
        for number in range(300):
            index.add(f"fqdn:gm{number}.example.{'x' * turn}", "10.0.0.1")
        for number in range(300):
            index.remove(f"fqdn:gm{number}.example.{'x' * turn}")
    assert sum(map(len, index._pages)) < 3 * (1 << 16)
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


def member(number: int, ends: float = inf, certificates: bytes = b"") -> MemberSaved:
    name = f"fqdn:gm{number}.example"
    return MemberSaved(
        "keyid:a", name, "10.0.0.1", (), b"", 0.0, False, ends, certificates, sender=not number % 7
    )


def test_of_many_that_expire_at_once_each_look_takes_some() -> None:
    members, found = Membership(), list[str]()
    for number in range(2000):
        members.put(member(number, 10.0 + number % 2))
    members.remove("fqdn:gm0.example")
    while members.certificate_ends <= 10.0:
        taken = members.expired(10.0)
        assert len(taken) < 2 * MAX_EXPIRED
        for name in taken:
            members.remove(name)
        found += taken
    assert sorted(found) == sorted(f"fqdn:gm{number}.example" for number in range(2, 2000, 2))
    assert members.certificate_ends == 11.0


def test_whose_own_or_issuing_certificate_is_revoked_is_found_among_many() -> None:
    members, issuer = Membership(), b"i" * 16
    for number in range(1000):
        chain = number.to_bytes(16, "big") + (issuer if number in (3, 700) else b"j" * 16)
        members.put(member(number, certificates=chain if number else b""))
    revoked = {(999).to_bytes(16, "big"), issuer, bytes(15) + b"\x05", b"z" * 16}
    assert members.holders(revoked) == [f"fqdn:gm{one}.example" for one in (3, 5, 700, 999)]
    members.remove("fqdn:gm700.example")
    members.put(member(2000))  # in its slot, without certificate
    assert members.holders(revoked) == [f"fqdn:gm{one}.example" for one in (3, 5, 999)]


def test_a_page_ends_after_a_long_stretch_without_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "MAX_LOOKED_AT", 10)
    members, pages = Membership(), list[list[str]]()
    for number in range(45):
        members.put(member(number))
    start: int | None = 0
    while start is not None:
        rows, start = members.page(start, 3, membership.re.compile("fqdn:gm3"))
        pages.append([name.removeprefix("fqdn:gm").partition(".")[0] for name, _ in rows])
    thirties = [[str(number) for number in range(at, min(at + 3, 40))] for at in range(30, 40, 3)]
    assert pages == [["3"], [], [], *thirties]
    rows, start = members.page(0, 2, senders=True)
    assert ([name for name, _ in rows], start) == (["fqdn:gm0.example", "fqdn:gm7.example"], 8)
    assert members.page(40, 5)[1] is None
