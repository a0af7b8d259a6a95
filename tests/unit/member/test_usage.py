"""How the server wants SAs used: announced, installed where the data plane can, else refused.

Shows gcks/member/ceiling.py and gcks/group/usage.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gcks.errors import Discard, InvalidSyntax
from gcks.events import PolicyRefused
from gcks.iana import NotifyType, ProtocolId
from gcks.member.ceiling import Ceiling, PolicyUnacceptable, announcements, supported_transforms
from gcks.member.data_plane import ActivateSa, Feature, InstallSa
from gcks.wire.gsa import GsaPolicy
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from gcks.wire.sa_usage import AggFrag, IpComp
from tests.support.little_gcks import (
    ATD,
    HMAC,
    MANY,
    MEMBER_ADDRESS,
    SINGLE,
    LittleGcks,
    Member,
    esp,
)

OTHER = "192.0.2.99"
ONE_SENDER = esp(1, source=OTHER)
TRANSPORT = Notify(NotifyType.USE_TRANSPORT_MODE)


def able(*features: Feature, **options: Any) -> Member:
    return Member(ceiling=Ceiling(features=frozenset(features)), **options)


def aggfrag(data: bytes = b"\0") -> Notify:
    return Notify(NotifyType.USE_AGGFRAG, data)


def ipcomp(cpi: int = 2, transform: int = 2, rest: bytes = b"") -> Notify:
    return Notify(NotifyType.IPCOMP_SUPPORTED, IpComp(cpi, transform, rest).encode())


def labeled(policy: GsaPolicy, label: bytes = b"s0:c7\0") -> GsaPolicy:
    return replace(policy, label=label)


NEEDS = [
    pytest.param(Feature.AGGFRAG, ONE_SENDER, (aggfrag(),), "AGGFRAG|fragmentation", id="aggfrag"),
    pytest.param(Feature.IPCOMP, ONE_SENDER, (ipcomp(),), "IP compression", id="ipcomp"),
    pytest.param(Feature.SECLABEL, labeled(ONE_SENDER), (), "security label", id="seclabel"),
]


@pytest.mark.parametrize(("feature", "policy", "notifies", "name"), NEEDS)
def test_what_the_data_plane_cant_do_is_refused_with_a_reason(
    feature: Feature, policy: GsaPolicy, notifies: tuple[Payload, ...], name: str
) -> None:
    """RFC 9838 sections 2.3.3 and 6.3: nobody could read what such SAs carry."""
    member = able(*(one for one in Feature if one is not feature))
    with pytest.raises(PolicyUnacceptable, match=f"({name}).* not supported by this member"):
        member.register(LittleGcks().registration(policy, notifies=notifies))
    assert member.commands == []


@pytest.mark.parametrize(("feature", "policy", "notifies", "name"), NEEDS)
def test_what_the_data_plane_can_do_is_installed(
    feature: Feature, policy: GsaPolicy, notifies: tuple[Payload, ...], name: str
) -> None:
    """RFC 9838 sections 2.3.3, 4.4.2 and 6.3."""
    member = able(feature)
    member.register(LittleGcks().registration(policy, notifies=notifies))
    (install,) = member.of(InstallSa)
    told = (install.label, install.aggfrag, install.ipcomp)
    assert told == {
        Feature.SECLABEL: (b"s0:c7\0", None, None),
        Feature.AGGFRAG: (b"", AggFrag(), None),
        Feature.IPCOMP: (b"", None, IpComp(2, 2)),
    }[feature]  # fmt: skip


def test_the_senders_are_told_not_to_fragment() -> None:
    """RFC 9347 section 6.1.4: D."""
    member = able(Feature.AGGFRAG)
    member.register(LittleGcks().registration(ONE_SENDER, notifies=(aggfrag(b"\1"),)))
    assert member.of(InstallSa)[0].aggfrag == AggFrag(dont_fragment=True)


AH = replace(ONE_SENDER, protocol=ProtocolId.AH, transforms=(HMAC, SINGLE))
UNNUMBERED = replace(ONE_SENDER, transforms=(*ONE_SENDER.transforms[:1], MANY))


@pytest.mark.parametrize(
    ("policy", "notifies", "reason"),
    [
        (esp(1), (aggfrag(),), "single sender"),
        (UNNUMBERED, (aggfrag(),), "single sender"),
        (AH, (aggfrag(),), "other than ESP"),
        (ONE_SENDER, (aggfrag(), TRANSPORT), "transport mode"),
        (ONE_SENDER, (aggfrag(), ipcomp()), "IP compression"),
        (ONE_SENDER, (aggfrag(b"\2"),), "congestion control"),
        (ONE_SENDER, (aggfrag(b"\x80"),), "flags that are unknown"),
        (ONE_SENDER, (ipcomp(), ipcomp()), "more than one"),
        (ONE_SENDER, (ipcomp(3, 3),), "IPCOMP_LZS is not accepted"),
        (ONE_SENDER, (ipcomp(rest=b"x"),), "attributes"),
        (ONE_SENDER, (ipcomp(cpi=0),), "CPI 0"),
        (ONE_SENDER, (ipcomp(cpi=3),), "CPI 3"),
        (ONE_SENDER, (ipcomp(cpi=255),), "CPI 255"),
    ],
)
def test_what_cant_work_is_refused(
    policy: GsaPolicy, notifies: tuple[Payload, ...], reason: str
) -> None:
    """RFC 9838 section 6.3: single-sender ESP tunnel SAs only, without congestion control.

    RFC 7296 section 2.22: one algorithm; RFC 3173 section 3.3: CPIs to 255 aren't free.
    """
    member = able(*Feature)
    with pytest.raises(PolicyUnacceptable, match=reason):
        member.register(LittleGcks().registration(policy, notifies=notifies))
    assert member.commands == []


def test_a_negotiated_cpi_is_taken() -> None:
    """RFC 3173 section 3.3: from 256 on; another GCKS may choose one."""
    member = able(Feature.IPCOMP)
    member.register(LittleGcks().registration(esp(1), notifies=(ipcomp(0x1234),)))
    assert member.of(InstallSa)[0].ipcomp == IpComp(0x1234, 2)


@pytest.mark.parametrize("notify", [aggfrag(b""), Notify(NotifyType.IPCOMP_SUPPORTED, b"\0")])
def test_a_malformed_notification_changes_nothing(notify: Notify) -> None:
    member = able(*Feature)
    with pytest.raises(InvalidSyntax):
        member.register(LittleGcks().registration(ONE_SENDER, notifies=(notify,)))
    assert member.commands == []


# --- rekeys ---------------------------------------------------------------------------


@pytest.mark.parametrize("repeated", [True, False])
def test_a_rekey_goes_on_as_the_registration_said(repeated: bool) -> None:
    """RFC 9838 sections 2.3.4 and 2.4.1.3: whether it says so again or not."""
    gcks, member = LittleGcks(), able(*Feature)
    told = (ipcomp(),)
    member.register(gcks.registration(labeled(esp(1)), notifies=told))
    member.receive(gcks.rekey(labeled(esp(2)), notifies=told if repeated else ()))
    assert [one.ipcomp for one in member.of(InstallSa)] == [IpComp(2, 2)] * 2
    assert [one.label for one in member.of(InstallSa)] == [b"s0:c7\0"] * 2


@pytest.mark.parametrize("notify", [aggfrag(), ipcomp(), ipcomp(0x1234)])
def test_a_rekey_cant_begin_or_change_it(notify: Notify) -> None:
    """RFC 9838 section 2.3.4: members that lost the message couldn't read the others."""
    gcks, member = LittleGcks(), able(*Feature)
    told = (ipcomp(),) if notify == ipcomp(0x1234) else ()
    member.register(gcks.registration(ONE_SENDER, notifies=told))
    member.receive(gcks.rekey(esp(2, source=OTHER), notifies=(notify,)))
    assert len(member.of(InstallSa)) == 1
    assert "can't begin or change" in member.of(PolicyRefused)[0].cause


def test_a_rekeyed_sa_must_fit_aggfrag_too() -> None:
    """RFC 9838 section 6.3: impossible for multi-sender SAs."""
    gcks, member = LittleGcks(), able(*Feature)
    member.register(gcks.registration(ONE_SENDER, notifies=(aggfrag(),)))
    member.receive(gcks.rekey(esp(2), notifies=(aggfrag(),)))
    assert "single sender" in member.of(PolicyRefused)[0].cause


def test_a_rekey_with_a_malformed_notification_is_dropped() -> None:
    gcks, member = LittleGcks(), able(*Feature)
    member.register(gcks.registration(ONE_SENDER))
    with pytest.raises(Discard, match="USE_AGGFRAG"):
        member.receive(gcks.rekey(esp(2, source=OTHER), notifies=(aggfrag(b""),)))


def test_only_an_sa_with_the_same_label_is_replaced() -> None:
    """RFC 9478: the label is one of the selectors."""
    gcks, member = LittleGcks(), able(*Feature, sender=True)
    policies = [labeled(esp(n, source=MEMBER_ADDRESS), f"s{n}\0".encode()) for n in (1, 2)]
    member.register(gcks.registration(*policies, sender_ids=(1,), bits=8))
    member.at(ATD)
    member.receive(gcks.rekey(labeled(esp(3, source=MEMBER_ADDRESS), b"s2\0")), now=100.0)
    member.commands.clear()
    member.at(100.0 + ATD)
    (activated,) = member.of(ActivateSa)
    assert (activated.spi, activated.replaces) == (b"\0\0\0\3", (b"\0\0\0\2",))


# --- announcements --------------------------------------------------------------------


def test_only_what_the_data_plane_can_do_is_announced() -> None:
    """RFC 9838 sections 2.3.3 and 6.3: beside SAg; the CPI in requests is zero."""
    assert announcements(Ceiling()) == (supported_transforms(Ceiling()),)
    ceiling = Ceiling(features=frozenset(Feature))
    assert announcements(ceiling)[1:] == (
        Notify(NotifyType.USE_AGGFRAG, b"\0"),
        Notify(NotifyType.IPCOMP_SUPPORTED, b"\0\0\2"),
    )
    assert len(announcements(Ceiling(features=frozenset({Feature.SECLABEL})))) == 1
