"""One group in this process: its policy, its state, and what is on its way.

What must survive the process is in `state`, which only journal entries change.  What is
here besides is configuration, made of the state, or lost with the process and no loss.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from gcks.crypto.signature import ALGORITHMS, SignatureAlgorithm, SigningKey
from gcks.errors import LocalError
from gcks.group.rekey_message import Signer
from gcks.group.spread import Spread, default_cost, spread_of
from gcks.ike.window import MAX_MESSAGE_ID
from gcks.journal import AuthKeySaved, RekeyMessageSaved
from gcks.keyserver.groups.copies import Outbox
from gcks.keyserver.groups.live_sa import LiveSa
from gcks.keyserver.groups.policy import IMPLICIT, SIGNATURE_ALGORITHM, GroupPolicy, RekeyPolicy
from gcks.keyserver.groups.registration import GsaBuilder
from gcks.keyserver.groups.reminders import Reminders
from gcks.keyserver.groups.sa_set import REKEY, SaSet, data_gsa_policy, rekey_gsa_policy
from gcks.keyserver.groups.sag import needs_of
from gcks.keyserver.groups.schedule import overlap_seconds, renewal_age
from gcks.keyserver.groups.sender_ids import SenderIds
from gcks.keyserver.groups.signing_keys import next_key_at
from gcks.keyserver.groups.state import GroupState
from gcks.keyserver.groups.steps import WORDS, renew_sa
from gcks.wire.gsa import GsaPolicy


class Group:
    """What deciders read; they change `state` by what they record (`decision`)."""

    __slots__ = (
        "_sas_due", "_signed_by", "_signer", "brought_rekey_sa", "certificates_at", "cost",
        "key_again_at", "key_asked",
        "needs", "needs_inband", "numbered", "outbox", "policy", "reminders",
        "removes_on_certificate_end", "spare_key", "state", "views",
    )  # fmt: skip

    def __init__(
        self, policy: GroupPolicy, state: GroupState, cost: Callable[[], float] = default_cost
    ) -> None:
        """`cost()` gives the seconds of the server that a registration takes."""
        self.state, self.cost = state, cost
        self.outbox, self.reminders = Outbox(), Reminders()
        self.brought_rekey_sa: RekeyMessageSaved | None = None
        """The message that brought the current Rekey SA."""
        self.numbered: set[str] = set()
        """Names of SAs whose only sender has begun to number packets."""
        self.removes_on_certificate_end = False
        """Whether members whose certificate has ended are removed."""
        self.certificates_at = inf
        """When to look for certificates that have ended (monotonic seconds)."""
        self.spare_key: tuple[str, SigningKey] | None = None
        """Made ahead of time, where making one takes long: its kind and the key."""
        self.key_asked = False
        """Whether one is being made."""
        self.key_again_at = 0.0
        """When to ask again, after one could not be made (monotonic seconds)."""
        self._signer: Signer | None = None
        self._signed_by: AuthKeySaved | None = None
        self.use(policy)

    def use(self, policy: GroupPolicy) -> None:
        """Go by another policy from now on."""
        self.policy = policy
        self.views = GsaBuilder()
        self.needs, self.needs_inband = needs_of(policy), needs_of(policy, inband=True)
        self._signed_by = None
        self._sas_due = -1, inf

    @property
    def name(self) -> str:
        return self.policy.name

    @property
    def sas(self) -> SaSet:
        return self.state.sas

    # --- members ----------------------------------------------------------------------

    @property
    def spread(self) -> Spread:
        """Over how long the members come back if all have to register again."""
        members = self.state.members
        return spread_of(len(members), members.senders, self.cost())

    @property
    def sender_ids(self) -> SenderIds:
        return SenderIds(self.state.next_sender_id, 1 << self.policy.sender_id_bits)

    @property
    def can_exclude(self) -> bool:
        """Tell whether single members can be shut out without troubling all others."""
        return self.state.tree is not None or self.policy.rekey is None

    def is_inband(self, identity: str, policy: GroupPolicy | None = None) -> bool:
        """Tell whether a member is rekeyed over its IKE SA, and knows no Rekey SA."""
        member = self.state.members.get(identity)
        none = (policy or self.policy).rekey is None
        return none or (member is not None and member.inband)

    # --- SAs --------------------------------------------------------------------------

    def wanted_policy(self, name: str, spi: bytes, policy: GroupPolicy) -> GsaPolicy | None:
        """Return the GSA policy of an SA as a group's policy wants it; None: it wants none."""
        if name == REKEY:
            return rekey_gsa_policy(policy.rekey, spi) if policy.rekey is not None else None
        named = policy.data_sa(name)
        return data_gsa_policy(named, spi) if named is not None else None

    def outdated(self, policy: GroupPolicy) -> list[str]:
        """Name the SAs that are not as a policy wants them, or not there."""
        current = self.sas.current
        stale = [name for name, sa in current.items() if not self._is_as_wanted(name, sa, policy)]
        missing = [name for name in names_of(policy) if name not in current]
        return list(dict.fromkeys((*stale, *missing)))

    def _is_as_wanted(self, name: str, sa: LiveSa, policy: GroupPolicy) -> bool:
        wanted = self.wanted_policy(name, sa.spi, policy)
        return wanted is not None and wanted.encode() == sa.policy.encode()

    @property
    def last_message(self) -> bool:
        """Tell whether the Message IDs of the Rekey SA run out."""
        return self.state.next_message_id >= MAX_MESSAGE_ID - 1

    @property
    def last_rekey_wall(self) -> float | None:
        """When the newest GSA_REKEY was made (POSIX seconds)."""
        return max((message.sent_at for message in self.state.rekeys), default=None)

    # --- the key that signs -----------------------------------------------------------

    @property
    def signer(self) -> Signer | None:
        """What signs GSA_REKEY; None: authentication is implicit."""
        saved, rekey = self.state.auth_key, self.policy.rekey
        if saved is None or rekey is None or rekey.authentication == IMPLICIT:
            return None
        if self._signed_by is not saved:
            key = SigningKey.from_pkcs8(saved.private_key, ours=True)
            self._signer = Signer(key, self.algorithm)
            self._signed_by = saved
        return self._signer

    @property
    def auth_key(self) -> bytes | None:
        """What verifies GSA_REKEY (section 4.5.3.2)."""
        signer = self.signer
        return signer.key.auth_key(signer.algorithm) if signer is not None else None

    @property
    def algorithm(self) -> SignatureAlgorithm:
        """The algorithm by which GSA_REKEY is signed."""
        return ALGORITHMS[SIGNATURE_ALGORITHM[rekey_policy(self.policy).authentication]]

    # --- when -------------------------------------------------------------------------

    def overlap_seconds(self, policy: GroupPolicy | None = None) -> float:
        """Return how long a replaced SA is still needed after the rekey begins."""
        policy = policy or self.policy
        spread = policy.rekey.spread_seconds if policy.rekey is not None else 0.0
        return overlap_seconds(policy.atd_seconds, policy.dtd_seconds, spread)

    def renew_at(self, name: str, sa: LiveSa) -> float:
        """Return when a current SA is renewed (monotonic seconds)."""
        planned = self.state.steps.get(renew_sa(name), inf) if self.state.steps else inf
        return min(self._too_old_at(name, sa), planned)

    def _too_old_at(self, name: str, sa: LiveSa) -> float:
        named = self.policy.data_sa(name) or self.policy.rekey
        renew_seconds = named.renew_seconds if named is not None else None
        return sa.created_at + renewal_age(
            sa.lifetime_seconds, renew_seconds, self.overlap_seconds()
        )

    @property
    def renewal_due_at(self) -> float:
        """When the first of the current SAs is renewed."""
        return min((self.renew_at(name, sa) for name, sa in self.sas.current.items()), default=inf)

    @property
    def next_timeout(self) -> float:
        """Monotonic seconds at which the group has something to do."""
        times = self.outbox.next_at, self.reminders.next_at, self.certificates_at, self.next_key_at
        return min(self._sas_due_at, *times, *self.state.steps.values())

    @property
    def _sas_due_at(self) -> float:
        """When the first SA is too old, or forgotten: asked after every decision.

        Few decisions change SAs.
        """
        revision, at = self._sas_due
        if revision != self.state.revision:
            times = [sa.retire_at for sa in self.sas.replaced if sa.retire_at is not None]
            times += [self._too_old_at(name, sa) for name, sa in self.sas.current.items()]
            at = min(times, default=inf)
            self._sas_due = self.state.revision, at
        return at

    @property
    def next_key_at(self) -> float:
        """When the next key that signs is to be made ahead of time."""
        if self.key_asked or self.spare_key is not None:
            return inf
        return max(next_key_at(self.policy, self.state), self.key_again_at)

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """Say what the group is about to do because somebody is gone."""
        return tuple(words for step, words in WORDS.items() if step in self.state.steps)


def names_of(policy: GroupPolicy) -> list[str]:
    """Return the names of all SAs that a policy wants, the Rekey SA first."""
    rekey = [REKEY] if policy.rekey is not None else []
    return rekey + [sa.name for sa in policy.data_sas]


def rekey_policy(policy: GroupPolicy) -> RekeyPolicy:
    """Return the rekey section of a policy that must have one.  Raises `LocalError`."""
    if policy.rekey is None:
        raise LocalError(f"{policy.name}: a group needs a rekey section")
    return policy.rekey
