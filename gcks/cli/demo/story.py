"""What is acted out: each scene orders something and says when it has come true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gcks.cli.demo.site import GROUP, Site, SiteState

NAMES: Final = ("gm1", "gm2", "gm3", "gm4", "gm5")
DEAF: Final = "gm4"
EXCLUDED: Final = "gm3"
DEAF_SECONDS: Final = 4.0

Check = Callable[[SiteState, SiteState], bool]
"""Given how it was before the scene and how it is now: whether it has come true."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One step of the story."""

    title: str
    what: str
    begin: Callable[[Site], object]
    done: Check
    seconds: float = 20.0
    """How long it may take."""


def _all_in_step(before: SiteState, now: SiteState) -> bool:
    del before
    return all(now.in_step(name) for name in NAMES)


def _new_keys_but_for(out: str) -> Check:
    def check(before: SiteState, now: SiteState) -> bool:
        others = [name for name in NAMES if name != out]
        changed = now.data_spi != before.data_spi and now.rekey_spi != before.rekey_spi
        return changed and all(map(now.in_step, others)) and (not out or not now.in_step(out))

    return check


def _caught_up(before: SiteState, now: SiteState) -> bool:
    same = before.members[DEAF].registrations == now.members[DEAF].registrations
    return same and now.in_step(DEAF)


def _wait_for_it(site: Site) -> None:
    """The server does it by itself."""
    del site


def _lose_a_rekey(site: Site) -> None:
    site.deafen(DEAF, DEAF_SECONDS)
    site.order("rekey", group=GROUP)


OPENING: Final = (
    Scene(
        "Members register",
        f"{len(NAMES)} members prove who they are over IKEv2 and get policy and keys.",
        lambda site: site.start_members(),
        _all_in_step,
        40.0,
    ),
)
STORY: Final = (
    Scene(
        "The keys roll over",
        "One signed multicast message renews all keys of all members.",
        lambda site: site.order("rekey", group=GROUP),
        _new_keys_but_for(""),
    ),
    Scene(
        f"{DEAF} is cut off and misses a rekey",
        f"For {DEAF_SECONDS:g} s it loses all multicast; the others have new keys.",
        _lose_a_rekey,
        _new_keys_but_for(DEAF),
    ),
    Scene(
        f"{DEAF} is reminded",
        "The server tells the current state again; it need not register.",
        _wait_for_it,
        _caught_up,
        30.0,
    ),
    Scene(
        f"{EXCLUDED} is excluded",
        "By the key tree: all others follow, with two messages, and it can't.",
        lambda site: site.order(
            "exclude", group=GROUP, names=[f"fqdn:{EXCLUDED}.demo"], immediate=True
        ),
        _new_keys_but_for(EXCLUDED),
    ),
    Scene(
        f"{EXCLUDED} is readmitted",
        "It registers again and holds the current keys.",
        lambda site: site.order("readmit", group=GROUP, names=[f"fqdn:{EXCLUDED}.demo"]),
        _all_in_step,
        30.0,
    ),
)
