"""What a group is going to do of its own: planned in the journal, so that no crash forgets it."""

from __future__ import annotations

from typing import Final

SHUT_OUT: Final = "shut_out"
"""Change the key tree: exclusions until then share a message."""
RENEW_DATA: Final = "renew_data"
"""New Data-Security SAs: who has left still knows the present ones."""
RENEW_ALL: Final = "renew_all"
"""New SAs, because nobody can tell how old the present ones are at the members."""
START_OVER: Final = "start_over"
"""Delete everything: all members register again."""

WORDS: Final = {
    SHUT_OUT: "a rekey that shuts members out",
    RENEW_DATA: "new Data-Security SAs",
    START_OVER: "everybody's registration",
}
"""What operators read."""

_RENEW_SA: Final = "renew_sa "


def renew_sa(name: str) -> str:
    """Return the step that renews one SA early: its only sender has come back."""
    return _RENEW_SA + name
