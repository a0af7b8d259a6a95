"""The group member engine: datagrams, time and the operator's wish in, `MemberOutcome` out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gcks.events import Event
from gcks.ike.credentials import Credentials
from gcks.member.ceiling import Ceiling
from gcks.member.data_plane import DataPlaneCommand
from gcks.member.settings import MemberSettings
from gcks.outcome import Path, Transmit


@dataclass(frozen=True, slots=True)
class MemberOutcome:
    """The result of one call: execute `data_plane` in order, then send `transmits`."""

    transmits: tuple[Transmit, ...] = ()
    events: tuple[Event, ...] = ()
    next_timeout: float | None = None
    """Monotonic seconds at which `handle_timeout` wants to be called."""
    data_plane: tuple[DataPlaneCommand, ...] = ()


@dataclass(frozen=True, slots=True)
class DataSaStatus:
    protocol: str
    spi: str
    direction: str
    source: str
    destination: str
    active_outbound: bool
    expires_in_seconds: float | None


@dataclass(frozen=True, slots=True)
class GroupStatus:
    group: str
    state: str
    """ "waiting", "registering", "registered", "refused" or "left"."""
    rekey_spi: str
    next_message_id: int
    rekey_address: str
    data_sas: tuple[DataSaStatus, ...]
    sender_ids: tuple[int, ...]
    registrations: int
    rekeys: int
    last_error: str


@dataclass(frozen=True, slots=True)
class MemberStatus:
    identity: str
    server: str
    ike_sa: str
    """ "none", "ike_sa_init", "gsa_auth" or "established"."""
    groups: tuple[GroupStatus, ...]


class MemberEngine:
    """One GM: keeps one IKE SA to the GCKS and the GSA of every configured group."""

    def __init__(
        self,
        settings: MemberSettings,
        credentials: Credentials,
        ceiling: Ceiling,
        *,
        entropy: Callable[[int], bytes],
        wall: Callable[[], float],
        jitter: Callable[[float], float],
    ) -> None:
        """Prepare; `jitter(limit)` returns a random number of seconds in [0, limit]."""
        raise NotImplementedError

    def start(self, now: float) -> MemberOutcome:
        """Begin to register to every group."""
        raise NotImplementedError

    def receive(self, datagram: bytes, path: Path, now: float) -> MemberOutcome:
        """Take one unicast or multicast datagram; never raises for what a peer sends."""
        raise NotImplementedError

    def handle_timeout(self, now: float) -> MemberOutcome:
        """Do what is due."""
        raise NotImplementedError

    def leave(self, now: float) -> MemberOutcome:
        """Leave every group, tell the GCKS, and remove every SA."""
        raise NotImplementedError

    def status(self, now: float) -> MemberStatus:
        """Describe the member for the screen."""
        raise NotImplementedError
