"""What the operator decides for this member in one group, and what it makes of policies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gcks.group.usage import Usage
from gcks.member.building import Clock, SenderRole, build_data_sa, build_rekey_sa
from gcks.member.ceiling import Ceiling, check_policy
from gcks.member.held_sas import DataSa, RekeySa
from gcks.member.holding import Holding
from gcks.member.opening import DataSaKeys, OpenedGsa, RekeySaKeys
from gcks.member.settings import GroupMembership, MemberSettings
from gcks.wire.gsa import GroupSecurityAssociation


@dataclass(frozen=True, slots=True)
class Terms:
    """The membership in one group, and the settings that hold for all."""

    membership: GroupMembership
    settings: MemberSettings
    ceiling: Ceiling

    @property
    def name(self) -> str:
        """The group's identity."""
        return str(self.membership.id)

    def role(self, holding: Holding) -> SenderRole:
        """Return what this member is as a sender, with the Sender-IDs that it holds."""
        return SenderRole(
            self.membership.sender,
            self.membership.receive_own_data,
            self.settings.data_addresses or (self.settings.local.host,),
            holding.sender_ids,
            holding.sender_id_bits,
        )

    def check(self, gsa: GroupSecurityAssociation, usage: Usage, holding: Holding) -> None:
        """Accept a policy beside what is held.  Raises PolicyUnacceptable."""
        check_policy(self.ceiling, gsa, usage, data_sas_held=holding.count_others(gsa))

    def data_sas(
        self, holding: Holding, opened: Iterable[DataSaKeys], now: float
    ) -> tuple[DataSa, ...]:
        """Build the Data-Security SAs of one message: one generation, used as `holding` says."""
        generation, role, clock = holding.next_generation, self.role(holding), self._clock(now)
        return tuple(
            build_data_sa(
                keys,
                self.name,
                holding.usage,
                role,
                clock,
                generation=generation,
                atd_seconds=holding.atd_seconds,
            )
            for keys in opened
        )

    def usable(self, holding: Holding, opened: OpenedGsa) -> tuple[DataSaKeys, ...]:
        """Leave out what MUST NOT be installed without a Sender-ID (section 2.4.1.4)."""
        role = self.role(holding)
        return tuple(keys for keys in opened.data if not role.lacks_sender_id(keys.policy))

    def rekey_sa(self, opened: RekeySaKeys, now: float) -> RekeySa:
        """Build a Rekey SA.  Raises GsaInvalid."""
        return build_rekey_sa(opened, self.name, self.settings.interface, self._clock(now))

    def _clock(self, now: float) -> Clock:
        settings = self.settings
        return Clock(now, settings.soft_lifetime_fraction, settings.soft_margin_seconds)
