"""The group member engine: datagrams, time and the operator's wish in, `MemberOutcome` out.

It keeps at most one IKE SA to the GCKS and serves the groups over it one after
the other: the first by GSA_AUTH, the others by GSA_REGISTRATION (RFC 9838
section 2.3.2).  Rekeys come over multicast and belong to the groups alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from gcks.datagrams import Path, Transmit
from gcks.errors import Discard, DropReason, GcksError, PeerError, WireError
from gcks.events import (
    DatagramDropped,
    Event,
    IkeSaClosed,
    IkeSaRekeyed,
    RegisterAgain,
    Registering,
    ServerNotTold,
)
from gcks.group.sa_key_log_entry import KeyLogEntry
from gcks.iana import ExchangeType, NotifyType
from gcks.ike.credentials import Credentials
from gcks.ike.secured import DELETE_IKE_SA
from gcks.member.ceiling import Ceiling, PolicyUnacceptable, announcements
from gcks.member.data_plane import DataPlaneCommand
from gcks.member.delay import Reach
from gcks.member.effects import Effects
from gcks.member.group_member import GroupMember, GroupState
from gcks.member.gsa_auth import HINTS, authenticate_server, error_notify, request_payloads
from gcks.member.gsa_registration import read_response, registration_payloads
from gcks.member.ike_sa_init import ExchangeFailed
from gcks.member.ike_session import IkeSession, SessionState, error_response
from gcks.member.inband import follow_push, group_of_push
from gcks.member.leaving import Departures
from gcks.member.progress import (
    Answered,
    ClosedByServer,
    Failed,
    KeysAgreed,
    Progress,
    Pushed,
    Rekeyed,
)
from gcks.member.rekey import follow_rekey
from gcks.member.settings import MemberSettings, Transport
from gcks.member.status import MemberStatus, group_status
from gcks.wire.header import Header, decode_header


@dataclass(frozen=True, slots=True)
class MemberOutcome:
    """The result of one call: execute `data_plane` in order, then send `transmits`."""

    transmits: tuple[Transmit, ...] = ()
    events: tuple[Event, ...] = ()
    next_timeout: float | None = None
    """Monotonic seconds at which `handle_timeout` wants to be called."""
    data_plane: tuple[DataPlaneCommand, ...] = ()
    keys: tuple[KeyLogEntry, ...] = ()
    """What a key log takes, if the operator wants one."""


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
        self._settings = settings
        self.credentials = credentials
        self._entropy = entropy
        self._wall = wall
        self._announced = announcements(ceiling) if settings.announce_transforms else ()
        self._groups = tuple(
            GroupMember(membership, settings, ceiling, jitter) for membership in settings.groups
        )
        self._session: IkeSession | None = None
        self._tcp = settings.transport is Transport.TCP
        self._serving: GroupMember | None = None
        """The group whose registration is under way."""
        self._departures = Departures()

    # --- the five calls ----------------------------------------------------------------

    def start(self, now: float) -> MemberOutcome:
        """Begin to register to every group."""
        self._departures.begin()
        for group in self._groups:
            group.register_now("start", now)
        return self._finish(Effects(), now)

    def receive(self, datagram: bytes, path: Path, now: float) -> MemberOutcome:
        """Take one unicast or multicast datagram; never raises for what a peer sends."""
        effects = Effects()
        try:
            self._receive(datagram, path, now, effects)
        except Discard as discard:
            effects.tell(_dropped(discard.reason, path, str(discard)))
        except (WireError, PeerError) as error:
            effects.tell(_dropped(DropReason.MALFORMED, path, str(error)))
        except Exception as error:  # the one boundary per datagram: count it and go on
            effects.tell(_dropped(DropReason.INTERNAL_ERROR, path, _origin(error)))
        return self._finish(effects, now)

    def handle_timeout(self, now: float) -> MemberOutcome:
        """Do what is due."""
        effects = Effects()
        for group in self._groups:
            group.handle_timeout(now, effects)
        if self._session is not None:
            self._proceed(self._session.handle_timeout(now, effects), now, effects)
        return self._finish(effects, now)

    def leave(self, now: float, cause: str, *, insist: bool = False) -> MemberOutcome:
        """Leave every group, remove every SA, and tell the GCKS if an IKE SA is open.

        `insist`: open one otherwise.  Go on until `departing` is over, or `give_up`.
        """
        effects, session = Effects(), self._session
        if not self._departures.leaving:
            self._serving = None
            self._departures.leave(self._groups, insists=insist)
            for group in self._groups:
                group.leave(cause, effects)
            if session is not None and session.state is not SessionState.ESTABLISHED:
                self._session = None
            elif session is not None and insist:
                session.hurry()
        return self._finish(effects, now)

    @property
    def departing(self) -> bool:
        """Tell whether the GCKS is being told that this member leaves."""
        return self._departures.leaving and self._departures.pending

    @property
    def untold(self) -> str:
        """Why the GCKS wasn't told that this member has left; "" if it was."""
        return self._departures.untold

    def give_up(self, cause: str, now: float) -> MemberOutcome:
        """Wait no longer for the GCKS to hear that this member leaves."""
        effects = Effects()
        self._session = self._serving = None
        self._leave_untold(cause, effects)
        return self._finish(effects, now)

    def renew_credentials(self, credentials: Credentials) -> None:
        """Use these from the next registration on."""
        self.credentials = credentials

    def status(self, now: float) -> MemberStatus:
        """Describe the member for the screen."""
        state = self._session.state if self._session is not None else SessionState.CLOSED
        return MemberStatus(
            str(self._settings.identity),
            str(self._settings.server),
            state.value,
            tuple(group_status(group, now) for group in self._groups),
        )

    # --- demultiplexing ------------------------------------------------------------------

    def _receive(self, datagram: bytes, path: Path, now: float, effects: Effects) -> None:
        header = decode_header(datagram)
        if header.exchange == ExchangeType.GSA_REKEY:
            self._receive_rekey(datagram, header, path, now, effects)
        elif self._session is None:
            raise Discard(DropReason.UNKNOWN_SPI)
        else:
            progress = self._session.receive(datagram, header, path, now, effects)
            self._proceed(progress, now, effects)

    def _receive_rekey(
        self, datagram: bytes, header: Header, path: Path, now: float, effects: Effects
    ) -> None:
        spi = header.spi_i + header.spi_r
        for group in self._groups:
            if group.holding.rekey_sa(spi) is not None:
                follow_rekey(group, datagram, header, now, effects)
                return
        if any(group.holding.is_past_rekey_sa(spi) for group in self._groups):
            raise Discard(DropReason.LATE_COPY, "over a replaced Rekey SA")
        for group in self._groups:
            if spi in group.holding.next_rekey_spis:
                group.notice_lost_rekey(now, effects)
            else:
                group.notice_strange_rekey(path, now, effects)
        raise Discard(DropReason.UNKNOWN_SPI)

    # --- what became of a request -----------------------------------------------------------

    def _proceed(self, progress: Progress | None, now: float, effects: Effects) -> None:
        if isinstance(progress, KeysAgreed):
            self._authenticate(now, effects)
        elif isinstance(progress, Answered):
            self._answered(progress, now, effects)
        elif isinstance(progress, Failed):
            self._failed(progress, now, effects)
        elif isinstance(progress, ClosedByServer):
            self._closed("deleted by the server", now, effects)
        elif isinstance(progress, Pushed):
            self._pushed(progress, now, effects)
        elif isinstance(progress, Rekeyed):
            settings = self._settings
            server, identity = str(settings.server), str(settings.server_identity)
            effects.tell(IkeSaRekeyed(server, identity, progress.by_peer))

    def _authenticate(self, now: float, effects: Effects) -> None:
        session, group = self._session, self._serving
        if session is None or session.sa is None or group is None:
            return
        membership = group.membership
        if self._departures.leaving:
            membership = replace(membership, sender=False)  # for a moment: without Sender-IDs
        try:
            payloads = request_payloads(
                session.sa, self._settings, self.credentials, membership, self._announced
            )
        except GcksError as error:
            session.close()
            self._failed(_explain(error), now, effects)
            return
        group.counted_in = True
        session.request(ExchangeType.GSA_AUTH, payloads, now, effects)

    def _answered(self, answer: Answered, now: float, effects: Effects) -> None:
        if answer.exchange == ExchangeType.GSA_AUTH:
            self._authenticated(answer, now, effects)
        elif answer.exchange == ExchangeType.GSA_REGISTRATION:
            if self._serving is not None:
                self._registered(answer, now, effects)
            else:
                self._departures.answered()
        else:
            self._session = None  # our Delete was answered

    def _authenticated(self, answer: Answered, now: float, effects: Effects) -> None:
        """Judge the GSA_AUTH response: first who answers, then what (section 2.3.1)."""
        session, payloads = self._session, answer.payloads
        if session is None or session.sa is None:
            return
        try:
            authenticate_server(session.sa, self._settings, self.credentials, payloads, self._wall)
        except GcksError as error:
            if error_notify(payloads) is None:
                # RFC 7296 section 2.21.2: the server believes that we agree.
                failed = error_response(NotifyType.AUTHENTICATION_FAILED)
                session.say(ExchangeType.INFORMATIONAL, failed, effects)
            session.close()
            self._failed(_explain(error), now, effects)
            return
        session.authenticated(payloads, now)
        self._registered(answer, now, effects, authenticating=True)

    def _registered(
        self,
        answer: Answered,
        now: float,
        effects: Effects,
        *,
        authenticating: bool = False,
    ) -> None:
        """Take over a group's policy and keys, or say why not."""
        group, session, self._serving = self._serving, self._session, None
        if group is None or session is None or self._departures.leaving:
            return
        payloads, secured = answer.payloads, answer.secured
        refused = error_notify(payloads)
        if refused is not None:
            kind = NotifyType(refused.type)
            cause = f"the server refused the registration: {kind}"
            group.was_refused()
            group.attempt_failed(cause, HINTS.get(kind, ""), now, effects)
            return
        try:
            if not authenticating:
                read_response(payloads, refused=False)
            kwa = secured.parent.suite.kwa or 0
            group.accept_registration(payloads, kwa, secured.gsk_w, now, effects)
        except GcksError as error:
            self._refuse_policy(group, error, now, effects)

    def _refuse_policy(
        self, group: GroupMember, error: GcksError, now: float, effects: Effects
    ) -> None:
        """Tell the GCKS that its policy is unacceptable (section 2.3.1), and the operator why."""
        self._departures.refuse(group)
        if isinstance(error, PolicyUnacceptable):
            group.policy_refused(str(error), now, effects)
        else:
            hint = "the server's policy or keys contradict RFC 9838"
            group.attempt_failed(f"policy refused: {error}", hint, now, effects)

    def _pushed(self, pushed: Pushed, now: float, effects: Effects) -> None:
        """Follow a GSA_INBAND_REKEY (section 2.4.2.2)."""
        group = group_of_push(self._groups, pushed.payloads)
        if group is None:
            return
        kwa = pushed.secured.parent.suite.kwa or 0
        try:
            follow_push(group, pushed.payloads, kwa, pushed.secured.gsk_w, now, effects)
        except GcksError as error:
            self._refuse_policy(group, error, now, effects)

    def _failed(self, failure: Failed, now: float, effects: Effects) -> None:
        """The session is gone without the server's Delete."""
        session, group = self._session, self._serving
        self._session = self._serving = None
        was_established = session is not None and session.proved
        if failure.unanswered and self._settings.transport is Transport.AUTO:
            self._tcp = not self._tcp
            if self._tcp and self._departures.leaving:
                return  # to a new session, over TCP
            if self._tcp and group is not None:
                group.attempt_interrupted(now)  # nobody answers over UDP: try TCP at once
                return
        if was_established:
            self._after_ike_sa(failure.cause, now, effects, group, Reach.SOME)
            return
        if self._departures.leaving:
            self._leave_untold(failure.cause, effects)
            return
        for one in self._groups:
            if one is group or one.wants_registration(now):
                one.attempt_failed(failure.cause, failure.hint, now, effects)

    def _closed(self, cause: str, now: float, effects: Effects) -> None:
        group = self._serving
        self._session = self._serving = None
        self._after_ike_sa(cause, now, effects, group, Reach.EVERYBODY)

    def _after_ike_sa(
        self,
        cause: str,
        now: float,
        effects: Effects,
        session_lost_by: GroupMember | None,
        reach: Reach,
    ) -> None:
        """The IKE SA is gone: a group without Rekey SA excludes us (section 2.3.3)."""
        settings = self._settings
        effects.tell(IkeSaClosed(str(settings.server), str(settings.server_identity), cause))
        if self._departures.leaving:
            self._lost_while_leaving(cause, effects)
            return
        self._departures.forget()
        if session_lost_by is not None:
            session_lost_by.attempt_interrupted(now)
        for group in self._groups:
            if group.state is GroupState.REGISTERED and group.holding.current_rekey is None:
                why = RegisterAgain.IKE_SA_CLOSED
                cause = "the IKE SA is closed and there is no Rekey SA"
                group.exclude(cause, now, effects, why=why, reach=reach)

    def _lost_while_leaving(self, cause: str, effects: Effects) -> None:
        """Try over another IKE SA where an operator insists."""
        self._departures.interrupted()
        if not self._departures.may_open:
            self._leave_untold(cause, effects)

    def _leave_untold(self, cause: str, effects: Effects) -> None:
        self._departures.forget(cause)
        if self._departures.untold:
            server = str(self._settings.server)
            groups = tuple(group.name for group in self._groups if group.counted_in)
            effects.tell(ServerNotTold(server, groups, self._departures.untold))

    # --- what to do next ----------------------------------------------------------------------

    def _finish(self, effects: Effects, now: float) -> MemberOutcome:
        self._drive(now, effects)
        return MemberOutcome(
            tuple(effects.transmits),
            tuple(effects.events),
            self._next_timeout(),
            tuple(effects.data_plane),
            tuple(effects.keys),
        )

    def _drive(self, now: float, effects: Effects) -> None:
        """Start what can be started: one request at a time."""
        session = self._session
        if session is not None and not session.idle:
            return
        departure = self._departures.next() if session is not None else None
        if session is not None and departure is not None:
            session.request(ExchangeType.GSA_REGISTRATION, departure, now, effects)
            return
        if self._departures.leaving:
            self._drive_out(now, effects)
            return
        due = next((group for group in self._groups if group.wants_registration(now)), None)
        if due is not None:
            self._register(due, now, effects)

    def _drive_out(self, now: float, effects: Effects) -> None:
        """End the IKE SA when all is said, or begin one to say it."""
        departures = self._departures
        if self._session is not None:
            self._session.request(ExchangeType.INFORMATIONAL, (DELETE_IKE_SA,), now, effects)
        elif departures.may_open:
            departures.opened += 1
            self._begin_session(departures.first, now, effects)
        elif not departures.insists:
            departures.forget()  # nobody promised that it is told

    def _begin_session(self, group: GroupMember | None, now: float, effects: Effects) -> None:
        self._serving = group
        self._session = IkeSession(self._settings, self._entropy, tcp=self._tcp)
        self._session.start(now, effects)

    def _register(self, group: GroupMember, now: float, effects: Effects) -> None:
        effects.tell(Registering(group.name, str(self._settings.server), group.cause))
        group.begin_registration()
        if self._session is None:
            self._begin_session(group, now, effects)
            return
        self._serving, group.counted_in = group, True
        payloads = registration_payloads(group.membership, self._announced)
        self._session.request(ExchangeType.GSA_REGISTRATION, payloads, now, effects)

    def _next_timeout(self) -> float | None:
        session = self._session
        times = [session.next_timeout] if session is not None else []
        free = session is None or session.idle
        times += [group.next_timeout(can_register=free) for group in self._groups]
        earliest = min(times, default=inf)
        return None if earliest == inf else earliest


def _explain(error: GcksError) -> Failed:
    if isinstance(error, ExchangeFailed | PeerError):
        return Failed(error.cause, error.hint)
    return Failed(str(error))


def _dropped(reason: DropReason, path: Path, detail: str) -> DatagramDropped:
    return DatagramDropped(reason, str(path.remote), detail)


def _origin(error: Exception) -> str:
    """Name an unexpected exception and where it was raised, without its data."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" in {trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else ""
    return type(error).__name__ + where
