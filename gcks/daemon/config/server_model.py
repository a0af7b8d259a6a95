"""The keys of gcks.yaml; every field's description is what config/gcks.yaml explains."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
    field_validator,
)

from gcks.daemon.config.control import ControlSection
from gcks.daemon.config.credential_model import OwnSection, TrustSection
from gcks.daemon.config.ike_model import CommonIkeSection, FragmentSize, Section
from gcks.daemon.config.values import (
    Address,
    EndpointText,
    IdentityPattern,
    IdentityText,
    IpProtocol,
    Port,
    Ports,
    Seconds,
    SelectorAddress,
    WholeSeconds,
)
from gcks.ike.keywords import parse_ah, parse_esp, parse_kwa
from gcks.outcome import Endpoint


def _cipher_suite(value: str) -> str:
    parse_esp(value)
    return value


def _key_wrap(value: str) -> str:
    parse_kwa(value)
    return value


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
    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class MemberSection(Section):
    identity: IdentityPattern
    send: bool = False
    receive: bool = True


class SenderSection(Section):
    identity: IdentityText
    address: Address


class DataSaSection(Section):
    name: Annotated[str, Field(min_length=1, max_length=64)]
    protocol: Literal["esp", "ah"] = "esp"
    suite: Annotated[str, Field(validate_default=True)] = "aes256gcm16"
    source: SelectorAddress = "any"
    source_port: Ports = (0, 65535)
    destination: SelectorAddress
    destination_port: Ports = (0, 65535)
    ip_protocol: IpProtocol = 17
    lifetime: WholeSeconds = 3600
    renew: WholeSeconds | None = None
    senders: Literal["many", "single"] = "many"
    sender: IdentityText | None = None
    each_of: list[SenderSection] = []
    replay_protection: bool = True
    security_label: str | None = None

    @field_validator("suite")
    @classmethod
    def _known_suite(cls, value: str, info: ValidationInfo) -> str:
        (parse_ah if info.data.get("protocol") == "ah" else parse_esp)(value)
        return value


class RekeySection(Section):
    address: Address
    port: Port = 848
    source: Address | None = None
    source_port: Port = 848
    interface: str | None = None
    ttl: Annotated[int, Field(ge=1, le=255)] = 1
    suite: Annotated[str, AfterValidator(_cipher_suite)] = "aes256gcm16"
    key_wrap: Annotated[str, AfterValidator(_key_wrap)] = "kw256"
    authentication: str = "ed25519"
    lifetime: WholeSeconds = 86400
    renew: WholeSeconds | None = None
    copies: int = 3
    spread: Seconds = 2.0
    fragment_size: FragmentSize = 1200
    auth_key_renew: WholeSeconds | None = None
    reminders: bool = True


class GroupSection(Section):
    id: IdentityText
    mode: Literal["tunnel", "transport"] = "tunnel"
    members: list[MemberSection]
    data_sas: list[DataSaSection]
    rekey: RekeySection | None = None
    inband_senders: bool = False
    atd: WholeSeconds = 5
    dtd: WholeSeconds = 15
    sender_id_bits: int = 16
    max_sender_ids_per_request: int = 16
    capacity: int = 1_000_000
    expected_members: Annotated[int, Field(ge=0)] = 0
    evaluate_sag: bool = True
    key_management: Literal["simple", "lkh"] = "simple"
    exclusion_window: Seconds = 1.0
    forward_access: bool = False
    backward_access: bool = False
    hide_policy: bool = False
    excluded: list[IdentityPattern] = []
    aggfrag: bool = False
    ipcomp: Literal["deflate"] | None = None


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
