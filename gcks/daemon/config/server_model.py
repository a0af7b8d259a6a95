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
    IdentityPattern,
    IdentityText,
    Port,
    Seconds,
)
from gcks.outcome import Endpoint


class ServerSection(OwnSection):
    identity: IdentityText


class ListenSection(Section):
    address: Address
    ike_ports: list[Port] = [500, 848]
    natt_ports: list[Port] = [4500]
    tcp_ports: list[Port] = [4500]


class PskSection(Section):
    identity: IdentityPattern
    secret: str


class RawPublicKeySection(Section):
    identity: IdentityText
    key: str


class AuthenticationSection(TrustSection):
    psk: list[PskSection] = []
    raw_public_keys: list[RawPublicKeySection] = []
    certificate_end: Literal["keep", "remove"] = "keep"


class IkeSection(CommonIkeSection):
    childless: bool = True
    idle: Seconds = 5.0
    half_open: Seconds = 30.0
    cookie_threshold: Annotated[int, Field(ge=0)] = 500
    cookie_threshold_per_prefix: Annotated[int, Field(ge=0)] = 250
    puzzle_difficulty: Annotated[int, Field(ge=0, le=24)] = 16
    puzzle_threshold: Annotated[int, Field(ge=0)] = 5_000
    puzzle_threshold_per_prefix: Annotated[int, Field(ge=0)] = 1_000
    rate_per_address: Annotated[float, Field(ge=0)] = 50.0
    rate_per_identity: Annotated[float, Field(ge=0)] = 2.0
    max_half_open: Annotated[int, Field(ge=1)] = 20_000
    max_half_open_per_prefix: Annotated[int, Field(ge=1)] = 2_000
    max_ike_sas: Annotated[int, Field(ge=1)] = 100_000
    retransmit_first: Seconds = 2.0
    retransmit_factor: Annotated[float, Field(ge=1, le=10)] = 2.0
    retransmit_tries: Annotated[int, Field(ge=1, le=20)] = 4


class StoreSection(Section):
    path: str = "/var/lib/gcks/gcks.sqlite"
    master_key: str


class MetricsSection(Section):
    listen: EndpointText = Endpoint("127.0.0.1", 9848)


class AuditSection(Section):
    path: str


class LoggingSection(Section):
    format: Literal["json", "console"] = "json"
    level: Literal["debug", "info", "warning", "error"] = "info"


class ServerFile(Section):
    include: list[str] = []
    server: ServerSection
    listen: Annotated[list[ListenSection], Field(min_length=1)]
    authentication: AuthenticationSection = AuthenticationSection()
    ike: IkeSection = IkeSection()
    store: StoreSection
    metrics: MetricsSection | None = None
    control: ControlSection = ControlSection()
    audit: AuditSection | None = None
    logging: LoggingSection = LoggingSection()
    groups: Annotated[list[GroupSection], Field(min_length=1)]
