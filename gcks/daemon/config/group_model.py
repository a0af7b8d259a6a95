"""The keys of a group in gcks.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from gcks.daemon.config.ike_model import FragmentSize, Section
from gcks.daemon.config.values import (
    Address,
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


def _cipher_suite(value: str) -> str:
    parse_esp(value)
    return value


def _key_wrap(value: str) -> str:
    parse_kwa(value)
    return value


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
