"""What a world says when something that must hold doesn't, and what is known not to hold yet."""

from __future__ import annotations

from typing import Final

KNOWN: Final = frozenset(
    {
        "issue13.A",
        "issue13.B",
        "issue13.C",
        "issue14.1",
        "issue14.14",
        "issue14.15",
        "worlds.busy-delete",
        "worlds.empty-group",
        "worlds.inband-senders",
        "worlds.old-path",
        "worlds.restart-rules",
        "worlds.second-group",
    }
)
"""Faults that wait to be mended; each name relaxes one check, or keeps one case from being drawn.

issue13.A: `backward_access` is not drawn where members are rekeyed in-band.
issue13.B: `backward_access` is not drawn where Sender-IDs can run out.
issue13.C: after a fault inside of a decision the server is started again at once.
issue14.1: a counter-mode SA may be sent on without Sender-IDs.
issue14.14: members that are rekeyed in-band may keep SAs that are over.
issue14.15: a registration may bring ESP and AH for the same traffic, which the member refuses.
worlds.busy-delete: where an IKE SA that serves two groups is closed because one of them is gone,
and a request is under way, the member isn't told, and misses the rekeys of the other.
worlds.empty-group: with `backward_access` the first who comes after everybody has gone is given
the keys that they used.
worlds.inband-senders: no reload changes `inband_senders`, and no sender comes as a receiver: who
is excluded is taken for what it is now, and keeps the Rekey SA or the Data-Security SAs
that it was told as something else.
worlds.old-path: with a key tree and `backward_access` who was shut out and comes back is given
tree keys that open the message that shut it out, and so all that was sent meanwhile.
worlds.restart-rules: whom the rules don't name any more stays a member where the server was
started again with them, instead of reloaded.
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
