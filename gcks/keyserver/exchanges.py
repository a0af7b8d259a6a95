"""What an established IKE SA answers, one function per exchange, found in a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Final, Protocol

from gcks.crypto.errors import InvalidPublicKey
from gcks.datagrams import Awaited
from gcks.errors import (
    GcksError,
    InvalidSyntax,
    PeerError,
    Phase,
    RefusalReason,
    TemporaryFailure,
    answer,
)
from gcks.events import (
    Event,
    MemberRegistered,
    PeerAuthenticated,
    RequestRefused,
    ServerRefused,
)
from gcks.iana import ExchangeType, NotifyType, ProtocolId
from gcks.ike import succession
from gcks.ike.legality import Contents, Rule
from gcks.ike.succession import TakeOver
from gcks.journal import JournalEntry
from gcks.keyserver import gsa_registration
from gcks.keyserver.failures import registration_refused
from gcks.keyserver.groups.excluding import LEAVING_HINTS
from gcks.keyserver.groups.group import Group
from gcks.keyserver.groups.registration import Registration
from gcks.keyserver.gsa_auth import Authenticated
from gcks.keyserver.ike_sa import Established
from gcks.keyserver.lifecycle import Keeper
from gcks.keyserver.priority import KnownSenders
from gcks.keyserver.rates import Rates
from gcks.wire.delete import Delete
from gcks.wire.identification import Identity, IDg
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from gcks.wire.sa import SecurityAssociation


@dataclass(frozen=True, slots=True)
class Reply:
    """The payloads of a response, and what goes with it."""

    payloads: tuple[Payload, ...] = ()
    journal: tuple[JournalEntry, ...] = ()
    events: tuple[Event, ...] = ()
    closes: str = ""
    """Why the IKE SA ends with this response; "" where it doesn't."""
    due: float = inf
    """When the groups have something to do because of it."""
    inband: tuple[str, bool] | None = None
    """Group that is rekeyed over this IKE SA from now on, and whether the GM sends."""
    leaves: str = ""
    """Group that the GM has left."""
    successor: TakeOver | None = None
    """The IKE SA that the peer has made in place of this one."""
    awaited: Awaited | None = None
    """Since when a registration waits for this answer."""


class Serving(Keeper, Protocol):
    """What handlers need of the engine."""

    @property
    def groups(self) -> Mapping[str, Group]: ...

    @property
    def rates(self) -> Rates: ...

    @property
    def senders(self) -> KnownSenders: ...


Handler = Callable[[Serving, Established, Contents, float], Reply]


def refused(error: GcksError, event: Event, *proof: Payload) -> Reply:
    """Return the error notification, after our proof in GSA_AUTH (ruling 24)."""
    told = answer(error, Phase.ESTABLISHED)
    notify = Notify(told.notify or NotifyType.INVALID_SYNTAX, told.data)
    return Reply((*proof, notify), (), (event,), "" if told.keep else str(error))


def registered(
    group: Group,
    registration: Registration,
    identity: Identity,
    remote: str,
    method: str,
    awaited: Awaited,
    seconds: float = 0.0,
) -> Reply:
    """Return GSA and KD, and the event of a new or renewed membership."""
    event = MemberRegistered(
        group.name,
        str(identity),
        remote,
        method,
        len(registration.sender_ids),
        registration.again,
        registration.members,
        registration.hint,
        round(seconds, 6),
    )
    events = (event, *registration.events)
    inband = (group.name, registration.sender) if registration.inband else None
    return Reply(
        registration.payloads,
        registration.journal,
        events,
        due=registration.due,
        inband=inband,
        awaited=awaited,
    )


def _check_rate(serving: Serving, sa: Established, now: float) -> None:
    """Let nobody register again and again: each time costs Sender-IDs, signatures, a commit.

    Raises `TemporaryFailure`.
    """
    if not serving.rates.take(sa.name, serving.settings.rate_per_identity, now):
        raise TemporaryFailure(
            "too many requests of this identity in a short time",
            RefusalReason.RATE_LIMITED,
            hint="find out why this member registers so often",
        )


def _register(
    serving: Serving, group: Group, sa: Established, contents: Contents, now: float
) -> Registration:
    """Register the GM; who sends is let in before others from now on.  Raises `PeerError`."""
    _check_rate(serving, sa, now)
    done = gsa_registration.register(group, contents, sa, now)
    if done.sender:
        serving.senders.add(sa.path.remote.host)
    return done


def authenticated_only(sa: Established, contents: Contents, peer: Authenticated) -> Reply:
    """Answer IKE_AUTH: an IKE SA without Child SA (RFC 6023); one that is asked for is refused."""
    refusal = Notify(NotifyType.NO_ADDITIONAL_SAS)
    asked = contents.maybe(SecurityAssociation) is not None
    event = PeerAuthenticated(str(sa.path.remote), sa.name, peer.method)
    return Reply((*peer.proof, refusal) if asked else peer.proof, (), (event,))


def first_registration(
    serving: Serving,
    sa: Established,
    contents: Contents,
    peer: Authenticated,
    now: float,
    waited: float,
) -> Reply:
    """Register in GSA_AUTH, `waited` seconds after IKE_SA_INIT.

    A refusal carries our proof too (ruling 24).
    """
    remote = str(sa.path.remote)
    try:
        group = gsa_registration.find_group(serving.groups, contents)
        done = _register(serving, group, sa, contents, now)
    except PeerError as error:
        event = registration_refused(
            contents.everything(), remote, error, Phase.ESTABLISHED, sa.name
        )
        return replace(refused(error, event, *peer.proof), due=_due(serving, contents))
    if not done.again:
        sa.admitted = group.name, done.at
    awaited = Awaited(ExchangeType.GSA_AUTH, now - waited)
    reply = registered(group, done, sa.identity, remote, peer.method, awaited, waited)
    return replace(reply, payloads=(*peer.proof, *reply.payloads))


def _due(serving: Serving, contents: Contents) -> float:
    """Return when a group has something to do: one that ran out of Sender-IDs starts over."""
    asked = contents.maybe(IDg)
    group = serving.groups.get(str(asked.identity)) if asked is not None else None
    return group.next_timeout if group is not None else inf


def gsa_registration_request(
    serving: Serving, sa: Established, contents: Contents, now: float
) -> Reply:
    """RFC 9838 section 2.3.2: register to a further group, or leave one."""
    remote = str(sa.path.remote)
    try:
        group = gsa_registration.find_group(serving.groups, contents)
        cause = gsa_registration.leaving_cause(contents)
        if cause is not None:
            outcome = group.leave(sa.name, cause, now)
            due = group.next_timeout
            return Reply((), outcome.journal, outcome.events, due=due, leaves=group.name)
        done = _register(serving, group, sa, contents, now)
    except PeerError as error:
        event = registration_refused(
            contents.everything(), remote, error, Phase.ESTABLISHED, sa.name
        )
        reply = refused(error, event)
        return replace(reply, due=_due(serving, contents))
    awaited = Awaited(ExchangeType.GSA_REGISTRATION, now)
    return registered(group, done, sa.identity, remote, "ike_sa", awaited)


def informational_request(
    serving: Serving, sa: Established, contents: Contents, now: float
) -> Reply:
    """RFC 7296 section 1.4: liveness, or the end of the IKE SA; it has no Child SAs."""
    if contents.notify(NotifyType.AUTHENTICATION_FAILED) is not None:
        return _server_refused(serving, sa, now)
    ends = any(payload.protocol == ProtocolId.IKE for payload in contents.all(Delete))
    return Reply(closes="closed by the peer" if ends else "")


def _server_refused(serving: Serving, sa: Established, now: float) -> Reply:
    """RFC 7296 section 2.21.2: the peer doesn't believe our proof, and has no IKE SA.

    A membership that this GSA_AUTH has begun ends: as if it left, because it was told
    the keys.  An older one stays.  What it was told before may still work for it, and
    a certificate of ours that nobody trusts must not take the keys from those who come
    back one by one.
    """
    kind = NotifyType.AUTHENTICATION_FAILED
    name, at = sa.admitted or ("", 0.0)
    group = serving.groups.get(name)
    member = group.members.get(sa.name) if group is not None else None
    if group is None or member is None or member.registered_at != at:
        event = ServerRefused(str(sa.path.remote), sa.name, kind.name, LEAVING_HINTS[kind.name])
        return Reply((), (), (event,), closes=kind.name)
    left = group.leave(sa.name, kind.name, now)
    return Reply((), left.journal, left.events, kind.name, group.next_timeout)


def create_child_sa_request(
    serving: Serving, sa: Established, contents: Contents, now: float
) -> Reply:
    """RFC 7296 section 1.3.2: a new IKE SA; a GCKS makes no Child SAs (RFC 9838 section 2.3)."""
    settings = serving.settings
    try:
        _check_rate(serving, sa, now)
        spi = serving.ike_sas.draw_spi()
        payloads, taken_over = succession.answer(sa, contents, settings, spi, serving.entropy)
    except InvalidPublicKey as error:
        bad = InvalidSyntax(str(error))
        return refused(bad, request_refused(sa, ExchangeType.CREATE_CHILD_SA, bad))
    except PeerError as error:
        return refused(error, request_refused(sa, ExchangeType.CREATE_CHILD_SA, error))
    return Reply(payloads, successor=taken_over)


def _registration_refused(sa: Established, payloads: Sequence[Payload], error: GcksError) -> Event:
    remote = str(sa.path.remote)
    return registration_refused(payloads, remote, error, Phase.ESTABLISHED, sa.name)


def malformed(
    sa: Established, exchange: int, payloads: Sequence[Payload], error: GcksError
) -> Reply:
    """Refuse a request that no rule lets us read, as far as it was read."""
    if exchange == ExchangeType.GSA_REGISTRATION:
        event: Event = _registration_refused(sa, payloads, error)
    else:
        event = request_refused(sa, exchange, error)
    return refused(error, event)


def request_refused(sa: Established, exchange: int, error: GcksError) -> RequestRefused:
    """Return the event of a refusal outside registration."""
    told = answer(error, Phase.ESTABLISHED)
    return RequestRefused(
        str(sa.path.remote),
        ExchangeType(exchange),
        told.notify or NotifyType.INVALID_SYNTAX,
        str(error),
        sa.name,
    )


HANDLERS: Final[dict[int, Handler]] = {
    ExchangeType.GSA_REGISTRATION: gsa_registration_request,
    ExchangeType.INFORMATIONAL: informational_request,
    ExchangeType.CREATE_CHILD_SA: create_child_sa_request,
}
RULES: Final[dict[int, Rule]] = {
    exchange: Rule(exchange, is_response=False) for exchange in HANDLERS
}
