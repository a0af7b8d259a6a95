"""The key server: datagrams, time and commands in, `Outcome` out; no I/O.

One boundary per datagram catches what goes wrong, counts it and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Final

from gcks.errors import (
    AuthenticationFailed,
    Discard,
    DropReason,
    GcksError,
    InvalidSyntax,
    LocalError,
    PeerError,
    Phase,
    WireError,
    answer,
)
from gcks.events import (
    CookieRequired,
    DatagramDropped,
    Event,
    IkeSaClosed,
    IkeSaInitAnswered,
    RegistrationRefused,
    RequestRefused,
)
from gcks.group.group import Group, GroupOutcome, policy_change_refusal
from gcks.group.policy import GroupPolicy
from gcks.group.spi import SpiPool
from gcks.iana import ExchangeType, NotifyType, ProtocolId
from gcks.ike.cookie import CookieJar
from gcks.ike.credentials import Credentials
from gcks.ike.legality import Contents, check
from gcks.ike.window import Verdict
from gcks.journal import GroupRemoved, JournalEntry, StoredGroup
from gcks.keyserver import gsa_auth, gsa_registration, ike_sa_init
from gcks.keyserver.commands import Command, RekeyGroup
from gcks.keyserver.exchanges import (
    HANDLERS,
    RULES,
    Reply,
    refusal,
    registered,
    registration_refused,
)
from gcks.keyserver.ike_sa import FIRST_AUTH_MESSAGE_ID, Established, HalfOpen, PendingRequest
from gcks.keyserver.ike_sa_table import IkeSaTable
from gcks.keyserver.settings import ServerSettings
from gcks.outcome import NOTHING, Outcome, Path, Transmit
from gcks.wire.delete import Delete
from gcks.wire.header import FLAG_RESPONSE, HEADER_OCTETS, NO_SPI, Header, decode_header
from gcks.wire.identification import IDi
from gcks.wire.message import encode_message
from gcks.wire.notify import Notify
from gcks.wire.payloads import decode_chain

_IKE_MAJOR: Final = 2
_PROTECTED_REQUESTS: Final = frozenset(HANDLERS)
_DELETE_IKE_SA: Final = (Delete(ProtocolId.IKE, 0, ()),)


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """What an operator sees of a group; times are POSIX seconds."""

    group: str
    members: int
    next_message_id: int
    rekey_spi: str
    data_sas: int
    sender_ids_left: int
    last_rekey_at: float | None
    rekey_expires_in_seconds: float


@dataclass(frozen=True, slots=True)
class ServerStatus:
    half_open: int
    established: int
    groups: tuple[GroupStatus, ...]


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
        key_log: gsa_auth.KeyLog | None = None,
    ) -> None:
        self.settings, self.credentials = settings, credentials
        self.groups: dict[str, Group] = {}
        self._configured = dict(groups)
        self._stored = {group.group: group for group in stored}
        self._entropy, self._wall, self._key_log = entropy, wall, key_log
        self._spis = SpiPool(entropy)
        self._cookies = CookieJar(entropy, now)
        self.ike_sas = IkeSaTable(entropy)
        self._groups_timeout = inf

    # --- the edge's calls -----------------------------------------------------------

    def start(self, now: float) -> Outcome:
        """Create or restore every group; what is stored and no longer configured goes."""
        outcomes = [self._start_group(policy, now) for policy in self._configured.values()]
        removed = [GroupRemoved(name) for name in self._stored if name not in self._configured]
        self._stored = {}
        return self._grouped([GroupOutcome(tuple(removed)), *outcomes])

    def receive(self, datagram: bytes, path: Path, now: float) -> Outcome:
        """Handle one datagram; never raises for anything that a peer sends."""
        try:
            return self._dispatch(datagram, path, now)
        except Discard as error:
            return self._dropped(error.reason, path, str(error))
        except WireError as error:
            return self._dropped(DropReason.MALFORMED, path, str(error))
        except Exception as error:
            return self._dropped(DropReason.INTERNAL_ERROR, path, _place(error))

    def handle_timeout(self, now: float) -> Outcome:
        """Do what is due: half-open SAs, closings, retransmissions, groups."""
        transmits: list[Transmit] = []
        events: list[Event] = []
        for sa in self.ike_sas.pop_due(now):
            if isinstance(sa, HalfOpen):
                self.ike_sas.drop(sa)
                events.append(IkeSaClosed(str(sa.path.remote), "", "GSA_AUTH never came"))
            else:
                self._established_due(sa, now, transmits, events)
        outcomes = [GroupOutcome((), tuple(transmits), tuple(events))]
        if now >= self._groups_timeout:
            outcomes += [g.handle_timeout(now) for g in self.groups.values()]
            return self._grouped(outcomes)
        return self._outcome(outcomes[0])

    def command(self, command: Command, now: float) -> Outcome:
        """Carry out an operator's command.  Raises `LocalError` where it can't be done."""
        if isinstance(command, RekeyGroup):
            group = self.groups.get(command.group)
            if group is None:
                raise LocalError(f"there is no group {command.group}")
            return self._grouped([group.rekey(now)])
        refused = self._reload_refusals(command.groups)
        if refused:
            raise LocalError("; ".join(refused))
        self.settings, self.credentials = command.settings, command.credentials
        return self._grouped(self._apply_groups(command.groups, now))

    def status(self, now: float) -> ServerStatus:
        """Return what metrics and screens show."""
        groups = tuple(_group_status(group, now) for group in self.groups.values())
        return ServerStatus(self.ike_sas.half_open, self.ike_sas.established, groups)

    @property
    def next_timeout(self) -> float | None:
        due = min(self.ike_sas.timers.next, self._groups_timeout)
        return None if due == inf else due

    # --- groups ---------------------------------------------------------------------

    def _start_group(self, policy: GroupPolicy, now: float) -> GroupOutcome:
        stored = self._stored.pop(policy.name, None)  # a group added again later is a new one
        if stored is not None and stored.sas:
            group, outcome = Group.restore(
                policy, stored, self._spis, self._entropy, self._wall, now
            )
        else:
            group, outcome = Group.create(policy, self._spis, self._entropy, self._wall, now)
        self.groups[policy.name] = group
        return outcome

    def _reload_refusals(self, groups: Mapping[str, GroupPolicy]) -> list[str]:
        pairs = [
            (self.groups[name].policy, new) for name, new in groups.items() if name in self.groups
        ]
        refusals = [(new.name, policy_change_refusal(old, new)) for old, new in pairs]
        return [f"{name}: {reason}" for name, reason in refusals if reason]

    def _apply_groups(self, groups: Mapping[str, GroupPolicy], now: float) -> list[GroupOutcome]:
        gone = [name for name in self.groups if name not in groups]
        for name in gone:
            del self.groups[name]
        outcomes = [GroupOutcome(tuple(GroupRemoved(name) for name in gone))]
        for name, policy in groups.items():
            if name in self.groups:
                outcomes.append(self.groups[name].replace_policy(policy, now))
            else:
                outcomes.append(self._start_group(policy, now))
        return outcomes

    # --- outcomes -------------------------------------------------------------------

    def _grouped(self, outcomes: list[GroupOutcome]) -> Outcome:
        self._groups_timeout = min((g.next_timeout for g in self.groups.values()), default=inf)
        return Outcome(
            tuple(entry for outcome in outcomes for entry in outcome.journal),
            tuple(transmit for outcome in outcomes for transmit in outcome.transmits),
            tuple(event for outcome in outcomes for event in outcome.events),
            self.next_timeout,
        )

    def _outcome(self, done: GroupOutcome) -> Outcome:
        return Outcome(done.journal, done.transmits, done.events, self.next_timeout)

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
        if header.major != _IKE_MAJOR:
            return self._wrong_version(header, datagram, path)
        if header.exchange == ExchangeType.IKE_SA_INIT:
            return self._ike_sa_init(header, datagram, path, now)
        if header.exchange == ExchangeType.GSA_REKEY:
            raise Discard(DropReason.WRONG_ROLE, "a GCKS receives no GSA_REKEY")
        sa = self.ike_sas.find(header)
        if not header.from_initiator:
            raise Discard(DropReason.WRONG_ROLE, "the initiator flag is missing")
        if isinstance(sa, HalfOpen):
            return self._gsa_auth(sa, header, datagram, path, now)
        if header.is_response:
            return self._response(sa, header, datagram)
        return self._request(sa, header, datagram, path, now)

    def _wrong_version(self, header: Header, datagram: bytes, path: Path) -> Outcome:
        """RFC 7296 section 2.5, RFC 9395: a request learns the version we speak."""
        if header.is_response or len(datagram) < HEADER_OCTETS + 8:
            raise Discard(DropReason.UNKNOWN_VERSION)
        octets = encode_message(
            header.spi_i,
            header.spi_r,
            header.exchange,
            FLAG_RESPONSE,
            header.message_id,
            (Notify(NotifyType.INVALID_MAJOR_VERSION),),
        )
        event = DatagramDropped(
            DropReason.UNKNOWN_VERSION, str(path.remote), f"major version {header.major}"
        )
        return self._answer(octets, path, (event,))

    # --- IKE_SA_INIT ----------------------------------------------------------------

    def _ike_sa_init(self, header: Header, datagram: bytes, path: Path, now: float) -> Outcome:
        if header.is_response or not header.from_initiator:
            raise Discard(DropReason.WRONG_ROLE, "an IKE_SA_INIT response")
        if header.spi_r != NO_SPI or header.spi_i == NO_SPI or header.message_id:
            raise Discard(DropReason.MALFORMED, "SPIs or Message ID of an IKE_SA_INIT request")
        half = self.ike_sas.find_init(header.spi_i, path)
        if half is not None:
            if half.request != datagram:
                raise Discard(DropReason.REPLAY, "another IKE_SA_INIT with the same SPI")
            return self._answer(half.response, path)
        payloads = decode_chain(header.next_payload, datagram[HEADER_OCTETS:])
        try:
            request = ike_sa_init.read_request(header, payloads, datagram, path)
            return self._new_ike_sa(request, now)
        except PeerError as error:
            return self._refuse_init(header, path, error)

    def _new_ike_sa(self, request: ike_sa_init.InitRequest, now: float) -> Outcome:
        path, header = request.path, request.header
        if self.ike_sas.half_open >= self.settings.cookie_threshold:
            made = (request.nonce, path.remote, header.spi_i)
            if not self._cookies.accepts(request.cookie, *made, now):
                notify = Notify(NotifyType.COOKIE, self._cookies.make(*made, now))
                octets = ike_sa_init.answer_in_clear(header, notify)
                return self._answer(octets, path, (CookieRequired(str(path.remote)),))
        self.ike_sas.check_room(self.settings)
        choice = ike_sa_init.negotiate(request, self.settings)
        half = ike_sa_init.accept(
            request,
            choice,
            self.ike_sas.draw_spi(),
            self.credentials,
            self._entropy,
            now + self.settings.half_open_seconds,
        )
        self.ike_sas.add(half)
        return self._answer(half.response, path, (IkeSaInitAnswered(str(path.remote)),))

    def _refuse_init(self, header: Header, path: Path, error: PeerError) -> Outcome:
        octets = ike_sa_init.answer_in_clear(header, refusal(error))
        remote = str(path.remote)
        event: Event
        if error.notify == NotifyType.INVALID_KE_PAYLOAD:
            event = RequestRefused(remote, ExchangeType.IKE_SA_INIT, error.notify, error.cause)
        else:
            event = RegistrationRefused("", "", remote, error.notify, error.cause, error.hint)
        return self._answer(octets, path, (event,))

    # --- GSA_AUTH -------------------------------------------------------------------

    def _gsa_auth(
        self, half: HalfOpen, header: Header, datagram: bytes, path: Path, now: float
    ) -> Outcome:
        if header.is_response or header.exchange != ExchangeType.GSA_AUTH:
            raise Discard(DropReason.UNEXPECTED_EXCHANGE, f"{ExchangeType(header.exchange)}")
        if header.message_id != FIRST_AUTH_MESSAGE_ID:
            raise Discard(DropReason.OUT_OF_WINDOW, f"Message ID {header.message_id}")
        try:
            protection = gsa_auth.protect(half, self._entropy, self._key_log)
        except InvalidSyntax as error:
            self.ike_sas.drop(half)
            raise Discard(DropReason.MALFORMED, error.cause) from None
        inner = protection.open(datagram, header)
        half.path = path
        try:
            return self._authenticate(half, inner, now)
        except (WireError, PeerError) as error:
            return self._refuse_auth(half, error)

    def _authenticate(self, half: HalfOpen, inner: tuple[int, bytes], now: float) -> Outcome:
        contents = check(gsa_auth.REQUEST, decode_chain(*inner))
        try:
            if half.keys is None or half.protection is None:
                raise LocalError("a half-open IKE SA without keys")
            peer = gsa_auth.authenticate(
                half, half.keys, contents, self.settings.identity, self.credentials, self._wall()
            )
        except AuthenticationFailed as error:
            remote = str(half.path.remote)
            event = registration_refused(contents, contents.one(IDi).identity, remote, error)
            return self._close_with(half, refusal(error), (event,))
        sa = Established(half, half.protection, peer.identity, peer.wrap)
        self.ike_sas.establish(half, sa)
        reply = self._first_registration(sa, contents, peer, now)
        return self._reply(sa, ExchangeType.GSA_AUTH, reply, now)

    def _first_registration(
        self,
        sa: Established,
        contents: Contents,
        peer: gsa_auth.Authenticated,
        now: float,
    ) -> Reply:
        """Every refusal but AUTHENTICATION_FAILED carries our proof (ruling 24)."""
        remote = str(sa.path.remote)
        try:
            group = gsa_registration.find_group(self.groups, contents)
            host = sa.path.remote.host
            done = gsa_registration.register(group, contents, sa.identity, host, sa.wrap, now)
        except PeerError as error:
            event = registration_refused(contents, sa.identity, remote, error)
            return Reply((*peer.proof, refusal(error)), (), (event,))
        reply = registered(group, done, sa.identity, remote, peer.method)
        return Reply((*peer.proof, *reply.payloads), reply.journal, reply.events)

    def _refuse_auth(self, half: HalfOpen, error: GcksError) -> Outcome:
        told = answer(error, Phase.UNAUTHENTICATED)
        remote, notify = str(half.path.remote), told.notify or NotifyType.INVALID_SYNTAX
        event = RegistrationRefused("", "", remote, notify, str(error))
        return self._close_with(half, Notify(notify, told.data), (event,))

    def _close_with(self, half: HalfOpen, notify: Notify, events: tuple[Event, ...]) -> Outcome:
        """RFC 7296 section 2.21.2: the notification alone, and the SA is gone."""
        self.ike_sas.drop(half)
        if half.protection is None:
            return NOTHING
        octets = half.protection.seal(
            ExchangeType.GSA_AUTH, FLAG_RESPONSE, FIRST_AUTH_MESSAGE_ID, (notify,)
        )
        return self._answer(octets, half.path, events)

    # --- established ----------------------------------------------------------------

    def _request(
        self, sa: Established, header: Header, datagram: bytes, path: Path, now: float
    ) -> Outcome:
        verdict = sa.window.judge(header.message_id)
        if verdict is Verdict.OUTSIDE:
            raise Discard(DropReason.OUT_OF_WINDOW, f"Message ID {header.message_id}")
        inner = sa.protection.open(datagram, header)
        if verdict is Verdict.REPEATED and sa.window.response is not None:
            return self._answer(sa.window.response, path)
        if header.exchange not in _PROTECTED_REQUESTS:
            raise Discard(DropReason.UNEXPECTED_EXCHANGE, f"{ExchangeType(header.exchange)}")
        sa.path = path
        try:
            contents = check(RULES[header.exchange], decode_chain(*inner))
            reply = HANDLERS[header.exchange](self.groups, sa, contents, now)
        except (WireError, PeerError) as error:
            reply = self._refuse_request(sa, header, error)
        return self._reply(sa, header.exchange, reply, now)

    def _refuse_request(self, sa: Established, header: Header, error: GcksError) -> Reply:
        told = answer(error, Phase.ESTABLISHED)
        notify = told.notify or NotifyType.INVALID_SYNTAX
        exchange = ExchangeType(header.exchange)
        event = RequestRefused(str(sa.path.remote), exchange, notify, str(error), sa.name)
        return Reply((Notify(notify, told.data),), (), (event,), close=not told.keep)

    def _reply(self, sa: Established, exchange: int, reply: Reply, now: float) -> Outcome:
        octets = sa.protection.seal(exchange, FLAG_RESPONSE, sa.window.expected, reply.payloads)
        sa.window.answered(octets)
        events = reply.events
        if reply.close:
            self.ike_sas.drop(sa)
            events = (*events, IkeSaClosed(str(sa.path.remote), sa.name, "closed by the peer"))
        elif sa.pending is None:
            self.ike_sas.touch(sa, now + self.settings.ike_sa_idle_seconds)
        return self._answer(octets, sa.path, events, reply.journal)

    def _response(self, sa: Established, header: Header, datagram: bytes) -> Outcome:
        """The only request of ours is the Delete of the IKE SA."""
        if sa.pending is None or header.message_id != sa.pending.message_id:
            raise Discard(DropReason.OUT_OF_WINDOW, "a response to nothing")
        sa.protection.open(datagram, header)
        self.ike_sas.drop(sa)
        event = IkeSaClosed(str(sa.path.remote), sa.name, "registration is over")
        return Outcome(events=(event,), next_timeout=self.next_timeout)

    def _established_due(
        self, sa: Established, now: float, transmits: list[Transmit], events: list[Event]
    ) -> None:
        """Close an idle SA (RFC 9838 section 2.3.4), or send that request again."""
        if sa.pending is None:
            octets = sa.protection.seal(
                ExchangeType.INFORMATIONAL, 0, sa.next_message_id, _DELETE_IKE_SA
            )
            sa.pending = PendingRequest(sa.next_message_id, octets)
            sa.next_message_id += 1
        elif sa.pending.tries >= self.settings.retransmit_tries:
            self.ike_sas.drop(sa)
            events.append(IkeSaClosed(str(sa.path.remote), sa.name, "no answer to our Delete"))
            return
        else:
            sa.pending.tries += 1
        backoff = self.settings.retransmit_factor ** (sa.pending.tries - 1)
        sa.due = now + self.settings.retransmit_first_seconds * backoff
        self.ike_sas.timers.set(sa)
        transmits.append(Transmit(sa.pending.octets, sa.path))


def _group_status(group: Group, now: float) -> GroupStatus:
    rekey = group.sas.rekey
    return GroupStatus(
        group.name,
        len(group.members),
        group.next_message_id,
        rekey.spi.hex(),
        len(group.sas.data),
        group.sender_ids.left,
        group.last_rekey_wall,
        rekey.expires_at - now,
    )


def _place(error: Exception) -> str:
    """Name an unexpected exception and where it came from; never its data."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f"{frame.tb_frame.f_code.co_qualname}:{frame.tb_lineno}" if frame else "?"
    return f"{type(error).__name__} in {where}"
