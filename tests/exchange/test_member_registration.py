"""A member and the key server, message by message: registration over every path.

Shows gcks/member/ike_sa_init.py, gcks/member/gsa_auth.py and gcks/member/registration.py.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from gcks.datagrams import Path
from gcks.errors import Discard
from gcks.events import (
    CookieRequired,
    IkeSaClosed,
    LeftGroup,
    MemberLeft,
    MemberRegistered,
    PolicyRefused,
    Registered,
    RegistrationAttemptFailed,
    RegistrationRefused,
)
from gcks.iana import (
    Encr,
    ExchangeType,
    Integ,
    Ke,
    Kwa,
    NotifyType,
    Prf,
    ProtocolId,
    TransformType,
)
from gcks.ike.credentials import Credentials, PreSharedKey
from gcks.keyserver.groups.sender_ids import SenderIds
from gcks.keyserver.gsa_auth import secure
from gcks.keyserver.ike_sa import HalfOpen
from gcks.member.ceiling import Ceiling, supported_transforms
from gcks.member.data_plane import Direction
from gcks.member.settings import DEFAULT_IKE_PROPOSALS
from gcks.wire.header import decode_header
from gcks.wire.identification import Identity, IDg
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload, decode_chain
from gcks.wire.sa import Proposal, SecurityAssociation
from gcks.wire.traffic_selector import TrafficSelectorsI, TrafficSelectorsR
from gcks.wire.transform import Transform
from tests.support.network import Weather
from tests.support.world import ATD, SERVER_SETTINGS, World, group_policy, keys_of, state


def proposal(
    *,
    encr: tuple[int, int | None] = (Encr.AES_GCM_16, 256),
    prf: int = Prf.HMAC_SHA2_256,
    integ: int | None = None,
    ke: tuple[int, ...] = (Ke.CURVE25519,),
    kwa: int | None = Kwa.KW_5649_256,
) -> SecurityAssociation:
    """Offer exactly one suite."""
    transforms = [Transform(TransformType.ENCR, *encr), Transform(TransformType.PRF, prf)]
    transforms += [Transform(TransformType.INTEG, integ)] if integ else []
    transforms += [Transform(TransformType.KE, number) for number in ke]
    transforms += [Transform(TransformType.KWA, kwa)] if kwa else []
    return SecurityAssociation((Proposal(1, ProtocolId.IKE, b"", tuple(transforms)),))


def test_a_receiver_registers_and_holds_the_groups_keys() -> None:
    """RFC 9838 section 2.3: two exchanges, then the IKE SA is closed by the server."""
    world = World()
    member = world.member("gm1")
    world.run(2.0)
    assert state(member) == "registered"
    assert member.sent == 2
    (sa,) = member.plane.installed.values()
    assert sa.direction is Direction.IN
    assert member.plane.joined == {("239.255.84.8", 848)}
    assert world.network.server is not None
    assert len(world.network.server.all(MemberRegistered)) == 1
    world.run(20.0)
    assert member.all(IkeSaClosed)
    assert state(member) == "registered"


def test_sender_and_receiver_hold_the_same_keys() -> None:
    world = World()
    receiver, sender = world.member("gm1"), world.member("sender1")
    world.run(ATD + 2.0)
    assert keys_of(receiver) == keys_of(sender)
    (sa,) = sender.plane.installed.values()
    assert sa.direction is Direction.BOTH
    assert sa.sender_ids == (0,)
    assert sender.plane.sending
    world.network.start_traffic(sender, 0.5, 20.0)
    world.run(21.0)
    assert world.network.traffic.received > 20
    assert world.network.traffic.unreadable == 0


def test_two_senders_get_different_sender_ids() -> None:
    """RFC 9838 section 2.5.1."""
    world = World()
    senders = [world.member("sender1"), world.member("sender2")]
    world.run(2.0)
    numbers = [event.sender_ids for one in senders for event in one.all(Registered)]
    assert len({number for ids in numbers for number in ids}) == 2


@pytest.mark.parametrize("port", [500, 848])
def test_the_port_makes_no_difference(port: int) -> None:
    """RFC 9838 section 2.1.1: behaviour MUST NOT depend on the port."""
    world = World()
    member = world.member("gm1", port=port)
    world.run(2.0)
    assert state(member) == "registered"


def test_cookies_are_answered() -> None:
    """RFC 7296 section 2.6."""
    world = World(settings=replace(SERVER_SETTINGS, cookie_threshold=0))
    member = world.member("gm1")
    world.run(2.0)
    assert state(member) == "registered"
    assert member.sent == 3
    assert world.network.server is not None
    assert world.network.server.all(CookieRequired)


@pytest.mark.parametrize("cookie", [False, True])
def test_invalid_ke_is_followed_with_and_without_cookie(cookie: bool) -> None:
    """RFC 7296 sections 1.2, 2.6.1: the server prefers a method that wasn't guessed."""
    accepted = proposal(ke=(Ke.ECP_256,))
    settings = replace(SERVER_SETTINGS, ike_proposals=accepted)
    if cookie:
        settings = replace(settings, cookie_threshold=0)
    world = World(settings=settings)
    member = world.member("gm1")
    world.run(2.0)
    assert state(member) == "registered"


SUITES = {
    "gcm-128": proposal(encr=(Encr.AES_GCM_16, 128), kwa=Kwa.KW_5649_128),
    "chacha": proposal(encr=(Encr.CHACHA20_POLY1305, None)),
    "cbc-256": proposal(encr=(Encr.AES_CBC, 256), integ=Integ.HMAC_SHA2_256_128),
    "cbc-128-sha512": proposal(
        encr=(Encr.AES_CBC, 128), integ=Integ.HMAC_SHA2_512_256, prf=Prf.HMAC_SHA2_512
    ),
    "sha384-ecp384": proposal(prf=Prf.HMAC_SHA2_384, ke=(Ke.ECP_384,), kwa=Kwa.KW_5649_192),
    "modp2048": proposal(ke=(Ke.MODP_2048,)),
}


@pytest.mark.parametrize("name", list(SUITES))
def test_every_suite_carries_a_registration(name: str) -> None:
    world = World(settings=replace(SERVER_SETTINGS, ike_proposals=DEFAULT_IKE_PROPOSALS))
    member = world.member("gm1", offer=SUITES[name])
    world.run(2.0)
    assert state(member) == "registered"


def test_without_a_common_kwa_there_is_no_ike_sa() -> None:
    """RFC 9838 section 4.5.4; the member names the remedy."""
    world = World()
    member = world.member("gm1", offer=proposal(kwa=Kwa.KW_ARX))
    world.run(3.0)
    assert state(member) == "waiting"
    (failure, *_) = member.all(RegistrationAttemptFailed)
    assert "NO_PROPOSAL_CHOSEN" in failure.cause
    assert "Key Wrap" in failure.hint


def test_a_member_behind_a_nat_moves_to_port_4500() -> None:
    """RFC 7296 section 2.23, whichever port it began on."""
    world = World()
    member = world.member("gm1", nat_host="198.51.100.3", port=848)
    ports: list[Path] = []
    original = world.server.receive

    def watch(datagram: bytes, path: Path, now: float):  # type: ignore[no-untyped-def]
        ports.append(path)
        return original(datagram, path, now)

    world.server.receive = watch  # type: ignore[method-assign]
    world.run(2.0)
    assert state(member) == "registered"
    assert [(path.local.port, path.marker) for path in ports[:2]] == [(848, False), (4500, True)]


def test_further_groups_use_the_same_ike_sa() -> None:
    """RFC 9838 section 2.3.2."""
    groups = (group_policy("demo"), group_policy("audio", number=9), group_policy("map", number=10))
    world = World(groups=groups)
    member = world.member("gm1", groups=("demo", "audio", "map"))
    world.run(2.0)
    assert [state(member, number) for number in range(3)] == ["registered"] * 3
    assert member.sent == 4
    assert len(member.plane.installed) == len(member.plane.joined) == 3


def test_one_refused_group_doesnt_hinder_the_others() -> None:
    """Ruling 24: every refusal but AUTHENTICATION_FAILED leaves the IKE SA usable."""
    world = World()
    member = world.member("gm1", groups=("nowhere", "demo"))
    world.run(2.0)
    assert [state(member, number) for number in range(2)] == ["waiting", "registered"]
    (failure,) = member.all(RegistrationAttemptFailed)
    assert failure.group == "keyid:nowhere"
    assert "INVALID_GROUP_ID" in failure.cause
    assert member.sent == 3


@pytest.mark.parametrize(
    ("name", "sender", "notify"),
    [
        ("stranger", False, "AUTHORIZATION_FAILED"),
        ("gm1", True, "AUTHORIZATION_FAILED"),
    ],
)
def test_who_isnt_authorized_is_told_so(name: str, sender: bool, notify: str) -> None:
    """RFC 9838 section 2.3.4; a receiver that wants to send is refused, not silently admitted."""
    world = World()
    member = world.member(name, sender=sender)
    world.run(2.0)
    assert state(member) == "waiting"
    (failure,) = member.all(RegistrationAttemptFailed)
    assert notify in failure.cause
    assert failure.hint
    assert world.network.server is not None
    assert world.network.server.all(RegistrationRefused)


def test_a_full_group_is_explained() -> None:
    """RFC 9838 section 4.7.3."""
    world = World(groups=(replace(group_policy(), capacity=1),))
    world.member("gm1")
    late = world.member("gm2", at=1.0)
    world.run(3.0)
    (failure,) = late.all(RegistrationAttemptFailed)
    assert "REGISTRATION_FAILED" in failure.cause


def test_a_wrong_psk_is_explained_and_tried_again_later() -> None:
    world = World()
    wrong = Credentials((PreSharedKey("fqdn:gcks.dev", b"another secret"),))
    member = world.member("gm1", credentials=wrong)
    world.run(30.0)
    failures = member.all(RegistrationAttemptFailed)
    assert "AUTHENTICATION_FAILED" in failures[0].cause
    assert "pre-shared key" in failures[0].hint
    assert len(failures) >= 2
    assert failures[1].retry_seconds > failures[0].retry_seconds
    assert member.plane.installed == {}


def test_a_server_with_another_identity_is_refused() -> None:
    """RFC 7296 section 2.15: the identity that the operator configured must be proved."""
    world = World()
    member = world.member("gm1", server_identity=Identity.parse("fqdn:other.dev"))
    world.run(2.0)
    assert member.plane.installed == {}
    (failure,) = member.all(RegistrationAttemptFailed)
    assert "gcks.dev" in failure.cause


def test_a_policy_beyond_the_ceiling_makes_the_member_leave() -> None:
    """RFC 9838 section 2.3.1: NO_PROPOSAL_CHOSEN over GSA_REGISTRATION; the GCKS MUST remove it."""
    world = World()
    member = world.member("gm1", ceiling=Ceiling(max_lifetime_seconds=60))
    world.run(2.0)
    assert "lifetime" in member.all(PolicyRefused)[0].cause
    assert member.plane.installed == {}
    assert world.network.server is not None
    assert [one.identity for one in world.network.server.all(MemberLeft)] == ["fqdn:gm1.dev"]


def test_sag_lets_the_server_refuse_before_it_sends_keys() -> None:
    """RFC 9838 section 2.3.3."""
    world = World()
    cbc = Ceiling(encr=(Transform(TransformType.ENCR, Encr.AES_CBC, 256),))
    member = world.member("gm1", ceiling=cbc)
    world.run(2.0)
    (failure,) = member.all(RegistrationAttemptFailed)
    assert "NO_PROPOSAL_CHOSEN" in failure.cause
    assert "ceiling" in failure.hint


def requests_of(world: World) -> list[tuple[int, tuple[Payload, ...]]]:
    """Collect the exchange and the payloads of every protected request that the server reads."""
    seen: list[tuple[int, tuple[Payload, ...]]] = []
    original = world.server.receive

    def watch(datagram: bytes, path: Path, now: float):  # type: ignore[no-untyped-def]
        header = decode_header(datagram)
        sa = None
        with suppress(Discard):
            sa = world.server.ike_sas.find(header)
        if isinstance(sa, HalfOpen):
            sa = secure(sa, world.network.entropy, None)  # type: ignore[assignment]
        if sa is not None:
            chain = sa.channel.protection.open(datagram, header)  # type: ignore[union-attr]
            seen.append((header.exchange, decode_chain(*chain)))
        return original(datagram, path, now)

    world.server.receive = watch  # type: ignore[method-assign]
    return seen


def test_the_request_says_who_sends_what_is_supported_and_how_many_sender_ids() -> None:
    """RFC 9838 section 2.3.3: a sender MUST send GROUP_SENDER, SAg is RECOMMENDED.

    Section 2.5.1: it MUST request as many Sender-IDs as it has encryption modules.
    Both in GSA_AUTH and in GSA_REGISTRATION; neither has SAi2, TSi or TSr.
    """
    groups = (group_policy("demo"), group_policy("audio", number=9))
    world = World(groups=groups)
    member = world.member("sender1", groups=("demo", "audio"), sender_ids=4)
    seen = requests_of(world)
    world.run(2.0)
    assert [exchange for exchange, _ in seen] == [
        ExchangeType.GSA_AUTH,
        ExchangeType.GSA_REGISTRATION,
    ]
    for _, payloads in seen:
        assert Notify(NotifyType.GROUP_SENDER, bytes((0, 0, 0, 4))) in payloads
        assert supported_transforms(Ceiling()) in payloads
        assert not any(isinstance(p, TrafficSelectorsI | TrafficSelectorsR) for p in payloads)
        assert sum(isinstance(p, SecurityAssociation) for p in payloads) == 1
    assert [event.sender_ids for event in member.all(Registered)] == [(0, 1, 2, 3)] * 2


def test_a_receiver_does_not_call_itself_a_sender() -> None:
    world = World()
    world.member("gm1")
    seen = requests_of(world)
    world.run(2.0)
    ((_, payloads),) = seen
    announced = [p.type for p in payloads if isinstance(p, Notify)]
    assert NotifyType.GROUP_SENDER not in announced


def test_a_policy_unacceptable_in_gsa_registration_is_told_too() -> None:
    """RFC 9838 section 2.3.2: the GM SHOULD notify with IDg and NO_PROPOSAL_CHOSEN."""
    narrow = Ceiling(destinations=("239.1.2.8/32",))
    world = World(groups=(group_policy("demo"), group_policy("audio", number=9)))
    member = world.member("gm1", groups=("demo", "audio"), ceiling=narrow)
    seen = requests_of(world)
    world.run(2.0)
    assert [state(member, number) for number in range(2)] == ["registered", "waiting"]
    told = (IDg(Identity.parse("keyid:audio")), Notify(NotifyType.NO_PROPOSAL_CHOSEN))
    assert seen[-1] == (ExchangeType.GSA_REGISTRATION, told)


def test_a_sender_id_that_does_not_fit_leads_to_another_registration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RFC 9838 section 2.5.2: a fatal error, and the GM MUST re-register."""
    world = World()
    numbers = iter([(1 << 16,), (7,)])
    monkeypatch.setattr(SenderIds, "allocated", lambda *_: next(numbers))
    member = world.member("sender1")
    world.run(2.0)
    assert member.plane.installed == {}
    assert "doesn't fit 16 bits" in member.all(RegistrationAttemptFailed)[0].cause
    world.run(20.0)
    assert [event.sender_ids for event in member.all(Registered)] == [(7,)]


def test_the_member_leaves_the_end_of_the_ike_sa_to_the_server() -> None:
    """RFC 9838 section 2.3.3: the GCKS closes the IKE SA, the GM SHOULD NOT."""
    patient = replace(SERVER_SETTINGS, ike_sa_idle_seconds=10.0**6, liveness_seconds=10.0**6)
    world = World(settings=patient)
    member = world.member("gm1", liveness_seconds=10.0**6)
    world.run(5000.0)  # several rekeys
    assert member.engine.status(5000.0).ike_sa == "established"
    assert member.sent == 2
    assert state(member) == "registered"


def test_leaving_tells_the_server_and_removes_everything() -> None:
    """RFC 9838 section 2.3.2."""
    world = World()
    member = world.member("gm1")
    world.run(1.0)
    world.network.leave(member)
    world.run(3.0)
    assert member.plane.installed == {}
    assert member.plane.joined == set()
    assert member.all(LeftGroup)
    assert world.network.server is not None
    assert world.network.server.all(MemberLeft)
    assert member.engine.status(3.0).ike_sa == "none"
    assert state(member) == "left"


def test_leaving_without_an_ike_sa_is_silent() -> None:
    world = World()
    member = world.member("gm1")
    world.run(30.0)
    sent = member.sent
    world.network.leave(member)
    world.run(60.0)
    assert member.sent == sent
    assert member.plane.installed == {}


def test_an_absent_server_is_reported_after_bounded_tries() -> None:
    """RFC 7296 section 2.4: exponential back-off, then give up and say so."""
    world = World()
    assert world.network.server is not None
    world.network.server.down = True
    member = world.member("gm1")
    world.run(70.0)
    (failure, *_) = member.all(RegistrationAttemptFailed)
    assert "no answer to IKE_SA_INIT" in failure.cause
    assert "firewall" in failure.hint
    world.network.server.down = False
    world.run(200.0)
    assert state(member) == "registered"


def test_leaving_while_a_registration_is_under_way_leaves_nothing_behind() -> None:
    groups = (group_policy("demo"), group_policy("audio", number=9))
    world = World(groups=groups, weather=Weather(least_delay=0.1, most_delay=0.1))
    member = world.member("gm1", groups=("demo", "audio"))
    world.run(0.45)  # GSA_REGISTRATION for the second group is on its way
    assert state(member, 1) == "registering"
    world.network.leave(member)
    world.run(5.0)
    assert member.plane.installed == {}
    assert member.plane.joined == set()
    assert world.network.server is not None
    assert {one.group for one in world.network.server.all(MemberLeft)} == {
        "keyid:demo",
        "keyid:audio",
    }
    assert member.engine.status(5.0).ike_sa == "none"
