"""How a group's Data-Security SAs are used, beyond their policies: mode, AGGFRAG, IPComp.

The GCKS says it in notifications beside GSA, for all Data-Security SAs of the
group at once (RFC 9838 sections 2.3.4 and 6.3); a GM announces what it can do
beside SAg (sections 2.3.3 and 6.3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from gcks.errors import InvalidSyntax, WireError
from gcks.iana import IpcompTransform, NotifyType
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from gcks.wire.sa_usage import AggFrag, IpComp, decode_aggfrag, decode_ipcomp

T = TypeVar("T")

TUNNEL: Final = "tunnel"
TRANSPORT: Final = "transport"

IPCOMP: Final = {"deflate": IpcompTransform.IPCOMP_DEFLATE}
"""What a policy can name: Linux and strongSwan, too, have nothing for LZS and LZJH."""

ANNOUNCED_CPI: Final = 0
"""In requests the CPI is zero (section 2.3.3)."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the notifications of one message say."""

    mode: str = TUNNEL
    aggfrag: AggFrag | None = None
    ipcomp: tuple[IpComp, ...] = ()
    """Of a GCKS one at most; of a GM what it can do."""

    def notifies(self) -> tuple[Notify, ...]:
        """Return the notifications."""
        transport = (Notify(NotifyType.USE_TRANSPORT_MODE),) if self.mode == TRANSPORT else ()
        aggfrag = (self.aggfrag,) if self.aggfrag is not None else ()
        return (
            *transport,
            *(Notify(NotifyType.USE_AGGFRAG, content.encode()) for content in aggfrag),
            *(Notify(NotifyType.IPCOMP_SUPPORTED, content.encode()) for content in self.ipcomp),
        )


def read_usage(payloads: Iterable[Payload]) -> Usage:
    """Return what a message's notifications say.  Raises `InvalidSyntax`."""
    notifies = [payload for payload in payloads if isinstance(payload, Notify)]
    transport = any(notify.type == NotifyType.USE_TRANSPORT_MODE for notify in notifies)
    aggfrag = _read(notifies, NotifyType.USE_AGGFRAG, decode_aggfrag)
    if len(aggfrag) > 1:
        raise InvalidSyntax(f"{len(aggfrag)} USE_AGGFRAG notifications")
    return Usage(
        TRANSPORT if transport else TUNNEL,
        aggfrag[0] if aggfrag else None,
        _read(notifies, NotifyType.IPCOMP_SUPPORTED, decode_ipcomp),
    )


def _read(
    notifies: Iterable[Notify], kind: NotifyType, decode: Callable[[bytes], T]
) -> tuple[T, ...]:
    asked = [notify for notify in notifies if notify.type == kind]
    if any(notify.spi for notify in asked):
        raise InvalidSyntax(f"{kind} with an SPI")
    try:
        return tuple(decode(notify.data) for notify in asked)
    except WireError as error:
        raise InvalidSyntax(str(error)) from None
