"""What a request to register says (RFC 9838 sections 2.3.2, 2.3.3, 4.7.4)."""

from __future__ import annotations

from typing import Final

from gcks.errors import InvalidSyntax, NoProposalChosen, RefusalReason
from gcks.group.usage import read_usage
from gcks.iana import NotifyType
from gcks.ike.legality import Contents
from gcks.keyserver.groups.registration import AdmissionRequest
from gcks.keyserver.ike_sa import Established
from gcks.wire.identification import IDg
from gcks.wire.notify import Notify
from gcks.wire.sa import SecurityAssociation

_LEAVING: Final = (NotifyType.NO_PROPOSAL_CHOSEN, NotifyType.REGISTRATION_FAILED)
_COUNT_OCTETS: Final = 4


def group_name(contents: Contents) -> str:
    """Return the group ID in text form."""
    return str(contents.one(IDg).identity)


def admission_request(contents: Contents, sa: Established) -> AdmissionRequest:
    """Return what the authenticated GM of an IKE SA asks of the group.

    Raises `NoProposalChosen` without a Key Wrap Algorithm, `InvalidSyntax`.
    """
    if not sa.kwa:
        raise NoProposalChosen(
            "the IKE SA has no Key Wrap Algorithm",
            RefusalReason.NO_KEY_WRAP,
            hint="offer KWA transforms in IKE_SA_INIT",
        )
    sender, count = _sender_request(contents)
    return AdmissionRequest(
        group=group_name(contents),
        identity=sa.identity,
        address=sa.path.remote.host,
        kwa=sa.kwa,
        sender=sender,
        sender_id_count=count,
        sag=contents.maybe(SecurityAssociation),
        reassembles=sa.channel.fragment_octets is not None,
        certificate_ends=sa.certificate_ends,
        certificates=sa.certificates,
        announced=read_usage(contents.all(Notify)),
    )


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
