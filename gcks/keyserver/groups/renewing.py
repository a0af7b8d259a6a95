"""The SAs of one group and the messages that renew them: make before break, then tell.

Every method that changes what a peer may see returns the journal entries that
must be durable first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from math import inf

from gcks.crypto.signature import ALGORITHMS, SignatureAlgorithm, SigningKey
from gcks.errors import LocalError
from gcks.events import Event, SaCreated, SaEnded
from gcks.group.key_download import rekey_keys
from gcks.group.rekey_message import Signer, build_rekey, envelope, rekey_cipher
from gcks.group.spread import Spread, default_cost, spread_notify, spread_of
from gcks.iana import ProtocolId
from gcks.ike.window import MAX_MESSAGE_ID, MESSAGE_ID_BITS
from gcks.journal import AuthKeySaved, JournalEntry, MessageIdReserved, RekeyMessageSaved
from gcks.keyserver.groups.copies import Outbox, address_of
from gcks.keyserver.groups.group_outcome import GroupOutcome, merged
from gcks.keyserver.groups.key_tree import TreeChange
from gcks.keyserver.groups.live_sa import LiveSa
from gcks.keyserver.groups.membership import Membership
from gcks.keyserver.groups.policy import IMPLICIT, SIGNATURE_ALGORITHM, GroupPolicy, RekeyPolicy
from gcks.keyserver.groups.registration import GsaBuilder
from gcks.keyserver.groups.rekeying import Renewal, rekey_payloads, reminder_payloads
from gcks.keyserver.groups.reminders import Reminder, Reminders
from gcks.keyserver.groups.sa_set import REKEY, SaSet, data_gsa_policy, rekey_gsa_policy
from gcks.keyserver.groups.schedule import overlap_seconds, renewal_age
from gcks.keyserver.groups.spi import SpiPool
from gcks.wire.gsa import GsaPolicy
from gcks.wire.payloads import Payload


class RenewedSas:
    """What a group has besides its members: SAs, Message IDs, the key that signs, the outbox."""

    def __init__(
        self,
        policy: GroupPolicy,
        spis: SpiPool,
        entropy: Callable[[int], bytes],
        wall: Callable[[], float],
    ) -> None:
        self.policy = policy
        self.name = policy.name
        self.members = Membership()
        self.sas = SaSet(self.name, spis, entropy)
        self.next_message_id = 0
        self.last_rekey_wall: float | None = None
        self._entropy, self._wall = entropy, wall
        self._gsa = GsaBuilder()
        self.cost = default_cost
        """Gives the seconds of the server that a registration takes."""
        self._signer: Signer | None = None
        self._auth_key: bytes | None = None
        self._auth_key_made_at = 0.0
        """POSIX seconds."""
        self._outbox = Outbox()
        self._reminders = Reminders()
        self._brought_rekey_sa: RekeyMessageSaved | None = None
        """The message that brought the current Rekey SA."""
        self._early: dict[bytes, float] = {}
        """SPI -> when the SA is renewed before its time."""

    def _use(self, policy: GroupPolicy) -> None:
        self.policy = policy
        self._gsa.invalidate()

    @property
    def spread(self) -> Spread:
        """Over how long the members come back if all have to register again."""
        return spread_of(len(self.members), self.members.senders, self.cost())

    # --- when -------------------------------------------------------------------------

    def renew_at(self, name: str, sa: LiveSa) -> float:
        """Return when a current SA is renewed."""
        named = self.policy.data_sa(name) or self.policy.rekey
        renew_seconds = named.renew_seconds if named is not None else None
        age = renewal_age(sa.lifetime_seconds, renew_seconds, self._overlap())
        return min(sa.created_at + age, self._early.get(sa.spi, inf))

    @property
    def renewal_due_at(self) -> float:
        """When the first of the current SAs is renewed."""
        return min(self.renew_at(name, sa) for name, sa in self.sas.current.items())

    def _overlap(self, policy: GroupPolicy | None = None) -> float:
        policy = policy or self.policy
        spread = policy.rekey.spread_seconds if policy.rekey is not None else 0.0
        return overlap_seconds(policy.atd_seconds, policy.dtd_seconds, spread)

    def _forgotten(self, gone: list[LiveSa]) -> GroupOutcome:
        self._gsa.invalidate()
        events = tuple(SaEnded(self.name, sa.protocol, sa.spi.hex()) for sa in gone)
        return GroupOutcome(tuple(self.sas.deleted(gone)), (), events)

    def _send_due(self, now: float) -> GroupOutcome:
        due = self._outbox.take_due(now)
        return GroupOutcome(tuple(due.journal), tuple(due.transmits), tuple(due.events))

    # --- rekey ----------------------------------------------------------------------

    def _renew(
        self, names: Iterable[str], now: float, change: TreeChange | None = None
    ) -> GroupOutcome:
        """Replace SAs, and send the first copy of the message that tells it."""
        return merged([self._plan_renewal(names, now, change), self._send_due(now)])

    def _plan_renewal(
        self, names: Iterable[str], now: float, change: TreeChange | None = None
    ) -> GroupOutcome:
        """Replace the named SAs and have the members told, make before break.

        `change` comes with the Rekey SA alone.
        """
        names = list(names)
        old_rekey = self.sas.current.get(REKEY)
        configured = set(self._all_names())
        wanted = [name for name in dict.fromkeys(names) if name in configured]
        dropped = [name for name in names if name not in configured]
        if self._is_last_message and REKEY not in wanted:
            wanted.insert(0, REKEY)
        message_id = self._take_message_id()
        replaced = [self.sas.current[n] for n in (*wanted, *dropped) if n in self.sas.current]
        for sa in replaced:
            self._early.pop(sa.spi, None)
        journal = self._replace(wanted, dropped, now)
        renewal = Renewal(
            created=tuple(self.sas.current[name] for name in sorted(wanted)),
            deleted=tuple(sa for sa in replaced if sa.name != REKEY),
            next_spis=self.sas.next_spis,
        )
        events = self._created_events(renewal.created)
        if old_rekey is None:
            return GroupOutcome(tuple(journal), (), events, renewed=self.name)
        gsk_w = rekey_keys(old_rekey.keymat, old_rekey.policy).gsk_w
        key = self._fresh_auth_key() if REKEY in wanted else None
        auth_key = key.auth_key(self._algorithm) if key is not None else None
        payloads = rekey_payloads(renewal, gsk_w, self.policy, change, auth_key)
        journal += self._tell(payloads, old_rekey, message_id, now, brings=REKEY in wanted)
        if key is not None:  # from now on; the message that tells it has the old key's signature
            journal += self._keep_auth_key(_rekey_policy(self.policy), key)
        return GroupOutcome(tuple(journal), (), events, renewed=self.name)

    def _tell(
        self,
        payloads: Sequence[Payload],
        over: LiveSa,
        message_id: int,
        now: float,
        *,
        brings: bool = False,
    ) -> list[JournalEntry]:
        """Build the GSA_REKEY and plan its copies; `brings`: it holds a new Rekey SA."""
        saved = self._saved(payloads, over, message_id)
        rekey = _rekey_policy(self.policy)
        self._outbox.add(saved, rekey, now)
        if brings:
            self._brought_rekey_sa = saved
        self._plan_reminders(now + rekey.spread_seconds)
        return [MessageIdReserved(self.name, over.spi, message_id + 1), saved]

    def _plan_reminders(self, at: float) -> None:
        if self.policy.rekey is not None and self.policy.rekey.reminders:
            self._reminders.begin(at)
        else:
            self._reminders.end()

    def _remind(self, now: float) -> GroupOutcome:
        """Tell the current state again to who was cut off."""
        over = self.sas.current.get(REKEY)
        if self._reminders.take() is Reminder.LATE_COPY:
            if self._brought_rekey_sa is not None:
                self._outbox.remind(self._brought_rekey_sa, now, late=True)
            return GroupOutcome()
        if over is None or not self.sas.data or not self.members or self._is_last_message:
            return GroupOutcome()
        message_id = self._take_message_id()
        gsk_w = rekey_keys(over.keymat, over.policy).gsk_w
        payloads = reminder_payloads(self.sas, gsk_w, self.policy, now)
        saved = self._saved(payloads, over, message_id)
        self._outbox.remind(saved, now)
        return GroupOutcome((MessageIdReserved(self.name, over.spi, message_id + 1), saved))

    def _saved(
        self, payloads: Sequence[Payload], over: LiveSa, message_id: int
    ) -> RekeyMessageSaved:
        payloads = (*payloads, spread_notify(self.spread))
        datagrams = self._build(payloads, over, message_id)
        self.last_rekey_wall = wall = self._wall()
        # To where the members of `over` listen: a reload may change that.
        path = address_of(over.policy.source), address_of(over.policy.destination)
        return RekeyMessageSaved(self.name, over.spi, message_id, datagrams, wall, *path)

    @property
    def _is_last_message(self) -> bool:
        """Tell whether the Message IDs of the Rekey SA run out."""
        return REKEY in self.sas.current and self.next_message_id >= MAX_MESSAGE_ID - 1

    def _take_message_id(self) -> int:
        message_id = self.next_message_id
        self.next_message_id += 1
        return message_id

    def _replace(self, wanted: list[str], dropped: list[str], now: float) -> list[JournalEntry]:
        retire_at = now + self._overlap()
        journal = self._create(wanted, now)
        for name in dropped:
            journal += self.sas.retire(name, retire_at)
        self._gsa.invalidate()
        return journal

    def _create(self, names: Iterable[str], now: float) -> list[JournalEntry]:
        journal: list[JournalEntry] = []
        retire_at, wall = now + self._overlap(), self._wall()
        for name in names:
            protocol = self._protocol(name)
            policy = self._wanted_policy(name, self.sas.take_spi(name, protocol))
            if policy is not None:
                journal += self.sas.replace(name, policy, now, wall, retire_at)
            if name == REKEY:
                self.next_message_id = 0
        return journal

    def _build(
        self, payloads: Sequence[Payload], over: LiveSa, message_id: int
    ) -> tuple[bytes, ...]:
        keys = rekey_keys(over.keymat, over.policy)
        cipher = rekey_cipher(over.policy.transforms, keys)
        head = envelope(over.spi, message_id)
        limit = _rekey_policy(self.policy).fragment_octets
        # Section 2.4.1.2: only if all GMs have negotiated fragmentation.
        max_octets = limit if self.members.all_reassemble else None
        ivs = self._rekey_ivs(cipher.iv_octets, cipher.block_octets, message_id)
        return build_rekey(cipher, ivs, head, payloads, self._signer, max_octets)

    def _rekey_ivs(self, octets: int, block_octets: int, message_id: int) -> Iterator[bytes]:
        """AEAD: fragment and Message ID, never twice under one key; CBC: unpredictable."""
        for number in count():
            aead = number << MESSAGE_ID_BITS | message_id
            yield aead.to_bytes(octets, "big") if block_octets == 1 else self._entropy(octets)

    # --- pieces ---------------------------------------------------------------------

    def _all_names(self, policy: GroupPolicy | None = None) -> list[str]:
        policy = policy or self.policy
        rekey = [REKEY] if policy.rekey is not None else []
        return rekey + [sa.name for sa in policy.data_sas]

    def _protocol(self, name: str) -> ProtocolId:
        named = self.policy.data_sa(name)
        return named.protocol if named else ProtocolId.GIKE_UPDATE

    def _wanted_policy(
        self, name: str, spi: bytes, policy: GroupPolicy | None = None
    ) -> GsaPolicy | None:
        policy = policy or self.policy
        if name == REKEY:
            return rekey_gsa_policy(policy.rekey, spi) if policy.rekey is not None else None
        named = policy.data_sa(name)
        return data_gsa_policy(named, spi) if named else None

    def _make_auth_key(self, rekey: RekeyPolicy | None) -> list[JournalEntry]:
        if rekey is None or rekey.authentication == IMPLICIT:
            self._signer = self._auth_key = None
            return []
        return self._keep_auth_key(rekey, SigningKey.generate(rekey.authentication))

    def _fresh_auth_key(self) -> SigningKey | None:
        """Return the key that signs over the next Rekey SA, where the current one is too old."""
        rekey = self.policy.rekey
        if rekey is None or rekey.auth_key_seconds is None or self._signer is None:
            return None
        if self._wall() - self._auth_key_made_at < rekey.auth_key_seconds:
            return None
        return SigningKey.generate(rekey.authentication)

    def _keep_auth_key(self, rekey: RekeyPolicy, key: SigningKey) -> list[JournalEntry]:
        self._use_auth_key(key)
        self._auth_key_made_at = self._wall()
        pkcs8 = key.to_pkcs8()
        return [AuthKeySaved(self.name, rekey.authentication, pkcs8, self._auth_key_made_at)]

    def _use_auth_key(self, key: SigningKey) -> None:
        self._signer = Signer(key, self._algorithm)
        self._auth_key = key.auth_key(self._algorithm)

    @property
    def _algorithm(self) -> SignatureAlgorithm:
        """The algorithm by which GSA_REKEY is signed."""
        return ALGORITHMS[SIGNATURE_ALGORITHM[_rekey_policy(self.policy).authentication]]

    def _created_events(self, sas: Iterable[LiveSa] | None = None) -> tuple[Event, ...]:
        return tuple(
            SaCreated(self.name, sa.protocol, sa.spi.hex(), sa.lifetime_seconds)
            for sa in (self.sas.current.values() if sas is None else sas)
        )


def _rekey_policy(policy: GroupPolicy) -> RekeyPolicy:
    if policy.rekey is None:
        raise LocalError(f"{policy.name}: a group needs a rekey section")
    return policy.rekey
