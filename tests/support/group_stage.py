"""A group on a stage: its clock, its journal, and listeners that follow its rekeys."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gcks.change import Change, Waiting
from gcks.crypto.key_wrap import unwrap
from gcks.datagrams import Endpoint, Transmit
from gcks.errors import Discard
from gcks.events import Event
from gcks.group.attribute_rules import check_registration, check_rekey
from gcks.group.key_download import find_transform, rekey_keys
from gcks.group.rekey_message import rekey_cipher
from gcks.group.usage import Usage
from gcks.iana import Encr, Integ, Kwa, PayloadType, ProtocolId, TransformType
from gcks.journal import JournalEntry
from gcks.keyserver.groups.departing import leave
from gcks.keyserver.groups.due import rekey
from gcks.keyserver.groups.group import Group
from gcks.keyserver.groups.groups import Groups
from gcks.keyserver.groups.policy import DataSaPolicy, GroupPolicy, MemberRule, RekeyPolicy
from gcks.keyserver.groups.registration import AdmissionRequest, Admitted
from gcks.keyserver.groups.state import GroupState
from gcks.keyserver.key_payloads import key_payloads
from gcks.wire.delete import Delete
from gcks.wire.gsa import GroupSecurityAssociation, GsaPolicy, decode_gsa
from gcks.wire.header import decode_header
from gcks.wire.identification import Identity
from gcks.wire.kd import KeyDownload
from gcks.wire.payloads import Payload
from gcks.wire.sa import SecurityAssociation
from gcks.wire.traffic_selector import TrafficSelector
from gcks.wire.transform import Transform
from tests.support.needs import met
from tests.support.rekey_opening import open_rekey

GCM = Transform(TransformType.ENCR, Encr.AES_GCM_16, 256)
CBC = Transform(TransformType.ENCR, Encr.AES_CBC, 256)
HMAC = Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128)
KWK = b"\x4b" * 32
ATD, DTD, SPREAD = 5, 15, 2.0
OVERLAP = DTD + SPREAD
WALL = 1_800_000_000.0
T = TypeVar("T")


def esp(name: str = "video", *, cbc: bool = False, **options: Any) -> DataSaPolicy:
    """Make the policy of an ESP SA for many senders."""
    fields: dict[str, Any] = {
        "name": name,
        "protocol": ProtocolId.ESP,
        "encr": CBC if cbc else GCM,
        "integ": HMAC if cbc else None,
        "source": TrafficSelector.any(4, 17),
        "destination": TrafficSelector.single(f"239.1.2.{sum(name.encode()) % 250}", 17, 5004),
        "lifetime_seconds": 600,
    }
    return DataSaPolicy(**{**fields, **options})


def single(name: str, sender: str, address: str, **options: Any) -> DataSaPolicy:
    """Make the policy of an ESP SA for one sender."""
    source = TrafficSelector.single(address, 17, 0)
    return esp(name, senders="single", sender=sender, source=source, **options)


def rekey_sa(**options: Any) -> RekeyPolicy:
    """Make the policy of a Rekey SA."""
    fields: dict[str, Any] = {
        "encr": GCM,
        "integ": None,
        "kwa": Kwa.KW_5649_256,
        "authentication": "ed25519",
        "source": Endpoint("192.0.2.1", 848),
        "destination": Endpoint("239.255.84.8", 848),
        "lifetime_seconds": 3000,
        "spread_seconds": SPREAD,
        "reminders": False,
    }
    return RekeyPolicy(**{**fields, **options})


def group_policy(*data_sas: DataSaPolicy, **options: Any) -> GroupPolicy:
    """Make a group's policy; without SAs it has one for ESP."""
    fields: dict[str, Any] = {
        "id": Identity.parse("keyid:demo"),
        "data_sas": data_sas or (esp(),),
        "rekey": rekey_sa(),
        "members": (MemberRule("fqdn:s*.dev", send=True), MemberRule("fqdn:gm*.dev")),
        "atd_seconds": ATD,
        "dtd_seconds": DTD,
        "sender_id_bits": 8,
    }
    return GroupPolicy(**{**fields, **options})


@dataclass
class Joined:
    """What one registration gave."""

    admitted: Admitted
    change: Change
    payloads: tuple[Payload, ...]
    gsa: GroupSecurityAssociation
    kd: KeyDownload
    sender: bool

    @property
    def rekey(self) -> GsaPolicy:
        return next(p for p in self.gsa.policies if p.protocol == ProtocolId.GIKE_UPDATE)

    @property
    def data(self) -> list[GsaPolicy]:
        return [p for p in self.gsa.policies if p.protocol != ProtocolId.GIKE_UPDATE]

    @property
    def keys(self) -> dict[bytes, bytes]:
        """SPI -> keying material; from GSK_w downwards where there is a key tree."""
        known, wraps = {0: KWK}, [w for bag in self.kd.member_bags for w in bag.wrap_keys]
        while fit := next((w for w in wraps if w.kwk_id in known and w.key_id not in known), None):
            known[fit.key_id] = unwrap(known[fit.kwk_id], fit.encrypted_key)
        return {
            bag.spi: unwrap(known[bag.sa_keys[0].kwk_id], bag.sa_keys[0].encrypted_key)
            for bag in self.kd.group_bags
        }

    @property
    def auth_key(self) -> bytes | None:
        return next((bag.auth_key for bag in self.kd.member_bags), None)

    @property
    def sender_ids(self) -> tuple[int, ...]:
        return tuple(number for bag in self.kd.member_bags for number in bag.sender_ids)


@dataclass
class Stage:
    """Runs one group; crash it and it comes back from its journal."""

    policy: GroupPolicy = field(default_factory=group_policy)
    now: float = 1000.0
    seed: int = 1

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self.journal: list[JournalEntry] = []
        self.transmits: list[Transmit] = []
        self.events: list[Event] = []
        self.wall_shift = WALL - self.now
        self.start()

    def start(self) -> Change:
        """Begin, or go on from what is in the journal."""
        self.groups = Groups(self.entropy, self.wall)
        change = Change()
        self.groups.start({self.policy.name: self.policy}, list(self.journal), self.now, change)
        return self.take(change)

    @property
    def group(self) -> Group:
        return self.groups.by_name[self.policy.name]

    @property
    def state(self) -> GroupState:
        return self.group.state

    def entropy(self, octets: int) -> bytes:
        return self._random.randbytes(octets)

    def wall(self) -> float:
        return self.now + self.wall_shift

    def take(self, change: Change) -> Change:
        self.journal += change.journal
        self.transmits += change.transmits
        self.events += change.events
        for waiting in change.waits:
            self._meet(waiting)
        return change

    def _meet(self, waiting: Waiting) -> None:
        change = Change()
        self.groups.resume(waiting.token, met(waiting.need, self.journal), self.now, change)
        self.take(change)

    def decide(
        self, decider: Callable[..., object], *arguments: object, **options: object
    ) -> Change:
        """Have the group decide something, and take what follows."""
        change = Change()
        try:
            with self.groups.deciding(self.group, self.now, change) as decision:
                decider(decision, *arguments, **options)
        finally:
            self.take(change)
        return change

    def rekey(self) -> Change:
        return self.decide(rekey)

    def leave(self, name: str, cause: str = "left") -> Change:
        return self.decide(leave, f"fqdn:{name}.dev", cause)

    def timeout(self) -> Change:
        """Let the group do what is due now."""
        change = Change()
        self.groups.handle_timeout(self.now, change)
        return self.take(change)

    def reload(self, policy: GroupPolicy) -> Change:
        change = Change()
        self.groups.reload({policy.name: policy}, self.now, change)
        self.policy = policy
        return self.take(change)

    def until(self, end: float) -> list[Transmit]:
        """Let time pass, firing every timer on the way; return what was sent."""
        before = len(self.transmits)
        while self.groups.next_timeout <= end:
            self.now = max(self.now, self.groups.next_timeout)
            self.timeout()
        self.now = max(self.now, end)
        return self.transmits[before:]

    def restart(self, *, down_seconds: float = 0.0, policy: GroupPolicy | None = None) -> Change:
        """Kill the server and start it again from its journal; monotonic time starts anew."""
        wall = self.wall() + down_seconds
        self.policy = policy or self.policy
        self.now = 50.0
        self.wall_shift = wall - self.now
        return self.start()

    def register(
        self,
        name: str = "gm1",
        *,
        sender: bool = False,
        count: int = 0,
        address: str = "192.0.2.7",
        sag: SecurityAssociation | None = None,
        reassembles: bool = True,
        announced: Usage | None = None,
        kwa: int = Kwa.KW_5649_256,
        certificates: bytes = b"",
    ) -> Joined:
        request = AdmissionRequest(
            group=self.policy.name,
            identity=Identity.parse(f"fqdn:{name}.dev"),
            address=address,
            kwa=kwa,
            sender=sender,
            sender_id_count=count,
            sag=sag,
            reassembles=reassembles,
            certificates=certificates,
            announced=announced or Usage(),
        )
        change = Change()
        try:
            admitted = self.groups.admit(request, self.now, change)
        finally:
            self.take(change)
        payloads = key_payloads(admitted.keys, KWK)
        gsa, kd = payloads[:2]
        assert isinstance(kd, KeyDownload) and gsa.type == PayloadType.GSA  # type: ignore[union-attr]
        joined = Joined(admitted, change, payloads, decode_gsa(gsa.encode()), kd, sender)
        check_registration(joined.gsa, kd, sender=sender)
        return joined

    def listener(self, name: str = "gm1") -> Listener:
        return Listener(self.register(name))

    def of(self, kind: type[T]) -> list[T]:
        return [one for one in (*self.events, *self.journal) if isinstance(one, kind)]


@dataclass
class Held:
    """An SA as a listener holds it."""

    policy: GsaPolicy
    keymat: bytes = field(repr=False)


class Listener:
    """A receiver that opens GSA_REKEYs with what it was told, and nothing else."""

    def __init__(self, joined: Joined) -> None:
        keys = joined.keys
        gcauth = find_transform(joined.rekey.transforms, TransformType.GCAUTH)
        assert gcauth is not None
        self.gcauth, self.auth_key = gcauth, joined.auth_key
        self.rekey_sas = {joined.rekey.spi: Held(joined.rekey, keys[joined.rekey.spi])}
        self.data = {p.spi: Held(p, keys[p.spi]) for p in joined.data}
        self.expected = {joined.rekey.spi: joined.rekey.initial_message_id or 0}
        self.message_ids: list[tuple[bytes, int]] = []
        self.last: tuple[Payload, ...] = ()

    @property
    def newest_rekey(self) -> GsaPolicy:
        return list(self.rekey_sas.values())[-1].policy

    def hear(self, transmits: Iterable[Transmit]) -> int:
        """Follow what can be followed; return how many messages were new."""
        return sum(self.follow(transmit.octets) for transmit in transmits)

    def follow(self, datagram: bytes) -> bool:
        header = decode_header(datagram)
        spi = header.spi_i + header.spi_r
        if spi not in self.rekey_sas or header.message_id < self.expected[spi]:
            return False
        held = self.rekey_sas[spi]
        # GCAUTH is told at registration only and goes on for ever.
        keys = rekey_keys(held.keymat, held.policy)
        cipher = rekey_cipher(held.policy.transforms, keys)
        try:
            self.last = open_rekey(datagram, header, cipher, self.gcauth, self.auth_key)
        except Discard:
            return False
        self.expected[spi] = header.message_id + 1
        self.message_ids.append((spi, header.message_id))
        self._apply(keys.gsk_w)
        return True

    def _apply(self, gsk_w: bytes) -> None:
        deleted = [s for one in self.last if isinstance(one, Delete) for s in one.spis]
        gsa = next((p for p in self.last if isinstance(p, GroupSecurityAssociation)), None)
        kd = next((p for p in self.last if isinstance(p, KeyDownload)), None)
        if gsa is not None and kd is not None:
            check_rekey(gsa, kd)
            bags = {bag.spi: bag for bag in kd.group_bags}
            for policy in gsa.policies:
                key = unwrap(gsk_w, bags[policy.spi].sa_keys[0].encrypted_key)
                if policy.protocol == ProtocolId.GIKE_UPDATE:
                    self.rekey_sas[policy.spi] = Held(policy, key)
                    self.expected[policy.spi] = 0
                else:
                    self.data[policy.spi] = Held(policy, key)
        for spi in deleted:
            self.data.pop(spi, None)


def in_step(stage: Stage, listener: Listener) -> bool:
    """Tell whether a listener holds exactly the group's current Data-Security SAs and Rekey SA."""
    data = {sa.spi: sa.keymat for sa in stage.group.sas.data}
    rekey = stage.group.sas.rekey
    held = listener.rekey_sas.get(rekey.spi)
    mine = {spi: one.keymat for spi, one in listener.data.items()}
    return mine == data and held is not None and held.keymat == rekey.keymat
