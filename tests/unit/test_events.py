"""An event says everything about itself in its class, and inherits the rest on purpose."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from enum import Enum
from typing import Any

import pytest

from gcks import events as e

FEW_VALUES = {(e.OrderRefused, "order")}
"""Texts, but ours."""
every_kind = pytest.mark.parametrize("kind", e.KINDS, ids=lambda kind: kind.name)


def fields_of(kind: type[e.Event]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def test_every_class_is_a_kind_or_a_base() -> None:
    classes = {kind for kind in vars(e).values() if inspect.isclass(kind)}
    events = {kind for kind in classes if issubclass(kind, e.Event)}
    assert events - set(e.KINDS) == {e.Event, e.ServerEvent, e.MemberEvent}


def test_every_name_is_there_once() -> None:
    names = [kind.name for kind in e.KINDS]
    assert len(set(names)) == len(names)


@every_kind
def test_a_kind_states_its_name_and_level_and_no_default(kind: type[e.Event]) -> None:
    stated = vars(kind)
    assert isinstance(stated["name"], str) and isinstance(stated["usual_level"], e.Level)
    assert stated.get("audited", True) and not stated.get("counted", False)


@every_kind
def test_a_limit_goes_by_a_field_that_has_few_values(kind: type[e.Event]) -> None:
    """Or whoever makes up values has as many lines as they like."""
    if kind.limit is not None:
        hint = fields_of(kind)[kind.limit.by]
        assert issubclass(hint, Enum) or (kind, kind.limit.by) in FEW_VALUES


@every_kind
def test_what_a_peer_can_cause_states_whether_it_is_limited(kind: type[e.Event]) -> None:
    """None with a reason, or a limit; what is for debugging only is not on by itself."""
    if "remote" in fields_of(kind) and kind.usual_level > e.Level.DEBUG:
        assert "limit" in vars(kind)


@every_kind
def test_who_is_a_member_and_what_operators_did_is_audited(kind: type[e.Event]) -> None:
    if issubclass(kind, e.ServerEvent) and ({"group", "identity"} <= {*fields_of(kind)}):
        assert kind.audited
    if "by" in fields_of(kind):
        assert kind.audited
