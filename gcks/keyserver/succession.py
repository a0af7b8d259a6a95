"""A new IKE SA in place of one, with the same peer (RFC 7296 sections 1.3.2, 2.8, 2.25)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gcks.datagrams import Transmit
from gcks.events import Event, IkeSaClosed, IkeSaRekeyed
from gcks.iana import NotifyType
from gcks.ike.channel import Response
from gcks.ike.ike_rekey import Successor
from gcks.ike.key_log_entry import log_entry
from gcks.ike.legality import Contents
from gcks.ike.succession import (
    AskAgain,
    AskLater,
    Close,
    Forget,
    Redundant,
    TakeOver,
    answered,
    hand_over,
)
from gcks.keyserver import lifecycle
from gcks.keyserver.groups.group_outcome import GroupOutcome
from gcks.keyserver.ike_sa import Established
from gcks.keyserver.lifecycle import Keeper


class Progress(NamedTuple):
    """What a response led to."""

    transmits: tuple[Transmit, ...] = ()
    events: tuple[Event, ...] = ()


def rekey_answered(keeper: Keeper, sa: Established, response: Response, now: float) -> Progress:
    """Go on with the response to our rekey request."""
    decision = answered(sa, response, keeper.settings, now)
    match decision:
        case TakeOver():
            return take_over(keeper, sa, decision, now)
        case Redundant(made):
            return Progress(delete(keeper, _put(keeper, sa, made, now), now))
        case AskAgain(wanted):
            spi = keeper.ike_sas.draw_spi()
            return Progress(sa.rekey(keeper.settings, spi, keeper.entropy, now, wanted))
        case AskLater(at):
            sa.rekey_at = at
        case Close(cause):
            return Progress(events=(close(keeper, sa, cause),))
        case Forget():
            pass
    return Progress()


def take_over(keeper: Keeper, sa: Established, decision: TakeOver, now: float) -> Progress:
    """Use a new IKE SA, and rekey in-band over it."""
    made, rival = decision.made, None
    if decision.rival is not None:
        rival = keeper.ike_sas.of_spi(decision.rival.spi_r)  # theirs: we were its responder
    new = _put(keeper, sa, made, now)
    _use(keeper, rival or sa, new)
    if decision.rival is not None and rival is None:
        keeper.pushes.catch_up(new)  # the loser is gone, with what was to be said over it
    transmits = hand_over(sa, made, rival, keeper.settings, now)
    for left in (sa, rival):
        if left is not None:
            keeper.ike_sas.touch(left, left.wants_at)
    event = IkeSaRekeyed(str(sa.path.remote), sa.name, by_peer=not made.initiator)
    return Progress(transmits, (event,))


def _put(keeper: Keeper, sa: Established, made: Successor, now: float) -> Established:
    new = lifecycle.successor(sa, made, keeper)
    if keeper.key_log is not None:
        keeper.key_log(log_entry(made.suite, made.spi_i, made.spi_r, made.keys))
    keeper.ike_sas.put(new)
    lifecycle.begin_timers(new, keeper.settings, now)
    keeper.ike_sas.touch(new, new.wants_at)
    return new


def _use(keeper: Keeper, old: Established, new: Established) -> None:
    """Rekey in-band over the new IKE SA."""
    if old.inband:
        keeper.pushes.move(old, new)
        keeper.ike_sas.touch(new, new.wants_at)


def delete(keeper: Keeper, sa: Established, now: float) -> tuple[Transmit, ...]:
    """Ask the peer to close an IKE SA."""
    transmits = sa.delete(keeper.settings, now)
    keeper.ike_sas.touch(sa, sa.wants_at)
    return transmits


def close(keeper: Keeper, sa: Established, cause: str) -> IkeSaClosed:
    """Forget an IKE SA; return the event."""
    keeper.ike_sas.drop(sa)
    keeper.pushes.closed(sa)
    return IkeSaClosed(str(sa.path.remote), sa.name, cause)


def part(keeper: Keeper, group: str, identity: str, now: float) -> GroupOutcome:
    """Rekey a GM in-band no longer; delete IKE SAs that were open for that alone."""
    served = [sa for sa in keeper.ike_sas.of_peer(identity) if group in sa.inband]
    for sa in served:
        keeper.pushes.leave(sa, group)
    return _delete_all(keeper, [sa for sa in served if not sa.inband], now)


def tell_deleted(keeper: Keeper, group: str, identity: str, now: float) -> GroupOutcome:
    """Have a GM told in-band that all SAs of a group are deleted (RFC 9838 section 2.4.3).

    Ruling 16: a zero SPI names no group.  Where the IKE SA serves several groups it is
    deleted, and the GM registers to all of them again.
    """
    served = [sa for sa in keeper.ike_sas.of_peer(identity) if group in sa.inband]
    for sa in served:
        keeper.pushes.leave(sa, group)
    alone = [sa for sa in served if not sa.inband]
    for sa in alone:
        keeper.pushes.dismiss(sa)
        lifecycle.used(sa, keeper.settings, now)
        keeper.ike_sas.touch(sa, sa.wants_at)
    return _delete_all(keeper, [sa for sa in served if sa.inband], now)


def dismiss(keeper: Keeper, identity: str, now: float) -> GroupOutcome:
    """Delete all IKE SAs of a peer that could not authenticate any more."""
    sas = keeper.ike_sas.of_peer(identity)
    for sa in sas:
        for group in list(sa.inband):
            keeper.pushes.leave(sa, group)
    return _delete_all(keeper, sas, now)


def _delete_all(keeper: Keeper, sas: Iterable[Established], now: float) -> GroupOutcome:
    transmits: list[Transmit] = []
    events: list[Event] = []
    for sa in sas:
        if sa.channel.pending is not None:
            events.append(close(keeper, sa, "excluded"))
        else:
            transmits += delete(keeper, sa, now)
    return GroupOutcome((), tuple(transmits), tuple(events))


def initial_contact(keeper: Keeper, sa: Established, contents: Contents) -> tuple[IkeSaClosed, ...]:
    """Forget older IKE SAs of a peer that says it has none (RFC 7296 section 2.4)."""
    if contents.notify(NotifyType.INITIAL_CONTACT) is None:
        return ()
    others = [one for one in keeper.ike_sas.of_peer(sa.name) if one is not sa]
    return tuple(close(keeper, one, "initial contact") for one in others)
