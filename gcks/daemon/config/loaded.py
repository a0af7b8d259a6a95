"""What a configuration file, or the development setup, comes to: ready to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gcks.daemon.config.opening import Stamp
from gcks.daemon.control.peers import Access
from gcks.datagrams import Endpoint
from gcks.dataplane.options import DataPlaneOptions
from gcks.ike.credentials import Credentials
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.settings import ServerSettings
from gcks.member.ceiling import Ceiling
from gcks.member.settings import MemberSettings


@dataclass(frozen=True, slots=True)
class Listener:
    """One address with its ports; on `natt` ports the non-ESP marker is required."""

    address: str
    ike: tuple[int, ...] = (500, 848)
    natt: tuple[int, ...] = (4500,)
    tcp: tuple[int, ...] = (4500,)


@dataclass(frozen=True, slots=True)
class LogOptions:
    """`level` is a name of logging's; `program` is what the journal calls the daemon.

    `format` is "json", "console", or "auto": the journal's own fields where standard
    error leads to it, else console on a terminal, else json.
    """

    format: str = "auto"
    level: str = "info"
    program: str = "gcks"


@dataclass(frozen=True, slots=True)
class ControlOptions:
    """The control socket, and who may use it besides root and the daemon's user."""

    path: Path
    access: Access = field(default_factory=Access)
    required: bool = True
    """Whether the server doesn't start without it."""


@dataclass(frozen=True, slots=True)
class CredentialSource:
    """Where credentials came from, to be read again when the files change."""

    files: Mapping[Path, Stamp]
    """Each as it was when it was read."""
    read: Callable[[], Credentials]
    """Raises `ConfigError`."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Everything that `gcks serve` needs."""

    settings: ServerSettings
    credentials: Credentials
    groups: Mapping[str, GroupPolicy]
    listeners: tuple[Listener, ...]
    store_path: Path
    master_key: bytes = field(repr=False)
    metrics: Endpoint | None = None
    control: ControlOptions | None = None
    audit: Path | None = None
    logs: LogOptions = field(default_factory=LogOptions)
    source: Path | None = None
    """The file it came from, read again on SIGHUP."""
    credential_source: CredentialSource | None = field(default=None, compare=False)

    @property
    def listening(self) -> tuple[str, ...]:
        """Name every address and port that is listened at."""
        return tuple(
            f"{listener.address} {kind} {port}"
            for listener in self.listeners
            for kind, ports in (("udp", (*listener.ike, *listener.natt)), ("tcp", listener.tcp))
            for port in ports
        )


@dataclass(frozen=True, slots=True)
class MemberConfig:
    """Everything that `gcks-member run` needs."""

    settings: MemberSettings
    credentials: Credentials
    ceiling: Ceiling
    data_plane: DataPlaneOptions
    metrics: Endpoint | None = None
    control: ControlOptions | None = None
    logs: LogOptions = field(default_factory=LogOptions)
    source: Path | None = None
    credential_source: CredentialSource | None = field(default=None, compare=False)
