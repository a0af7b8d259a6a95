"""The one IKE SA with the GCKS, and what is said over it: one request after the other.

Whoever registers first does it by GSA_AUTH, which opens the IKE SA, the others by
GSA_REGISTRATION (RFC 9838 section 2.3.2), which also tells departures.  Groups know nothing
of the IKE SA: the registrar tells them what became of their request, and what was pushed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import Final

from gcks.datagrams import Path
from gcks.errors import Discard, DropReason, GcksError, PeerError
from gcks.events import IkeSaClosed, RegisterAgain, ServerNotTold
from gcks.iana import ExchangeType, NotifyType
from gcks.ike.credentials import Credentials
from gcks.ike.secured import DELETE_IKE_SA, Secured
from gcks.member.ceiling import PolicyUnacceptable
from gcks.member.change import MemberChange
from gcks.member.decision import Excluded, Loss
from gcks.member.delay import Reach
from gcks.member.group_member import GroupMember
from gcks.member.gsa_auth import HINTS, authenticate_server, error_notify, request_payloads
from gcks.member.gsa_registration import read_response, registration_payloads
from gcks.member.ike_sa_init import ExchangeFailed
from gcks.member.ike_session import IkeSession, SessionState, error_response
from gcks.member.inband import follow_push, group_of_push
from gcks.member.leaving import Departures
from gcks.member.opening import KeySource
from gcks.member.phases import AwaitingRekeys
from gcks.member.progress import Ended, KeysAgreed, Progress, Received
from gcks.member.settings import MemberSettings, Transport
from gcks.wire.header import Header
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload

IKE_SA_CLOSED: Final = Loss(
    RegisterAgain.IKE_SA_CLOSED, "the IKE SA is closed and there is no Rekey SA"
)


class Registrar:
    """Owns the IKE SA and the departures, and knows which group is being served."""

    def __init__(
        self,
        settings: MemberSettings,
        credentials: Credentials,
        announced: Sequence[Payload],
        groups: Sequence[GroupMember],
        *,
        entropy: Callable[[int], bytes],
        wall: Callable[[], float],
    ) -> None:
        """Prepare; `announced`: SAg and what is said beside it."""
        self._settings = settings
        self.credentials = credentials
        self._announced = announced
        self._groups = groups
        self._entropy = entropy
        self._wall = wall
        self.session: IkeSession | None = None
        self._tcp = settings.transport is Transport.TCP
        self._serving: GroupMember | None = None
        """The group whose registration is under way."""
        self.departures = Departures()

    @property
    def next_timeout(self) -> float:
        """When `handle_timeout` has something to do; `inf` for never."""
        return self.session.next_timeout if self.session is not None else inf

    @property
    def free(self) -> bool:
        """Tell whether a group can register now."""
        return self.session is None or self.session.idle

    # --- datagrams and time --------------------------------------------------------------

    def receive(
        self, datagram: bytes, header: Header, path: Path, now: float, change: MemberChange
    ) -> None:
        """Take a unicast datagram.  Raises Discard or WireError for what isn't ours."""
        session = self.session
        if session is None:
            raise Discard(DropReason.UNKNOWN_SPI)
        progress = session.receive(datagram, header, path, now, change)
        try:
            self._proceed(progress, now, change)
        except Exception:
            session.close()
            raise

    def drop_if_broken(self, now: float, change: MemberChange) -> None:
        """Give up the IKE SA where an error that nobody expected has closed it.

        What it has agreed on, or whose turn it is, may be half changed.  The groups aren't:
        whose registration was under way tries again, but not at once, because the error may
        come again, and who is told changes over the IKE SA only is excluded with it.
        """
        if self.session is None or self.session.state is not SessionState.CLOSED:
            return
        serving, self._serving = self._serving, None
        if serving is not None and not self.departures.leaving:
            serving.attempt_failed(INTERNAL_ERROR, "", now, change)
        self._ended(Ended(INTERNAL_ERROR), now, change)

    def handle_timeout(self, now: float, change: MemberChange) -> None:
        """Send again what isn't answered, or give up."""
        if self.session is not None:
            self._proceed(self.session.handle_timeout(now, change), now, change)

    # --- what became of a request -----------------------------------------------------------

    def _proceed(self, progress: Progress | None, now: float, change: MemberChange) -> None:
        match progress:
            case KeysAgreed():
                self._authenticate(now, change)
            case Received(exchange=ExchangeType.GSA_INBAND_REKEY):
                self._pushed(progress, now, change)
            case Received():
                self._answered(progress, now, change)
            case Ended():
                self._ended(progress, now, change)

    @property
    def _server(self) -> tuple[str, str]:
        return str(self._settings.server), str(self._settings.server_identity)

    def _authenticate(self, now: float, change: MemberChange) -> None:
        session, group = self.session, self._serving
        if session is None or session.sa is None or group is None:
            return
        membership = group.terms.membership
        if self.departures.leaving:
            membership = replace(membership, sender=False)  # for a moment: without Sender-IDs
        try:
            payloads = request_payloads(
                session.sa, self._settings, self.credentials, membership, self._announced
            )
        except GcksError as error:
            session.close()
            self._ended(_explain(error), now, change)
            return
        group.counted_in = True
        session.request(ExchangeType.GSA_AUTH, payloads, now, change)

    def _answered(self, answer: Received, now: float, change: MemberChange) -> None:
        if answer.exchange == ExchangeType.GSA_AUTH:
            self._authenticated(answer, now, change)
        elif answer.exchange != ExchangeType.GSA_REGISTRATION:
            self.session = None  # our Delete was answered
        elif self._serving is None:
            self.departures.answered()
        else:
            self._registered(answer, now, change)

    def _authenticated(self, answer: Received, now: float, change: MemberChange) -> None:
        """Judge the GSA_AUTH response: first who answers, then what (section 2.3.1)."""
        session, payloads = self.session, answer.payloads
        if session is None or session.sa is None:
            return
        try:
            authenticate_server(session.sa, self._settings, self.credentials, payloads, self._wall)
        except GcksError as error:
            if error_notify(payloads) is None:
                # RFC 7296 section 2.21.2: the server believes that we agree.
                failed = error_response(NotifyType.AUTHENTICATION_FAILED)
                session.say(ExchangeType.INFORMATIONAL, failed, change)
            session.close()
            self._ended(_explain(error), now, change)
            return
        session.authenticated(payloads, now)
        self._registered(answer, now, change)

    def _registered(self, answer: Received, now: float, change: MemberChange) -> None:
        """Take over a group's policy and keys, or say why not."""
        group, refused = self._serving, error_notify(answer.payloads)
        if group is not None and not self.departures.leaving:
            if refused is None:
                self._accept(group, answer, now, change)
            else:
                _tell_refused(group, refused, now, change)
        self._serving = None

    def _accept(
        self, group: GroupMember, answer: Received, now: float, change: MemberChange
    ) -> None:
        try:
            if answer.exchange == ExchangeType.GSA_REGISTRATION:
                read_response(answer.payloads, refused=False)
            group.accept_registration(answer.payloads, _key_source(answer.secured), now, change)
        except GcksError as error:
            self._refuse_policy(group, error, now, change)

    def _refuse_policy(
        self, group: GroupMember, error: GcksError, now: float, change: MemberChange
    ) -> None:
        """Tell the GCKS that its policy is unacceptable (section 2.3.1), and the operator why."""
        self.departures.refuse(group)
        if isinstance(error, PolicyUnacceptable):
            group.policy_refused(str(error), now, change)
        else:
            hint = "the server's policy or keys contradict RFC 9838"
            group.attempt_failed(f"policy refused: {error}", hint, now, change)

    def _pushed(self, pushed: Received, now: float, change: MemberChange) -> None:
        """Follow a GSA_INBAND_REKEY (section 2.4.2.2)."""
        group = group_of_push(self._groups, pushed.payloads)
        if group is None:
            return
        try:
            follow_push(group, pushed.payloads, _key_source(pushed.secured), now, change)
        except GcksError as error:
            self._refuse_policy(group, error, now, change)

    # --- the end of the IKE SA -----------------------------------------------------------------

    def _ended(self, ended: Ended, now: float, change: MemberChange) -> None:
        """The session is gone, and what was asked over it."""
        session, group = self.session, self._serving
        self.session = self._serving = None
        if ended.unanswered and self._settings.transport is Transport.AUTO:
            self._tcp = not self._tcp
            if self._tcp and self.departures.leaving:
                return  # to a new session, over TCP
            if self._tcp and group is not None:
                group.attempt_interrupted(now, change)  # nobody answers over UDP: try TCP at once
                return
        if session is not None and session.proved:
            self._after_ike_sa(ended, now, change, group)
        elif self.departures.leaving:
            self._leave_untold(ended.cause, change)
        else:
            for member in self._groups:
                if member is group or member.wants_registration(now):
                    member.attempt_failed(ended.cause, ended.hint, now, change)

    def _after_ike_sa(
        self, ended: Ended, now: float, change: MemberChange, session_lost_by: GroupMember | None
    ) -> None:
        """The IKE SA is gone: a group without Rekey SA excludes us (section 2.3.3)."""
        server, identity = self._server
        change.events.append(IkeSaClosed(server, identity, ended.cause))
        if self.departures.leaving:
            self._lost_while_leaving(ended.cause, change)
            return
        self.departures.forget()
        if session_lost_by is not None:
            session_lost_by.attempt_interrupted(now, change)
        # The server deletes the IKE SAs of all members at once.
        reach = Reach.EVERYBODY if ended.by_server else Reach.SOME
        for group in self._groups:
            if isinstance(group.phase, AwaitingRekeys) and group.holding.current_rekey is None:
                group.exclude(Excluded(IKE_SA_CLOSED, reach), now, change)

    # --- leaving ------------------------------------------------------------------------------

    def leave(self, *, insist: bool) -> None:
        """Plan to tell the GCKS that this member leaves; `insist`: over a new IKE SA if it must."""
        session, self._serving = self.session, None
        self.departures.leave(self._groups, insists=insist)
        if session is not None and session.state is not SessionState.ESTABLISHED:
            self.session = None
        elif session is not None and insist:
            session.hurry()

    def give_up(self, cause: str, change: MemberChange) -> None:
        """Wait no longer for the GCKS to hear that this member leaves."""
        self.session = self._serving = None
        self._leave_untold(cause, change)

    def _lost_while_leaving(self, cause: str, change: MemberChange) -> None:
        """Try over another IKE SA where an operator insists."""
        self.departures.interrupted()
        if not self.departures.may_open:
            self._leave_untold(cause, change)

    def _leave_untold(self, cause: str, change: MemberChange) -> None:
        self.departures.forget(cause)
        if self.departures.untold:
            groups = tuple(group.name for group in self._groups if group.counted_in)
            server, _ = self._server
            change.events.append(ServerNotTold(server, groups, self.departures.untold))

    # --- what to do next ----------------------------------------------------------------------

    def drive(self, now: float, change: MemberChange) -> None:
        """Start what can be started: one request at a time."""
        if not self.free:
            return
        session = self.session
        departure = self.departures.next() if session is not None else None
        if session is not None and departure is not None:
            session.request(ExchangeType.GSA_REGISTRATION, departure, now, change)
            return
        if self.departures.leaving:
            self._drive_out(now, change)
            return
        due = next((group for group in self._groups if group.wants_registration(now)), None)
        if due is not None:
            self._register(due, now, change)

    def _drive_out(self, now: float, change: MemberChange) -> None:
        """End the IKE SA when all is said, or begin one to say it."""
        departures = self.departures
        if self.session is not None:
            self.session.request(ExchangeType.INFORMATIONAL, (DELETE_IKE_SA,), now, change)
        elif departures.may_open:
            departures.opened += 1
            self._begin_session(departures.first, now, change)
        elif not departures.insists:
            departures.forget()  # nobody promised that it is told

    def _register(self, group: GroupMember, now: float, change: MemberChange) -> None:
        group.begin_registration(now, change)
        if self.session is None:
            self._begin_session(group, now, change)
            return
        self._serving, group.counted_in = group, True
        payloads = registration_payloads(group.terms.membership, self._announced)
        self.session.request(ExchangeType.GSA_REGISTRATION, payloads, now, change)

    def _begin_session(self, group: GroupMember | None, now: float, change: MemberChange) -> None:
        self._serving = group
        self.session = IkeSession(self._settings, self._entropy, tcp=self._tcp)
        self.session.start(now, change)


INTERNAL_ERROR: Final = "internal error"


def _key_source(secured: Secured) -> KeySource:
    """Return what opens the keys that come over an IKE SA."""
    return KeySource(secured.parent.suite.kwa or 0, secured.gsk_w)


def _tell_refused(group: GroupMember, refused: Notify, now: float, change: MemberChange) -> None:
    kind = NotifyType(refused.type)
    cause = f"the server refused the registration: {kind}"
    group.was_refused()
    group.attempt_failed(cause, HINTS.get(kind, ""), now, change)


def _explain(error: GcksError) -> Ended:
    if isinstance(error, ExchangeFailed | PeerError):
        return Ended(error.cause, error.hint)
    return Ended(str(error))
