"""The key server: datagrams, time and commands in, `Change` out; no I/O.

The front (admission, authentication, exchanges, peers) owns what belongs to one peer; the
groups' side decides for groups.  One boundary per datagram catches what goes wrong, counts
it and goes on; what was decided before is handed out all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from functools import partial
from math import inf

from gcks.change import Change
from gcks.datagrams import Path, Transmit
from gcks.errors import Breakdown, Discard, DropReason, LocalError, WireError, origin
from gcks.events import DatagramDropped
from gcks.iana import ExchangeType
from gcks.ike.channel import Repeated, Request, Response, addressed
from gcks.ike.credentials import Credentials
from gcks.ike.key_log_entry import KeyLog
from gcks.journal import JournalEntry
from gcks.keyserver.admission import Admission
from gcks.keyserver.auth_exchange import AuthExchange
from gcks.keyserver.commands import Command, GroupCommand, Reload
from gcks.keyserver.configured import Configured
from gcks.keyserver.exchanges import Exchanges
from gcks.keyserver.failures import abandoned
from gcks.keyserver.groups.group import Group
from gcks.keyserver.groups.groups import Groups
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.groups.policy_change import PolicyChange
from gcks.keyserver.ike_sa import Established, HalfOpen, IkeSa, Refused
from gcks.keyserver.ike_sa_table import IkeSaTable
from gcks.keyserver.load import Load, unmetered
from gcks.keyserver.peers import Peers
from gcks.keyserver.priority import KnownSenders
from gcks.keyserver.settings import ServerSettings
from gcks.keyserver.status import ServerStatus, group_status
from gcks.keyserver.wrong_version import wrong_version
from gcks.wire.header import MAJOR_VERSION, Header, decode_header


class Engine:
    """The GCKS.  `entropy(n)` gives n random octets, `wall()` POSIX seconds."""

    def __init__(
        self,
        settings: ServerSettings,
        credentials: Credentials,
        policies: Mapping[str, GroupPolicy],
        stored: Iterable[JournalEntry],
        *,
        entropy: Callable[[int], bytes],
        wall: Callable[[], float],
        now: float,
        key_log: KeyLog | None = None,
        meter: Callable[[], float] = unmetered,
    ) -> None:
        """`stored`: what the journal has left of the groups; read once, by `start`."""
        configured = self._configured = Configured(settings, credentials)
        self._to_begin, self._stored = dict(policies), stored
        self.load, self.senders = Load(meter), KnownSenders()
        groups = self._groups = Groups(entropy, wall, lambda: self.load.cost_seconds)
        groups.removes_on_certificate_end = settings.remove_on_certificate_end
        peers = self._peers = Peers(configured, groups, entropy, key_log)
        self.exchanges = Exchanges(configured, peers, groups, self.senders, entropy)
        self._auth = AuthExchange(
            configured, peers, self.exchanges, entropy=entropy, wall=wall, key_log=key_log
        )
        self._admission = Admission(
            configured, peers.ike_sas, self.load, self.senders, entropy=entropy, now=now
        )
        self._known_revoked: set[bytes] = set()

    @property
    def settings(self) -> ServerSettings:
        return self._configured.settings

    @property
    def credentials(self) -> Credentials:
        return self._configured.credentials

    @property
    def groups(self) -> Mapping[str, Group]:
        """All groups that decide, by name."""
        return self._groups.by_name

    @property
    def waiting_groups(self) -> Set[str]:
        """Groups that begin, or take over their policy, when what they need is there."""
        return self._groups.waiting

    @property
    def ike_sas(self) -> IkeSaTable:
        return self._peers.ike_sas

    # --- the edge's calls -----------------------------------------------------------

    def start(self, now: float) -> Change:
        """Create or restore every group; what is stored and no longer configured goes."""
        change = Change()
        policies, stored = self._to_begin, self._stored
        self._to_begin, self._stored = {}, ()
        self._groups.start(policies, stored, now, change)
        for group in self.groups.values():
            for address in group.state.members.sender_addresses():
                self.senders.add(address)
        self.senders.learn(policies.values())
        self._revoke(now, change)
        return self._finished(change, now)

    def receive(self, datagram: bytes, path: Path, now: float) -> Change:
        """Handle one datagram; never raises for anything that a peer sends."""
        change = Change()
        self._peers.speaking = None
        try:
            self._dispatch(datagram, path, now, change)
        except Discard as error:
            _drop(change, error.reason, path, str(error))
        except WireError as error:
            _drop(change, DropReason.MALFORMED, path, str(error))
        except Exception as error:
            self._peers.drop_speaking()
            _drop(change, DropReason.INTERNAL_ERROR, path, origin(error))
        return self._finished(change, now)

    def handle_timeout(self, now: float) -> Change:
        """Do what is due: half-open SAs, closings, retransmissions, groups."""
        change = Change()
        for sa in self.ike_sas.pop_due(now):
            self._due(sa, now, change)
        self._groups.handle_timeout(now, change)
        return self._finished(change, now)

    def command(self, command: Command, now: float) -> Change:
        """Carry out an operator's command; `refusal` says why it can't be done."""
        change = Change()
        try:
            self._obey(command, now, change)
        except LocalError as error:
            change.refusal = error
        return self._finished(change, now)

    def resume(self, token: int, result: object, now: float) -> Change:
        """Go on with what has waited for a need of a `Waiting`; a `LocalError`: it isn't met."""
        change = Change()
        with _whole():
            self._groups.resume(token, result, now, change)
        return self._finished(change, now)

    def plan(self, groups: Mapping[str, GroupPolicy]) -> Iterator[PolicyChange]:
        """Say, group by group, what a reload with these would do; nothing changes."""
        return self._groups.plan(groups)

    def status(self, now: float) -> ServerStatus:
        """Return what metrics and screens show."""
        groups = tuple(group_status(group, now) for group in self.groups.values())
        return ServerStatus(
            half_open=self.ike_sas.half_open,
            established=self.ike_sas.established,
            groups=groups,
            step=self._admission.step,
            admission=dict(self._admission.counts),
            registration_cost_seconds=self.load.cost_seconds,
            backlog_limit=self.load.backlog_limit(self.settings),
        )

    @property
    def next_timeout(self) -> float | None:
        due = min(self.ike_sas.timers.next, self._groups.next_timeout)
        return None if due == inf else due

    # --- commands -------------------------------------------------------------------

    def _obey(self, command: Command, now: float, change: Change) -> None:
        if isinstance(command, GroupCommand):
            self._groups.command(command, now, change)
            return
        if isinstance(command, Reload):
            removes = command.settings.remove_on_certificate_end
            if removes and not self._groups.removes_on_certificate_end:
                self._known_revoked = set()
            self._groups.removes_on_certificate_end = removes
            self._groups.reload(command.groups, now, change)
            self._configured.settings = command.settings
            self.senders.learn(command.groups.values())
        self._configured.credentials = command.credentials
        self._revoke(now, change)

    def _revoke(self, now: float, change: Change) -> None:
        """Look whether members have lost their certificates by new CRLs."""
        trust = self.credentials.trust
        references = trust.revocation.revoked() if trust is not None else set()
        new, self._known_revoked = references - self._known_revoked, references
        self._groups.revoke(new, now, change)

    def _finished(self, change: Change, now: float) -> Change:
        """Let the front follow what the groups have decided."""
        with _whole():
            self._peers.follow(change, now)
            while change.resumed:
                token = change.resumed.pop()
                self.exchanges.resume(token, now, change)
                self._peers.follow(change, now)
        change.next_timeout = self.next_timeout
        return change

    # --- datagrams ------------------------------------------------------------------

    def _dispatch(self, datagram: bytes, path: Path, now: float, change: Change) -> None:
        header = decode_header(datagram)
        if header.major != MAJOR_VERSION:
            octets, event = wrong_version(header, path)
            change.transmits.append(Transmit(octets, path))
            change.events.append(event)
            return
        if header.exchange == ExchangeType.IKE_SA_INIT:
            self._admission.answer(header, datagram, path, now, change)
            return
        if header.exchange == ExchangeType.GSA_REKEY:
            raise Discard(DropReason.WRONG_ROLE, "a GCKS receives no GSA_REKEY")
        sa = self.ike_sas.find(header)
        if isinstance(sa, Established):
            self._established(sa, header, datagram, path, now, change)
            return
        if not header.from_initiator:
            raise Discard(DropReason.WRONG_ROLE, "the initiator flag is missing")
        if header.is_response:
            raise Discard(DropReason.WRONG_ROLE, "a response to nothing")
        if isinstance(sa, HalfOpen):
            work = partial(self._auth.answer, sa, header, datagram, path, now, change)
            self.load.measure(sa, work, now - sa.began_at)
        else:
            self._auth.answer_again(sa, datagram, path, change)

    def _established(
        self,
        sa: Established,
        header: Header,
        datagram: bytes,
        path: Path,
        now: float,
        change: Change,
    ) -> None:
        received = sa.channel.receive(header, datagram, now)
        if isinstance(received, Request):
            self.exchanges.answer(sa, received, path, now, change)
        elif isinstance(received, Repeated):
            change.transmits += addressed(received.datagrams, path)
        elif isinstance(received, Response):
            self._peers.answered(sa, received, now, change)

    # --- time -----------------------------------------------------------------------

    def _due(self, sa: IkeSa, now: float, change: Change) -> None:
        """End what never began; close what is idle, or send that request again."""
        if isinstance(sa, Established):
            try:
                self._peers.act(sa, now, change)
            except Exception as error:  # one SA must not cost the server its other timers
                self._peers.close(sa, origin(error), change)
            return
        self._peers.drop(sa)
        if not isinstance(sa, Refused):
            self.load.abandoned()
            change.events.append(abandoned(sa))


@contextmanager
def _whole() -> Iterator[None]:
    """Let nobody take an error for a refusal: what was decided before it would be lost."""
    try:
        yield
    except LocalError as error:
        raise Breakdown(str(error)) from error


def _drop(change: Change, reason: DropReason, path: Path, detail: str) -> None:
    change.events.append(DatagramDropped(reason, str(path.remote), detail))
