"""The key server: datagrams, time and commands in, `Outcome` out; no I/O.

One boundary per datagram catches what goes wrong, counts it and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import inf

from gcks.crypto.errors import InvalidPublicKey
from gcks.datagrams import Path, Transmit
from gcks.errors import (
    AuthenticationFailed,
    Discard,
    DropReason,
    GcksError,
    LocalError,
    PeerError,
    Phase,
    WireError,
    answer,
)
from gcks.events import (
    DatagramDropped,
    Event,
)
from gcks.iana import ExchangeType, NotifyType
from gcks.ike.channel import Repeated, Request, Response, addressed
from gcks.ike.credentials import Credentials
from gcks.ike.key_log_entry import KeyLog
from gcks.ike.legality import Contents, check
from gcks.ike.proof import Wishes, read_wishes
from gcks.ike.secured import Asked
from gcks.journal import JournalEntry, StoredGroup
from gcks.keyserver import certificate_end, gsa_auth, lifecycle, succession
from gcks.keyserver.admission import Admission
from gcks.keyserver.certificate_end import CertificateEnds
from gcks.keyserver.commands import Command, GroupCommand, Reload
from gcks.keyserver.exchanges import (
    HANDLERS,
    RULES,
    Reply,
    authenticated_only,
    first_registration,
    malformed,
)
from gcks.keyserver.failures import abandoned, registration_refused
from gcks.keyserver.groups.group import Group
from gcks.keyserver.groups.group_outcome import GroupOutcome
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.groups.policy_change import PolicyChange
from gcks.keyserver.ike_sa import (
    AUTH_MESSAGE_ID,
    Agreed,
    Established,
    HalfOpen,
    IkeSa,
    Refused,
)
from gcks.keyserver.ike_sa_table import IkeSaTable
from gcks.keyserver.load import Load, unmetered
from gcks.keyserver.priority import KnownSenders
from gcks.keyserver.pushing import Pushes
from gcks.keyserver.rates import Rates
from gcks.keyserver.served_groups import ServedGroups
from gcks.keyserver.settings import ServerSettings
from gcks.keyserver.status import GroupStatus, ServerStatus, group_status
from gcks.keyserver.succession import close, initial_contact
from gcks.keyserver.wrong_version import wrong_version
from gcks.outcome import Outcome
from gcks.wire.header import MAJOR_VERSION, Header, decode_header
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload, decode_chain

__all__ = ["Engine", "GroupStatus", "ServerStatus"]


class Engine:
    """The GCKS.  `entropy(n)` gives n random octets, `wall()` POSIX seconds."""

    def __init__(
        self,
        settings: ServerSettings,
        credentials: Credentials,
        groups: Mapping[str, GroupPolicy],
        stored: Iterable[StoredGroup],
        *,
        entropy: Callable[[int], bytes],
        wall: Callable[[], float],
        now: float,
        key_log: KeyLog | None = None,
        meter: Callable[[], float] = unmetered,
    ) -> None:
        self.settings, self.credentials = settings, credentials
        self._configured, self._stored = dict(groups), tuple(stored)
        self.entropy, self._wall, self.key_log = entropy, wall, key_log
        self._admission = Admission(entropy, now)
        self.load, self.senders = Load(meter), KnownSenders()
        self._served = ServedGroups(entropy, wall, lambda: self.load.cost_seconds)
        self.ike_sas = IkeSaTable(entropy)
        self.pushes = Pushes()
        self.rates = Rates()
        """How often each identity asks."""
        self._certificates = CertificateEnds()
        self._speaking: IkeSa | None = None
        """The SA whose authentic message is in hand: what an internal error takes down."""

    @property
    def groups(self) -> Mapping[str, Group]:
        """All groups by name."""
        return self._served.by_name

    # --- the edge's calls -----------------------------------------------------------

    def start(self, now: float) -> Outcome:
        """Create or restore every group; what is stored and no longer configured goes."""
        configured, stored = self._configured, self._stored
        self._configured, self._stored = {}, ()
        self.senders.learn(configured.values(), stored)
        outcomes = self._served.start(configured, stored, now)
        self._certificates.plan(self.groups, now)
        return self._merged([*outcomes, *self._revoked(now)], now)

    def receive(self, datagram: bytes, path: Path, now: float) -> Outcome:
        """Handle one datagram; never raises for anything that a peer sends."""
        self._speaking = None
        try:
            return self._dispatch(datagram, path, now)
        except Discard as error:
            return self._dropped(error.reason, path, str(error))
        except WireError as error:
            return self._dropped(DropReason.MALFORMED, path, str(error))
        except Exception as error:
            if self._speaking is not None:
                self.ike_sas.drop(self._speaking)
            if isinstance(self._speaking, Established):
                self.pushes.closed(self._speaking)
            return self._dropped(DropReason.INTERNAL_ERROR, path, _place(error))

    def handle_timeout(self, now: float) -> Outcome:
        """Do what is due: half-open SAs, closings, retransmissions, groups.

        Raises `LocalError` where a group breaks down: what it has in memory may then
        differ from the journal, and the edge must end and go on from the store.
        """
        outcomes = [self._due(sa, now) for sa in self.ike_sas.pop_due(now)]
        try:
            outcomes += self._served.handle_timeout(now)
            outcomes += self._certificates.expired(self, self.groups, self._wall(), now)
        except Exception as error:
            raise LocalError(f"internal error: {_place(error)}") from error
        return self._merged(outcomes, now)

    def command(self, command: Command, now: float) -> Outcome:
        """Carry out an operator's command.  Raises `LocalError` where it can't be done."""
        if isinstance(command, GroupCommand):
            return self._merged(self._served.command(command, now), now)
        outcomes: list[GroupOutcome] = []
        if isinstance(command, Reload):
            outcomes = self._served.reload(command.groups, now)
            self.settings = command.settings
            self.senders.learn(command.groups.values())
        self.credentials = command.credentials
        return self._merged([*outcomes, *self._revoked(now)], now)

    def plan(self, groups: Mapping[str, GroupPolicy]) -> Iterator[PolicyChange]:
        """Say, group by group, what a reload with these would do; nothing changes."""
        return self._served.plan(groups)

    def _revoked(self, now: float) -> list[GroupOutcome]:
        """Look whether members have lost their certificates by new CRLs."""
        trust = self.credentials.trust
        references = trust.revocation.revoked() if trust is not None else set()
        return certificate_end.revoked(self, self.groups, references, now)

    def status(self, now: float) -> ServerStatus:
        """Return what metrics and screens show."""
        groups = tuple(group_status(group, now) for group in self.groups.values())
        return ServerStatus(
            self.ike_sas.half_open,
            self.ike_sas.established,
            groups,
            self._admission.step,
            dict(self._admission.counts),
            self.load.cost_seconds,
            self.load.backlog_limit(self.settings),
        )

    @property
    def next_timeout(self) -> float | None:
        due = min(
            self.ike_sas.timers.next, self._served.next_timeout, self._certificates.next_check
        )
        return None if due == inf else due

    # --- outcomes -------------------------------------------------------------------

    def _merged(self, outcomes: list[GroupOutcome], now: float) -> Outcome:
        """Join what the groups want; part with those that are no members any more."""
        excluded = [one for outcome in outcomes for one in outcome.excluded]
        outcomes = [*outcomes, *(succession.part(self, *one, now) for one in excluded)]
        dismissed = [one for outcome in outcomes for one in outcome.dismissed]
        outcomes += [succession.tell_deleted(self, *one, now) for one in dismissed]
        for name in dict.fromkeys(name for name, _ in excluded):
            if name in self.groups:
                self._served.wake(self.groups[name].next_timeout)
        for outcome in outcomes:
            if outcome.renewed:
                self.pushes.plan(outcome.renewed)
        transmits = [transmit for outcome in outcomes for transmit in outcome.transmits]
        return Outcome(
            tuple(entry for outcome in outcomes for entry in outcome.journal),
            (*transmits, *self._push(now)),
            tuple(event for outcome in outcomes for event in outcome.events),
            self.next_timeout,
        )

    def _dropped(self, reason: DropReason, path: Path, detail: str) -> Outcome:
        event = DatagramDropped(reason, str(path.remote), detail)
        return Outcome(events=(event,), next_timeout=self.next_timeout)

    def _answer(
        self,
        octets: bytes,
        path: Path,
        events: tuple[Event, ...] = (),
        journal: tuple[JournalEntry, ...] = (),
    ) -> Outcome:
        return Outcome(journal, (Transmit(octets, path),), events, self.next_timeout)

    # --- datagrams ------------------------------------------------------------------

    def _dispatch(self, datagram: bytes, path: Path, now: float) -> Outcome:
        header = decode_header(datagram)
        if header.major != MAJOR_VERSION:
            octets, event = wrong_version(header, path)
            return self._answer(octets, path, (event,))
        if header.exchange == ExchangeType.IKE_SA_INIT:
            return self._ike_sa_init(header, datagram, path, now)
        if header.exchange == ExchangeType.GSA_REKEY:
            raise Discard(DropReason.WRONG_ROLE, "a GCKS receives no GSA_REKEY")
        sa = self.ike_sas.find(header)
        if isinstance(sa, Established):
            return self._established(sa, header, datagram, path, now)
        if not header.from_initiator:
            raise Discard(DropReason.WRONG_ROLE, "the initiator flag is missing")
        if header.is_response:
            raise Discard(DropReason.WRONG_ROLE, "a response to nothing")
        if isinstance(sa, HalfOpen):
            work = partial(self._auth, sa, header, datagram, path, now)
            return self.load.measured(sa, work, now - sa.began_at)
        return self._refused_again(sa, datagram, path)

    # --- IKE_SA_INIT ----------------------------------------------------------------

    def _ike_sa_init(self, header: Header, datagram: bytes, path: Path, now: float) -> Outcome:
        admitted = self._admission.answer(self, header, datagram, path, now)
        return self._answer(admitted.octets, path, admitted.events)

    # --- GSA_AUTH -------------------------------------------------------------------

    def _auth(
        self, half: HalfOpen, header: Header, datagram: bytes, path: Path, now: float
    ) -> Outcome:
        if header.exchange not in (ExchangeType.GSA_AUTH, ExchangeType.IKE_AUTH):
            raise Discard(DropReason.UNEXPECTED_EXCHANGE, f"{ExchangeType(header.exchange)}")
        if header.message_id != AUTH_MESSAGE_ID:
            raise Discard(DropReason.OUT_OF_WINDOW, f"Message ID {header.message_id}")
        try:
            secured = gsa_auth.secure(half, self.entropy, self.key_log)
        except InvalidPublicKey as error:
            self.ike_sas.drop(half)
            raise Discard(DropReason.MALFORMED, str(error)) from None
        received = secured.channel.receive(header, datagram, now)
        if not isinstance(received, Request):
            return Outcome(next_timeout=self.next_timeout)
        self._speaking, half.path, secured.channel.path = half, path, path
        exchange = header.exchange
        payloads: tuple[Payload, ...] = ()
        try:
            payloads = decode_chain(received.first, received.chain)
            gsa_auth.check_offered(exchange, self.settings)
            contents = check(gsa_auth.REQUESTS[ExchangeType(exchange)], payloads)
            gsa_auth.check_identities(contents)
            wishes = read_wishes(contents, half.hashes)
        except (WireError, PeerError) as error:
            return self._refuse(half, secured, exchange, datagram, payloads, error)
        return self._authenticate(half, secured, exchange, datagram, contents, wishes, now)

    def _authenticate(
        self,
        half: HalfOpen,
        secured: Agreed,
        exchange: int,
        datagram: bytes,
        contents: Contents,
        wishes: Wishes,
        now: float,
    ) -> Outcome:
        own, wall = self.settings.identity, self._wall()
        try:
            peer = gsa_auth.authenticate(
                half, secured.keys, contents, wishes, own, self.credentials, wall
            )
        except AuthenticationFailed as error:
            return self._refuse(half, secured, exchange, datagram, contents.everything(), error)
        name = str(peer.identity)
        sa = Established(secured.channel, peer.parent, peer.gsk_w, peer.identity, name)
        sa.certificate_ends, sa.certificates = peer.keys.ends_at, peer.keys.references
        self.ike_sas.establish(half, sa)
        lifecycle.begin_timers(sa, self.settings, now)
        if half.behind_nat:
            sa.begin_keepalives(now)
        announced = lifecycle.negotiate(sa, contents, self.settings)
        peer = replace(peer, proof=(*peer.proof, *announced)) if announced else peer
        events = initial_contact(self, sa, contents)
        self._speaking = sa
        if exchange == ExchangeType.IKE_AUTH:
            reply = authenticated_only(sa, contents, peer)
        else:
            reply = first_registration(self, sa, contents, peer, now, now - half.began_at)
        reply = replace(reply, events=(*events, *reply.events)) if events else reply
        return self._reply(sa, exchange, reply, now)

    def _refuse(
        self,
        half: HalfOpen,
        secured: Agreed,
        exchange: int,
        datagram: bytes,
        payloads: Sequence[Payload],
        error: GcksError,
    ) -> Outcome:
        """RFC 7296 section 2.21.2: the notification alone, and the SA is gone."""
        told = answer(error, Phase.UNAUTHENTICATED)
        notify = Notify(told.notify or NotifyType.INVALID_SYNTAX, told.data)
        remote = str(half.path.remote)
        event = registration_refused(payloads, remote, error, Phase.UNAUTHENTICATED)
        transmits = secured.channel.respond(exchange, (notify,))
        octets = b"".join(one.octets for one in transmits)
        self.ike_sas.refuse(half, Refused(half, datagram, octets))
        return self._answer(octets, half.path, (event,))

    def _refused_again(self, sa: Refused, datagram: bytes, path: Path) -> Outcome:
        if datagram != sa.request:
            raise Discard(DropReason.UNKNOWN_SPI, "the IKE SA was refused")
        return self._answer(sa.response, path)

    # --- established ----------------------------------------------------------------

    def _established(
        self, sa: Established, header: Header, datagram: bytes, path: Path, now: float
    ) -> Outcome:
        received = sa.channel.receive(header, datagram, now)
        if isinstance(received, Request):
            return self._request(sa, received, path, now)
        if isinstance(received, Repeated):
            transmits = addressed(received.datagrams, path)
            return Outcome(transmits=transmits, next_timeout=self.next_timeout)
        if isinstance(received, Response):
            return self._response(sa, received, now)
        return Outcome(next_timeout=self.next_timeout)

    def _request(self, sa: Established, request: Request, path: Path, now: float) -> Outcome:
        handler = HANDLERS.get(request.exchange)
        if handler is None:
            raise Discard(DropReason.UNEXPECTED_EXCHANGE, f"{ExchangeType(request.exchange)}")
        self._speaking, sa.channel.path = sa, path
        payloads: tuple[Payload, ...] = ()
        try:
            payloads = decode_chain(request.first, request.chain)
            contents = check(RULES[request.exchange], payloads)
            gsa_auth.check_identities(contents)
        except (WireError, PeerError) as error:
            reply = malformed(sa, request.exchange, payloads, error)
        else:
            reply = handler(self, sa, contents, now)
        return self._reply(sa, request.exchange, reply, now)

    def _reply(self, sa: Established, exchange: int, reply: Reply, now: float) -> Outcome:
        transmits = sa.channel.respond(exchange, reply.payloads)
        if reply.awaited is not None:
            transmits = (*transmits[:-1], replace(transmits[-1], awaited=reply.awaited))
        self._served.wake(reply.due)
        if sa.certificates:
            self._certificates.plan(self.groups, now)
        events = reply.events
        if reply.inband is not None:
            self.pushes.enrol(sa, reply.inband[0], sender=reply.inband[1])
        if reply.leaves:
            self.pushes.leave(sa, reply.leaves)
        if reply.successor is not None:
            sent, told = succession.take_over(self, sa, reply.successor, now)
            transmits, events = (*transmits, *sent), (*events, *told)
        if reply.closes:
            events = (*events, close(self, sa, reply.closes))
        else:
            lifecycle.used(sa, self.settings, now)
            self._heard(sa, now)
        return Outcome(reply.journal, transmits, events, self.next_timeout)

    def _heard(self, sa: Established, now: float) -> None:
        sa.heard(self.settings, now)
        self.ike_sas.touch(sa, sa.wants_at)

    # --- our own requests, and time -------------------------------------------------

    def _response(self, sa: Established, response: Response, now: float) -> Outcome:
        asked, sa.asked = sa.asked, None
        transmits: tuple[Transmit, ...] = ()
        events: tuple[Event, ...] = ()
        if asked is Asked.DELETE:
            events = (close(self, sa, "registration is over"),)
        elif asked is Asked.PUSH:
            self.pushes.answered(sa)
        elif asked is Asked.REKEY:
            transmits, events = succession.rekey_answered(self, sa, response, now)
        if sa.asked is not None or asked is not Asked.DELETE:
            self._heard(sa, now)
        transmits = (*transmits, *self._push(now))
        return Outcome((), transmits, events, self.next_timeout)

    def _push(self, now: float) -> list[Transmit]:
        transmits, asked = self.pushes.send(self.groups, self.settings, now)
        for sa in asked:
            self.ike_sas.touch(sa, sa.wants_at)
        return transmits

    # --- time ------------------------------------------------------------------------

    def _due(self, sa: IkeSa, now: float) -> GroupOutcome:
        """End what never began; close what is idle, or send that request again."""
        if isinstance(sa, Established):
            try:
                return self._established_due(sa, now)
            except Exception as error:  # one SA must not cost the server its other timers
                return GroupOutcome(events=(close(self, sa, _place(error)),))
        self.ike_sas.drop(sa)
        if isinstance(sa, Refused):
            return GroupOutcome()
        self.load.abandoned()
        return GroupOutcome(events=(abandoned(sa),))

    def _established_due(self, sa: Established, now: float) -> GroupOutcome:
        transmits = lifecycle.ask(self, sa, now)
        if transmits is None:
            cause = f"no answer to our {sa.asked.value if sa.asked else 'request'}"
            return GroupOutcome(events=(close(self, sa, cause),))
        self.ike_sas.touch(sa, sa.wants_at)
        return GroupOutcome(transmits=transmits)


def _place(error: Exception) -> str:
    """Name an unexpected exception and where it came from; never its data."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f"{frame.tb_frame.f_code.co_qualname}:{frame.tb_lineno}" if frame else "?"
    return f"{type(error).__name__} in {where}"
