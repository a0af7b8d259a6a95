"""What an operator decides for a group: frozen records, no secrets, no state.

`gcks.keyserver.groups.rules` says what RFC 9838 forbids in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

from gcks.crypto.signature import ALGORITHMS
from gcks.datagrams import Endpoint
from gcks.group.counter_mode import uses_counter
from gcks.group.usage import TUNNEL
from gcks.iana import GcAuth, Integ, ProtocolId, Sn, TransformType
from gcks.wire.identification import Identity
from gcks.wire.traffic_selector import UDP, TrafficSelector
from gcks.wire.transform import Transform

MANY: Final = "many"
SINGLE: Final = "single"
IMPLICIT: Final = "implicit"
SIMPLE: Final = "simple"
LKH: Final = "lkh"
MAX_SELECTORS: Final = 4096
"""Kept of the addresses of Rekey SAs; each takes some 200 octets."""

SIGNATURE_ALGORITHM: Final = {
    "ed25519": "ed25519",
    "ecdsa-p256": "ecdsa-sha256",
    "ecdsa-p384": "ecdsa-sha384",
    "rsa-pss": "rsa-pss-sha256",
}
"""Rekey authentication by digital signature: kind of key -> signature algorithm."""


def _given(*transforms: Transform | None) -> tuple[Transform, ...]:
    """Return what there is; INTEG NONE beside an AEAD cipher is left out (section 4.4.2.1)."""
    none = (TransformType.INTEG, Integ.NONE)
    return tuple(t for t in transforms if t is not None and (t.type, t.id) != none)


@dataclass(frozen=True, slots=True)
class DataSaPolicy:
    """One Data-Security SA; renewed under the same name for ever."""

    name: str
    protocol: ProtocolId
    encr: Transform | None
    integ: Transform | None
    source: TrafficSelector
    destination: TrafficSelector
    lifetime_seconds: int = 3600
    senders: str = MANY
    sender: str | None = None
    """Identity, in text form, of the single sender."""
    replay_protection: bool = True
    """Only single-sender SAs can have it (RFC 9838 section 2.6)."""
    renew_seconds: int | None = None
    """Age at which it is renewed; None: early enough before its lifetime ends."""
    security_label: str = ""
    """What traffic must be labeled with, in ASCII (RFC 9478); "": any traffic."""

    @property
    def label(self) -> bytes:
        """The security label as it is sent: with the NUL that ends it.

        The octets are opaque to IKE, but Linux implementations take the text of an
        LSM with its NUL, as it goes to the kernel; libreswan refuses others.
        """
        return self.security_label.encode("ascii") + b"\0" if self.security_label else b""

    @property
    def sequential(self) -> bool:
        """Tell whether receivers check sequence numbers (RFC 9838 section 2.6)."""
        return self.senders == SINGLE and self.replay_protection

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """The transforms of the GSA policy, in the order they are sent."""
        sn = Sn.SEQUENTIAL_32 if self.sequential else Sn.UNSPECIFIED_32
        return _given(self.encr, self.integ, Transform(TransformType.SN, sn))

    @property
    def counter_mode(self) -> bool:
        """Tell whether Sender-IDs are needed (RFC 9838 section 2.5)."""
        return uses_counter(self.transforms)

    def may_send(self, identity: str) -> bool:
        """Tell whether an authorized sender is one on this SA."""
        return self.senders == MANY or identity == self.sender


@dataclass(frozen=True, slots=True)
class RekeyPolicy:
    """The Rekey SA and how GSA_REKEY messages are sent."""

    encr: Transform
    integ: Transform | None
    kwa: int
    authentication: str
    """"implicit", or a key of SIGNATURE_ALGORITHM."""
    source: Endpoint
    destination: Endpoint
    lifetime_seconds: int = 86400
    copies: int = 3
    spread_seconds: float = 2.0
    interface: str | None = None
    ttl: int = 1
    fragment_octets: int | None = 1200
    """GSA_REKEY messages above it go out in fragments, if every GM takes them; None: never."""
    renew_seconds: int | None = None
    """Age at which it is renewed; None: early enough before its lifetime ends."""
    auth_key_seconds: int | None = None
    """Age at which the key that signs is replaced, with the next new Rekey SA; None: never."""
    reminders: bool = True
    """Whether the current state is told again to who has missed all copies of a rekey."""

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """What GSA_REKEY may carry: all but GCAUTH (RFC 9838 section 4.4.2.1)."""
        return _given(self.encr, self.integ, Transform(TransformType.KWA, self.kwa))

    @property
    def gcauth(self) -> Transform:
        """The GCAUTH transform, sent at registration only (section 4.4.2.1.1)."""
        name = SIGNATURE_ALGORITHM.get(self.authentication)
        if name is None:
            return Transform(TransformType.GCAUTH, GcAuth.IMPLICIT)
        identifier = ALGORITHMS[name].identifier
        return Transform(
            TransformType.GCAUTH, GcAuth.DIGITAL_SIGNATURE, signature_algorithm=identifier
        )

    @property
    def selectors(self) -> tuple[TrafficSelector, TrafficSelector]:
        """Source and destination Traffic Selector (ruling 25: UDP)."""
        return _selector(self.source), _selector(self.destination)


@lru_cache(MAX_SELECTORS)
def _selector(endpoint: Endpoint) -> TrafficSelector:
    """Return what selects one UDP port of a host; every rekey asks for the same two."""
    return TrafficSelector.single(endpoint.host, UDP, endpoint.port)


@dataclass(frozen=True, slots=True)
class MemberRule:
    """Who may join, and whether as a sender; the pattern is a glob on the text form."""

    identity: str
    send: bool = False
    receive: bool = True


@dataclass(frozen=True, slots=True)
class GroupPolicy:
    """One group."""

    id: Identity
    data_sas: tuple[DataSaPolicy, ...]
    rekey: RekeyPolicy | None
    members: tuple[MemberRule, ...]
    mode: str = TUNNEL
    atd_seconds: int = 5
    dtd_seconds: int = 15
    sender_id_bits: int = 16
    max_sender_ids_per_request: int = 16
    capacity: int = 1_000_000
    expected_members: int = 0
    """How many there should be, for alerts; 0: nobody knows."""
    evaluate_sag: bool = True
    inband_senders: bool = False
    """Senders are rekeyed over their IKE SAs, receivers by multicast (RFC 9838 section 2.4).

    Without a Rekey SA all GMs are.
    """
    key_management: str = SIMPLE
    """How keys are wrapped for those rekeyed by multicast: under GSK_w, or by a key tree (LKH)."""
    exclusion_window_seconds: float = 1.0
    """How long exclusions wait for others, to share a message."""
    forward_access: bool = False
    """Whether who leaves is shut out as if excluded (RFC 9838 section 3.2.1)."""
    backward_access: bool = False
    """Whether who joins must not read what was sent before (RFC 9838 section 3)."""
    hide_policy: bool = False
    """Whether those shut out must not learn the new policy either: the KEK changes twice."""
    excluded: tuple[str, ...] = ()
    """Identities (globs on the text form) that are no members, whatever the rules say."""
    aggfrag: bool = False
    """All Data-Security SAs use aggregation and fragmentation mode (RFC 9838 section 6.3)."""
    ipcomp: str | None = None
    """IP compression inside of all Data-Security SAs; None: none."""
    name: str = field(init=False, compare=False, default="")
    """The group ID in text form."""
    _by_name: Mapping[str, DataSaPolicy] = field(
        init=False, compare=False, repr=False, default_factory=dict
    )

    _by_sender: Mapping[str, tuple[str, ...]] = field(
        init=False, compare=False, repr=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", str(self.id))
        object.__setattr__(self, "_by_sender", _by_sender(self.data_sas))
        object.__setattr__(self, "_by_name", {sa.name: sa for sa in self.data_sas})

    def sas_numbered_by(self, identity: str) -> tuple[str, ...]:
        """Return the names of the SAs on which only this GM's sequence numbers count."""
        return self._by_sender.get(identity, ())

    def data_sa(self, name: str) -> DataSaPolicy | None:
        """Return the Data-Security SA of that name."""
        return self._by_name.get(name)

    @property
    def counter_mode(self) -> bool:
        """Data-Security SAs only count (ruling 11)."""
        return any(sa.counter_mode for sa in self.data_sas)

    def is_inband(self, *, sender: bool) -> bool:
        """Tell whether such a GM is rekeyed by GSA_INBAND_REKEY."""
        return self.rekey is None or (sender and self.inband_senders)

    def rule_for(self, identity: str) -> MemberRule | None:
        """Return the first rule that names the identity, None where it is excluded."""
        if any(fnmatchcase(identity, glob) for glob in self.excluded):
            return None
        return next((r for r in self.members if fnmatchcase(identity, r.identity)), None)


def _by_sender(sas: Iterable[DataSaPolicy]) -> dict[str, tuple[str, ...]]:
    numbered: dict[str, tuple[str, ...]] = {}
    for sa in sas:
        if sa.sender is not None and sa.sequential:
            numbered[sa.sender] = (*numbered.get(sa.sender, ()), sa.name)
    return numbered
