"""The group member engine: datagrams, time and the operator's wish in, `MemberChange` out.

Each call makes a change, hands it down, and whoever decides something writes it there.
Rekeys come over multicast and belong to the groups alone; what goes over the IKE SA with
the GCKS is the registrar's.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from gcks.datagrams import Path
from gcks.errors import Discard, DropReason, PeerError, WireError, origin
from gcks.events import DatagramDropped
from gcks.iana import ExchangeType
from gcks.ike.credentials import Credentials
from gcks.member.ceiling import Ceiling, announcements
from gcks.member.change import MemberChange
from gcks.member.delay import Reach
from gcks.member.group_member import GroupMember
from gcks.member.ike_session import IkeSession, SessionState
from gcks.member.registrar import Registrar
from gcks.member.rekey import follow_rekey
from gcks.member.settings import MemberSettings
from gcks.member.status import MemberStatus, group_status
from gcks.member.terms import Terms
from gcks.wire.header import Header, decode_header


class MemberEngine:
    """One GM: keeps one IKE SA to the GCKS and the GSA of every configured group."""

    def __init__(
        self,
        settings: MemberSettings,
        credentials: Credentials,
        ceiling: Ceiling,
        *,
        entropy: Callable[[int], bytes],
        wall: Callable[[], float],
        jitter: Callable[[float], float],
    ) -> None:
        """Prepare; `jitter(limit)` returns a random number of seconds in [0, limit]."""
        self.settings = settings
        self.groups = tuple(
            GroupMember(Terms(membership, settings, ceiling), jitter)
            for membership in settings.groups
        )
        self._registrar = Registrar(
            settings,
            credentials,
            announcements(ceiling) if settings.announce_transforms else (),
            self.groups,
            entropy=entropy,
            wall=wall,
        )

    # --- the five calls ----------------------------------------------------------------

    def start(self, now: float) -> MemberChange:
        """Begin to register to every group."""
        change = MemberChange()
        self._registrar.departures.begin()
        for group in self.groups:
            group.register_now("start", now, change)
        return self._finish(change, now)

    def receive(self, datagram: bytes, path: Path, now: float) -> MemberChange:
        """Take one unicast or multicast datagram; never raises for what a peer sends."""
        change = MemberChange()
        try:
            self._receive(datagram, path, now, change)
        except Discard as discard:
            change.events.append(_dropped(discard.reason, path, str(discard)))
        except (WireError, PeerError) as error:
            change.events.append(_dropped(DropReason.MALFORMED, path, str(error)))
        except Exception as error:
            # The one boundary per datagram: count it and go on.  No group is half changed
            # (`GroupMember._enter`).  One that couldn't follow an authentic rekey registers
            # again (`follow_rekey`); an IKE SA that raised on something authentic is dropped.
            change.events.append(_dropped(DropReason.INTERNAL_ERROR, path, origin(error)))
        self._registrar.drop_if_broken(now, change)
        return self._finish(change, now)

    def handle_timeout(self, now: float) -> MemberChange:
        """Do what is due.  What it raises ends the process: nothing could be relied on."""
        change = MemberChange()
        for group in self.groups:
            group.handle_timeout(now, change)
        self._registrar.handle_timeout(now, change)
        return self._finish(change, now)

    def leave(self, now: float, cause: str, *, insist: bool = False) -> MemberChange:
        """Leave every group, remove every SA, and tell the GCKS if an IKE SA is open.

        `insist`: open one otherwise.  Go on until `departing` is over, or `give_up`.
        """
        change = MemberChange()
        if not self._registrar.departures.leaving:
            self._registrar.leave(insist=insist)
            for group in self.groups:
                group.leave(cause, change)
        return self._finish(change, now)

    @property
    def departing(self) -> bool:
        """Tell whether the GCKS is being told that this member leaves."""
        departures = self._registrar.departures
        return departures.leaving and departures.pending

    @property
    def untold(self) -> str:
        """Why the GCKS wasn't told that this member has left; "" if it was."""
        return self._registrar.departures.untold

    def give_up(self, cause: str, now: float) -> MemberChange:
        """Wait no longer for the GCKS to hear that this member leaves."""
        change = MemberChange()
        self._registrar.give_up(cause, change)
        return self._finish(change, now)

    # --- what it has -------------------------------------------------------------------------

    @property
    def credentials(self) -> Credentials:
        """What this member proves itself by, and verifies the server with."""
        return self._registrar.credentials

    def renew_credentials(self, credentials: Credentials) -> None:
        """Use these from the next registration on."""
        self._registrar.credentials = credentials

    @property
    def session(self) -> IkeSession | None:
        """The IKE SA with the GCKS, if there is one."""
        return self._registrar.session

    def status(self, now: float) -> MemberStatus:
        """Describe the member for the screen."""
        state = self.session.state if self.session is not None else SessionState.CLOSED
        return MemberStatus(
            str(self.settings.identity),
            str(self.settings.server),
            state.value,
            tuple(group_status(group, now) for group in self.groups),
        )

    # --- demultiplexing ------------------------------------------------------------------

    def _receive(self, datagram: bytes, path: Path, now: float, change: MemberChange) -> None:
        header = decode_header(datagram)
        if header.exchange == ExchangeType.GSA_REKEY:
            self._receive_rekey(datagram, header, path, now, change)
        else:
            self._registrar.receive(datagram, header, path, now, change)

    def _receive_rekey(
        self, datagram: bytes, header: Header, path: Path, now: float, change: MemberChange
    ) -> None:
        spi = header.spi_i + header.spi_r
        for group in self.groups:
            if group.holding.rekey_sa(spi) is not None:
                follow_rekey(group, datagram, header, now, change)
                return
        if any(spi in group.past_rekey_spis for group in self.groups):
            raise Discard(DropReason.LATE_COPY, "over a replaced Rekey SA")
        for group in self.groups:
            if spi in group.holding.next_rekey_spis:
                # Someone uses the next Rekey SA that we never got (section 4.4.2.2.3).
                group.lose_rekey("a rekey message was lost", Reach.SOME, now, change)
            else:
                group.notice_strange_rekey(path, now, change)
        raise Discard(DropReason.UNKNOWN_SPI)

    # --- what to do next ----------------------------------------------------------------------

    def _finish(self, change: MemberChange, now: float) -> MemberChange:
        self._registrar.drive(now, change)
        free = self._registrar.free
        times = [group.next_timeout(free=free) for group in self.groups]
        earliest = min(times, default=inf)
        earliest = min(earliest, self._registrar.next_timeout)
        change.next_timeout = None if earliest == inf else earliest
        return change


def _dropped(reason: DropReason, path: Path, detail: str) -> DatagramDropped:
    return DatagramDropped(reason, str(path.remote), detail)
