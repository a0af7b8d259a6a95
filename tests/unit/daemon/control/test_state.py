"""What `gcks show` says of senders and replays, and `gcks plan` of effects."""

from __future__ import annotations

import pytest

from gcks.daemon.control.plan import effects
from gcks.daemon.control.state import replay_of, senders_of
from gcks.keyserver.groups.policy import DataSaPolicy
from gcks.keyserver.groups.policy_change import PolicyChange
from tests.support.group_stage import esp, single

MANY = esp()
ONE = single("cam", "fqdn:s1.dev", "192.0.2.7")
OFF = single("cam", "fqdn:s1.dev", "192.0.2.7", replay_protection=False)


@pytest.mark.parametrize(
    ("policy", "senders", "replay"),
    [
        (MANY, "many", "unprotected: many senders"),
        (ONE, "fqdn:s1.dev", "protected: one sender"),
        (OFF, "fqdn:s1.dev", "unprotected: switched off"),
        (None, "nobody any more", "as it was"),
    ],
)
def test_replay_protection_is_told_as_it_is(
    policy: DataSaPolicy | None, senders: str, replay: str
) -> None:
    """RFC 9838 section 2.6: only a single sender's sequence numbers are unique."""
    assert senders_of(policy) == senders
    assert replay_of("video", policy).startswith(replay)
    assert replay_of("", None) == "protected: Message IDs"
    assert policy is None or policy.sequential is replay.startswith("protected")


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({}, []),
        ({"begins": True}, ["the group begins"]),
        ({"ends": True}, ["the group ends: 7 members are told to delete all its SAs"]),
        (
            {"starts_over": ("the mode ...",)},
            ["all 7 members have to register again: the mode ..."],
        ),
        (
            {"excluded": tuple(f"fqdn:gm{n}" for n in range(7))},
            ["7 members are excluded: fqdn:gm0, fqdn:gm1, fqdn:gm2, fqdn:gm3, fqdn:gm4 and 2 more"],
        ),
        (
            {"locked_out": (("fqdn:old", "no AES"),)},
            ["1 members can't follow, such as fqdn:old: no AES"],
        ),
        (
            {"renewed": ("", "video"), "dropped": ("text",), "grace_seconds": 17.0},
            [
                "rekey: renewed rekey, video; deleted text",
                "grace period: what is replaced is accepted for 17 s more",
            ],
        ),
        (
            {"options": ("capacity", "data_sas.video.encr")},
            ["without any message: capacity"],
        ),
    ],
)
def test_effects_are_said_in_words(change: dict[str, object], lines: list[str]) -> None:
    assert effects(PolicyChange("keyid:a", 7, **change)) == lines  # type: ignore[arg-type]
