"""How a group's SAs are used: what GMs are told of it, and what they must announce."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from gcks.errors import InvalidSyntax, NoProposalChosen
from gcks.group.usage import Usage, read_usage
from gcks.iana import NotifyType
from gcks.keyserver.groups.admitting import push
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.groups.rekeying import reminder_payloads
from gcks.keyserver.groups.rules import MAX_DATA_SAS
from gcks.keyserver.groups.sa_rules import MAX_LABEL_CHARACTERS
from gcks.keyserver.groups.usage_policy import usage_of, usage_text
from gcks.wire.gsa import GroupSecurityAssociation
from gcks.wire.nonce import Nonce
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from gcks.wire.sa_usage import AggFrag, IpComp
from gcks.wire.traffic_selector import TrafficSelector
from tests.support.group_stage import Stage, esp, group_policy, single

AGGFRAG = group_policy(single("one", "fqdn:s1.dev", "192.0.2.7"), aggfrag=True)
IPCOMP = group_policy(ipcomp="deflate")
CAN_ALL = Usage(aggfrag=AggFrag(), ipcomp=(IpComp(0, 3), IpComp(0, 2)))
TOLD = [
    pytest.param(AGGFRAG, Notify(NotifyType.USE_AGGFRAG, b"\0"), id="aggfrag"),
    pytest.param(IPCOMP, Notify(NotifyType.IPCOMP_SUPPORTED, b"\0\2\2"), id="ipcomp"),
]


def usage_notifies(payloads: Iterable[Payload]) -> list[Notify]:
    """Return the notifications but that of another matter (`gcks.group.spread`)."""
    other = NotifyType.REREGISTRATION_SPREAD
    return [one for one in payloads if isinstance(one, Notify) and one.type != other]


@pytest.mark.parametrize(("policy", "notify"), TOLD)
def test_a_registration_tells_how_sas_are_used(policy: GroupPolicy, notify: Notify) -> None:
    """RFC 9838 section 6.3: USE_AGGFRAG beside GSA, no congestion control; ruling 47: CPI 2."""
    joined = Stage(policy).register(announced=CAN_ALL)
    assert usage_notifies(joined.payloads) == [notify]


@pytest.mark.parametrize(("policy", "notify"), TOLD)
def test_rekeys_tell_it_too(policy: GroupPolicy, notify: Notify) -> None:
    """RFC 9838 sections 2.4.1.3 and 2.4.2.1: N payloads as at registration."""
    stage = Stage(replace(policy, evaluate_sag=False))
    listener = stage.listener()
    assert listener.hear(stage.rekey().transmits) == 1
    assert usage_notifies(listener.last) == [notify]
    assert reminder_payloads(stage.group.sas, bytes(32), policy, stage.now)[2:] == (notify,)
    inband = Stage(replace(policy, evaluate_sag=False, rekey=None))
    inband.register("gm1")
    news = push(inband.group, "fqdn:gm1.dev", "192.0.2.9", 1000.0, sender=False)
    assert usage_notifies(news.notifies) == [notify]


@pytest.mark.parametrize(
    ("policy", "announced", "cause"),
    [
        (AGGFRAG, Usage(), "does not announce USE_AGGFRAG"),
        (AGGFRAG, Usage(aggfrag=AggFrag(dont_fragment=True)), "no fragments"),
        (AGGFRAG, Usage(aggfrag=AggFrag(congestion_control=True)), "congestion control"),
        (IPCOMP, Usage(), "does not announce IPCOMP_SUPPORTED with IPCOMP_DEFLATE"),
        (IPCOMP, Usage(ipcomp=(IpComp(0, 3),)), "does not announce IPCOMP_SUPPORTED"),
    ],
)
def test_who_does_not_announce_what_the_group_uses_is_refused(
    policy: GroupPolicy, announced: Usage, cause: str
) -> None:
    """RFC 9838 sections 2.3.3, 2.3.4 and 6.3: NO_PROPOSAL_CHOSEN, with a hint."""
    with pytest.raises(NoProposalChosen, match=cause) as caught:
        Stage(policy).register(announced=announced)
    assert "data_plane.features" in caught.value.hint
    assert Stage(replace(policy, evaluate_sag=False)).register(announced=announced)


def test_the_cpi_of_an_announcement_is_ignored() -> None:
    """RFC 9838 section 2.3.3: the CPI MUST be ignored by the GCKS."""
    assert Stage(IPCOMP).register(announced=Usage(ipcomp=(IpComp(0x1234, 2),)))


def test_who_announces_more_than_the_group_uses_is_welcome() -> None:
    """RFC 9838 section 6.3: only what the group uses is indicated."""
    joined = Stage().register(announced=CAN_ALL)
    assert usage_notifies(joined.payloads) == []


@pytest.mark.parametrize(
    "policy", [AGGFRAG, IPCOMP, group_policy(), group_policy(mode="transport")]
)
def test_what_is_told_reads_back(policy: GroupPolicy) -> None:
    usage = usage_of(policy)
    assert read_usage((Nonce(bytes(16)), *usage.notifies())) == usage


@pytest.mark.parametrize(
    "notifies",
    [
        (Notify(NotifyType.USE_AGGFRAG, b""),),
        (Notify(NotifyType.USE_AGGFRAG, b"\0"),) * 2,
        (Notify(NotifyType.USE_AGGFRAG, b"\0", 3, b"1234"),),
        (Notify(NotifyType.IPCOMP_SUPPORTED, b"\0\0"),),
        (Notify(NotifyType.IPCOMP_SUPPORTED, b"\0\0\2", 3, b"1234"),),
    ],
)
def test_malformed_notifications_are_refused(notifies: tuple[Notify, ...]) -> None:
    """RFC 9347 section 6.1.4, RFC 7296 section 2.22."""
    with pytest.raises(InvalidSyntax):
        read_usage(notifies)


def test_the_text_of_a_plain_group_is_its_mode() -> None:
    """Stores of earlier versions have just that."""
    assert usage_text(group_policy()) == "tunnel"
    assert usage_text(replace(AGGFRAG, ipcomp="deflate")) == "tunnel aggfrag deflate"


def test_a_security_label_is_sent_with_its_nul_and_stays_over_rekeys() -> None:
    """RFC 9838 section 4.4.2, RFC 9478 section 2.1; the Rekey SA has none."""
    stage = Stage(group_policy(esp("a", security_label="s0:c7"), esp("b")))
    listener = stage.listener()
    joined = stage.register()
    assert [p.label for p in joined.gsa.policies] == [b"", b"s0:c7\0", b""]
    listener.hear(stage.rekey().transmits)
    gsa = next(one for one in listener.last if isinstance(one, GroupSecurityAssociation))
    assert [p.label for p in gsa.policies] == [b"", b"s0:c7\0", b""]


def test_a_changed_label_means_a_new_sa() -> None:
    stage = Stage(group_policy(esp(security_label="s0")))
    listener = stage.listener()
    stage.until(stage.now + 60)
    stage.reload(group_policy(esp(security_label="s1")))
    listener.hear(stage.transmits)
    assert {held.policy.label for held in listener.data.values()} == {b"s1\0"}


def test_a_label_survives_a_restart() -> None:
    stage = Stage(group_policy(esp(security_label="s0")))
    keys = stage.register().keys
    stage.restart()
    joined = stage.register()
    assert joined.keys == keys and joined.data[0].label == b"s0\0"


def test_the_most_and_longest_labels_fit_one_message() -> None:
    """A GSA_REKEY without fragmentation is one UDP datagram, of 64 KB at most."""
    label = "s" * MAX_LABEL_CHARACTERS
    source, destination = TrafficSelector.any(6, 17), TrafficSelector.single("ff3e::8", 17, 5)
    sas = [
        esp(f"{n}", cbc=True, source=source, destination=destination, security_label=label)
        for n in range(MAX_DATA_SAS)
    ]
    stage = Stage(group_policy(*sas))
    stage.register(reassembles=False)
    (datagram,) = (t.octets for t in stage.rekey().transmits)
    assert len(datagram) < 60_000
