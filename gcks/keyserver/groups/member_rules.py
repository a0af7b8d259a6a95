"""What is allowed in a group and hardly meant: rules that never count, rekeys among the data."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from gcks.keyserver.groups.globs import is_glob
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.wire.traffic_selector import TrafficSelector

MAX_WIDE_RULES: Final = 64
"""Patterns that all later rules are held against."""


def member_doubts(policy: GroupPolicy) -> Iterator[tuple[str, str, str]]:
    """Yield what an operator should look at again: where, why, and what to do."""
    yield from _shadowed(policy)
    if policy.members and all(
        any(_covers(glob, rule.identity) for glob in policy.excluded) for rule in policy.members
    ):
        yield "excluded", "shuts out everybody whom the members rules admit", "narrow it"
    yield from _same_destination(policy)


def _shadowed(policy: GroupPolicy) -> Iterator[tuple[str, str, str]]:
    """The first rule that fits decides: what comes after a wider one never counts."""
    seen: dict[str, int] = {}
    wide: list[tuple[int, str]] = []
    for place, rule in enumerate(policy.members):
        text = rule.identity
        earlier = next((at for at, glob in wide if _covers(glob, text)), seen.get(text))
        if earlier is not None:
            yield (
                f"members[{place}]",
                f"never counts: members[{earlier}] ({policy.members[earlier].identity}) fits all "
                "that it fits, and the first rule decides",
                "put this one before it",
            )
        seen.setdefault(text, place)
        if is_glob(text) and len(wide) < MAX_WIDE_RULES:
            wide.append((place, text))


def _covers(pattern: str, other: str) -> bool:
    """Tell whether a pattern fits all that another fits; sure only where it says so.

    What the other's `*` stands for may be nothing, or longer than all `?` together.
    """
    if pattern == other:
        return True
    if "[" in pattern + other:
        return False
    return all(fnmatchcase(other.replace("*", made), pattern) for made in ("", _LONG))


_LONG: Final = "\0" * 300
"""Characters that no pattern names."""


def _same_destination(policy: GroupPolicy) -> Iterator[tuple[str, str, str]]:
    """Group data to the rekey's own address and port would be encrypted rekeys, or lost ones."""
    if policy.rekey is None:
        return
    host, port = policy.rekey.destination
    rekeys = TrafficSelector.single(host, 17, port)
    for sa in policy.data_sas:
        if _overlap(sa.destination, rekeys):
            yield (
                f"data_sas.{sa.name}.destination",
                f"holds the rekey address {host} port {port}: members would look for rekeys "
                "in what this SA protects",
                "give the data another address",
            )


def _overlap(selector: TrafficSelector, other: TrafficSelector) -> bool:
    return (
        len(selector.start_address) == len(other.start_address)
        and selector.start_address <= other.end_address
        and other.start_address <= selector.end_address
        and selector.start_port <= other.end_port
        and other.start_port <= selector.end_port
        and (selector.ip_protocol == other.ip_protocol or not selector.ip_protocol)
    )
