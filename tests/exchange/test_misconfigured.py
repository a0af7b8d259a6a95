"""Ten ways to misconfigure a member: the operator's event and the member's message tell which.

Each row: what is wrong, words of the server's event, words of the member's.  Every
reason for which a server refuses is in test_refusal_reasons.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace

import pytest

from gcks.events import (
    Event,
    MemberLeft,
    MemberRegistered,
    RegistrationFailedEvent,
    RegistrationRefused,
    Reregistering,
)
from gcks.ike.credentials import Credentials, PreSharedKey
from gcks.ike.keywords import parse_ike
from gcks.member.ceiling import Ceiling
from tests.exchange.demo import DATA_LIFETIME, SERVER_SETTINGS, World
from tests.exchange.network import MemberNode, Weather
from tests.exchange.test_member_certificates import DAY, NOW, Authority

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


def with_certificates(own: object, trust: Authority = CA) -> Scene:
    world = World(server_credentials=Credentials(own=(CA.issue("gcks.dev"),), trust=CA.trust))
    credentials = Credentials(own=(own,), trust=trust.trust)  # type: ignore[arg-type]
    return world, world.member("gm1", credentials=credentials, certificate=True)


def expired_certificate() -> Scene:
    return with_certificates(CA.issue("gm1.dev", until=NOW - DAY))


def wrong_ca() -> Scene:
    return with_certificates(OTHER_CA.issue("gm1.dev"))


def no_common_kwa() -> Scene:
    world = World(settings=replace(SERVER_SETTINGS, ike_proposals=KW256))
    return world, world.member("gm1", offer=KW128)


def forbidden_sender() -> Scene:
    world = World()
    return world, world.member("gm1", sender=True)


def clock_skew() -> Scene:
    """Both clocks are a year late: the certificate seems to be from the future."""
    scene = with_certificates(CA.issue("gm1.dev"))
    network = scene[0].network
    late = network.wall
    network.wall = lambda: late() - 366 * 86400  # type: ignore[method-assign]
    scene[0].start_server()
    scene[1].engine._wall = network.wall
    return scene


def blocked_multicast() -> Scene:
    world = World(weather=Weather(multicast_loss=1.0))
    return world, world.member("gm1")


def too_low_ceiling() -> Scene:
    world = World()
    return world, world.member("gm1", ceiling=Ceiling(max_lifetime_seconds=10))


ROWS: dict[str, tuple[Callable[[], Scene], tuple[str, ...], tuple[str, ...]]] = {
    "wrong PSK": (
        wrong_psk, ("pre-shared keys differ", "compare both"), ("AUTHENTICATION_FAILED", "compare"),
    ),
    "unknown group": (
        unknown_group, ("no group keyid:vidoe", "compare the group IDs"), ("group", "compare"),
    ),
    "expired certificate": (
        expired_certificate, ("gm1.dev: certificate has expired", "renew"), ("expired", "renew it"),
    ),
    "wrong CA": (
        wrong_ca, ("issuer certificate", "trust_anchors"), ("AUTHENTICATION_FAILED", "certificate"),
    ),
    "no common KWA": (
        no_common_kwa,
        ("offered KWA=KW_5649_128; accepted KWA=KW_5649_256", "align the IKE proposals"),
        ("NO_PROPOSAL_CHOSEN", "Key Wrap Algorithm"),
    ),
    "forbidden sender": (
        forbidden_sender, ("may not send", "send: true"), ("AUTHORIZATION_FAILED", "as a sender"),
    ),
    "clock skew": (
        clock_skew, ("not yet valid", "clock"), ("not yet valid", "clock"),
    ),
    "blocked multicast": (
        blocked_multicast,
        ("comes back after a rekey", "multicast to 239.255.84.8:848"),
        ("about to expire", "multicast to 239.255.84.8 port 848"),
    ),
    "ceiling too low": (
        too_low_ceiling,
        ("NO_PROPOSAL_CHOSEN", "raise its ceiling"),
        ("a lifetime of", "is not within 1 to 10 s", "raise this member's ceiling"),
    ),
}  # fmt: skip
"""The tenth, a wrong interface, is tests/edge/test_operator.py's: it takes a real host."""


@pytest.mark.parametrize("what", ROWS)
def test_cause_and_remedy_are_named_on_both_sides(what: str) -> None:
    make, server_words, member_words = ROWS[what]
    world, member = make()
    world.run(5.0 if what != "blocked multicast" else 2 * DATA_LIFETIME)
    assert world.network.server is not None
    told = (RegistrationRefused, MemberLeft, MemberRegistered)
    assert _one_says(world.network.server.events, told, server_words), what
    assert _one_says(member.events, (RegistrationFailedEvent, Reregistering), member_words), what


@pytest.mark.parametrize("what", [one for one in ROWS if one != "blocked multicast"])
def test_a_failed_registration_is_exactly_one_event(what: str) -> None:
    world, member = ROWS[what][0]()
    world.run(2.0)
    assert world.network.server is not None
    events = world.network.server.events
    failures = [one for one in events if isinstance(one, RegistrationRefused | MemberLeft)]
    assert len(failures) == 1
    assert len(member.all(RegistrationFailedEvent)) == 1


def _one_says(events: list[Event], kinds: tuple[type, ...], words: tuple[str, ...]) -> bool:
    texts = [
        " ".join(str(getattr(event, one.name)) for one in dataclasses.fields(event))
        for event in events
        if isinstance(event, kinds)
    ]
    assert texts, "no event at all"
    return any(all(word in text for word in words) for text in texts)
