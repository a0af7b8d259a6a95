"""What a world says when something that must hold doesn't, and what is known not to hold yet."""

from __future__ import annotations

from typing import Final

KNOWN: Final = frozenset(
    {
        "issue14.1",
        "issue14.14",
        "issue14.15",
        "worlds.old-path",
        "worlds.second-group",
    }
)
"""Faults that wait to be mended; each name relaxes one check, or keeps one case from being drawn.

issue14.1: a counter-mode SA may be sent on without Sender-IDs.
issue14.14: members that are rekeyed in-band may keep SAs that are over.
issue14.15: a registration may bring ESP and AH for the same traffic, which the member refuses.
worlds.old-path: with a key tree and `backward_access` who was shut out and comes back is given
tree keys that open the message that shut it out, and so all that was sent meanwhile.
worlds.second-group: a member of two groups that are rekeyed in-band doesn't know what a Delete
with a zero SPI is about, where its IKE SA served one group when it was sent, and two when it came.
"""


class BrokenError(AssertionError):
    """Something that must hold doesn't; `rule` names what."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule


def hold(condition: object, rule: str, text: str) -> None:
    """Raise `BrokenError` unless the condition holds."""
    if not condition:
        raise BrokenError(rule, text)
