"""The IKE SAs with authenticated peers: their times, what replaces them, what is told over them.

One thing owns the table of IKE SAs, the pushes (GSA_INBAND_REKEY) and the succession of
IKE SAs (RFC 7296 sections 1.3.2, 2.8, 2.25); what follows goes into the `Change` handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from gcks.change import Change
from gcks.datagrams import Awaited
from gcks.events import IkeSaClosed, IkeSaRekeyed
from gcks.iana import NotifyType
from gcks.ike.channel import Response
from gcks.ike.ike_rekey import Parent, Successor
from gcks.ike.key_log_entry import KeyLog, log_entry
from gcks.ike.legality import Contents
from gcks.ike.secured import Asked
from gcks.ike.succession import (
    AskAgain,
    AskLater,
    Close,
    Forget,
    Redundant,
    TakeOver,
    answered,
    channel_of,
    hand_over,
)
from gcks.keyserver.configured import Configured
from gcks.keyserver.groups.groups import Groups
from gcks.keyserver.ike_sa import Established, HalfOpen, IkeSa
from gcks.keyserver.ike_sa_table import IkeSaTable
from gcks.keyserver.pushing import Pushes
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload


class Peers:
    """All established IKE SAs."""

    __slots__ = ("_configured", "_entropy", "_groups", "_key_log", "ike_sas", "pushes", "speaking")

    def __init__(
        self,
        configured: Configured,
        groups: Groups,
        entropy: Callable[[int], bytes],
        key_log: KeyLog | None,
    ) -> None:
        self._configured, self._groups = configured, groups
        self._entropy, self._key_log = entropy, key_log
        self.ike_sas = IkeSaTable(entropy)
        self.pushes = Pushes()
        self.speaking: IkeSa | None = None
        """The SA whose authentic message is in hand: what an internal error takes down."""

    # --- beginning --------------------------------------------------------------------

    def establish(self, half: HalfOpen, sa: Established, now: float) -> None:
        """Put an authenticated IKE SA where the half-open one was."""
        self.ike_sas.establish(half, sa)
        self._begin_timers(sa, now)
        if half.behind_nat:
            sa.begin_keepalives(now)

    def _begin_timers(self, sa: Established, now: float) -> None:
        settings = self._configured.settings
        sa.begin_timers(settings, now)
        sa.ends_at = now + settings.ike_sa_idle_seconds

    def negotiate(self, sa: Established, contents: Contents) -> tuple[Notify, ...]:
        """Read what the peer announces with its AUTH; return what to announce in turn."""
        codes = self._configured.settings.optimized_rekey
        if codes is None or contents.notify(codes.supported) is None:
            return ()
        sa.optimized = True
        return (Notify(codes.supported),)

    def initial_contact(self, sa: Established, contents: Contents, change: Change) -> None:
        """Forget older IKE SAs of a peer that says it has none (RFC 7296 section 2.4)."""
        if contents.notify(NotifyType.INITIAL_CONTACT) is None:
            return
        for other in self.ike_sas.of_peer(sa.name):
            if other is not sa:
                self.close(other, "initial contact", change)

    # --- while it lives ---------------------------------------------------------------

    def respond(
        self,
        sa: Established,
        exchange: int,
        payloads: Sequence[Payload],
        change: Change,
        awaited: Awaited | None = None,
    ) -> None:
        """Answer the request in hand; `awaited`: what waits for this answer."""
        transmits = sa.channel.respond(exchange, payloads)
        if awaited is not None:
            transmits = (*transmits[:-1], replace(transmits[-1], awaited=awaited))
        change.transmits += transmits

    def used(self, sa: Established, now: float) -> None:
        """Keep an IKE SA a while longer: its peer has asked for something."""
        if sa.replaced_by is None and not sa.inband and not sa.doomed:
            sa.ends_at = now + self._configured.settings.ike_sa_idle_seconds
        self.heard(sa, now)

    def hold(self, sa: Established, until: float) -> None:
        """Keep an IKE SA whose request waits for us: its peer is idle no more than we are.

        Nothing is asked of it either: before the answer to GSA_AUTH it couldn't tell who asks.
        """
        if sa.replaced_by is None and not sa.inband and not sa.doomed:
            sa.ends_at = until
        sa.probe_at = max(sa.probe_at, until)
        self._touch(sa)

    def heard(self, sa: Established, now: float) -> None:
        """Note an authentic message of the peer."""
        sa.heard(self._configured.settings, now)
        self._touch(sa)

    def _touch(self, sa: Established) -> None:
        self.ike_sas.touch(sa, sa.wants_at)

    def act(self, sa: Established, now: float, change: Change) -> None:
        """Send what it is time for; close an IKE SA whose peer doesn't answer."""
        spi = self.ike_sas.draw_spi()
        transmits = sa.act(self._configured.settings, spi, self._entropy, now)
        if transmits is None:
            self.close(sa, f"no answer to our {sa.asked.value if sa.asked else 'request'}", change)
            return
        change.transmits += transmits
        self._touch(sa)

    def answered(self, sa: Established, response: Response, now: float, change: Change) -> None:
        """Go on with the response to our request."""
        asked, sa.asked = sa.asked, None
        if asked is Asked.DELETE:
            self.close(sa, "registration is over", change)
            return
        if asked is Asked.PUSH:
            self.pushes.answered(sa)
        elif asked is Asked.REKEY:
            self._rekey_answered(sa, response, now, change)
        self.heard(sa, now)

    # --- what replaces it -------------------------------------------------------------

    def _rekey_answered(
        self, sa: Established, response: Response, now: float, change: Change
    ) -> None:
        settings = self._configured.settings
        decision = answered(sa, response, settings, now)
        match decision:
            case TakeOver():
                self.take_over(sa, decision, now, change)
            case Redundant(made):
                self.delete(self._put(sa, made, now), now, change)
            case AskAgain(wanted):
                spi = self.ike_sas.draw_spi()
                change.transmits += sa.rekey(settings, spi, self._entropy, now, wanted)
            case AskLater(at):
                sa.rekey_at = at
            case Close(cause):
                self.close(sa, cause, change)
            case Forget():
                pass

    def take_over(self, sa: Established, decision: TakeOver, now: float, change: Change) -> None:
        """Use a new IKE SA, and rekey in-band over it."""
        made, rival = decision.made, None
        if decision.rival is not None:
            rival = self.ike_sas.of_spi(decision.rival.spi_r)  # theirs: we were its responder
        new = self._put(sa, made, now)
        used = rival or sa
        if used.inband:
            self.pushes.move(used, new)
            self._touch(new)
        if decision.rival is not None and rival is None:
            self.pushes.catch_up(new)  # the loser is gone, with what was to be said over it
        change.transmits += hand_over(sa, made, rival, self._configured.settings, now)
        for left in (sa, rival):
            if left is not None:
                self._touch(left)
        remote, by_peer = str(sa.path.remote), not made.initiator
        change.events.append(IkeSaRekeyed(remote, sa.name, by_peer))

    def _put(self, sa: Established, made: Successor, now: float) -> Established:
        """Make the IKE SA that takes over: the same peer, new keys."""
        channel = channel_of(made, sa, self._entropy)
        parent = Parent(made.suite, made.keys.sk_d)
        new = Established(channel, parent, made.gsk_w, sa.identity, sa.name)
        new.inherit(sa)
        new.certificate_ends, new.certificates = sa.certificate_ends, sa.certificates
        if self._key_log is not None:
            self._key_log(log_entry(made.suite, made.spi_i, made.spi_r, made.keys))
        self.ike_sas.put(new)
        self._begin_timers(new, now)
        self._touch(new)
        return new

    # --- its end ----------------------------------------------------------------------

    def is_open(self, sa: Established) -> bool:
        """Tell whether an IKE SA isn't forgotten yet."""
        return self.ike_sas.of_spi(sa.own_spi) is sa

    def delete(self, sa: Established, now: float, change: Change) -> None:
        """Ask the peer to close an IKE SA."""
        change.transmits += sa.delete(self._configured.settings, now)
        self._touch(sa)

    def close(self, sa: Established, cause: str, change: Change) -> None:
        """Forget an IKE SA."""
        self.drop(sa)
        change.events.append(IkeSaClosed(str(sa.path.remote), sa.name, cause))

    def drop(self, sa: IkeSa) -> None:
        """Forget an IKE SA, without a word."""
        self.ike_sas.drop(sa)
        if isinstance(sa, Established):
            self.pushes.closed(sa)

    def drop_speaking(self) -> None:
        """Forget the IKE SA whose message could not be handled, because of an error of ours."""
        if self.speaking is not None:
            self.drop(self.speaking)
            self.speaking = None

    # --- what follows from decisions of the groups --------------------------------------

    def follow(self, change: Change, now: float) -> None:
        """Part with who is no member any more, and tell in-band what has changed: each once."""
        parted, change.parted = change.parted, []
        for group, identity in parted:
            self._part(group, identity, now, change)
        deleted, change.deleted_inband = change.deleted_inband, []
        for group in deleted:
            self._tell_deleted(group, now, change)
        unproved, change.unproved = change.unproved, []
        for identity in unproved:
            self._dismiss(identity, now, change)
        self.plan_pushes(change)
        self.push(now, change)

    def plan_pushes(self, change: Change) -> None:
        """Have all GMs that are rekeyed in-band told of the groups that have changed."""
        for group in change.to_push:
            self.pushes.plan(group)
        change.to_push.clear()

    def push(self, now: float, change: Change) -> None:
        """Send the GSA_INBAND_REKEYs that may be sent now."""
        transmits, asked, useless = self.pushes.send(self._groups, self._configured.settings, now)
        for sa in asked:
            self._touch(sa)
        change.transmits += transmits
        for sa in useless:
            self._delete_soon(sa, now, change)

    def enrol(self, sa: Established, group: str, *, sender: bool) -> None:
        """Rekey a GM in-band over this IKE SA, which stays open, or over what replaces it."""
        used = self._in_use(sa)
        if used is None:
            return  # it is deleted soon, and the GM registers again
        self.pushes.enrol(used, group, sender=sender)
        self._touch(used)

    def _in_use(self, sa: Established) -> Established | None:
        """Follow what replaces an IKE SA to its end; None: that is gone."""
        while sa.replaced_by is not None:
            made = sa.replaced_by
            successor = self.ike_sas.of_spi(made.spi_i if made.initiator else made.spi_r)
            if successor is None:
                return None
            sa = successor
        return sa

    def leave(self, sa: Established, group: str, now: float, change: Change) -> None:
        """Rekey a GM in-band no longer that says so over this IKE SA, which it may use on.

        A member is its identity: what other IKE SAs it has serve the group no more either.
        """
        self.pushes.leave(sa, group)
        self._part(group, sa.name, now, change)

    def _part(self, group: str, identity: str, now: float, change: Change) -> None:
        """Rekey a GM in-band no longer; delete IKE SAs that were open for that alone."""
        served = self._leave_everywhere(group, identity)
        for sa in served:
            if not sa.inband:
                self._delete_soon(sa, now, change)

    def _tell_deleted(self, group: str, now: float, change: Change) -> None:
        """Have GMs told in-band that all SAs of a group are deleted (RFC 9838 section 2.4.3).

        Ruling 16: a zero SPI names no group.  Where the IKE SA serves several groups it is
        deleted, and the GM registers to all of them again.
        """
        for sa in self.pushes.served(group):
            self.pushes.leave(sa, group)
            if sa.inband:
                self._delete_soon(sa, now, change)
                continue
            self.pushes.dismiss(sa)
            sa.ends_at = now + self._configured.settings.ike_sa_idle_seconds
            self._touch(sa)

    def _leave_everywhere(self, group: str, identity: str) -> list[Established]:
        served = [sa for sa in self.ike_sas.of_peer(identity) if group in sa.inband]
        for sa in served:
            self.pushes.leave(sa, group)
        return served

    def _dismiss(self, identity: str, now: float, change: Change) -> None:
        """Delete all IKE SAs of a peer that could not authenticate any more."""
        sas = self.ike_sas.of_peer(identity)
        for sa in sas:
            for group in list(sa.inband):
                self.pushes.leave(sa, group)
            if sa.channel.pending is not None:
                self.close(sa, "its peer could not authenticate any more", change)
            else:
                self.delete(sa, now, change)

    def _delete_soon(self, sa: Established, now: float, change: Change) -> None:
        """Delete an IKE SA, once our request under way is answered.

        Else its peer wouldn't know, and would wait for the rekeys of other groups.
        """
        if sa.channel.pending is None:
            self.delete(sa, now, change)
            return
        sa.doomed, sa.ends_at = True, now
        for group in list(sa.inband):
            self.pushes.leave(sa, group)
