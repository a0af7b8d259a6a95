"""A GCKS of a few lines, from the group's own functions: it makes what a member receives."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from gcks.crypto.key_wrap import wrap
from gcks.crypto.signature import SigningKey
from gcks.datagrams import Endpoint
from gcks.events import Event
from gcks.group.key_download import key_download, keymat_octets, rekey_keys
from gcks.group.rekey_message import Signer, build_rekey, envelope, rekey_cipher
from gcks.iana import Encr, GcAuth, Integ, Kwa, ProtocolId, Sn, TransformType
from gcks.member.ceiling import Ceiling
from gcks.member.change import MemberChange
from gcks.member.data_plane import DataPlaneCommand
from gcks.member.group_member import GroupMember
from gcks.member.key_path import PathKey
from gcks.member.opening import KeySource
from gcks.member.phases import AwaitingRekeys
from gcks.member.rekey import follow_rekey
from gcks.member.settings import GroupMembership, MemberSettings
from gcks.member.terms import Terms
from gcks.wire.delete import Delete
from gcks.wire.gsa import GroupSecurityAssociation, GroupWidePolicy, GsaPolicy
from gcks.wire.header import decode_header
from gcks.wire.identification import Identity
from gcks.wire.kd import KeyDownload, MemberKeyBag, WrappedKey
from gcks.wire.payloads import Payload
from gcks.wire.traffic_selector import TrafficSelector
from gcks.wire.transform import Transform

IKE_GSK_W = b"\x77" * 32
KWA = int(Kwa.KW_5649_256)
GCM = Transform(TransformType.ENCR, Encr.AES_GCM_16, 256)
CBC = Transform(TransformType.ENCR, Encr.AES_CBC, 256)
HMAC = Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128)
MANY = Transform(TransformType.SN, Sn.UNSPECIFIED_32)
SINGLE = Transform(TransformType.SN, Sn.SEQUENTIAL_32)
KW = Transform(TransformType.KWA, KWA)
GROUP = Identity.parse("keyid:demo")
MEMBER_ADDRESS = "192.0.2.7"
T = TypeVar("T")
DTD = 20
ATD = 5
ESP1, ESP2, ESP3 = b"\0\0\0\1", b"\0\0\0\2", b"\0\0\0\3"
"""The SPIs of `esp(1)` and so on."""
ALLOWING = Ceiling(allow_implicit_authentication=True)


def esp(
    spi: int,
    *,
    cbc: bool = False,
    source: str | None = None,
    destination: str = "239.1.2.3",
    lifetime: int = 3600,
) -> GsaPolicy:
    """Make the policy of an ESP SA, for many senders unless `source` names the only one."""
    selector = TrafficSelector.single(source, 17, 0) if source else TrafficSelector.any(4, 17)
    numbers = SINGLE if source else MANY
    return GsaPolicy(
        ProtocolId.ESP,
        spi.to_bytes(4, "big"),
        selector,
        TrafficSelector.single(destination, 17, 5004),
        (CBC, HMAC, numbers) if cbc else (GCM, numbers),
        lifetime,
    )


@dataclass
class LittleGcks:
    """Keeps one Rekey SA and signs."""

    key: SigningKey = field(default_factory=lambda: SigningKey.generate("ed25519"))
    rekey_spi: bytes = b"\x05" * 16
    message_id: int = 0
    lifetime: int = 86400
    implicit: bool = False
    keymats: dict[bytes, bytes] = field(default_factory=dict)
    address: str = "239.255.84.8"
    next_spis: tuple[bytes, ...] = ()

    @property
    def gcauth(self) -> Transform:
        if self.implicit:
            return Transform(TransformType.GCAUTH, GcAuth.IMPLICIT)
        identifier = self.key.algorithm().identifier
        return Transform(
            TransformType.GCAUTH, GcAuth.DIGITAL_SIGNATURE, signature_algorithm=identifier
        )

    @property
    def signer(self) -> Signer | None:
        return None if self.implicit else Signer(self.key, self.key.algorithm())

    @property
    def auth_key(self) -> bytes | None:
        return None if self.implicit else self.key.auth_key(self.key.algorithm())

    def rekey_policy(self, *, registration: bool = True) -> GsaPolicy:
        return GsaPolicy(
            ProtocolId.GIKE_UPDATE,
            self.rekey_spi,
            TrafficSelector.single("192.0.2.1", 17, 848),
            TrafficSelector.single(self.address, 17, 848),
            (GCM, KW, self.gcauth) if registration else (GCM, KW),
            self.lifetime,
            (self.message_id or None) if registration else None,
            self.next_spis,
        )

    def keymat(self, policy: GsaPolicy) -> bytes:
        return self.keymats.setdefault(policy.spi, os.urandom(keymat_octets(policy.transforms)))

    def _keys(self, policies: Sequence[GsaPolicy]) -> list[tuple[int, bytes, bytes]]:
        return [(policy.protocol, policy.spi, self.keymat(policy)) for policy in policies]

    def registration(
        self,
        *data: GsaPolicy,
        sender_ids: tuple[int, ...] = (),
        bits: int | None = None,
        rekey: bool = True,
        notifies: tuple[Payload, ...] = (),
    ) -> tuple[Payload, ...]:
        policies = (self.rekey_policy(), *data) if rekey else data
        wide = GroupWidePolicy(ATD, DTD, bits)
        return (
            GroupSecurityAssociation(policies, wide),
            key_download(
                self._keys(policies), IKE_GSK_W, self.auth_key if rekey else None, sender_ids
            ),
            *notifies,
        )

    def message(self, payloads: Sequence[Payload], *, spi: bytes | None = None) -> bytes:
        """Build the next GSA_REKEY over the current Rekey SA."""
        spi = spi or self.rekey_spi
        policy = self.rekey_policy()
        cipher = rekey_cipher(policy.transforms, rekey_keys(self.keymats[spi], policy))
        head = envelope(spi, self.message_id)
        self.message_id += 1
        (datagram,) = build_rekey(cipher, iter([os.urandom(8)]), head, payloads, self.signer)
        return datagram

    @property
    def gsk_w(self) -> bytes:
        return rekey_keys(self.keymats[self.rekey_spi], self.rekey_policy()).gsk_w

    def rekey(
        self,
        *data: GsaPolicy,
        deletes: tuple[Delete, ...] = (),
        new_rekey_spi: bytes | None = None,
        member_bags: tuple[MemberKeyBag, ...] = (),
        wide: GroupWidePolicy | None = None,
        notifies: tuple[Payload, ...] = (),
    ) -> bytes:
        """Build a GSA_REKEY with new SAs, over the current Rekey SA; move to the new one."""
        old, kwk = self.rekey_spi, self.gsk_w
        policies = data
        if new_rekey_spi is not None:
            self.rekey_spi = new_rekey_spi
            policies = (self.rekey_policy(registration=False), *data)
        kd = key_download(self._keys(policies), kwk)
        gsa = GroupSecurityAssociation(policies, wide)
        kd = KeyDownload(kd.group_bags, (*kd.member_bags, *member_bags))
        datagram = self.message((gsa, kd, *notifies, *deletes), spi=old)
        if new_rekey_spi is not None:
            self.message_id = 0
        return datagram


def delete(protocol: int, *spis: bytes) -> Delete:
    return Delete(protocol, len(spis[0]) if spis else 0, spis)


def wrapped(key_id: int, kwk_id: int, content: bytes, around: bytes) -> WrappedKey:
    return WrappedKey(key_id, kwk_id, wrap(around, content))


class Member:
    """A GroupMember with its outputs collected; time and jitter are given."""

    def __init__(
        self,
        *,
        sender: bool = False,
        receive_own_data: bool = False,
        ceiling: Ceiling | None = None,
        jitter_seconds: float | None = None,
    ) -> None:
        membership = GroupMembership(GROUP, sender, receive_own_data=receive_own_data)
        settings = MemberSettings(
            Identity.parse("fqdn:gm1.dev"),
            Endpoint("192.0.2.1", 500),
            Identity.parse("fqdn:gcks.dev"),
            Endpoint(MEMBER_ADDRESS, 500),
            (membership,),
            reregister_jitter_seconds=jitter_seconds,
        )
        terms = Terms(membership, settings, ceiling or Ceiling())
        self.group = GroupMember(terms, lambda limit: limit)
        self.commands: list[DataPlaneCommand] = []
        self.events: list[Event] = []

    def register(self, payloads: tuple[Payload, ...], now: float = 0.0) -> None:
        change = MemberChange()
        source = KeySource(KWA, IKE_GSK_W)
        self.group.accept_registration(payloads, source, now, change)
        self._take(change)

    def receive(self, datagram: bytes, now: float = 1.0) -> None:
        change = MemberChange()
        try:
            follow_rekey(self.group, datagram, decode_header(datagram), now, change)
        finally:
            self._take(change)

    def plant_path(self, *keys: PathKey) -> None:
        """Let the member hold that Working Key Path."""
        phase = self.group.phase
        assert isinstance(phase, AwaitingRekeys)
        self.group.phase = replace(phase, holding=replace(phase.holding, path=keys))

    def at(self, now: float) -> list[DataPlaneCommand]:
        """Let time come to `now`; return the commands that led to."""
        change = MemberChange()
        self.group.handle_timeout(now, change)
        self._take(change)
        return change.data_plane

    def _take(self, change: MemberChange) -> None:
        self.commands += change.data_plane
        self.events += change.events

    def of(self, kind: type[T]) -> list[T]:
        return [one for one in (*self.commands, *self.events) if isinstance(one, kind)]


def joined(*, sender: bool = False, gcks: LittleGcks | None = None) -> tuple[LittleGcks, Member]:
    """Register a member and let its first SA become active."""
    gcks = gcks or LittleGcks()
    member = Member(sender=sender, ceiling=ALLOWING if gcks.implicit else None)
    numbers = {"sender_ids": (3,), "bits": 8} if sender else {}
    member.register(gcks.registration(esp(1), **numbers))  # type: ignore[arg-type]
    member.at(ATD)
    member.commands.clear()
    member.events.clear()
    return gcks, member


def with_message_id(datagram: bytes, message_id: int) -> bytes:
    """Forge the Message ID of a datagram."""
    header = decode_header(datagram)
    return replace_header(datagram, header._replace(message_id=message_id).encode())


def replace_header(datagram: bytes, header: bytes) -> bytes:
    return header + datagram[len(header) :]
