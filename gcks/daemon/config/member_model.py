"""The keys of member.yaml; every field's description is what config/member.yaml explains."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gcks.crypto.signature import ALGORITHMS
from gcks.daemon.config.control import ControlSection
from gcks.daemon.config.credential_model import OwnSection, TrustSection
from gcks.daemon.config.ike_model import CommonIkeSection, Section
from gcks.daemon.config.server_model import LoggingSection, MetricsSection
from gcks.daemon.config.values import (
    Address,
    IdentityText,
    Network,
    Port,
    PortOrAny,
    Seconds,
    SecondsOrAuto,
    WholeSeconds,
)
from gcks.ike.keywords import ENCR, INTEG, KWA, unknown


def _known(table: dict[str, object], value: list[str]) -> list[str]:
    for word in value:
        if word not in table:
            raise ValueError(unknown(word, table))
    return value


Encryption = Annotated[list[str], AfterValidator(lambda v: _known(dict(ENCR), v))]
Integrity = Annotated[list[str], AfterValidator(lambda v: _known(dict(INTEG), v))]
KeyWrap = Annotated[list[str], AfterValidator(lambda v: _known(dict(KWA), v))]
Signatures = Annotated[list[str], AfterValidator(lambda v: _known(dict(ALGORITHMS), v))]


class MemberServerSection(Section):
    address: Address
    port: Port = 500
    natt_port: Port = 4500
    tcp_port: Port = 4500
    transport: Literal["udp", "tcp", "auto"] = "udp"
    identity: IdentityText


class LocalSection(Section):
    address: Address | None = None
    port: PortOrAny = 0
    natt_port: PortOrAny = 0
    interface: str | None = None
    data_addresses: list[Address] = []


class MemberAuthenticationSection(OwnSection, TrustSection):
    psk: str | None = None
    raw_public_keys: list[str] = []


class MembershipSection(Section):
    id: IdentityText
    send: bool = False
    sender_ids: Annotated[int, Field(ge=1, le=1024)] = 1
    receive_own_data: bool = False


class CeilingSection(Section):
    destinations: list[Network] = ["224.0.0.0/4", "ff00::/8"]
    sources: list[Network] = ["0.0.0.0/0", "::/0"]
    allow_any_destination: bool = False
    rekey_destinations: list[Network] = ["224.0.0.0/4", "ff00::/8"]
    protocols: list[Literal["esp", "ah"]] = ["esp", "ah"]
    encryption: Encryption = [
        "aes256gcm16", "aes128gcm16", "chacha20poly1305", "aes256", "aes128",
    ]  # fmt: skip
    integrity: Integrity = ["sha256", "sha384", "sha512"]
    key_wrap: KeyWrap = ["kw256", "kw192", "kw128"]
    signatures: Signatures = list(ALGORITHMS)
    allow_implicit_authentication: bool = False
    modes: list[Literal["tunnel", "transport"]] = ["tunnel", "transport"]
    min_lifetime: WholeSeconds = 1
    max_lifetime: WholeSeconds = 86_400
    max_rekey_lifetime: WholeSeconds = 604_800
    max_data_sas: Annotated[int, Field(ge=1, le=1024)] = 256
    max_delay: WholeSeconds = 3600


class DataPlaneSection(Section):
    kind: Literal["xfrm", "exec", "none"] = "xfrm"
    command: list[str] = []
    timeout: Seconds = 10.0
    features: list[Literal["seclabel", "aggfrag", "ipcomp"]] = []


class MemberIkeSection(CommonIkeSection):
    retransmit_first: Seconds = 1.0
    retransmit_factor: Annotated[float, Field(ge=1, le=10)] = 1.8
    retransmit_tries: Annotated[int, Field(ge=1, le=20)] = 6
    retry_first: Seconds = 5.0
    retry_factor: Annotated[float, Field(ge=1, le=10)] = 2.0
    retry_max: Seconds = 300.0
    reregister_jitter: SecondsOrAuto = None
    announce_transforms: bool = True
    max_puzzle_difficulty: Annotated[int, Field(ge=0, le=24)] = 20


class MemberControlSection(ControlSection):
    path: str = "/run/gcks-member/control.sock"


class MemberFile(Section):
    include: list[str] = []
    identity: IdentityText
    server: MemberServerSection
    local: LocalSection = LocalSection()
    authentication: MemberAuthenticationSection
    groups: Annotated[list[MembershipSection], Field(min_length=1)]
    ceiling: CeilingSection = CeilingSection()
    data_plane: DataPlaneSection = DataPlaneSection()
    ike: MemberIkeSection = MemberIkeSection()
    metrics: MetricsSection | None = None
    control: MemberControlSection = MemberControlSection()
    logging: LoggingSection = LoggingSection()
