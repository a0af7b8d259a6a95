"""Who may join a group, and as what (RFC 9838 sections 2.3.4 and 4.7.2)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from gcks.errors import AuthorizationFailed, RefusalReason
from gcks.keyserver.groups.policy import SINGLE, DataSaPolicy, GroupPolicy


@dataclass(frozen=True, slots=True)
class Role:
    """What a GM is in a group: the names of the SAs it sends on, and whether it receives."""

    sends_on: frozenset[str]
    receives: bool

    @property
    def is_sender(self) -> bool:
        return bool(self.sends_on)


def authorize(policy: GroupPolicy, identity: str, address: str, *, sender: bool) -> Role:
    """Decide a GM's role.  Raises `AuthorizationFailed` with the cause.

    A GM that wants to send and may not is refused, not made a silent receiver.
    """
    rule = policy.rule_for(identity)
    if rule is None:
        raise AuthorizationFailed(
            f"no members rule names {identity}",
            RefusalReason.NOT_A_MEMBER,
            hint="add a rule to the group's members",
        )
    if not sender:
        if not rule.receive:
            raise AuthorizationFailed(
                f"{identity} may only send, and did not ask to",
                RefusalReason.NOT_A_RECEIVER,
                hint="set send: true in the member's group, or receive: true in its members rule",
            )
        return Role(frozenset(), receives=True)
    if not rule.send:
        raise AuthorizationFailed(
            f"{identity} may not send",
            RefusalReason.NOT_A_SENDER,
            hint="set send: true in its members rule",
        )
    own = [sa for sa in policy.data_sas if sa.may_send(identity)]
    if not own:
        raise AuthorizationFailed(
            f"{identity} is the sender of no Data-Security SA",
            RefusalReason.NOT_A_SENDER,
            hint="name it under sender or each_of of an SA, or let many send on one",
        )
    for sa in own:
        _check_address(sa, identity, address)
    return Role(frozenset(sa.name for sa in own), rule.receive)


def _check_address(sa: DataSaPolicy, identity: str, address: str) -> None:
    """A single sender's SA is told by its source selector, so the address must fit it."""
    if sa.senders != SINGLE:
        return
    packed = ipaddress.ip_address(address).packed
    same_family = len(packed) == len(sa.source.start_address)
    if not same_family or not sa.source.start_address <= packed <= sa.source.end_address:
        raise AuthorizationFailed(
            f"{identity} sends on {sa.name} only from {sa.source}, but registers from {address}",
            RefusalReason.WRONG_ADDRESS,
            hint="register from the address in the SA's source selector",
        )
