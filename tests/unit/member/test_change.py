"""One change of a member is all that its parts have decided."""

from __future__ import annotations

from dataclasses import fields, replace

from gcks.change import Change
from gcks.member.change import MemberChange


def test_joined_changes_lose_nothing() -> None:
    """Whatever fields they get one day; what isn't a collection is the caller's to set."""
    whole, part = MemberChange(), MemberChange()
    for field in fields(MemberChange):
        empty = getattr(part, field.name)
        if isinstance(empty, list):
            empty.append(field.name)
        elif isinstance(empty, dict):
            empty[field.name] = None
    whole.add(part)
    assert whole == part and whole.data_plane and whole.keys
    whole.add(replace(MemberChange(), next_timeout=5.0))
    assert whole.next_timeout is None


def test_a_change_of_another_kind_can_be_joined() -> None:
    whole = MemberChange()
    whole.add(Change(events=[]))
    assert whole == MemberChange()
