"""AGGFRAG, IP compression and security labels between server and members (RFC 9838 section 6.3).

Shows gcks/group/usage.py and gcks/wire/sa_usage.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gcks.events import MemberLeft, PolicyRefused, RegistrationAttemptFailed, RegistrationRefused
from gcks.group.usage import Usage
from gcks.iana import NotifyType
from gcks.keyserver.commands import RekeyGroup
from gcks.keyserver.groups import admitting
from gcks.keyserver.groups.admitting import admit
from gcks.keyserver.groups.decision import Decision
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.groups.registration import AdmissionRequest, Admitted
from gcks.member.ceiling import Ceiling
from gcks.member.data_plane import Feature, InstallSa
from gcks.wire.notify import Notify
from gcks.wire.sa_usage import AggFrag, IpComp
from gcks.wire.traffic_selector import TrafficSelector
from tests.support.initiator import DEMO, Initiator, Server, notifies
from tests.support.network import MemberNode
from tests.support.world import ATD, World, group_policy, state

SENDER_HOST = "10.0.0.2"
"""The first member of a world."""


def changed(**options: Any) -> GroupPolicy:
    """Change the only Data-Security SA of the demo group."""
    policy = group_policy()
    return replace(policy, data_sas=(replace(policy.data_sas[0], **options),))


ONE_SENDER = changed(
    senders="single",
    sender="fqdn:sender1.dev",
    source=TrafficSelector.single(SENDER_HOST, 17, 5004),
)
GROUPS = {
    Feature.AGGFRAG: replace(ONE_SENDER, aggfrag=True),
    Feature.IPCOMP: replace(group_policy(), ipcomp="deflate"),
    Feature.SECLABEL: changed(security_label="system_u:object_r:ipsec_spd_t:s0"),
}
INSTALLED = {
    Feature.AGGFRAG: (b"", AggFrag(), None),
    Feature.IPCOMP: (b"", None, IpComp(2, 2)),
    Feature.SECLABEL: (b"system_u:object_r:ipsec_spd_t:s0\0", None, None),
}
REASONS = {
    Feature.AGGFRAG: "aggregation and fragmentation mode",
    Feature.IPCOMP: "IP compression",
    Feature.SECLABEL: "a security label",
}
each_feature = pytest.mark.parametrize("feature", Feature, ids=lambda one: one.value)
announced_features = pytest.mark.parametrize(
    "feature", [Feature.AGGFRAG, Feature.IPCOMP], ids=lambda one: one.value
)


def able(*features: Feature) -> Ceiling:
    return Ceiling(features=frozenset(features))


def uses(node: MemberNode) -> set[tuple[bytes, AggFrag | None, IpComp | None]]:
    installs = [one for one in node.plane.history if isinstance(one, InstallSa)]
    return {(one.label, one.aggfrag, one.ipcomp) for one in installs}


def left(world: World) -> list[tuple[str, str]]:
    assert world.network.server is not None
    return [(one.identity, one.cause) for one in world.network.server.all(MemberLeft)]


def rekey(world: World) -> None:
    world.network.server_did(world.server.command(RekeyGroup("keyid:demo"), world.network.now))


@each_feature
@pytest.mark.parametrize("inband", [False, True], ids=["multicast", "in-band"])
def test_members_that_can_use_the_sas_so(feature: Feature, inband: bool) -> None:
    """RFC 9838 sections 2.3.3, 4.4.2 and 6.3; and so after every rekey (2.4.1.3, 2.4.2.1)."""
    policy = GROUPS[feature]
    world = World(groups=(replace(policy, rekey=None) if inband else policy,))
    sender = world.member("sender1", ceiling=able(feature))
    receiver = world.member("gm1", ceiling=able(feature))
    world.run(ATD + 2.0)
    world.network.start_traffic(sender, 0.1, 60.0)
    world.run(20.0)
    rekey(world)
    world.run(61.0)
    for node in (sender, receiver):
        assert state(node) == "registered"
        assert len([one for one in node.plane.history if isinstance(one, InstallSa)]) == 2
        assert uses(node) == {INSTALLED[feature]}
    traffic = world.network.traffic
    assert traffic.received and (traffic.unreadable, traffic.unsendable) == (0, 0)


@each_feature
def test_a_member_that_can_not_refuses_with_the_reason_and_tells_the_server(
    feature: Feature,
) -> None:
    """RFC 9838 section 2.3.3: it SHOULD notify the GCKS with NO_PROPOSAL_CHOSEN."""
    world = World(groups=(replace(GROUPS[feature], evaluate_sag=False),))
    others = able(*(one for one in Feature if one is not feature))
    member = world.member("gm1", ceiling=others)
    world.run(2.0)
    (refused,) = member.all(PolicyRefused)
    assert f"{REASONS[feature]}" in refused.cause
    assert "not supported by this member's data plane" in refused.cause
    assert member.plane.installed == {}
    assert left(world) == [("fqdn:gm1.dev", "NO_PROPOSAL_CHOSEN")]
    assert "features" in refused.hint and refused.retry_seconds > 0
    assert member.all(RegistrationAttemptFailed) == []


@announced_features
@pytest.mark.parametrize("silent", [False, True], ids=["can not", "says nothing"])
def test_a_gm_that_does_not_announce_it_is_refused_by_the_server(
    feature: Feature, silent: bool
) -> None:
    """RFC 9838 sections 2.3.4 and 6.3: before it gets any key."""
    world = World(groups=(GROUPS[feature],))
    ceiling = able(feature) if silent else able()
    member = world.member("gm1", ceiling=ceiling, announce_transforms=not silent)
    world.run(2.0)
    assert world.network.server is not None
    (refused,) = world.network.server.all(RegistrationRefused)
    assert refused.notify is NotifyType.NO_PROPOSAL_CHOSEN
    assert "does not announce" in refused.cause and "data_plane.features" in refused.hint
    (failure,) = member.all(RegistrationAttemptFailed)
    assert "NO_PROPOSAL_CHOSEN" in failure.cause and "data_plane" in failure.hint
    assert member.plane.installed == {} and left(world) == []


def test_the_requests_announce_what_the_data_plane_can_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RFC 9838 sections 2.3.3 and 6.3: in GSA_AUTH and in GSA_REGISTRATION, with CPI zero."""
    world = World(groups=(group_policy("demo"), group_policy("audio", number=9)))
    seen: list[Usage] = []

    def watch(decision: Decision, request: AdmissionRequest) -> Admitted:
        seen.append(request.announced)
        return admit(decision, request)

    monkeypatch.setattr(admitting, "admit", watch)
    member = world.member("gm1", groups=("demo", "audio"), ceiling=able(*Feature))
    world.run(2.0)
    assert [state(member, number) for number in range(2)] == ["registered"] * 2
    assert seen == [Usage(aggfrag=AggFrag(), ipcomp=(IpComp(0, 2),))] * 2
    assert uses(member) == {(b"", None, None)}


@pytest.mark.parametrize(
    "notify",
    [Notify(NotifyType.USE_AGGFRAG), Notify(NotifyType.IPCOMP_SUPPORTED, b"\0\0")],
    ids=["USE_AGGFRAG", "IPCOMP_SUPPORTED"],
)
def test_a_malformed_announcement_is_invalid_syntax(notify: Notify) -> None:
    """RFC 9347 section 6.1.4, RFC 7296 section 2.22."""
    server, peer = Server(), Initiator()
    assert notifies(peer.register(server, DEMO, notify)) == [NotifyType.INVALID_SYNTAX]


def test_sas_of_one_group_may_have_different_labels() -> None:
    """RFC 9478: the label narrows the selectors, which may be the same."""
    base = group_policy()
    (esp,) = base.data_sas
    low, high = (replace(esp, name=label, security_label=label) for label in ("s0", "s15"))
    world = World(groups=(replace(base, data_sas=(low, high)),))
    sender = world.member("sender1", ceiling=able(Feature.SECLABEL))
    receiver = world.member("gm1", ceiling=able(Feature.SECLABEL))
    world.run(ATD + 2.0)
    world.network.start_traffic(sender, 0.1, 60.0)
    world.run(20.0)
    rekey(world)
    world.run(61.0)
    for node in (sender, receiver):
        labels = [sa.label for sa in node.plane.installed.values()]
        assert sorted(labels) == [b"s0\0", b"s15\0"]
    assert {sender.plane.installed[key].label for key in sender.plane.sending} == {
        b"s0\0",
        b"s15\0",
    }
    traffic = world.network.traffic
    assert (traffic.unreadable, traffic.unsendable) == (0, 0)
