"""What an established IKE SA answers, one function for each exchange, found in a table.

Registration to a group (RFC 9838 section 2.3) is in two of them, GSA_AUTH, which also makes
the IKE SA (`auth_exchange`), and GSA_REGISTRATION:

HDR, SK{IDg, [SAg,] [N(GROUP_SENDER),] [N]}  -->
                        <--  HDR, SK{GSA, KD, [N]}
HDR, SK{IDg, N(NO_PROPOSAL_CHOSEN | REGISTRATION_FAILED)}  -->
                        <--  HDR, SK{}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from gcks.change import Change
from gcks.crypto.errors import InvalidPublicKey
from gcks.datagrams import Awaited, Path
from gcks.errors import (
    Discard,
    DropReason,
    GcksError,
    InvalidSyntax,
    PeerError,
    Phase,
    RefusalReason,
    TemporaryFailure,
    WireError,
    answer,
    origin,
)
from gcks.events import Event, MemberRegistered, PeerAuthenticated, RequestRefused, ServerRefused
from gcks.iana import ExchangeType, NotifyType, ProtocolId
from gcks.ike import succession
from gcks.ike.channel import Request
from gcks.ike.legality import Contents, Rule, check
from gcks.keyserver import gsa_auth
from gcks.keyserver.configured import Configured
from gcks.keyserver.failures import registration_refused
from gcks.keyserver.groups.departing import LEAVING_HINTS
from gcks.keyserver.groups.groups import Groups
from gcks.keyserver.groups.registration import Admitted
from gcks.keyserver.groups.waiting import NotReady
from gcks.keyserver.gsa_auth import Authenticated
from gcks.keyserver.gsa_registration import admission_request, group_name, leaving_cause
from gcks.keyserver.ike_sa import Established
from gcks.keyserver.key_payloads import key_payloads
from gcks.keyserver.paused import LONGEST_PAUSE_SECONDS, Again, Paused, PausedRequests
from gcks.keyserver.peers import Peers
from gcks.keyserver.priority import KnownSenders
from gcks.keyserver.rates import Rates
from gcks.wire.delete import Delete
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload, decode_chain
from gcks.wire.sa import SecurityAssociation


class Exchanges:
    """Answers the requests of authenticated peers."""

    __slots__ = (
        "_configured", "_entropy", "_groups", "_peers", "_senders", "paused", "rates",
    )  # fmt: skip

    def __init__(
        self,
        configured: Configured,
        peers: Peers,
        groups: Groups,
        senders: KnownSenders,
        entropy: Callable[[int], bytes],
    ) -> None:
        """`senders` learns who sends: these are let in before others."""
        self._configured, self._peers, self._groups = configured, peers, groups
        self._senders, self._entropy = senders, entropy
        self.rates = Rates()
        """How often each identity asks."""
        self.paused = PausedRequests()

    def answer(
        self, sa: Established, request: Request, path: Path, now: float, change: Change
    ) -> None:
        """Answer an authentic request.  Raises `Discard` for an exchange that nobody expects."""
        handler = HANDLERS.get(request.exchange)
        if handler is None:
            raise Discard(DropReason.UNEXPECTED_EXCHANGE, f"{ExchangeType(request.exchange)}")
        self._peers.speaking, sa.channel.path = sa, path
        payloads: tuple[Payload, ...] = ()
        try:
            payloads = decode_chain(request.first, request.chain)
            contents = check(RULES[request.exchange], payloads)
            gsa_auth.check_identities(contents)
        except (WireError, PeerError) as error:
            self._refuse(sa, request.exchange, payloads, error, now, change)
            return
        handler(self, sa, contents, now, change)

    # --- registration -----------------------------------------------------------------

    def authenticated_only(
        self, sa: Established, contents: Contents, peer: Authenticated, now: float, change: Change
    ) -> None:
        """Answer IKE_AUTH: an IKE SA without Child SA (RFC 6023); one asked for is refused."""
        refusal = Notify(NotifyType.NO_ADDITIONAL_SAS)
        asked = contents.maybe(SecurityAssociation) is not None
        change.events.append(PeerAuthenticated(str(sa.path.remote), sa.name, peer.method))
        proof = (*peer.proof, refusal) if asked else peer.proof
        self._peers.respond(sa, ExchangeType.IKE_AUTH, proof, change)
        self._peers.used(sa, now)

    def first_registration(
        self,
        sa: Established,
        contents: Contents,
        peer: Authenticated,
        began_at: float,
        now: float,
        change: Change,
    ) -> None:
        """Register in GSA_AUTH, whose IKE_SA_INIT came at `began_at`.

        A refusal carries our proof too (ruling 24).
        """
        exchange = ExchangeType.GSA_AUTH
        admitted = self._admitted(
            sa, exchange, contents, now, change, peer.proof,
            partial(self.first_registration, sa, contents, peer, began_at),
        )  # fmt: skip
        if admitted is None:
            return
        if not admitted.again:
            sa.admitted = group_name(contents), admitted.at
        awaited = Awaited(exchange, began_at)
        self._tell(sa, contents, admitted, peer, awaited, now, change)

    def _gsa_registration(
        self, sa: Established, contents: Contents, now: float, change: Change
    ) -> None:
        """RFC 9838 section 2.3.2: register to a further group, or leave one."""
        exchange = ExchangeType.GSA_REGISTRATION
        again = partial(self._gsa_registration, sa, contents)
        if (cause := leaving_cause(contents)) is not None:
            self._leave(sa, contents, cause, again, now, change)
            return
        admitted = self._admitted(sa, exchange, contents, now, change, (), again)
        if admitted is not None:
            self._tell(sa, contents, admitted, None, Awaited(exchange, now), now, change)

    def _admitted(
        self,
        sa: Established,
        exchange: ExchangeType,
        contents: Contents,
        now: float,
        change: Change,
        proof: tuple[Payload, ...],
        again: Again,
    ) -> Admitted | None:
        """Ask the group; None: it has refused, or the answer waits."""
        try:
            self._groups.expect(group_name(contents))
            self._check_rate(sa, now)
            admitted = self._groups.admit(admission_request(contents, sa), now, change)
        except NotReady as wait:
            self._pause(wait.token, sa, again, now, change)
            return None
        except PeerError as error:
            self._refuse(sa, exchange, contents.everything(), error, now, change, proof)
            return None
        if admitted.sender:
            self._senders.add(sa.path.remote.host)
        return admitted

    def _tell(
        self,
        sa: Established,
        contents: Contents,
        admitted: Admitted,
        peer: Authenticated | None,
        awaited: Awaited,
        now: float,
        change: Change,
    ) -> None:
        """Send GSA and KD; rekey a GM in-band from now on whose group does."""
        group = group_name(contents)
        proof = peer.proof if peer is not None else ()
        payloads = (*proof, *key_payloads(admitted.keys, sa.gsk_w))
        change.events.append(
            MemberRegistered(
                group=group,
                identity=sa.name,
                remote=str(sa.path.remote),
                method=peer.method if peer is not None else "ike_sa",
                sender_ids=len(admitted.keys.sender_ids),
                again=admitted.again,
                members=admitted.members,
                hint=admitted.hint,
                seconds=round(now - awaited.since, 6),
            )
        )
        self._peers.plan_pushes(change)  # the newcomer has the news already
        self._peers.respond(sa, awaited.exchange, payloads, change, awaited)
        if admitted.inband:
            self._peers.enrol(sa, group, sender=admitted.sender)
        self._peers.used(sa, now)

    def _leave(
        self,
        sa: Established,
        contents: Contents,
        cause: str,
        again: Again,
        now: float,
        change: Change,
    ) -> None:
        group, exchange = group_name(contents), ExchangeType.GSA_REGISTRATION
        try:
            self._groups.leave(group, sa.name, cause, now, change)
        except NotReady as wait:
            self._pause(wait.token, sa, again, now, change)
            return
        except PeerError as error:
            self._refuse(sa, exchange, contents.everything(), error, now, change)
            return
        self._peers.respond(sa, exchange, (), change)
        self._peers.leave(sa, group)
        self._peers.used(sa, now)

    # --- the other exchanges ------------------------------------------------------------

    def _informational(
        self, sa: Established, contents: Contents, now: float, change: Change
    ) -> None:
        """RFC 7296 section 1.4: liveness, or the end of the IKE SA; it has no Child SAs."""
        ends = any(payload.protocol == ProtocolId.IKE for payload in contents.all(Delete))
        refused = contents.notify(NotifyType.AUTHENTICATION_FAILED) is not None
        if refused:
            self._server_refused(sa, now, change)
        self._peers.respond(sa, ExchangeType.INFORMATIONAL, (), change)
        if refused:
            self._peers.close(sa, NotifyType.AUTHENTICATION_FAILED.name, change)
        elif ends:
            self._peers.close(sa, "closed by the peer", change)
        else:
            self._peers.used(sa, now)

    def _server_refused(self, sa: Established, now: float, change: Change) -> None:
        """RFC 7296 section 2.21.2: the peer doesn't believe our proof, and has no IKE SA.

        A membership that this GSA_AUTH has begun ends: as if it left, because it was told
        the keys.  An older one stays.  What it was told before may still work for it, and
        a certificate of ours that nobody trusts must not take the keys from those who come
        back one by one.
        """
        cause = NotifyType.AUTHENTICATION_FAILED.name
        group, at = sa.admitted or ("", 0.0)
        member = self._groups.member(group, sa.name)
        if member is not None and member.registered_at == at:
            self._groups.leave(group, sa.name, cause, now, change)
            return
        remote, hint = str(sa.path.remote), LEAVING_HINTS[cause]
        change.events.append(ServerRefused(remote, sa.name, cause, hint))

    def _create_child_sa(
        self, sa: Established, contents: Contents, now: float, change: Change
    ) -> None:
        """RFC 7296 section 1.3.2: a new IKE SA; a GCKS makes no Child SAs (RFC 9838 2.3)."""
        exchange = ExchangeType.CREATE_CHILD_SA
        settings, spi = self._configured.settings, self._peers.ike_sas.draw_spi()
        try:
            self._check_rate(sa, now)
            payloads, taken_over = succession.answer(sa, contents, settings, spi, self._entropy)
        except InvalidPublicKey as error:
            self._refuse(sa, exchange, (), InvalidSyntax(str(error)), now, change)
            return
        except PeerError as error:
            self._refuse(sa, exchange, (), error, now, change)
            return
        self._peers.respond(sa, exchange, payloads, change)
        self._peers.take_over(sa, taken_over, now, change)
        self._peers.used(sa, now)

    def _check_rate(self, sa: Established, now: float) -> None:
        """Let nobody register again and again: each time costs Sender-IDs, signatures, a commit.

        Raises `TemporaryFailure`.
        """
        if not self.rates.take(sa.name, self._configured.settings.rate_per_identity, now):
            raise TemporaryFailure(
                "too many requests of this identity in a short time",
                RefusalReason.RATE_LIMITED,
                hint="find out why this member registers so often",
            )

    # --- refusals, and what waits --------------------------------------------------------

    def _refuse(
        self,
        sa: Established,
        exchange: int,
        payloads: Sequence[Payload],
        error: GcksError,
        now: float,
        change: Change,
        proof: tuple[Payload, ...] = (),
    ) -> None:
        """Answer with the error notification, after our proof in GSA_AUTH (ruling 24)."""
        told = answer(error, Phase.ESTABLISHED)
        notify = Notify(told.notify or NotifyType.INVALID_SYNTAX, told.data)
        change.events.append(_refusal(sa, exchange, payloads, error, notify.type))
        self._peers.respond(sa, exchange, (*proof, notify), change)
        if told.keep:
            self._peers.used(sa, now)
        else:
            self._peers.close(sa, str(error), change)

    def _pause(self, token: int, sa: Established, again: Again, now: float, change: Change) -> None:
        if not self.paused.add(token, Paused(sa, now, again)):
            self._peers.close(sa, "too many requests wait", change)
            return
        self._peers.used(sa, now)

    def resume(self, token: int, now: float, change: Change) -> None:
        """Ask again what has waited for that token."""
        for paused in self.paused.take(token):
            sa = paused.sa
            if self._peers.ike_sas.of_spi(sa.own_spi) is not sa:
                continue  # it is gone meanwhile
            if now - paused.since > LONGEST_PAUSE_SECONDS:
                self._peers.close(sa, "its request has waited too long", change)
                continue
            try:
                paused.again(now, change)
            except Exception as error:  # one request must not cost what the others are told
                self._peers.close(sa, origin(error), change)


def _refusal(
    sa: Established, exchange: int, payloads: Sequence[Payload], error: GcksError, notify: int
) -> Event:
    remote = str(sa.path.remote)
    if exchange in (ExchangeType.GSA_AUTH, ExchangeType.GSA_REGISTRATION):
        return registration_refused(payloads, remote, error, Phase.ESTABLISHED, sa.name)
    return RequestRefused(remote, ExchangeType(exchange), NotifyType(notify), str(error), sa.name)


Handler = Callable[[Exchanges, Established, Contents, float, Change], None]

HANDLERS: Final[Mapping[int, Handler]] = {
    ExchangeType.GSA_REGISTRATION: Exchanges._gsa_registration,
    ExchangeType.INFORMATIONAL: Exchanges._informational,
    ExchangeType.CREATE_CHILD_SA: Exchanges._create_child_sa,
}
RULES: Final[Mapping[int, Rule]] = {
    exchange: Rule(exchange, is_response=False) for exchange in HANDLERS
}
