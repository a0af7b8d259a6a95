"""Registration to a group, in GSA_AUTH and GSA_REGISTRATION (RFC 9838 section 2.3).

HDR, SK{IDg, [SAg,] [N(GROUP_SENDER),] [N]}  -->
                        <--  HDR, SK{GSA, KD, [N]}
HDR, SK{IDg, N(NO_PROPOSAL_CHOSEN | REGISTRATION_FAILED)}  -->
                        <--  HDR, SK{}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gcks.errors import InvalidGroupId, InvalidSyntax, NoProposalChosen, RefusalReason
from gcks.group.usage import read_usage
from gcks.iana import ExchangeType, NotifyType
from gcks.ike.legality import Contents, Rule
from gcks.keyserver.groups.group import Group
from gcks.keyserver.groups.registration import Registration, RegistrationRequest
from gcks.keyserver.ike_sa import Established
from gcks.wire.identification import IDg
from gcks.wire.notify import Notify
from gcks.wire.sa import SecurityAssociation

REQUEST: Final = Rule(ExchangeType.GSA_REGISTRATION, is_response=False)

_LEAVING: Final = (NotifyType.NO_PROPOSAL_CHOSEN, NotifyType.REGISTRATION_FAILED)
_COUNT_OCTETS: Final = 4


def find_group(groups: Mapping[str, Group], contents: Contents) -> Group:
    """Return the group that IDg names.  Raises `InvalidGroupId`."""
    name = str(contents.one(IDg).identity)
    group = groups.get(name)
    if group is None:
        raise InvalidGroupId(
            f"there is no group {name}", RefusalReason.UNKNOWN_GROUP, hint="compare the group IDs"
        )
    return group


def register(group: Group, contents: Contents, sa: Established, now: float) -> Registration:
    """Register the authenticated GM of an IKE SA.  Raises `PeerError`s of the group."""
    if not sa.wrap.kwa:
        raise NoProposalChosen(
            "the IKE SA has no Key Wrap Algorithm",
            RefusalReason.NO_KEY_WRAP,
            hint="offer KWA transforms in IKE_SA_INIT",
        )
    sender, count = _sender_request(contents)
    sag = contents.maybe(SecurityAssociation)
    reassembles = sa.channel.fragment_octets is not None
    host = sa.path.remote.host
    request = RegistrationRequest(
        sa.identity,
        host,
        sender,
        count,
        sag,
        reassembles,
        sa.certificate_ends,
        sa.certificates,
        read_usage(contents.all(Notify)),
    )
    return group.register(request, sa.wrap, now)


def leaving_cause(contents: Contents) -> str | None:
    """Return the name of the notification by which a GM leaves, or None (section 2.3.2)."""
    for kind in _LEAVING:
        if contents.notify(kind) is not None:
            return str(kind)
    return None


def _sender_request(contents: Contents) -> tuple[bool, int]:
    """GROUP_SENDER: exactly 4 octets of count (section 4.7.4)."""
    notify = contents.notify(NotifyType.GROUP_SENDER)
    if notify is None:
        return False, 0
    if len(notify.data) != _COUNT_OCTETS or notify.protocol or notify.spi:
        raise InvalidSyntax("GROUP_SENDER must hold a count of 4 octets and no SPI")
    return True, int.from_bytes(notify.data, "big")
