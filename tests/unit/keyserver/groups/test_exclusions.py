"""An operator's exclusions: by name, pattern and certificate, kept until they are lifted."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from math import inf

import pytest

from gcks.crypto.errors import IntegrityError
from gcks.errors import AuthorizationFailed, LocalError
from gcks.journal import ExclusionSaved, StepPlanned
from gcks.keyserver.groups import exclusions
from gcks.keyserver.groups.departing import (
    Way,
    lift_exclusion,
    named,
    order_exclusion,
    way_without,
)
from gcks.keyserver.groups.exclusions import CERTIFICATE, IDENTITY, Exclusions
from gcks.keyserver.groups.policy import LKH, SIMPLE
from tests.support.group_stage import Listener, Stage, group_policy

LEAF, CA = b"L" * 16, b"C" * 16


def names(*given: str, kind: str = IDENTITY) -> Exclusions:
    made = Exclusions("keyid:a")
    add(made, *given, kind=kind)
    return made


def add(made: Exclusions, *given: str, kind: str = IDENTITY) -> int:
    """Have entries made and applied; return how many."""
    new = made.new(kind, given, 1.0, "root")
    for entry in new:
        made.put(entry)
    return len(new)


@pytest.mark.parametrize(
    ("given", "identity", "excluded"),
    [
        ("fqdn:gm1.dev", "fqdn:gm1.dev", True),
        ("fqdn:gm1.dev", "fqdn:gm11.dev", False),
        ("fqdn:gm1*", "fqdn:gm11.dev", True),
        ("*:*", "keyid:x", True),
        ("fqdn:gm[12].dev", "fqdn:gm3.dev", False),
    ],
)
def test_names_and_patterns(given: str, identity: str, excluded: bool) -> None:
    assert names(given).names(identity) is excluded


def test_a_certificate_counts_wherever_it_stands_in_the_chain() -> None:
    made = names(CA.hex(), kind=CERTIFICATE)
    assert made.names("fqdn:x", LEAF + CA) and not made.names("fqdn:x", LEAF)
    assert not made.names(CA.hex())


def test_each_is_journaled_once_and_there_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exclusions, "MAX_EXCLUSIONS", 2)
    made = Exclusions("keyid:a")
    assert add(made, "fqdn:a", "fqdn:a", "fqdn:b") == 2
    assert add(made, "fqdn:a") == 0
    with pytest.raises(LocalError, match="use a pattern"):
        add(made, "fqdn:c")
    assert len(made) == 2 and not made.names("fqdn:c")
    with pytest.raises(LocalError, match="fqdn:c is not excluded"):
        made.lifted(IDENTITY, ["fqdn:a", "fqdn:c"])
    assert made.names("fqdn:a")


def test_patterns_are_few_and_in_small_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """All members, and every registration, are compared with each."""
    monkeypatch.setattr(exclusions, "MAX_GLOBS", 3)
    monkeypatch.setattr(exclusions, "MAX_GLOBS_AT_ONCE", 2)
    made = names("fqdn:a*", "fqdn:b*", "fqdn:c", "fqdn:d", "fqdn:e")
    with pytest.raises(LocalError, match="3 patterns, and 2 are the most"):
        add(made, "fqdn:x*", "fqdn:y*", "fqdn:z*")
    with pytest.raises(LocalError, match="more than 3 excluded patterns"):
        add(made, "fqdn:x*", "fqdn:y*")
    assert len(made) == 5 and not made.names("fqdn:x1")
    add(made, "fqdn:b*", "fqdn:x*")
    for entry in made.lifted(IDENTITY, ["fqdn:a*"]):
        made.remove(entry)
    assert not made.names("fqdn:a1") and made.names("fqdn:b1") and made.names("fqdn:x1")
    again = Exclusions("keyid:a")
    for saved in (*made, *names("fqdn:p*", "fqdn:q*")):
        again.put(saved)
    assert again.names("fqdn:q1") and again.names("fqdn:x1"), "what is stored stays"


def test_by_certificate_members_go_and_cannot_come_back() -> None:
    stage = Stage(group_policy(key_management=LKH))
    stage.register("gm1", certificates=LEAF + CA)
    stage.register("gm2", certificates=b"x" * 16 + CA)
    stage.register("gm3", certificates=b"y" * 16)
    stage.register("gm4")
    assert named(stage.group, CERTIFICATE, [CA.hex()]) == ["fqdn:gm1.dev", "fqdn:gm2.dev"]
    stage.decide(order_exclusion, CERTIFICATE, [CA.hex()], "root")
    assert set(stage.group.state.members.identities()) == {"fqdn:gm3.dev", "fqdn:gm4.dev"}
    for _ in range(2):
        with pytest.raises(AuthorizationFailed, match="operator has excluded"):
            stage.register("gm5", certificates=b"z" * 16 + CA)
        stage.restart()
    assert [one.by for one in stage.of(ExclusionSaved)] == ["root"]
    stage.decide(lift_exclusion, CERTIFICATE, [CA.hex()])
    stage.restart()
    stage.register("gm5", certificates=b"z" * 16 + CA)


@pytest.mark.parametrize(
    ("options", "sender", "way"),
    [
        ({}, False, Way.START_OVER),
        ({"key_management": LKH}, False, Way.TREE),
        ({"inband_senders": True}, True, Way.NEW_DATA_SAS),
        ({"inband_senders": True, "key_management": LKH}, True, Way.NEW_DATA_SAS),
        ({"inband_senders": True}, False, Way.START_OVER),
        ({"rekey": None}, False, Way.NEW_DATA_SAS),
    ],
)
def test_how_a_group_goes_on(options: dict[str, object], sender: bool, way: Way) -> None:
    stage = Stage(group_policy(**options))
    stage.register("s1", sender=sender)
    assert way_without(stage.group, ["fqdn:s1.dev"], stage.policy) is way
    assert way_without(stage.group, [], stage.policy) is Way.AS_IT_IS


def test_who_left_in_band_loses_the_data_keys_even_if_the_server_is_killed() -> None:
    """RFC 9838 section 3.2.1; no stale leaf of a tree would tell the next run."""
    stage = Stage(group_policy(rekey=None, forward_access=True, exclusion_window_seconds=30.0))
    stage.register("gm1")
    known = {sa.keymat for sa in stage.group.sas.data}
    stage.leave("gm1")
    stage.restart()
    stage.until(stage.now + 31.0)
    assert not known & {sa.keymat for sa in stage.group.sas.data}
    assert [entry.at < inf for entry in stage.of(StepPlanned)] == [True, False]
    fresh = {sa.keymat for sa in stage.group.sas.data}
    stage.restart()
    stage.until(stage.now + 1.0)
    assert fresh == {sa.keymat for sa in stage.group.sas.data}, "and only once"


def test_exclusions_of_a_group_that_never_had_sas_are_kept() -> None:
    stage = Stage()
    stage.decide(order_exclusion, IDENTITY, ["fqdn:gm1.dev"], "root")
    stage.restart(policy=replace(stage.policy, mode="transport"))
    with pytest.raises(AuthorizationFailed):
        stage.register("gm1")


# --- who knows more than its membership says ------------------------------------------------


def knows_nothing_new(stage: Stage, spy: Listener) -> bool:
    """Let the group change its keys, and tell whether somebody can follow that."""
    for transmit in stage.until(stage.now + 60.0):
        with suppress(IntegrityError):  # what is wrapped under other keys
            spy.follow(transmit.octets)
    current = {sa.keymat for sa in stage.group.sas.data}
    return not current & {held.keymat for held in spy.data.values()}


@pytest.mark.parametrize("management", [SIMPLE, LKH])
def test_who_is_rekeyed_in_band_now_still_knows_the_rekey_sa(management: str) -> None:
    """A member that asks to send is told no Rekey SA; it has kept what it was told before."""
    stage = Stage(group_policy(inband_senders=True, key_management=management))
    stage.register("gm1")
    spy = Listener(stage.register("s1"))
    stage.register("s1", sender=True)
    stage.register("s1", sender=True)
    stage.decide(order_exclusion, IDENTITY, ["fqdn:s1.dev"], "root")
    assert knows_nothing_new(stage, spy)


@pytest.mark.parametrize("by_reload", [False, True])
def test_who_leaves_is_shut_out_when_it_is_excluded(by_reload: bool) -> None:
    """Else leaving in time would save it from the exclusion."""
    stage = Stage(group_policy(key_management=LKH))
    stage.register("gm1")
    spy = Listener(stage.register("gm2"))
    stage.leave("gm2")
    if by_reload:
        stage.reload(replace(stage.policy, excluded=("fqdn:gm2.dev",)))
    else:
        stage.decide(order_exclusion, IDENTITY, ["fqdn:gm2.dev"], "root")
    assert knows_nothing_new(stage, spy)
