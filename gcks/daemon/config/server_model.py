"""The keys of gcks.yaml; every field's description is what config/gcks.yaml explains."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gcks.daemon.config.control import ControlSection
from gcks.daemon.config.credential_model import OwnSection, TrustSection
from gcks.daemon.config.group_model import GroupSection
from gcks.daemon.config.ike_model import CommonIkeSection, Section
from gcks.daemon.config.values import (
    Address,
    EndpointText,
    FileName,
    FilePattern,
    IdentityPattern,
    IdentityText,
    LogLevel,
    Port,
    Seconds,
    Secret,
)
from gcks.datagrams import Endpoint


class ServerSection(OwnSection):
    identity: IdentityText
    """Who this server is (IDr); members refuse a server that proves to be somebody else."""


class ListenSection(Section):
    address: Address
    """Address to listen on, `0.0.0.0` or `::` for all of this host's. Answers leave from the
    address that was asked; where there is no other entry, groups need `rekey.source`."""
    ike_ports: list[Port] = [500, 848]
    """UDP ports without the non-ESP marker. Members use 500 unless told otherwise; 848 is the other
    one that G-IKEv2 may use (RFC 9838 section 2.1.1)."""
    natt_ports: list[Port] = [4500]
    """UDP ports with the non-ESP marker, for members behind a NAT (RFC 7296 section 2.23)."""
    tcp_ports: list[Port] = [4500]
    """TCP ports for members whose network lets no UDP through (RFC 9329); `[]` for none. Rekeys by
    multicast are UDP all the same."""


class PskSection(Section):
    identity: IdentityPattern
    """Whose secret this is; an exact identity beats a pattern. Members that share one secret by a
    pattern can pose as each other."""
    secret: Secret
    """The pre-shared key, at least 16 octets; use 32 random ones, because an attacker who poses as
    the server can test guesses offline."""


class RawPublicKeySection(Section):
    identity: IdentityText
    """The member that proves itself with this key."""
    key: FileName
    """PEM file with its public key: `openssl pkey -in KEY -pubout`. To replace a key, give two
    entries for the identity."""


class AuthenticationSection(TrustSection):
    psk: list[PskSection] = []
    """Members that prove themselves with a pre-shared key."""
    raw_public_keys: list[RawPublicKeySection] = []
    """Members that prove themselves with a key without certificate (RFC 7670)."""
    certificate_end: Literal["keep", "remove"] = "keep"
    """What becomes of a registered member whose certificate expires or is revoked: `keep` only
    reports it, `remove` ends the membership. Without a key tree a removed member of a group that is
    rekeyed by multicast can still follow the rekeys."""


class IkeSection(CommonIkeSection):
    retransmit_first: Seconds = 2.0
    """Time before a request of ours is sent again, if no answer has come (RFC 7296 section 2.4)."""
    retransmit_factor: Annotated[float, Field(ge=1, le=10)] = 2.0
    """Each wait is this many times as long as the one before."""
    retransmit_tries: Annotated[int, Field(ge=1, le=20)] = 4
    """Transmissions of a request in all; then the IKE SA is closed."""
    childless: bool = True
    """Whether plain IKEv2 peers may authenticate with IKE_AUTH, without a Child SA (RFC 6023), and
    register then. Members that speak GSA_AUTH don't need it."""
    idle: Seconds = 5.0
    """How long a registration SA stays open after its last request (RFC 9838 section 2.3.4).
    Those over which members are rekeyed stay open."""
    half_open: Seconds = 30.0
    """How long a peer has from IKE_SA_INIT to GSA_AUTH; then its half-open IKE SA is forgotten."""
    cookie_threshold: Annotated[int, Field(ge=0)] = 500
    """Number of half-open IKE SAs from which on new peers must send back a cookie, which proves
    their address (RFC 7296 section 2.6); 0 means always. A slow server asks earlier."""
    cookie_threshold_per_prefix: Annotated[int, Field(ge=0)] = 250
    """The same for one network, an IPv4 /24 or an IPv6 /56. Raise it where very many members are
    behind one address."""
    puzzle_difficulty: Annotated[int, Field(ge=0, le=24)] = 16
    """Bits of work that new peers are asked for under attack (RFC 8019); each bit doubles it. 0
    sets no puzzles."""
    puzzle_threshold: Annotated[int, Field(ge=0)] = 5_000
    """Number of half-open IKE SAs from which on new peers must solve a puzzle."""
    puzzle_threshold_per_prefix: Annotated[int, Field(ge=0)] = 1_000
    """The same for one network, an IPv4 /24 or an IPv6 /56."""
    rate_per_address: Annotated[float, Field(ge=0)] = 50.0
    """IKE SAs a second that one address (IPv6: a /64) may begin, tenfold at once; 0 for any number.
    """
    rate_per_identity: Annotated[float, Field(ge=0)] = 2.0
    """Registrations and IKE SA rekeys a second of one identity, tenfold at once; 0 for any number.
    """
    max_half_open: Annotated[int, Field(ge=1)] = 20_000
    """Number of half-open IKE SAs above which nobody may begin another; the last fifth of it is
    for known senders. A slow server lets in only what it can serve within 5 s
    (`gcks_backlog_limit`)."""
    max_half_open_per_prefix: Annotated[int, Field(ge=1)] = 2_000
    """Number of half-open IKE SAs of one network above which that network is refused, even with
    cookies. Known senders still get in."""
    max_ike_sas: Annotated[int, Field(ge=1)] = 100_000
    """Number of established IKE SAs above which nobody may begin another. Raise it where more
    members are rekeyed in-band, each over an IKE SA of its own."""


class StoreSection(Section):
    path: FileName = "/var/lib/gcks/gcks.sqlite"
    """SQLite database with all that must outlive a restart: keys, SPIs, Sender-IDs, members. It is
    made with mode 0600; its directory must be there."""
    master_key: FileName
    """File with the 32 octets that seal the store: `head -c 32 /dev/urandom > master.key`. Best a
    systemd credential; without it the store can't be read."""


class MetricsSection(Section):
    listen: EndpointText = Endpoint("127.0.0.1", 9848)
    """Where Prometheus reads `/metrics`. There is no authentication: keep it on loopback or a
    management network."""


class AuditSection(Section):
    path: FileName
    """File that the lines, each with the hash of the one before it, are added to; `gcks audit FILE`
    verifies it. After logrotate has moved it away, reload."""


class LoggingSection(Section):
    format: Literal["auto", "json", "console"] = "auto"
    """`auto`: fields of the systemd journal where standard error leads there, else console on a
    terminal, else json. `json` is one object a line, for programs; `console` is for people."""
    level: LogLevel = "info"
    """Lines of this importance and above are written, on standard error."""


class ServerFile(Section):
    include: list[FilePattern] = []
    """Further files, relative to this one; a pattern such as `groups/*.yaml` takes all that fit.
    Lists are joined, sections filled up, and a value given twice is an error."""
    server: ServerSection
    """Who this server is, and what it proves that with."""
    listen: Annotated[list[ListenSection], Field(min_length=1)]
    """Where members reach the server, one entry for each address."""
    authentication: AuthenticationSection = AuthenticationSection()
    """How members prove who they are. At least one of `psk`, `trust_anchors` and `raw_public_keys`
    is needed."""
    ike: IkeSection = IkeSection()
    """IKE SAs with the members: algorithms, times, and limits against floods. Most servers need
    none of it."""
    store: StoreSection
    """Where the state is kept, sealed: a server that is killed goes on with the same groups."""
    metrics: MetricsSection | None = None
    """Metrics for Prometheus; `null` for none."""
    control: ControlSection = ControlSection()
    """The socket of `gcks show`, `plan`, `exclude` and so on, and who may use it."""
    audit: AuditSection | None = None
    """A hash-chained log of who was admitted, refused and excluded, and what operators ordered;
    `null` for none."""
    logging: LoggingSection = LoggingSection()
    """What is logged, and how."""
    groups: Annotated[list[GroupSection], Field(min_length=1)]
    """The groups: who may join, which SAs there are, how they are rekeyed."""
