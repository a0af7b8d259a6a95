"""What a group does when its time has come: copies, renewals, what was planned."""

from __future__ import annotations

from typing import Final

from gcks.events import SaEnded
from gcks.keyserver.groups.certificate_end import expire
from gcks.keyserver.groups.decision import Decision
from gcks.keyserver.groups.departing import (
    renew_data,
    renew_without_departed,
    shut_out,
    start_over,
)
from gcks.keyserver.groups.group import names_of
from gcks.keyserver.groups.renewing import remind, send_due
from gcks.keyserver.groups.steps import RENEW_ALL, RENEW_DATA, SHUT_OUT, START_OVER

COALESCE_SECONDS: Final = 1.0
"""SAs due within this time are renewed in one message."""
_ROUNDING_SECONDS: Final = 1e-5
"""Planned steps are kept in POSIX seconds, which are large numbers."""


def do_due(decision: Decision) -> None:
    """Send due copies, forget what is over, renew what is due."""
    _forget_replaced(decision)
    _do_planned(decision)
    _renew_old(decision)
    if decision.now >= decision.group.reminders.next_at:
        _remind(decision)
    expire(decision)
    send_due(decision)


def rekey(decision: Decision) -> None:
    """Renew every SA of the group now."""
    decision.cancel([RENEW_ALL])
    renew_without_departed(decision, names_of(decision.group.policy))


def _forget_replaced(decision: Decision) -> None:
    for sa in decision.state.sas.replaced:
        if sa.retire_at is not None and sa.retire_at <= decision.now:
            decision.record(sa.deleted(decision.name))
            decision.tell(SaEnded(decision.name, sa.protocol, sa.spi.hex()))


def _do_planned(decision: Decision) -> None:
    for step, do in (
        (START_OVER, start_over), (SHUT_OUT, shut_out), (RENEW_DATA, renew_data), (RENEW_ALL, rekey)
    ):  # fmt: skip
        at = decision.state.steps.get(step)
        if at is not None and at <= decision.now + _ROUNDING_SECONDS:
            do(decision)


def _renew_old(decision: Decision) -> None:
    """Renew the SAs whose time has come, and with them those whose time comes soon."""
    group, now = decision.group, decision.now
    times = {name: group.renew_at(name, sa) for name, sa in group.sas.current.items()}
    if any(at <= now for at in times.values()):
        due = [name for name, at in times.items() if at <= now + COALESCE_SECONDS]
        renew_without_departed(decision, due)


def _remind(decision: Decision) -> None:
    """Remind nobody of SAs that are about to be replaced because somebody knows them."""
    if decision.state.steps.keys() & {SHUT_OUT, RENEW_DATA}:
        decision.group.reminders.take()
    else:
        remind(decision)
