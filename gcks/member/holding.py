"""The GSA that a member holds for one group: its SAs, and when each of them changes.

A `Holding` is a value.  Whatever is to change is first decided on a copy, so that an error
on the way leaves what is held as it was; `gcks.member.difference` says what the data plane
has to do where one takes the place of another.

An inbound SA works at once, sending on a new SA begins after the Activation Time Delay, and
what is replaced goes after the Deactivation Time Delay (RFC 9838 section 4.4.3.1.1,
RFC 5374 section 4.2.1).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

from gcks.group.usage import Usage
from gcks.member.held_sas import DataSa, RekeySa, Selectors
from gcks.member.key_path import KeyPath
from gcks.member.opening import SaKey
from gcks.member.verifier import Verifier
from gcks.wire.gsa import GroupSecurityAssociation, GroupWidePolicy

MAX_REKEY_SAS: Final = 4
"""Rekey SAs held at one time: the current one and those in their DTD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What one group has given this member."""

    usage: Usage = field(default_factory=Usage)
    """As the last registration said; no GSA_REKEY changes it (section 2.3.4)."""
    verifier: Verifier | None = None
    """None: there is no Rekey SA, changes are told over the IKE SA."""
    path: KeyPath = field(default=(), repr=False)
    sender_ids: tuple[int, ...] = ()
    sender_id_bits: int | None = None
    atd_seconds: int = 0
    dtd_seconds: int = 0
    data_sas: tuple[DataSa, ...] = ()
    """All Data-Security SAs, oldest first."""
    current_rekey: RekeySa | None = None
    """The Rekey SA that new messages come over."""
    replaced_rekeys: tuple[RekeySa, ...] = ()
    """Those in their DTD, oldest first."""
    next_rekey_spis: tuple[bytes, ...] = ()

    # --- looking ---------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Tell whether the registration still counts.

        With a Rekey SA it does until the last SA is over.  Without, the IKE SA tells all
        changes, also that there are SAs again.
        """
        return self.verifier is None or bool(self.data_sas or self.rekey_sas)

    @property
    def rekey_sas(self) -> tuple[RekeySa, ...]:
        """All Rekey SAs, the current one last."""
        current = self.current_rekey
        return self.replaced_rekeys if current is None else (*self.replaced_rekeys, current)

    def rekey_sa(self, spi: bytes) -> RekeySa | None:
        """Return the Rekey SA of that 16-octet SPI, the current one or one in its DTD."""
        return next((sa for sa in self.rekey_sas if sa.spi == spi), None)

    @property
    def rekey_deleted(self) -> bool:
        """Tell whether the current Rekey SA goes without a successor."""
        return self.current_rekey is None or self.current_rekey.remove_at < inf

    @property
    def next_generation(self) -> int:
        """A number for the SAs of the next message."""
        return 1 + max((sa.generation for sa in self.data_sas), default=0)

    def count_others(self, gsa: GroupSecurityAssociation) -> int:
        """Count the Data-Security SAs held beside those of the payload."""
        new = {(policy.protocol, policy.spi) for policy in gsa.policies}
        return sum(sa.key not in new for sa in self.data_sas)

    def next_change(self) -> float:
        """Return when `advanced` has something to do next; `inf` for never."""
        times = [time for sa in self.data_sas for time in (sa.ends_at, sa.activate_at)]
        times += [sa.ends_at for sa in self.rekey_sas]
        return min(times, default=inf)

    def next_soft_expiry(self) -> float:
        """Return when `soft_expiry` has something to say; `inf` for never."""
        times = [sa.soft_at for sa in self._unreplaced()]
        if self.current_rekey is not None:
            times.append(self.current_rekey.soft_at)
        return min(times, default=inf)

    def soft_expiry(self, now: float) -> tuple[str, float] | None:
        """Name the SA that is about to expire, not replaced (section 2.4.1.4), and its end."""
        for sa in self._unreplaced():
            if sa.soft_at <= now:
                name = f"{sa.install.protocol} SA {sa.install.spi.hex()}"
                return f"{name} is about to expire", sa.hard_at
        current = self.current_rekey
        if current is not None and current.soft_at <= now:
            return f"Rekey SA {current.spi.hex()} is about to expire", current.hard_at
        return None

    def next_gap(self) -> float:
        """Return when the first Data-Security SA ends that nothing replaces; `inf` for never."""
        return min((sa.hard_at for sa in self._unreplaced()), default=inf)

    def _unreplaced(self) -> list[DataSa]:
        """Return the SAs without another for the same traffic that is newer, or lives longer.

        A registration may bring a replaced SA in its last seconds beside its
        successor, for the packets that are still under way.
        """
        newest: dict[Selectors, int] = {}
        longest: dict[Selectors, float] = {}
        for sa in self.data_sas:
            newest[sa.selectors] = max(sa.generation, newest.get(sa.selectors, 0))
            longest[sa.selectors] = max(sa.hard_at, longest.get(sa.selectors, 0.0))
        return [
            sa
            for sa in self.data_sas
            if sa.remove_at == inf
            and sa.generation == newest[sa.selectors]
            and sa.hard_at == longest[sa.selectors]
        ]

    # --- what it becomes: each returns another Holding --------------------------------

    def with_delays(self, group_wide: GroupWidePolicy) -> Holding:
        """Keep ATD and DTD; one that wasn't sent means no delay (section 4.4.3.1.1)."""
        return replace(
            self,
            atd_seconds=group_wide.atd_seconds or 0,
            dtd_seconds=group_wide.dtd_seconds or 0,
        )

    def with_data(self, new: Iterable[DataSa]) -> Holding:
        """Hold these, too, or in the place of those with the same SPIs."""
        held = {sa.key: sa for sa in self.data_sas}
        for sa in new:
            held[sa.key] = sa.following(held.pop(sa.key, None))
        return replace(self, data_sas=tuple(held.values()))

    def without_data(self, keys: Collection[SaKey], at: float) -> Holding:
        """Remove these SAs at that time, sooner if they end sooner."""
        sas = (sa.removed_at(at) if sa.key in keys else sa for sa in self.data_sas)
        return replace(self, data_sas=tuple(sas))

    def with_rekey(self, new: RekeySa) -> Holding:
        """Make this the current Rekey SA."""
        # Ruling 7: Message IDs are compared under the same SPI only, and never go back.
        old = self.rekey_sa(new.spi)
        if old is not None and old.next_message_id > new.next_message_id:
            new = replace(new, next_message_id=old.next_message_id, last_datagram=old.last_datagram)
        others = [sa for sa in self.rekey_sas if sa is not old]
        return replace(self, current_rekey=new, replaced_rekeys=tuple(others[1 - MAX_REKEY_SAS :]))

    def without_replaced_rekeys(self, at: float) -> Holding:
        """Remove every Rekey SA but the current one at that time (ruling 28)."""
        return self.without_rekeys([sa.spi for sa in self.replaced_rekeys], at)

    def without_rekeys(self, spis: Collection[bytes], at: float) -> Holding:
        """Remove these Rekey SAs at that time, as far as they are held."""
        current = self.current_rekey
        if current is not None and current.spi in spis:
            current = current.removed_at(at)
        replaced = (sa.removed_at(at) if sa.spi in spis else sa for sa in self.replaced_rekeys)
        return replace(self, current_rekey=current, replaced_rekeys=tuple(replaced))

    def with_message(self, message_id: int, datagram: bytes) -> Holding:
        """Note a valid GSA_REKEY: only greater Message IDs are new from now on."""
        if self.current_rekey is None:
            return self
        heard = replace(self.current_rekey, next_message_id=message_id + 1, last_datagram=datagram)
        return replace(self, current_rekey=heard)

    def advanced(self, now: float) -> Holding:
        """Do what is due: begin to send on new SAs, remove what is over."""
        if self.next_change() > now:
            return self
        current = self.current_rekey
        return replace(
            self,
            data_sas=tuple(sa for sa in self._activated(now) if sa.ends_at > now),
            current_rekey=current if current is not None and current.ends_at > now else None,
            replaced_rekeys=tuple(sa for sa in self.replaced_rekeys if sa.ends_at > now),
        )

    def _activated(self, now: float) -> Iterable[DataSa]:
        """Send on what is due; what is older and for the same traffic is no longer sent on."""
        sas = {sa.key: sa for sa in self.data_sas}
        for new in self.data_sas:
            if new.activate_at <= now < new.ends_at:
                for old in self.data_sas:
                    if old.generation < new.generation and old.selectors == new.selectors:
                        sas[old.key] = replace(sas[old.key], active=False, activate_at=inf)
                sas[new.key] = replace(new, active=True, activate_at=inf)
        return sas.values()


NOTHING: Final = Holding()
"""Held before a registration, and after an exclusion."""
