"""GSA_REGISTRATION as the initiator: further groups, leaving, refusing (RFC 9838 section 2.3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gcks.iana import ExchangeType, NotifyType
from gcks.ike.legality import Contents, Rule, check
from gcks.member.settings import GroupMembership
from gcks.wire.identification import Identity, IDg
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload

COUNT_OCTETS: Final = 4


def registration_payloads(
    membership: GroupMembership, announced: Sequence[Payload]
) -> tuple[Payload, ...]:
    """Return IDg, [SAg,] [N,] [N(GROUP_SENDER)], as in GSA_AUTH and GSA_REGISTRATION.

    `announced`: SAg and what is said beside it.
    """
    payloads: list[Payload] = [IDg(membership.id), *announced]
    if membership.sender:
        # Section 4.7.4: a sender MUST say so; the count has 4 octets.
        count = membership.sender_ids.to_bytes(COUNT_OCTETS, "big")
        payloads.append(Notify(NotifyType.GROUP_SENDER, count))
    return tuple(payloads)


def departure_payloads(group: Identity, reason: NotifyType) -> tuple[Payload, ...]:
    """Leave (REGISTRATION_FAILED) or refuse the policy (NO_PROPOSAL_CHOSEN)."""
    return (IDg(group), Notify(reason))


def read_response(payloads: Sequence[Payload], *, refused: bool) -> Contents:
    """Check a response against its table."""
    rule = Rule(ExchangeType.GSA_REGISTRATION, is_response=True, is_error=refused)
    return check(rule, payloads)
