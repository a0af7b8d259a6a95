"""The GSA that a member holds for one group: its SAs, and when each of them changes.

Everything here is decided already; `Holding` only keeps time.  An inbound SA
works at once, sending on a new SA begins after the Activation Time Delay, and
what is replaced goes after the Deactivation Time Delay (RFC 9838 section
4.4.3.1.1, RFC 5374 section 4.2.1).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

from gcks.crypto.encr import Cipher
from gcks.iana import ProtocolId
from gcks.ike.fragments import Reassembly
from gcks.member.data_plane import (
    ActivateSa,
    DataPlaneCommand,
    Direction,
    InstallSa,
    JoinMulticast,
    LeaveMulticast,
    RemoveSa,
)
from gcks.member.key_path import KeyPath
from gcks.wire.gsa import GroupWidePolicy
from gcks.wire.traffic_selector import TrafficSelector
from gcks.wire.transform import Transform

MAX_REKEY_SAS: Final = 4
"""Rekey SAs held at one time: the current one and those in their DTD."""
MAX_NEXT_SPIS: Final = 16
"""GSA_NEXT_SPI values remembered per group."""

MAX_PAST_SPIS: Final = 8
"""Rekey SAs remembered after their end."""

SaKey = tuple[ProtocolId, bytes]


@dataclass(frozen=True, slots=True)
class DataSa:
    """One Data-Security SA; times are monotonic seconds, `inf` for never."""

    install: InstallSa
    generation: int
    """The message it came in: SAs of one message never replace each other."""
    soft_at: float
    hard_at: float
    activate_at: float
    """When sending begins; `inf` once active, and for an inbound SA."""
    active: bool = False
    remove_at: float = inf

    @property
    def key(self) -> SaKey:
        """What the SA is known by."""
        return (self.install.protocol, self.install.spi)

    @property
    def selectors(self) -> tuple[TrafficSelector, TrafficSelector, bytes]:
        """What the SA is for: two SAs with the same selectors and label replace each other."""
        return (self.install.source, self.install.destination, self.install.label)

    @property
    def ends_at(self) -> float:
        """When the SA is removed."""
        return min(self.hard_at, self.remove_at)


@dataclass(frozen=True, slots=True)
class Verifier:
    """How GSA_REKEY messages prove their origin (RFC 9838 section 4.4.2.1.1)."""

    gcauth: Transform
    auth_key: bytes | None
    """SubjectPublicKeyInfo DER; None for implicit authentication."""


@dataclass(frozen=True, slots=True)
class RekeySa:
    """One Rekey SA, inbound only (section 2.3.3)."""

    spi: bytes
    """16 octets."""
    cipher: Cipher = field(repr=False)
    kwa: int
    gsk_w: bytes = field(repr=False)
    join: JoinMulticast
    next_message_id: int
    """The least Message ID that is new."""
    soft_at: float
    hard_at: float
    remove_at: float = inf
    last_datagram: bytes = field(default=b"", repr=False)
    """To tell the copies of the last message from replays; b"" where it came in fragments."""
    reassembly: Reassembly = field(default_factory=Reassembly, compare=False, repr=False)

    @property
    def ends_at(self) -> float:
        """When the SA is removed."""
        return min(self.hard_at, self.remove_at)


class Holding:
    """What one group has given this member; empty before registration."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.verifier: Verifier | None = None
        self.path: KeyPath = ()
        self.sender_ids: tuple[int, ...] = ()
        self.sender_id_bits: int | None = None
        self.next_rekey_spis: tuple[bytes, ...] = ()
        self.atd_seconds = 0
        self.dtd_seconds = 0
        self.current_rekey_spi: bytes | None = None
        self._data: dict[SaKey, DataSa] = {}
        self._rekey: dict[bytes, RekeySa] = {}
        self._generation = 0
        self._past: deque[bytes] = deque(maxlen=MAX_PAST_SPIS)
        self._begun = False

    # --- looking ---------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Tell whether a registration still counts.

        With a Rekey SA it does until the last SA is over.  Without, the IKE SA tells all
        changes, also that there are SAs again.
        """
        return self._begun and (self.verifier is None or bool(self._data or self._rekey))

    @property
    def data_sas(self) -> tuple[DataSa, ...]:
        """All Data-Security SAs, oldest first."""
        return tuple(self._data.values())

    @property
    def current_rekey(self) -> RekeySa | None:
        """The Rekey SA that new messages come over."""
        return self._rekey.get(self.current_rekey_spi or b"")

    def rekey_sa(self, spi: bytes) -> RekeySa | None:
        """Return the Rekey SA of that 16-octet SPI, the current one or one in its DTD."""
        return self._rekey.get(spi)

    def is_past_rekey_sa(self, spi: bytes) -> bool:
        """Tell whether it is a Rekey SA that was replaced: late copies over it are nothing new."""
        return spi in self._past

    def next_change(self) -> float:
        """Return when `advance` has something to do next."""
        times = [time for sa in self._data.values() for time in (sa.ends_at, sa.activate_at)]
        times += [sa.ends_at for sa in self._rekey.values()]
        return min(times, default=inf)

    def next_soft_expiry(self) -> float:
        """Return when `soft_expiry` has something to say."""
        times = [sa.soft_at for sa in self._data.values() if not self._is_replaced(sa)]
        current = self.current_rekey
        if current is not None:
            times.append(current.soft_at)
        return min(times, default=inf)

    def soft_expiry(self, now: float) -> tuple[str, float] | None:
        """Name the SA that is about to expire, not replaced (section 2.4.1.4), and its end."""
        for sa in self._data.values():
            if sa.soft_at <= now and not self._is_replaced(sa):
                name = f"{sa.install.protocol} SA {sa.install.spi.hex()}"
                return f"{name} is about to expire", sa.hard_at
        current = self.current_rekey
        if current is not None and current.soft_at <= now:
            return f"Rekey SA {current.spi.hex()} is about to expire", current.hard_at
        return None

    def next_gap(self) -> float:
        """Return when the first Data-Security SA ends that nothing replaces."""
        times = [sa.hard_at for sa in self._data.values() if not self._is_replaced(sa)]
        return min(times, default=inf)

    def _is_replaced(self, old: DataSa) -> bool:
        """Tell whether another SA for the same traffic is newer, or lives longer.

        A registration may bring a replaced SA in its last seconds beside its
        successor, for the packets that are still under way.
        """
        return old.remove_at < inf or any(
            (new.generation > old.generation or new.hard_at > old.hard_at)
            and new.selectors == old.selectors
            for new in self._data.values()
        )

    def remember_delays(self, group_wide: GroupWidePolicy) -> None:
        """Keep ATD and DTD; one that wasn't sent means no delay (section 4.4.3.1.1)."""
        self.atd_seconds = group_wide.atd_seconds or 0
        self.dtd_seconds = group_wide.dtd_seconds or 0

    def registered(self, verifier: Verifier | None) -> None:
        """Begin, or go on, as a registration says; None: there is no Rekey SA."""
        self.verifier, self._begun = verifier, True

    # --- Data-Security SAs ------------------------------------------------------

    def begin(self) -> int:
        """Open a new generation: the SAs of one message."""
        self._generation += 1
        return self._generation

    def install(self, sas: Iterable[DataSa]) -> Iterator[DataPlaneCommand]:
        """Install; an SA already held under the same keys goes on undisturbed.

        Its sequence numbers and its Sender-IDs stay in use, so nothing repeats.
        """
        for new in sas:
            old = self._data.pop(new.key, None)
            if old is not None and _same_sa(old, new):
                self._data[new.key] = replace(
                    new, install=old.install, active=old.active, activate_at=old.activate_at
                )
                continue
            if old is not None:
                yield RemoveSa(self.group, *new.key)
            yield new.install
            self._data[new.key] = new

    def retire(self, keys: Iterable[SaKey], at: float) -> int:
        """Remove these SAs at that time, sooner if they end sooner; count those held."""
        held = [key for key in keys if key in self._data]
        for key in held:
            sa = self._data[key]
            self._data[key] = replace(sa, remove_at=min(sa.remove_at, at))
        return len(held)

    # --- Rekey SAs ---------------------------------------------------------------

    def install_rekey(self, sa: RekeySa) -> Iterator[DataPlaneCommand]:
        """Make this the current Rekey SA."""
        # Ruling 7: Message IDs are compared under the same SPI only, and never go back.
        joined = any(_address(held) == _address(sa) for held in self._rekey.values())
        old = self._rekey.pop(sa.spi, None)
        if old is not None and old.next_message_id > sa.next_message_id:
            sa = replace(sa, next_message_id=old.next_message_id, last_datagram=old.last_datagram)
        self._rekey[sa.spi] = sa
        self.current_rekey_spi = sa.spi
        if not joined:
            yield sa.join
        if old is not None:
            yield from self._leave(old)
        while len(self._rekey) > MAX_REKEY_SAS:
            yield from self._drop_rekey(next(iter(self._rekey)))

    def retire_rekey(self, at: float, *, current: bool = False) -> None:
        """Remove every Rekey SA but the current one, or it too, at that time (ruling 28)."""
        for spi, sa in self._rekey.items():
            if current or spi != self.current_rekey_spi:
                self._rekey[spi] = replace(sa, remove_at=min(sa.remove_at, at))

    def retire_one_rekey(self, spi: bytes, at: float) -> None:
        """Remove this Rekey SA at that time, if it is held."""
        sa = self._rekey.get(spi)
        if sa is not None:
            self._rekey[spi] = replace(sa, remove_at=min(sa.remove_at, at))

    @property
    def rekey_deleted(self) -> bool:
        """Tell whether the current Rekey SA goes without a successor."""
        current = self.current_rekey
        return current is None or current.remove_at < inf

    def accepted(self, spi: bytes, message_id: int, datagram: bytes) -> None:
        """Note a valid GSA_REKEY: only greater Message IDs are new from now on."""
        self._rekey[spi] = replace(
            self._rekey[spi], next_message_id=message_id + 1, last_datagram=datagram
        )

    def _drop_rekey(self, spi: bytes) -> Iterator[DataPlaneCommand]:
        sa = self._rekey.pop(spi)
        self._past.append(spi)
        if self.current_rekey_spi == spi:
            self.current_rekey_spi = None
        yield from self._leave(sa)

    def _leave(self, sa: RekeySa) -> Iterator[DataPlaneCommand]:
        if all(_address(other) != _address(sa) for other in self._rekey.values()):
            yield LeaveMulticast(self.group, sa.join.address, sa.join.port, sa.join.interface)

    # --- time --------------------------------------------------------------------

    def advance(self, now: float) -> Iterator[DataPlaneCommand]:
        """Do what is due: begin to send on new SAs, remove what is over."""
        for sa in self.data_sas:
            if sa.activate_at <= now and sa.ends_at > now:
                yield self._activate(sa)
        for sa in self.data_sas:
            if sa.ends_at <= now:
                del self._data[sa.key]
                yield RemoveSa(self.group, *sa.key)
        for rekey in tuple(self._rekey.values()):
            if rekey.ends_at <= now:
                yield from self._drop_rekey(rekey.spi)

    def _activate(self, new: DataSa) -> ActivateSa:
        self._data[new.key] = replace(new, active=True, activate_at=inf)
        stopped = []
        for old in self.data_sas:
            if old.generation < new.generation and old.selectors == new.selectors:
                self._data[old.key] = replace(old, active=False, activate_at=inf)
                if old.active and old.install.protocol == new.install.protocol:
                    stopped.append(old.install.spi)
        return ActivateSa(self.group, *new.key, replaces=tuple(stopped))

    def clear(self) -> Sequence[DataPlaneCommand]:
        """Give up everything at once: the member is excluded, or leaves."""
        commands: list[DataPlaneCommand] = [RemoveSa(self.group, *key) for key in self._data]
        self._data.clear()
        for spi in tuple(self._rekey):
            commands.extend(self._drop_rekey(spi))
        self.verifier, self._begun = None, False
        self.path = ()
        self.sender_ids = ()
        self.sender_id_bits = None
        self.next_rekey_spis = ()
        return commands


def _same_sa(old: DataSa, new: DataSa) -> bool:
    """Compare all but Sender-IDs and remaining lifetime."""
    return (
        replace(
            new.install,
            sender_ids=old.install.sender_ids,
            sender_id_bits=old.install.sender_id_bits,
            lifetime_seconds=old.install.lifetime_seconds,
        )
        == old.install
    )


def _address(sa: RekeySa) -> tuple[str, int, str | None]:
    return (sa.join.address, sa.join.port, sa.join.interface)


def sends(direction: Direction) -> bool:
    """Tell whether an SA of that direction is used for sending."""
    return direction is not Direction.IN
