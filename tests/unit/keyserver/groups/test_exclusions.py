"""An operator's exclusions: by name, pattern and certificate, kept until they are lifted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.errors import AuthorizationFailed, LocalError
from gcks.journal import ExclusionSaved, RenewalDue
from gcks.keyserver.groups import exclusions
from gcks.keyserver.groups.excluding import Way
from gcks.keyserver.groups.exclusions import CERTIFICATE, IDENTITY, Exclusions
from gcks.keyserver.groups.policy import LKH
from gcks.keyserver.groups.registration import RegistrationRequest
from gcks.wire.identification import Identity
from tests.support.group_stage import KWK, Stage, group_policy

LEAF, CA = b"L" * 16, b"C" * 16


def names(*given: str, kind: str = IDENTITY) -> Exclusions:
    made = Exclusions("keyid:a")
    made.add(kind, given, 1.0, "root")
    return made


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
    assert len(made.add(IDENTITY, ["fqdn:a", "fqdn:a", "fqdn:b"], 1.0, "root")) == 2
    assert made.add(IDENTITY, ["fqdn:a"], 2.0, "root") == []
    with pytest.raises(LocalError, match="use a pattern"):
        made.add(IDENTITY, ["fqdn:c"], 1.0, "root")
    assert len(made) == 2 and not made.names("fqdn:c")
    with pytest.raises(LocalError, match="fqdn:c is not excluded"):
        made.lift(IDENTITY, ["fqdn:a", "fqdn:c"])
    assert made.names("fqdn:a")


def test_patterns_are_few_and_in_small_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """All members, and every registration, are compared with each."""
    monkeypatch.setattr(exclusions, "MAX_GLOBS", 3)
    monkeypatch.setattr(exclusions, "MAX_GLOBS_AT_ONCE", 2)
    made = names("fqdn:a*", "fqdn:b*", "fqdn:c", "fqdn:d", "fqdn:e")
    with pytest.raises(LocalError, match="3 patterns, and 2 are the most"):
        made.add(IDENTITY, ["fqdn:x*", "fqdn:y*", "fqdn:z*"], 1.0, "root")
    with pytest.raises(LocalError, match="more than 3 excluded patterns"):
        made.add(IDENTITY, ["fqdn:x*", "fqdn:y*"], 1.0, "root")
    assert len(made) == 5 and not made.names("fqdn:x1")
    made.add(IDENTITY, ["fqdn:b*", "fqdn:x*"], 1.0, "root")
    made.lift(IDENTITY, ["fqdn:a*"])
    assert not made.names("fqdn:a1") and made.names("fqdn:b1") and made.names("fqdn:x1")
    again = Exclusions("keyid:a")
    again.restore([*made, *names("fqdn:p*", "fqdn:q*")])
    assert again.names("fqdn:q1") and again.names("fqdn:x1"), "what is stored stays"


def test_by_certificate_members_go_and_cannot_come_back() -> None:
    stage = Stage(group_policy(key_management=LKH))

    def register(name: str, certificates: bytes) -> None:
        identity = Identity.parse(f"fqdn:{name}.dev")
        request = RegistrationRequest(
            identity, "192.0.2.7", False, 0, None, True, certificates=certificates
        )
        stage.journal += stage.group.register(request, KWK, stage.now).journal

    register("gm1", LEAF + CA)
    register("gm2", b"x" * 16 + CA)
    register("gm3", b"y" * 16)
    stage.register("gm4")
    assert stage.group.named(CERTIFICATE, [CA.hex()]) == ["fqdn:gm1.dev", "fqdn:gm2.dev"]
    stage.take(stage.group.order_exclusion(CERTIFICATE, [CA.hex()], stage.now, "root"))
    assert set(stage.group.members.identities()) == {"fqdn:gm3.dev", "fqdn:gm4.dev"}
    for _ in range(2):
        with pytest.raises(AuthorizationFailed, match="operator has excluded"):
            register("gm5", b"z" * 16 + CA)
        stage.restart()
    assert [one.by for one in stage.of(ExclusionSaved)] == ["root"]
    stage.take(stage.group.lift_exclusion(CERTIFICATE, [CA.hex()]))
    stage.restart()
    register("gm5", b"z" * 16 + CA)


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
    identity = Identity.parse("fqdn:s1.dev")
    request = RegistrationRequest(identity, "192.0.2.7", sender, 0, None, True)
    stage.journal += stage.group.register(request, KWK, stage.now).journal
    assert stage.group.way_without(["fqdn:s1.dev"], stage.policy) is way
    assert stage.group.way_without([], stage.policy) is Way.AS_IT_IS


def test_who_left_in_band_loses_the_data_keys_even_if_the_server_is_killed() -> None:
    """RFC 9838 section 3.2.1; no stale leaf of a tree would tell the next run."""
    stage = Stage(group_policy(rekey=None, forward_access=True, exclusion_window_seconds=30.0))
    identity = Identity.parse("fqdn:gm1.dev")
    request = RegistrationRequest(identity, "192.0.2.7", False, 0, None, True)
    stage.journal += stage.group.register(request, KWK, stage.now).journal
    known = {sa.keymat for sa in stage.group.sas.data}
    stage.take(stage.group.leave("fqdn:gm1.dev", "left", stage.now))
    stage.restart()
    stage.until(stage.now + 1.0)
    assert not known & {sa.keymat for sa in stage.group.sas.data}
    assert [one.due for one in stage.of(RenewalDue)] == [True, False]
    fresh = {sa.keymat for sa in stage.group.sas.data}
    stage.restart()
    stage.until(stage.now + 1.0)
    assert fresh == {sa.keymat for sa in stage.group.sas.data}, "and only once"


def test_exclusions_of_a_group_that_never_had_sas_are_kept() -> None:
    stage = Stage()
    stage.take(stage.group.order_exclusion(IDENTITY, ["fqdn:gm1.dev"], stage.now, "root"))
    stage.restart(policy=replace(stage.policy, mode="transport"))
    with pytest.raises(AuthorizationFailed):
        stage.register("gm1")
