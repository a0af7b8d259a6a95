"""Over how long re-registrations are spread: what a GCKS tells its GMs (RFC 9838 section 2.4.3).

The order of seconds suits most groups, says the RFC; in a large one a server would
still see everybody at once.  It alone knows how many there are and what each costs.

REREGISTRATION_SPREAD is a status notification of private use; its data:

 0                   1                   2                   3
 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|                    Seconds for all members                    |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|                      Seconds for senders                      |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

Senders have a number of their own so that they are back first: there are few of
them, and the others have nothing to receive before.  In registration responses a
Vendor ID goes with it (RFC 7296 section 3.12) and makes the private number mean
this; GSA_REKEY and GSA_INBAND_REKEY repeat the notification, so that it follows the
group's size.  Who doesn't know it ignores it (RFC 7296 section 3.10.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from struct import Struct
from typing import Final, NamedTuple

from gcks.iana import NotifyType
from gcks.wire.notify import Notify
from gcks.wire.payloads import Payload
from gcks.wire.vendor import VendorId

SPREAD_VENDOR: Final = VendorId(bytes.fromhex("f254f47bdb249aadeb1bad5a97bb75d8"))
"""The first 16 octets of SHA-256("gcks REREGISTRATION_SPREAD 1")."""

DEFAULT_COST_SECONDS: Final = 0.003
"""What a registration is taken to cost the server until it has measured some."""
SHARE_OF_SERVER: Final = 0.5
"""Of its one thread, for a group that registers again: rekeys and other groups go on."""
LEAST_SECONDS: Final = 5
LEAST_SENDER_SECONDS: Final = 1
MOST_SECONDS: Final = 7_200
"""What a server tells, and what a member believes, at most."""

_LAYOUT: Final = Struct(">II")


def default_cost() -> float:
    return DEFAULT_COST_SECONDS


class Spread(NamedTuple):
    """Seconds over which GMs are to come back, all of them and the senders among them."""

    all_seconds: int
    sender_seconds: int


def spread_of(members: int, senders: int, cost_seconds: float) -> Spread:
    """Return what a group of that size needs where one registration costs so much."""
    return Spread(
        _seconds(members, cost_seconds, LEAST_SECONDS),
        _seconds(senders, cost_seconds, LEAST_SENDER_SECONDS),
    )


def _seconds(count: int, cost_seconds: float, least: int) -> int:
    return min(MOST_SECONDS, max(least, ceil(count * cost_seconds / SHARE_OF_SERVER)))


def spread_notify(spread: Spread) -> Notify:
    """Return the notification."""
    return Notify(NotifyType.REREGISTRATION_SPREAD, _LAYOUT.pack(*spread))


def read_spread(payloads: Iterable[Payload]) -> Spread | None:
    """Return what the first well-formed notification tells, cut to what is believed."""
    for payload in payloads:
        if isinstance(payload, Notify) and _is_spread(payload):
            told = _LAYOUT.unpack(payload.data)
            return Spread._make(min(seconds, MOST_SECONDS) for seconds in told)
    return None


def _is_spread(notify: Notify) -> bool:
    well_formed = len(notify.data) == _LAYOUT.size and not notify.protocol and not notify.spi
    return well_formed and notify.type == NotifyType.REREGISTRATION_SPREAD
