"""One group from the member's side: registered or not, what it holds, when to register again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from enum import Enum
from math import inf
from typing import Final

from gcks.crypto.signature import check_auth_key
from gcks.datagrams import Path
from gcks.events import (
    LeftGroup,
    NothingToSendOn,
    PolicyRefused,
    RegisterAgain,
    Registered,
    RegistrationAttemptFailed,
    Reregistering,
    StrangeRekeysSeen,
)
from gcks.group.attribute_rules import check_registration
from gcks.group.usage import Usage, read_usage
from gcks.iana import GcAuth, ProtocolId, TransformType
from gcks.member.ceiling import Ceiling, check_policy, transform_of
from gcks.member.data_plane import DataPlaneCommand, Direction
from gcks.member.delay import Delay, Reach
from gcks.member.effects import Effects
from gcks.member.holding import Holding, Verifier
from gcks.member.registration import (
    Clock,
    GsaInvalid,
    KeySource,
    OpenedGsa,
    SenderRole,
    build_data_sa,
    build_rekey_sa,
    check_sender_ids,
    direction_of,
    key_entries,
    open_gsa,
    uses_counter,
)
from gcks.member.settings import GroupMembership, MemberSettings
from gcks.member.strange_rekeys import StrangeRekeys
from gcks.wire.gsa import GroupSecurityAssociation, GroupWidePolicy, GsaPolicy
from gcks.wire.kd import KeyDownload
from gcks.wire.payloads import Payload


class GroupState(Enum):
    """What the group waits for."""

    WAITING = "waiting"
    """For the time of the next attempt, or for the IKE SA."""
    REGISTERING = "registering"
    """For the server's response."""
    REGISTERED = "registered"
    """For rekeys; what was given still works."""
    LEFT = "left"


_NOTHING_TO_SEND_ON: Final = (
    "the group has no SA for these sources; set local.data_addresses to where data is sent from,"
    " or let the key server's policy allow it"
)
_STRANGE: Final = (
    "rekeys come over an SA that this member doesn't have: the server has lost its store, or this"
    " member was away for long, or another group shares the address; restart this member if the"
    " group's data doesn't reach it"
)
BEYOND_CEILING: Final = "raise this member's ceiling or features, or lower the group's policy"


class GroupMember:
    """The state machine of one group; the engine asks it what is due."""

    def __init__(
        self,
        membership: GroupMembership,
        settings: MemberSettings,
        ceiling: Ceiling,
        jitter: Callable[[float], float],
    ) -> None:
        self.membership = membership
        self.name = str(membership.id)
        self.settings = settings
        self.ceiling = ceiling
        self.holding = Holding(self.name)
        self.counted_in = False
        """Whether the GCKS may count this member in."""
        self._asking = self._left = False
        self.usage = Usage()
        """As the last registration said; no GSA_REKEY changes it (section 2.3.4)."""
        self.cause = "start"
        self.due = inf
        """When to register (again); `inf`: no need."""
        self.registrations = 0
        self.rekeys = 0
        self.rekeys_missed = 0
        """GSA_REKEY messages that never came, by the Message IDs of those that did."""
        self.last_rekey_at = -inf
        self.last_error = ""
        self.hint = ""
        """What to look at because rekeys don't come, until one does."""
        self._strange = StrangeRekeys()
        self._recoverable = False
        self.delay = Delay(settings.reregister_jitter_seconds, sender=membership.sender)
        self._jitter = jitter
        self._failures = 0
        self._registered_at = -inf
        self._heard_rekeys = False

    @property
    def state(self) -> GroupState:
        """What the group waits for: by the request under way, and by what is held."""
        if self._left or self._asking:
            return GroupState.LEFT if self._left else GroupState.REGISTERING
        return GroupState.REGISTERED if self.holding.alive else GroupState.WAITING

    @property
    def registered(self) -> bool:
        """Tell whether the GCKS may send something for this group over the IKE SA."""
        return self.state in (GroupState.REGISTERING, GroupState.REGISTERED)

    # --- when to register ---------------------------------------------------------

    def wants_registration(self, now: float) -> bool:
        """Tell whether a registration is due and none is under way."""
        return self.due <= now and not self._asking

    def next_timeout(self, *, can_register: bool) -> float:
        """Return when `handle_timeout` or a registration is due."""
        times = [self.holding.next_change()]
        if can_register and not self._asking:
            times.append(self.due)
        if self._watches_expiry():
            times.append(self.holding.next_soft_expiry())
        return min(times)

    def _watches_expiry(self) -> bool:
        return self.state is GroupState.REGISTERED and self.due == inf

    def handle_timeout(self, now: float, effects: Effects) -> None:
        """Advance the SAs, and notice those that expire without having been replaced."""
        effects.do(self.holding.advance(now))
        if self._watches_expiry():
            expiring = self.holding.soft_expiry(now)
            if expiring is not None:
                cause, ends_at = expiring
                why = RegisterAgain.SA_EXPIRING
                self.reregister(why, cause, now, effects, recoverable=True, ends_at=ends_at)

    def begin_registration(self) -> None:
        """Note that a registration is begun."""
        self._asking = True
        self._recoverable = False

    def attempt_interrupted(self, now: float) -> None:
        """Register again at once, over a new IKE SA: this one was closed under our hands."""
        if self._asking:
            self._asking = False
            self.register_now("the IKE SA was closed", now)

    def notice_lost_rekey(self, now: float, effects: Effects) -> None:
        """Someone uses the next Rekey SA that we never got (section 4.4.2.2.3)."""
        if self.state is GroupState.REGISTERED:
            cause = "a rekey message was lost"
            why = RegisterAgain.REKEY_LOST
            self.reregister(why, cause, now, effects, recoverable=True, reach=Reach.SOME)

    def notice_strange_rekey(self, path: Path, now: float, effects: Effects) -> None:
        """Someone sends rekeys of an SA that we don't have to where ours are sent."""
        rekey = self.holding.current_rekey
        if rekey is None or self.due < inf:
            return  # it registers again anyway
        join, (host, port) = rekey.join, path.local
        if (host, port) != (join.address, join.port) or join.source not in (None, path.remote.host):
            return
        if self._strange.came(now):
            self.hint = _STRANGE
            effects.tell(StrangeRekeysSeen(self.name, str(path.remote), _STRANGE))

    def register_now(self, cause: str, now: float) -> None:
        """Make a registration due at once."""
        self.due, self.cause = now, cause
        self._recoverable = False

    def reregister(
        self,
        why: RegisterAgain,
        cause: str,
        now: float,
        effects: Effects,
        *,
        recoverable: bool = False,
        reach: Reach = Reach.EVERYBODY,
        ends_at: float = inf,
    ) -> None:
        """Register again after a random delay (RFC 9838 section 2.4.3).

        A `recoverable` cause is gone when a rekey arrives meanwhile.  What is held
        still works until `ends_at`, or until nothing replaces it: half of that time
        is left for the registration.  The shortest interval keeps a hostile or
        confused server from driving us in a circle.
        """
        if self._left or (recoverable and self.due < inf):
            return
        earliest = self._registered_at + self.settings.retry.first_seconds
        in_time = max(0.0, min(ends_at, self.holding.next_gap()) - now) / 2
        limit = min(self.delay.most_seconds(reach), in_time)
        self.due = max(now + self._jitter(limit), earliest)
        self.cause = self.last_error = cause
        self._recoverable = recoverable
        hint = self._multicast_hint()
        if why is RegisterAgain.SA_EXPIRING:
            self.hint = hint
        delay = round(self.due - now, 3)
        effects.tell(Reregistering(self.name, why, cause, delay, hint))

    def _multicast_hint(self) -> str:
        """Say what to look at where no rekey has come since the registration."""
        rekey = self.holding.current_rekey
        if rekey is None or self._heard_rekeys or self._registered_at == -inf:
            return ""
        at = f"{rekey.join.address} port {rekey.join.port}"
        on = rekey.join.interface or "the interface that the kernel chooses (local.interface)"
        return (
            f"no rekey has come since the registration: is multicast to {at} let through to {on}?"
        )

    def rekeyed(self, now: float, *, reminder: bool) -> None:
        """Note that a rekey was followed: what it heals needs no registration."""
        self.rekeys += not reminder
        self.last_rekey_at, self.hint = now, ""
        self._heard_rekeys = True
        self._strange.own_came()
        if self._recoverable:
            self.due = inf
            self._recoverable = False

    def rekeyed_inband(self, now: float) -> None:
        """Note that a GSA_INBAND_REKEY was followed."""
        self.rekeys += 1
        self.last_rekey_at = now

    def attempt_failed(self, cause: str, hint: str, now: float, effects: Effects) -> None:
        """Try again later; what is still held stays until it expires."""
        server, delay = str(self.settings.server), self._try_again(cause, now)
        effects.tell(RegistrationAttemptFailed(self.name, server, cause, hint, delay))

    def policy_refused(self, cause: str, now: float, effects: Effects) -> None:
        """Try again later: the answer to a registration is beyond the ceiling."""
        delay = self._try_again(cause, now)
        effects.tell(PolicyRefused(self.name, cause, BEYOND_CEILING, delay))

    def _try_again(self, cause: str, now: float) -> float:
        """Plan the next attempt; return the seconds until then."""
        self._failures += 1
        delay = self.settings.retry.delay(self._failures)
        delay += self._jitter(delay / 4)
        self.due, self.last_error, self.cause = now + delay, cause, "retry"
        self._asking = self._recoverable = False
        return round(delay, 3)

    def was_refused(self) -> None:
        """Note that the GCKS didn't take this member in; an older membership may stand."""
        self.counted_in = self.registrations > 0

    # --- leaving and exclusion -------------------------------------------------------

    def exclude(
        self,
        cause: str,
        now: float,
        effects: Effects,
        *,
        why: RegisterAgain,
        reach: Reach = Reach.EVERYBODY,
    ) -> None:
        """Give up every key at once, and register again (section 2.4.3)."""
        effects.do(self.holding.clear())
        self._asking = False
        if why is not RegisterAgain.IKE_SA_CLOSED:
            self.counted_in = False
        self.due = inf
        self.reregister(why, cause, now, effects, reach=reach)

    def leave(self, cause: str, effects: Effects) -> None:
        """Give up every key and stay away; who never got in leaves nothing."""
        effects.do(self.holding.clear())
        self._left, self._asking, self.due = True, False, inf
        if self.registrations:
            effects.tell(LeftGroup(self.name, cause))

    # --- registration -----------------------------------------------------------------

    def accept_registration(
        self, payloads: Sequence[Payload], kwa: int, kwk: bytes, now: float, effects: Effects
    ) -> None:
        """Take over the policy and keys of a registration response (section 2.3.3).

        Raises GcksError, and then everything is as it was.
        """
        gsa, kd = gsa_and_kd(payloads)
        usage = read_usage(payloads)
        check_registration(gsa, kd, sender=self.membership.sender)
        check_policy(self.ceiling, gsa, usage, data_sas_held=self.others_held(gsa))
        opened = open_gsa(gsa, kd, KeySource(kwa, kwk))
        check_sender_ids(opened.sender_ids, _sender_id_bits(opened))
        if self.lacks_sender_id(opened, opened.sender_ids):
            raise GsaInvalid("a counter-mode SA to send on, but no Sender-ID")
        self.usage = usage
        self._install_registration(opened, now, effects)
        self.delay.registered(payloads)

    def _install_registration(self, opened: OpenedGsa, now: float, effects: Effects) -> None:
        """Replace all that a previous registration gave (section 2.3.3)."""
        verifier = _verifier(opened)
        effects.agree(key_entries(self.name, opened))
        clock, holding = self.clock(now), self.holding
        rekey = None
        if opened.rekey is not None:
            rekey = build_rekey_sa(opened.rekey, self.name, self.settings.interface, clock)
        holding.sender_ids = opened.sender_ids
        holding.sender_id_bits = _sender_id_bits(opened)
        holding.path = opened.path
        holding.registered(verifier)
        holding.remember_delays(opened.group_wide or GroupWidePolicy())
        effects.do(self.install_data(opened, clock))
        kept = {(ProtocolId(keys.policy.protocol), keys.policy.spi) for keys in opened.data}
        gone = [sa.key for sa in holding.data_sas if sa.key not in kept]
        holding.retire(gone, now + holding.dtd_seconds)
        if rekey is not None:
            effects.do(holding.install_rekey(rekey))
        holding.retire_rekey(now, current=rekey is None)
        holding.next_rekey_spis = opened.rekey.policy.next_spis if opened.rekey else ()
        effects.do(holding.advance(now))
        self._note_registered(len(opened.data), now, effects)
        self._check_sending(effects)

    def install_pushed(self, opened: OpenedGsa, now: float, effects: Effects) -> None:
        """Replace the Data-Security SAs by those of a GSA_INBAND_REKEY; Sender-IDs stay."""
        holding = self.holding
        effects.agree(key_entries(self.name, opened))
        holding.remember_delays(opened.group_wide or GroupWidePolicy())
        effects.do(self.install_data(opened, self.clock(now)))
        kept = {(ProtocolId(keys.policy.protocol), keys.policy.spi) for keys in opened.data}
        gone = [sa.key for sa in holding.data_sas if sa.key not in kept]
        holding.retire(gone, now + holding.dtd_seconds)

    def _check_sending(self, effects: Effects) -> None:
        """Tell where a sender can't send: a packet that silently goes nowhere is hard to find."""
        sas = self.holding.data_sas
        role = self.role()
        if role.sender and sas and all(sa.install.direction is Direction.IN for sa in sas):
            effects.tell(NothingToSendOn(self.name, role.addresses, _NOTHING_TO_SEND_ON))

    def _note_registered(self, data_sas: int, now: float, effects: Effects) -> None:
        if self._asking:
            self.due = inf  # else: excluded meanwhile, this answer may be older than that
        self._asking, self.counted_in = False, True
        self._failures, self._registered_at, self.last_error = 0, now, ""
        self._heard_rekeys = False
        self._strange.registered()
        self._recoverable = False
        self.registrations += 1
        server = str(self.settings.server)
        effects.tell(Registered(self.name, server, data_sas, self.holding.sender_ids))

    # --- shared with rekey ---------------------------------------------------------------

    def clock(self, now: float) -> Clock:
        """Return how lifetimes that begin now become times."""
        settings = self.settings
        return Clock(now, settings.soft_lifetime_fraction, settings.soft_margin_seconds)

    def role(self) -> SenderRole:
        """Return what this member is as a sender."""
        return SenderRole(
            self.membership.sender,
            self.membership.receive_own_data,
            self.settings.data_addresses or (self.settings.local.host,),
            self.holding.sender_ids,
            self.holding.sender_id_bits,
        )

    def install_data(self, opened: OpenedGsa, clock: Clock) -> Iterator[DataPlaneCommand]:
        """Install the Data-Security SAs of one message: one generation."""
        generation, role = self.holding.begin(), self.role()
        sas = [
            build_data_sa(
                keys,
                self.name,
                self.usage,
                role,
                clock,
                generation=generation,
                atd_seconds=self.holding.atd_seconds,
            )
            for keys in opened.data
        ]
        return self.holding.install(sas)

    def lacks_sender_id(self, opened: OpenedGsa, sender_ids: Sequence[int]) -> bool:
        """Tell whether a counter-mode SA would be sent on without a Sender-ID (section 2.4.1.4)."""
        return not sender_ids and any(self.numbers(keys.policy) for keys in opened.data)

    def numbers(self, policy: GsaPolicy) -> bool:
        """Tell whether this member is a sender on that SA and needs a Sender-ID for it."""
        role = self.role()
        direction = direction_of(
            policy,
            sender=role.sender,
            receive_own_data=role.receive_own_data,
            addresses=role.addresses,
        )
        return uses_counter(policy) and direction is not Direction.IN

    def others_held(self, gsa: GroupSecurityAssociation) -> int:
        """Count the Data-Security SAs held beside those of the payload."""
        new = {(policy.protocol, policy.spi) for policy in gsa.policies}
        return sum(sa.key not in new for sa in self.holding.data_sas)


def gsa_and_kd(payloads: Sequence[Payload]) -> tuple[GroupSecurityAssociation, KeyDownload]:
    """Return the one GSA and the one KD of a message."""
    gsa = next((one for one in payloads if isinstance(one, GroupSecurityAssociation)), None)
    kd = next((one for one in payloads if isinstance(one, KeyDownload)), None)
    if gsa is None or kd is None:
        raise GsaInvalid("GSA or KD is absent")
    return gsa, kd


def _sender_id_bits(opened: OpenedGsa) -> int | None:
    return opened.group_wide.sender_id_bits if opened.group_wide else None


def _verifier(opened: OpenedGsa) -> Verifier | None:
    if opened.rekey is None:
        return None
    gcauth = transform_of(opened.rekey.policy.transforms, TransformType.GCAUTH)
    if gcauth is None:
        raise GsaInvalid("a Rekey SA without Group Controller Authentication Method")
    if (gcauth.id == GcAuth.IMPLICIT) != (opened.auth_key is None):
        raise GsaInvalid("AUTH_KEY contradicts the Group Controller Authentication Method")
    if opened.auth_key is not None:
        check_auth_key(opened.auth_key, gcauth.signature_algorithm)
    return Verifier(gcauth, opened.auth_key)


def with_auth_key(verifier: Verifier | None, auth_key: bytes | None) -> Verifier | None:
    """Replace the AUTH_KEY, if a new one came (section 2.4.1)."""
    if verifier is None or auth_key is None:
        return verifier
    if verifier.auth_key is None:
        raise GsaInvalid("AUTH_KEY under implicit authentication")
    check_auth_key(auth_key, verifier.gcauth.signature_algorithm)
    return replace(verifier, auth_key=auth_key)
