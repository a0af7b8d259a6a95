"""Two states of each daemon, in which every metric has another value.

In the later one no number comes twice: no metric can stand in for another.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from gcks import events as e
from gcks.daemon.metrics import MemberMetrics, ServerMetrics
from gcks.datagrams import Awaited
from gcks.errors import DropReason, RefusalReason
from gcks.iana import ExchangeType, NotifyType, ProtocolId
from gcks.ike.credentials import Credentials
from gcks.keyserver.status import GroupStatus, ServerStatus
from gcks.member.status import DataSaStatus, MembershipStatus, MemberStatus
from tests.support.authority import DAY, NOW, Authority
from tests.support.event_samples import sample

GROUP = "keyid:demo"
WHICH = {"group": GROUP}
Times = tuple[tuple[e.Event, int], ...]


@dataclass(frozen=True)
class Ahead:
    """A POSIX time so many seconds from now."""

    seconds: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and abs(other - time.time() - self.seconds) < 5


def credentials(own_days: int, anchor_days: int) -> Credentials:
    ca = Authority(until=NOW + anchor_days * DAY)
    return Credentials(own=(ca.issue("gcks.dev", until=NOW + own_days * DAY),), trust=ca.trust)


def ends(days: int) -> float:
    return (NOW + days * DAY).timestamp()


CREDENTIALS = credentials(30, 365), credentials(20, 300)

# --- the server ---------------------------------------------------------------------------

GROUP_BEFORE = GroupStatus(
    group=GROUP,
    members=5,
    next_message_id=6,
    rekey_spi="00",
    data_sas=2,
    sender_ids_left=99,
    last_rekey_at=None,
    rekey_expires_in_seconds=None,
)
SERVER_BEFORE = ServerStatus(3, 4, (GROUP_BEFORE,), 0, {"cookies_returned": 0})
SERVER_AFTER = ServerStatus(
    half_open=201,
    established=202,
    step=2,
    admission={"cookies_returned": 203, "over_limit": 204},
    registration_cost_seconds=205.5,
    backlog_limit=206,
    groups=(
        GroupStatus(
            group=GROUP,
            members=207,
            next_message_id=208,
            rekey_spi="00",
            data_sas=209,
            sender_ids_left=210,
            last_rekey_at=211.0,
            rekey_expires_in_seconds=21_200.0,
            replay_protected_sas=213,
            expected_members=214,
            data_sa_expires_in_seconds=21_500.0,
            renewal_due_in_seconds=21_550.0,
            spread_seconds=216.5,
        ),
    ),
)

SERVER_EVENTS: Times = (
    (e.DatagramDropped(DropReason.REPLAY, "192.0.2.7:500"), 10),
    (sample(e.RequestRefused, notify=NotifyType.NO_ADDITIONAL_SAS), 11),
    (sample(e.CookieRequired), 12),
    (sample(e.PuzzleRequired), 13),
    (sample(e.IkeSaInitAnswered), 14),
    (sample(e.PeerAuthenticated), 15),
    (sample(e.IkeSaClosed), 16),
    (sample(e.IkeSaRekeyed), 17),
    (sample(e.MemberRegistered, group=GROUP, again=False), 18),
    (sample(e.MemberRegistered, group=GROUP, again=True, hint=""), 19),
    (sample(e.MemberRegistered, group=GROUP, again=True, hint="after a rekey"), 20),
    (sample(e.RegistrationRefused, group=GROUP, reason=RefusalReason.GROUP_FULL), 21),
    (sample(e.MemberLeft, group=GROUP), 22),
    (sample(e.GroupStartedOver, group=GROUP), 23),
    (sample(e.MemberCertificateEnded, group=GROUP, cause="certificate_expired"), 24),
    (sample(e.SaCreated, group=GROUP, protocol=ProtocolId.ESP), 25),
    (sample(e.SaEnded, group=GROUP, protocol=ProtocolId.AH), 26),
    (sample(e.RekeySent, group=GROUP, copy=1, octets=500, reminder=False), 27),
    (sample(e.RekeySent, group=GROUP, copy=2, octets=500, reminder=False), 28),
    (sample(e.RekeySent, group=GROUP, copy=1, octets=300, reminder=True), 29),
    (sample(e.SenderIdsLow, group=GROUP), 30),
    (sample(e.SenderIdsExhausted, group=GROUP), 31),
    (sample(e.RegistrationAbandoned, reason=RefusalReason.NO_GSA_AUTH), 32),
    (sample(e.ServerRefused), 33),
    (sample(e.GroupReadAgain, group=GROUP), 34),
    (sample(e.GroupDelayed, group=GROUP), 35),
)
REKEY_OCTETS = (27 + 28) * 500 + 29 * 300


class Server:
    """A server's metrics in the first state; `go_on` leads to the second."""

    def __init__(self) -> None:
        self.status, self.credentials = SERVER_BEFORE, CREDENTIALS[0]
        self.commits = self.send_errors = 0
        self.streams, self.limits = (0, 0), {"cookie_threshold": 500.0}
        self.metrics = ServerMetrics(
            lambda: self.status,
            lambda: [GROUP],
            commits=lambda: self.commits,
            send_errors=lambda: self.send_errors,
            streams=lambda: self.streams,
            limits=lambda: self.limits,
            credentials=lambda: self.credentials,
        )
        self.metrics.count([e.GroupStarted(GROUP, restored=False, members=0)])

    def go_on(self) -> None:
        self.status, self.credentials = SERVER_AFTER, CREDENTIALS[1]
        self.commits, self.send_errors = 40, 41
        self.streams, self.limits = (42, 43), {"cookie_threshold": 501.0}
        self.metrics.count(event for event, times in SERVER_EVENTS for _ in range(times))
        self.metrics.commit_seconds.observe(44.5)
        for exchange, seconds in (
            (ExchangeType.GSA_REKEY, 45.5),
            (ExchangeType.GSA_AUTH, 46.5),
            (ExchangeType.GSA_REGISTRATION, 47.5),
        ):
            self.metrics.sent(Awaited(exchange, 1000.0), 1000.0 + seconds)


# --- the member ---------------------------------------------------------------------------

STATISTICS = """XfrmInError                     \t71
XfrmInBufferError               \t72
XfrmInHdrError                  \t73
XfrmInNoStates                  \t{}
XfrmInStateProtoError           \t74
XfrmInNoPols                    \t75
XfrmOutNoStates                 \t76
"""


def data_sa(*, replay_protection: bool) -> DataSaStatus:
    return DataSaStatus("ESP", "00", "in", "any", "239.1.2.3", False, replay_protection, 60.0)


MEMBER_BEFORE = MemberStatus(
    "fqdn:gm1.dev",
    "192.0.2.1:848",
    "connecting",
    (MembershipStatus(GROUP, "registering", "", 0, "", (), (), 0, 0, "", None),),
)
MEMBER_AFTER = MemberStatus(
    "fqdn:gm1.dev",
    "192.0.2.1:848",
    "established",
    (
        MembershipStatus(
            GROUP,
            state="registered",
            rekey_spi="00",
            next_message_id=301,
            rekey_address="",
            data_sas=(data_sa(replay_protection=True),) * 7 + (data_sa(replay_protection=False),),
            sender_ids=(1, 2, 3),
            registrations=302,
            rekeys=303,
            last_error="",
            registers_in_seconds=304.0,
            spread_seconds=305.5,
            rekeys_missed=306,
            data_sa_ends_in_seconds=30_700.0,
            sas_not_installed=308,
        ),
    ),
)
MEMBER_EVENTS: Times = (
    (e.DatagramDropped(DropReason.REPLAY, "192.0.2.1:848"), 10),
    (sample(e.RequestRefused, notify=NotifyType.INVALID_SYNTAX), 11),
    (sample(e.IkeSaClosed), 12),
    (sample(e.IkeSaRekeyed), 13),
    (sample(e.Registering, group=GROUP), 14),
    (sample(e.Registered, group=GROUP), 15),
    (sample(e.NothingToSendOn, group=GROUP), 16),
    (sample(e.RegistrationAttemptFailed, group=GROUP), 17),
    (sample(e.PolicyRefused, group=GROUP), 18),
    (sample(e.RekeyReceived, group=GROUP, reminder=False), 19),
    *(
        (sample(e.Reregistering, group=GROUP, reason=why), 20 + number)
        for number, why in enumerate(e.RegisterAgain)
    ),
    (sample(e.LeftGroup, group=GROUP), 30),
    (sample(e.DataPlaneFailed, command=e.SaChange.REMOVE), 31),
    (sample(e.StrangeRekeysSeen, group=GROUP), 32),
    (sample(e.ReceivesOnly, group=GROUP), 33),
)


class Member:
    """A member's metrics in the first state; `go_on` leads to the second."""

    def __init__(self, statistics: Path) -> None:
        self._statistics = statistics
        statistics.write_text(STATISTICS.format(0))
        self.status, self.credentials = MEMBER_BEFORE, CREDENTIALS[0]
        self.send_errors = 0
        self.metrics = MemberMetrics(
            lambda: self.status,
            lambda: self.credentials,
            statistics=statistics,
            send_errors=lambda: self.send_errors,
        )

    def go_on(self) -> None:
        self._statistics.write_text(STATISTICS.format(70))
        self.status, self.credentials = MEMBER_AFTER, CREDENTIALS[1]
        self.send_errors = 71
        self.metrics.count(event for event, times in MEMBER_EVENTS for _ in range(times))
