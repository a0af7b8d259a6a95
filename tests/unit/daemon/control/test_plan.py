"""What `gcks plan` says of effects."""

from __future__ import annotations

import pytest

from gcks.daemon.control.plan import effects
from gcks.keyserver.groups.policy_change import PolicyChange


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
