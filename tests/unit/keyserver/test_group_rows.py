"""What operators read of an SA's senders and of replays."""

from __future__ import annotations

import pytest

from gcks.keyserver.group_rows import replay_of, senders_of
from gcks.keyserver.groups.policy import DataSaPolicy
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
