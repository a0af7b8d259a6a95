"""One change joined to another: nothing that a decision led to is lost."""

from __future__ import annotations

from dataclasses import fields

from gcks.change import Change

OF_THE_CALLER = {"refusal", "next_timeout"}
JOINED = {field.name for field in fields(Change)} - OF_THE_CALLER


def full(word: str) -> Change:
    """Return a change with something in everything that is joined."""
    change = Change()
    for name in JOINED:
        holder = getattr(change, name)
        if isinstance(holder, dict):
            holder[word] = None
        else:
            holder.append(word)
    return change


def test_everything_is_joined_in_order() -> None:
    change = full("first")
    change.add(full("second"))
    assert {name: list(getattr(change, name)) for name in JOINED} == {
        name: ["first", "second"] for name in JOINED
    }


def test_what_is_the_callers_stays() -> None:
    change = Change(next_timeout=1.0)
    change.add(Change(next_timeout=2.0))
    assert change.next_timeout == 1.0 and change.refusal is None
