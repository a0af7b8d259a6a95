"""When the server asks something of its peer on an established IKE SA, and what.

Liveness and rekey as `gcks.ike.secured` has them, and the end of an IKE SA that
is no longer needed (RFC 9838 section 2.3.4).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gcks.datagrams import Transmit
from gcks.ike.ike_rekey import Parent, Successor
from gcks.ike.key_log_entry import KeyLog
from gcks.ike.legality import Contents
from gcks.ike.succession import channel_of
from gcks.keyserver.ike_sa import Established
from gcks.keyserver.ike_sa_table import IkeSaTable
from gcks.keyserver.pushing import Pushes
from gcks.keyserver.settings import ServerSettings
from gcks.wire.notify import Notify


class Keeper(Protocol):
    """What keeps the IKE SAs: the engine."""

    settings: ServerSettings
    entropy: Callable[[int], bytes]
    ike_sas: IkeSaTable
    pushes: Pushes
    key_log: KeyLog | None


def negotiate(sa: Established, contents: Contents, settings: ServerSettings) -> tuple[Notify, ...]:
    """Read what the peer announces with its AUTH; return what to announce in turn."""
    codes = settings.optimized_rekey
    if codes is None or contents.notify(codes.supported) is None:
        return ()
    sa.optimized = True
    return (Notify(codes.supported),)


def ask(keeper: Keeper, sa: Established, now: float) -> tuple[Transmit, ...] | None:
    """Send what is due, or the request under way again; None: the peer doesn't answer."""
    return sa.act(keeper.settings, keeper.ike_sas.draw_spi(), keeper.entropy, now)


def used(sa: Established, settings: ServerSettings, now: float) -> None:
    """Keep an IKE SA a while longer: its peer has asked for something."""
    if sa.replaced_by is None and not sa.inband:
        sa.ends_at = now + settings.ike_sa_idle_seconds


def begin_timers(sa: Established, settings: ServerSettings, now: float) -> None:
    """Start the times of an IKE SA that was just established."""
    sa.begin_timers(settings, now)
    sa.ends_at = now + settings.ike_sa_idle_seconds


def successor(sa: Established, made: Successor, keeper: Keeper) -> Established:
    """Make the IKE SA that takes over: the same peer, new keys."""
    channel = channel_of(made, sa, keeper.entropy)
    parent = Parent(made.suite, made.keys.sk_d)
    new = Established(channel, parent, made.gsk_w, sa.identity, sa.name)
    new.inherit(sa)
    new.certificate_ends, new.certificates = sa.certificate_ends, sa.certificates
    return new
