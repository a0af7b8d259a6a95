"""Twelve ways to misconfigure a member: the operator's event and the member's message tell which.

Every reason for which a server refuses is in test_refusal_reasons.py.

Shows gcks/member and gcks/keyserver/failures.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

import pytest

from gcks.events import (
    Event,
    MemberLeft,
    MemberRegistered,
    PolicyRefused,
    RegistrationAbandoned,
    RegistrationAttemptFailed,
    RegistrationRefused,
    RequestRefused,
    Reregistering,
)
from gcks.ike.credentials import Credentials, PreSharedKey
from gcks.ike.keywords import parse_ike
from gcks.member.ceiling import Ceiling
from gcks.wire.identification import Identity
from tests.support.authority import DAY, NOW, Authority
from tests.support.network import MemberNode, Weather
from tests.support.world import DATA_LIFETIME, SERVER_SETTINGS, World

CA, OTHER_CA = Authority(), Authority("another CA")
KW256 = parse_ike(["aes256gcm16-prfsha256-x25519-kw256"])
KW128 = parse_ike(["aes256gcm16-prfsha256-x25519-kw128"])
Scene = tuple[World, MemberNode]


def wrong_psk() -> Scene:
    world = World()
    return world, world.member("gm1", credentials=Credentials((PreSharedKey("*:*", b"x" * 32),)))


def unknown_group() -> Scene:
    world = World()
    return world, world.member("gm1", groups=("vidoe",))


def with_certificates(own: object, trust: Authority = CA, late: timedelta = timedelta()) -> Scene:
    """Authenticate by certificates, with clocks that are late on both sides."""
    world = World(server_credentials=Credentials(own=(CA.issue("gcks.dev"),), trust=CA.trust))
    right = world.network.wall
    world.network.wall = lambda: right() - late.total_seconds()  # type: ignore[method-assign]
    world.start_server()
    credentials = Credentials(own=(own,), trust=trust.trust)  # type: ignore[arg-type]
    return world, world.member("gm1", credentials=credentials, certificate=True)


def expired_certificate() -> Scene:
    return with_certificates(CA.issue("gm1.dev", until=NOW - DAY))


def wrong_ca() -> Scene:
    return with_certificates(OTHER_CA.issue("gm1.dev"))


def wrong_ca_of_the_server() -> Scene:
    """The server trusts the member's CA, the member not the server's."""
    return with_certificates(CA.issue("gm1.dev"), trust=OTHER_CA)


def wrong_server_identity() -> Scene:
    world = World(server_credentials=Credentials(own=(CA.issue("gcks.dev"),), trust=CA.trust))
    own = Credentials(own=(CA.issue("gm1.dev"),), trust=CA.trust)
    other = Identity.parse("fqdn:gcks.example")
    return world, world.member("gm1", credentials=own, certificate=True, server_identity=other)


def no_common_kwa() -> Scene:
    world = World(settings=replace(SERVER_SETTINGS, ike_proposals=KW256))
    return world, world.member("gm1", offer=KW128)


def forbidden_sender() -> Scene:
    world = World()
    return world, world.member("gm1", sender=True)


def clock_skew() -> Scene:
    """Both clocks are a year late: the certificate seems to be from the future."""
    return with_certificates(CA.issue("gm1.dev"), late=366 * DAY)


def blocked_multicast() -> Scene:
    world = World(weather=Weather(multicast_loss=1.0))
    return world, world.member("gm1")


def too_low_ceiling() -> Scene:
    world = World()
    return world, world.member("gm1", ceiling=Ceiling(max_lifetime_seconds=10))


class Row(NamedTuple):
    """Words of the operator's event and of the member's message: cause and remedy of either."""

    scene: Callable[[], Scene]
    operator_cause: str
    operator_remedy: str
    member_cause: str
    member_remedy: str


ROWS = {
    "wrong PSK": Row(
        wrong_psk,
        "the pre-shared keys differ", "compare both PSKs",
        "AUTHENTICATION_FAILED", "compare this member's pre-shared key",
    ),
    "unknown group": Row(
        unknown_group,
        "there is no group keyid:vidoe", "compare the group IDs",
        "INVALID_GROUP_ID", "the server doesn't know this group: compare the group's ID",
    ),
    "expired certificate": Row(
        expired_certificate,
        "gm1.dev: certificate has expired", "renew that certificate",
        "this member's certificate has expired", "renew it",
    ),
    "wrong CA": Row(
        wrong_ca,
        "unable to get local issuer certificate", "CA of authentication.trust_anchors",
        "certificate was issued by CN=another CA", "does the server trust that CA",
    ),
    "wrong CA of the server": Row(
        wrong_ca_of_the_server,
        "AUTHENTICATION_FAILED", "doesn't accept this server's certificate",
        "unable to get local issuer certificate", "trust_anchors",
    ),
    "wrong identity of the server": Row(
        wrong_server_identity,
        "AUTHENTICATION_FAILED", "its own log says why",
        "the server is fqdn:gcks.dev, not fqdn:gcks.example", "correct the server's identity",
    ),
    "no common KWA": Row(
        no_common_kwa,
        "offered KWA=KW_5649_128; accepted KWA=KW_5649_256", "align the IKE proposals",
        "NO_PROPOSAL_CHOSEN", "compare the IKE proposals of both sides, the Key Wrap Algorithm",
    ),
    "forbidden sender": Row(
        forbidden_sender,
        "fqdn:gm1.dev may not send", "set send: true in its members rule",
        "AUTHORIZATION_FAILED", "set send: false here",
    ),
    "clock skew": Row(
        clock_skew,
        "gm1.dev: certificate is not yet valid", "correct the clock of the host",
        "this member's certificate is not yet valid", "correct its clock",
    ),
    "blocked multicast": Row(
        blocked_multicast,
        "it comes back after a rekey", "look whether multicast to 239.255.84.8:848 reaches it",
        "no rekey has come", "is multicast to 239.255.84.8 port 848 let through",
    ),
    "ceiling too low": Row(
        too_low_ceiling,
        "it refuses the group's policy", "raise its ceiling, or change the group",
        "is not within 1 to 10 s", "raise this member's ceiling",
    ),
}  # fmt: skip
"""The twelfth, a wrong interface, is tests/edge/test_wrong_interface.py's: it takes real hosts."""


@pytest.mark.parametrize("what", ROWS)
def test_cause_and_remedy_are_named_on_both_sides(what: str) -> None:
    row = ROWS[what]
    world, member = row.scene()
    world.run(5.0 if what != "blocked multicast" else 2 * DATA_LIFETIME)
    assert world.network.server is not None
    told = (RegistrationRefused, MemberLeft, MemberRegistered)
    assert _one_says(world.network.server.events, told, row.operator_cause, row.operator_remedy)
    failed = (RegistrationAttemptFailed, PolicyRefused, Reregistering)
    assert _one_says(member.events, failed, row.member_cause, row.member_remedy)


@pytest.mark.parametrize("what", [one for one in ROWS if one != "blocked multicast"])
def test_a_failed_registration_is_exactly_one_event(what: str) -> None:
    """The member tries once: one event here and one there; the server's says who it was."""
    world, member = ROWS[what].scene()
    world.run(4.0)
    assert world.network.server is not None
    events = world.network.server.events
    kinds = RegistrationRefused | RegistrationAbandoned | RequestRefused | MemberLeft
    (failure,) = (one for one in events if isinstance(one, kinds))
    assert failure.hint  # type: ignore[union-attr]
    if what != "no common KWA":  # which is found out before anybody says who it is
        assert failure.identity == "fqdn:gm1.dev"  # type: ignore[union-attr]
        assert failure.group == f"keyid:{'vidoe' if what == 'unknown group' else 'demo'}"  # type: ignore[union-attr]
    assert "10.0.0.2" in str(failure)
    failed = [
        one for one in member.events if isinstance(one, RegistrationAttemptFailed | PolicyRefused)
    ]
    assert len(failed) == 1


def _one_says(events: list[Event], kinds: tuple[type, ...], *words: str) -> bool:
    texts = [
        " ".join(str(getattr(event, one.name)) for one in dataclasses.fields(event))
        for event in events
        if isinstance(event, kinds)
    ]
    assert texts, "no event at all"
    return any(all(word in text for word in words) for text in texts)
