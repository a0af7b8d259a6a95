"""The keys of a group in gcks.yaml."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from gcks.crypto.encr import is_aead
from gcks.daemon.config.ike_model import FragmentSize, Section
from gcks.daemon.config.notation import bounds, one_of
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
from gcks.ike.keywords import ENCR, INTEG, KWA, parse_ah, parse_esp, parse_kwa
from gcks.keyserver.groups.policy import IMPLICIT, SIGNATURE_ALGORITHM
from gcks.keyserver.groups.rules import MAX_SENDER_ID_BITS
from gcks.keyserver.groups.sa_rules import MAX_COPIES

_ESP_SUITES: Final = [
    suite
    for encr in ENCR
    for suite in ([encr] if is_aead(ENCR[encr].id) else [f"{encr}-{integ}" for integ in INTEG])
]
"""What `gcks.keyserver.groups.rules` takes."""


def _cipher_suite(value: str) -> str:
    parse_esp(value)
    return value


def _key_wrap(value: str) -> str:
    parse_kwa(value)
    return value


class MemberSection(Section):
    identity: IdentityPattern
    """Who may join: the member's identity as it is proved, or a pattern. The first rule that fits
    decides."""
    send: bool = False
    """Whether it may send to the group. Senders on SAs with counter-mode ciphers get Sender-IDs
    (RFC 9838 section 2.5)."""
    receive: bool = True
    """Whether it may receive; `false` for one that only sends."""


class SenderSection(Section):
    identity: IdentityText
    """The sender; the `members` rules must let it send."""
    address: Address
    """The address that it sends from, by which its SA is told from the others."""


class DataSaSection(Section):
    name: Annotated[str, Field(min_length=1, max_length=64)]
    """What this SA is called in logs, metrics and `gcks show sas`; yours to choose. It stays when
    the SA is renewed."""
    protocol: Literal["esp", "ah"] = "esp"
    """`esp` encrypts; `ah` only authenticates (RFC 4302)."""
    suite: Annotated[
        str, Field(validate_default=True), WithJsonSchema(one_of([*_ESP_SUITES, *INTEG]))
    ] = "aes256gcm16"
    """Cipher, and integrity algorithm unless the cipher has its own; for AH only an integrity
    algorithm. Linux members can send on counter-mode ciphers (GCM, ChaCha20) only where they are an
    SA's single sender."""
    source: SelectorAddress = "any"
    """Addresses that the traffic comes from; for a single sender, its address."""
    source_port: Ports = (0, 65535)
    """Ports that the traffic comes from."""
    destination: SelectorAddress
    """The multicast address or network that the traffic goes to."""
    destination_port: Ports = (0, 65535)
    """Ports that the traffic goes to."""
    ip_protocol: IpProtocol = 17
    """Protocol of the traffic inside."""
    lifetime: WholeSeconds = 3600
    """How long an SA may be used; more than twice the overlap of old and new (`atd` or `dtd`, and
    `rekey.spread`). A single sender's SA must end before 2^32 packets: see tuning.md."""
    renew: WholeSeconds | None = None
    """Age at which a new SA takes its place; `null` is early enough before the lifetime ends.
    Longer than `atd`, and leaving time for old and new to overlap."""
    senders: Literal["many", "single"] = "many"
    """Who sends on one SA: `many` share it, `single` gives it to `sender` alone. Only with a single
    sender can receivers see replayed packets (RFC 9838 section 2.6)."""
    sender: IdentityText | None = None
    """The single sender, with `senders: single`; `source` is then its address."""
    each_of: list[SenderSection] = []
    """Makes one SA with a single sender of this one for each sender listed, in the place of
    `senders`, `sender` and `source`. The names become NAME/IDENTITY."""
    replay_protection: bool = True
    """Whether receivers check sequence numbers. It takes effect with a single sender only (RFC 9838
    section 2.6)."""
    security_label: str | None = None
    """Label that the traffic must have (RFC 9478), such as `system_u:object_r:ipsec_spd_t:s0`; at
    most 255 characters, `null` for any traffic. Members whose data plane can't do labels refuse the
    SA."""

    @field_validator("suite")
    @classmethod
    def _known_suite(cls, value: str, info: ValidationInfo) -> str:
        (parse_ah if info.data.get("protocol") == "ah" else parse_esp)(value)
        return value


class RekeySection(Section):
    address: Address
    """Multicast address that the rekey messages go to. Each group needs its own address or port."""
    port: Port = 848
    """UDP port that they go to."""
    source: Address | None = None
    """Address of this host that they come from; `null` is the first under `listen` that isn't
    `0.0.0.0` or `::`."""
    source_port: Port = 848
    """UDP port that they come from."""
    interface: str | None = None
    """Interface that they leave by; `null` is the one that has the source address."""
    ttl: Annotated[int, Field(ge=1, le=255)] = 1
    """TTL or hop limit of these messages; 1 keeps them in the local network."""
    suite: Annotated[str, AfterValidator(_cipher_suite), WithJsonSchema(one_of(_ESP_SUITES))] = (
        "aes256gcm16"
    )
    """Cipher of the Rekey SA, and integrity algorithm unless the cipher has its own."""
    key_wrap: Annotated[str, AfterValidator(_key_wrap), WithJsonSchema(one_of(KWA))] = "kw256"
    """How keys are wrapped in rekey messages (RFC 9838 section 4.4.2.1). Not weaker than the keys
    inside; with `lkh` of the size of the IKE SA's key wrap. KW_ARX is not implemented:
    conformance.md."""
    authentication: Annotated[str, WithJsonSchema(one_of([*SIGNATURE_ALGORITHM, IMPLICIT]))] = (
        "ed25519"
    )
    """Key that signs rekey messages. With `implicit` they are not signed, so any member can forge
    them (NOT RECOMMENDED, RFC 9838 section 2.4.1)."""
    lifetime: WholeSeconds = 86400
    """How long a Rekey SA may be used. Members that get no rekey for this time register again."""
    renew: WholeSeconds | None = None
    """Age at which a new Rekey SA takes its place; `null` is early enough before the lifetime ends.
    """
    copies: Annotated[int, bounds(1, MAX_COPIES)] = 3
    """Bit-identical copies that each message is sent in (RFC 9838 section 2.4.1.3). More copies
    help where the network loses packets."""
    spread: Seconds = 2.0
    """Time from the first copy to the last, up to 10 s. A longer time helps against longer gaps of
    the network."""
    reminders: bool = True
    """Whether the current SAs are told again 10 s to 11 min after a rekey, for members that missed
    all its copies. Without reminders these members register again."""
    auth_key_renew: WholeSeconds | None = None
    """Age at which the key that signs is replaced, with the next new Rekey SA; `null` for never."""
    fragment_size: FragmentSize = 1200
    """Octets above which rekey messages go out in fragments, 256 to 65000, if all members take
    them; 0 means never."""


class GroupSection(Section):
    id: IdentityText
    """Name of the group (IDg, RFC 9838 section 4.2), which members ask for: of kind keyid, fqdn,
    rfc822, ipv4 or ipv6."""
    mode: Literal["tunnel", "transport"] = "tunnel"
    """IPsec mode of all SAs; `tunnel` preserves the addresses (RFC 5374). When it changes, all
    members register again."""
    aggfrag: bool = False
    """Aggregation and fragmentation mode (RFC 9347), to hide the sizes of packets or to save
    headers of small ones. It needs tunnel mode, ESP, and a single sender on every SA."""
    ipcomp: Literal["deflate"] | None = None
    """Compresses packets before they are encrypted (RFC 3173), for slow links; `null` for no
    compression."""
    inband_senders: bool = False
    """Rekeys senders over their IKE SAs, reliably, and only receivers by multicast (RFC 9838
    section 2.4). Without `rekey` all members are rekeyed in this way."""
    atd: WholeSeconds = 5
    """Activation time delay: senders begin to use a new SA this long after the rekey, when all
    receivers have it; 0 to 65535 s (RFC 9838 section 4.4.3.1.1)."""
    dtd: WholeSeconds = 15
    """Deactivation time delay: a replaced SA is removed this long after the rekey, when no sender
    uses it any more. Longer than `atd`, unless that is 0."""
    sender_id_bits: Annotated[int, bounds(1, MAX_SENDER_ID_BITS)] = 16
    """Bits of the IV that hold the Sender-ID (RFC 6054); the rest counts packets. More bits are
    room for more senders; when they run out, the group starts over."""
    max_sender_ids_per_request: Annotated[int, bounds(1)] = 16
    """Most Sender-IDs that one registration gets; a sender needs one for each encryption module
    (RFC 9838 section 2.5.1)."""
    expected_members: Annotated[int, Field(ge=0)] = 0
    """How many members there should be, for alerts (`gcks_expected_members`); 0 if you don't
    know."""
    capacity: Annotated[int, bounds(1)] = 1_000_000
    """Number of members above which nobody else may join."""
    evaluate_sag: bool = True
    """Refuses members whose SAg says that they don't support the policy (RFC 9838 section 2.3.3),
    or that don't announce `aggfrag` or `ipcomp` where the group uses it. `false` lets them in, but
    they may fail."""
    key_management: Literal["simple", "lkh"] = "simple"
    """`lkh` keeps a key tree, with which members can be excluded one by one (RFC 9838 section 3.2);
    with `simple` an exclusion makes all others register again. See exclusion.md."""
    exclusion_window: Seconds = 1.0
    """How long an exclusion waits for others, to share a rekey; 0 doesn't wait. In this time the
    excluded members can still read."""
    forward_access: bool = False
    """Shuts out a member that leaves, as if it were excluded (RFC 9838 section 3.2.1). Needs
    `lkh`, or a group without `rekey`."""
    backward_access: bool = False
    """Gives the group new keys for each newcomer, so that it can't read what it recorded before."""
    hide_policy: bool = False
    """Changes the key twice at an exclusion, so that the excluded don't even learn the policy
    that follows (RFC 9838 section 3.2.1). Needs `lkh`."""
    excluded: list[IdentityPattern] = []
    """Members that are shut out and may not join, whatever the `members` rules say; reload to
    apply."""
    members: list[MemberSection]
    """Who may join, and whether as a sender; the first rule that fits decides, and nobody else may.
    """
    rekey: RekeySection | None = None
    """The Rekey SA and its multicast messages; with `null` all members are rekeyed over their IKE
    SAs (GSA_INBAND_REKEY)."""
    data_sas: list[DataSaSection]
    """The Data-Security SAs that protect the group's traffic, 1 to 64."""
