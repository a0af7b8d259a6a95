"""What operators ask of the groups, as values: a page of rows, made when it is asked for.

A page makes its own rows only, and nothing here looks at all members of a group.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import translate
from functools import partial
from itertools import islice
from typing import Final, TypeVar

from gcks.errors import LocalError
from gcks.journal import ExclusionSaved
from gcks.keyserver import group_rows as rows
from gcks.keyserver.groups.departing import Way, named, way_without
from gcks.keyserver.groups.group import Group
from gcks.keyserver.groups.groups import Groups
from gcks.keyserver.groups.policy_change import census
from gcks.keyserver.status import (
    CensusEntry,
    ConfiguredExclusion,
    ExclusionPreview,
    GroupStatus,
    Page,
    RegisteredMember,
    RekeyStatus,
    SaStatus,
    SenderStatus,
)

T = TypeVar("T")
R = TypeVar("R")

_MAX_ROWS: Final = 200
"""Of a page that many groups share: they take about ten milliseconds."""
_WITHOUT_THEM: Final = {
    Way.AS_IT_IS: "no member is among them, so no new keys; they can't register from now on",
    Way.NEW_DATA_SAS: "they are rekeyed in-band: all others get new Data-Security SAs at once",
    Way.TREE: "by the key tree: the others get new keys with two messages",
    Way.START_OVER: "without a key tree for it: all others have to register again",
}


class Listing:
    """The groups as they are at `now` (monotonic seconds).

    `group` is a name, or None for all; `start` is 0 or the `next` of the page before, `limit`
    the most rows.  Raises `LocalError` for a group that isn't there, or not yet.
    """

    def __init__(self, groups: Groups, now: float) -> None:
        self._all, self._now = groups, now

    def groups(self, group: str | None = None) -> list[GroupStatus]:
        """Return what metrics and screens show of groups."""
        return [rows.group_status(each, self._now) for each in self._groups(group)]

    def members(
        self, group: str | None, match: str | None, start: int, limit: int
    ) -> Page[RegisteredMember]:
        """Return members of one group: the one of that identity, or those that match a pattern.

        Perhaps none, though there are more pages.
        """
        asked = self._group(group)
        member = asked.state.members.get(match) if match is not None else None
        if match is not None and member is not None:
            return Page([rows.registered_member(asked, match, member)], None, asked.name)
        members, more = asked.state.members.page(start, limit, _pattern(match))
        return Page(
            [rows.registered_member(asked, *member) for member in members], more, asked.name
        )

    def senders(
        self, group: str | None, match: str | None, start: int, limit: int
    ) -> Page[SenderStatus]:
        """Return the members of one group that registered as senders."""
        asked = self._group(group)
        members, more = asked.state.members.page(start, limit, _pattern(match), senders=True)
        return Page([rows.sender_status(asked, *member) for member in members], more, asked.name)

    def sas(self, group: str | None, start: int, limit: int) -> Page[SaStatus]:
        """Return the SAs of groups, current ones before those that are replaced."""
        return self._page(group, start, limit, rows.sas_of, partial(rows.sa_status, self._now))

    def rekeys(self, group: str | None, start: int, limit: int) -> Page[RekeyStatus]:
        """Return the Rekey SAs of groups that have one."""
        return self._page(
            group, start, limit, rows.rekeys_of, partial(rows.rekey_status, self._now)
        )

    def exclusions(
        self, group: str | None, match: str | None, start: int, limit: int
    ) -> Page[ExclusionSaved | ConfiguredExclusion]:
        """Return who is excluded: of each page those whose name matches."""
        page = self._page(group, start, limit, rows.exclusions_of, rows.exclusion_status)
        pattern = _pattern(match)
        wanted = [each for each in page.rows if pattern is None or pattern.match(each.name)]
        return Page(wanted, page.next)

    def census(self, group: str | None) -> list[CensusEntry]:
        """Return what the members of groups announced in SAg, the most frequent first."""
        return [
            CensusEntry(each.name, count, rows.announced_in(sag))
            for each in self._groups(group)
            for sag, count in census(each.state.members)
        ]

    def exclusion_preview(self, group: str, kind: str, names: Sequence[str]) -> ExclusionPreview:
        """Say what an exclusion would do; `kind` and `names` as in `Exclude`."""
        asked = self._group(group)
        members = tuple(named(asked, kind, names))
        way = way_without(asked, members, asked.policy)
        return ExclusionPreview(group, members, _WITHOUT_THEM[way], way is Way.START_OVER)

    # --- which groups, which rows ------------------------------------------------------

    def _groups(self, name: str | None) -> list[Group]:
        if name is None:
            return list(self._all.by_name.values())
        return [self._all.named(name)]

    def _group(self, name: str | None) -> Group:
        groups = self._groups(name)
        if len(groups) != 1:
            raise LocalError(f"say which group: {', '.join(self._all.by_name) or 'none'}")
        return groups[0]

    def _page(
        self,
        name: str | None,
        start: int,
        limit: int,
        items: Callable[[Group], tuple[int, Iterable[T]]],
        row: Callable[[Group, T], R],
    ) -> Page[R]:
        """Return one page of the rows of all groups; `items` counts what a group has of them."""
        most = min(limit, _MAX_ROWS)
        entries = self._entries(name, start, items)
        page = [row(group, entry) for group, entry in islice(entries, most)]
        return Page(page, start + most if next(entries, None) is not None else None)

    def _entries(
        self, name: str | None, skip: int, items: Callable[[Group], tuple[int, Iterable[T]]]
    ) -> Iterator[tuple[Group, T]]:
        for group in self._groups(name):
            count, entries = items(group)
            if skip < count:
                yield from ((group, entry) for entry in islice(entries, skip, None))
            skip = max(0, skip - count)


def _pattern(match: str | None) -> re.Pattern[str] | None:
    return re.compile(translate(match)) if match is not None else None
