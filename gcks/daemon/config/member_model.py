"""The keys of member.yaml; every field's description is what config/member.yaml explains."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from gcks.crypto.signature import ALGORITHMS
from gcks.daemon.config.control import ControlSection
from gcks.daemon.config.credential_model import OwnSection, TrustSection
from gcks.daemon.config.ike_model import CommonIkeSection, Section
from gcks.daemon.config.notation import one_of
from gcks.daemon.config.server_model import LoggingSection, MetricsSection
from gcks.daemon.config.values import (
    Address,
    EndpointText,
    FileName,
    FilePattern,
    IdentityText,
    Network,
    Port,
    PortOrAny,
    Seconds,
    SecondsOrAuto,
    Secret,
    WholeSeconds,
)
from gcks.datagrams import Endpoint
from gcks.ike.keywords import ENCR, INTEG, KWA, unknown


def _known(table: dict[str, object], value: list[str]) -> list[str]:
    for word in value:
        if word not in table:
            raise unknown(word, table)
    return value


Encryption = Annotated[
    list[Annotated[str, WithJsonSchema(one_of(ENCR))]],
    AfterValidator(lambda v: _known(dict(ENCR), v)),
]
Integrity = Annotated[
    list[Annotated[str, WithJsonSchema(one_of(INTEG))]],
    AfterValidator(lambda v: _known(dict(INTEG), v)),
]
KeyWrap = Annotated[
    list[Annotated[str, WithJsonSchema(one_of(KWA))]],
    AfterValidator(lambda v: _known(dict(KWA), v)),
]
Signatures = Annotated[
    list[Annotated[str, WithJsonSchema(one_of(ALGORITHMS))]],
    AfterValidator(lambda v: _known(dict(ALGORITHMS), v)),
]


class MemberServerSection(Section):
    address: Address
    """Address of the key server; names are not looked up."""
    port: Port = 500
    """The server's UDP port for IKE_SA_INIT: 500, or 848 (RFC 9838 section 2.1.1)."""
    natt_port: Port = 4500
    """The server's UDP port once a NAT was detected (RFC 7296 section 2.23)."""
    tcp_port: Port = 4500
    """The server's TCP port (RFC 9329)."""
    transport: Literal["udp", "tcp", "auto"] = "udp"
    """`udp`, `tcp` for networks that let no UDP through, or `auto` for TCP where nobody answers
    over UDP. Rekeys by multicast are UDP all the same."""
    identity: IdentityText
    """Who the server must prove to be (IDr); this is never skipped."""


class LocalSection(Section):
    address: Address | None = None
    """Address of this host to talk to the server from; `null` is the one that leads to it."""
    port: PortOrAny = 0
    """UDP port to send from; 0 for any that is free."""
    natt_port: PortOrAny = 0
    """UDP port to send from once a NAT was detected; 0 for any that is free."""
    interface: str | None = None
    """Interface on which rekey multicast is joined; `null` is the one that has the address."""
    data_addresses: list[Address] = []
    """Addresses that this host sends group data from, by which it knows the SAs that it is a sender
    on; `[]` for all of this host's."""


class MemberAuthenticationSection(OwnSection, TrustSection):
    psk: Secret | None = None
    """The pre-shared key, at least 16 octets. With a certificate too, this is used where the server
    takes no certificates."""
    raw_public_keys: list[FileName] = []
    """PEM files with the server's public keys (RFC 7670), in the place of `trust_anchors`."""


class MembershipSection(Section):
    id: IdentityText
    """The group to join, as the server's file calls it."""
    send: bool = False
    """Whether to ask to be a sender (GROUP_SENDER, RFC 9838 section 4.7.4); the server's `members`
    rules must allow it."""
    sender_ids: Annotated[int, Field(ge=1, le=1024)] = 1
    """Sender-IDs to ask for: one for each encryption module (RFC 9838 section 2.5.1)."""
    receive_own_data: bool = False
    """Whether an SA on which this host is the only sender is installed inbound too; `true` where
    multicast loops back to receivers on this host."""


class CeilingSection(Section):
    destinations: list[Network] = ["224.0.0.0/4", "ff00::/8"]
    """Networks that the destination of a Data-Security SA must lie in."""
    sources: list[Network] = ["0.0.0.0/0", "::/0"]
    """Networks that the source of a Data-Security SA must lie in."""
    allow_any_destination: bool = False
    """Whether a destination of 0/0 is accepted; `true` lets the server take all traffic of this
    host."""
    rekey_destinations: list[Network] = ["224.0.0.0/4", "ff00::/8"]
    """Networks that the address of the rekey messages must lie in; what isn't multicast is never
    joined."""
    protocols: list[Literal["esp", "ah"]] = ["esp", "ah"]
    """Protocols of Data-Security SAs; without `ah` the group's traffic is always encrypted."""
    encryption: Encryption = [
        "aes256gcm16", "aes128gcm16", "chacha20poly1305", "aes256", "aes128",
    ]  # fmt: skip
    """Ciphers of Data-Security SAs and the Rekey SA; NULL is never accepted."""
    integrity: Integrity = ["sha256", "sha384", "sha512"]
    """Integrity algorithms, for AH and ciphers that have none of their own."""
    key_wrap: KeyWrap = ["kw256", "kw192", "kw128"]
    """Key wraps of the Rekey SA."""
    signatures: Signatures = list(ALGORITHMS)
    """Signatures of rekey messages."""
    allow_implicit_authentication: bool = False
    """Whether rekey messages without signature are accepted; `true` lets any member forge them (RFC
    9838 section 2.4.1)."""
    modes: list[Literal["tunnel", "transport"]] = ["tunnel", "transport"]
    """IPsec modes of Data-Security SAs."""
    min_lifetime: WholeSeconds = 1
    """Shortest lifetime of any SA; raise it against a server that rekeys too often."""
    max_lifetime: WholeSeconds = 86_400
    """Longest lifetime of a Data-Security SA."""
    max_rekey_lifetime: WholeSeconds = 604_800
    """Longest lifetime of the Rekey SA."""
    max_data_sas: Annotated[int, Field(ge=1, le=1024)] = 256
    """Data-Security SAs of one group at one time, those that are being replaced included."""
    max_delay: WholeSeconds = 3600
    """Longest activation and deactivation delay (ATD and DTD) that is accepted."""


class DataPlaneSection(Section):
    kind: Literal["xfrm", "exec", "none"] = "xfrm"
    """Where SAs are installed: `xfrm` in the Linux kernel, `exec` by a command of yours, `none`
    nowhere."""
    command: list[str] = []
    """With `exec`: the command and its arguments, run for each change with one JSON object, keys
    included, on its standard input."""
    timeout: Seconds = 10.0
    """With `exec`: how long the command may take; longer is a failure."""
    features: list[Literal["seclabel", "aggfrag", "ipcomp"]] = []
    """With `exec`: what the command can do beyond plain ESP and AH. It is announced to the server,
    and SAs that need more are refused; `xfrm` can do none of it, `none` lets all pass."""


class MemberIkeSection(CommonIkeSection):
    retransmit_first: Seconds = 1.0
    """Time before a request is sent again, if no answer has come (RFC 7296 section 2.4)."""
    retransmit_factor: Annotated[float, Field(ge=1, le=10)] = 1.8
    """Each wait is this many times as long as the one before."""
    retransmit_tries: Annotated[int, Field(ge=1, le=20)] = 6
    """Transmissions of a request in all; then the registration has failed."""
    retry_first: Seconds = 5.0
    """Wait after a registration that failed, before the next try."""
    retry_factor: Annotated[float, Field(ge=1, le=10)] = 2.0
    """Each of these waits is this many times as long as the one before."""
    retry_max: Seconds = 300.0
    """The longest of these waits."""
    reregister_jitter: SecondsOrAuto = None
    """Longest random delay before registering again (RFC 9838 section 2.4.3). `auto` goes by what
    the server tells for the group's size, and is 5 s where it tells nothing."""
    announce_transforms: bool = True
    """Tells the server what the ceiling accepts (SAg, RFC 9838 section 2.3.3), so that it refuses
    with a reason instead of sending a policy that this member can't use."""
    max_puzzle_difficulty: Annotated[int, Field(ge=0, le=24)] = 20
    """Bits of the hardest puzzle that this member solves for a server under attack (RFC 8019). 20
    bits take some seconds, and each further bit doubles that. 0 solves none."""


class MemberControlSection(ControlSection):
    path: FileName = "/run/gcks-member/control.sock"
    """UNIX socket that `gcks-member status` and `leave` talk to. Root and the member's own user may
    always use it."""


class MemberMetricsSection(MetricsSection):
    listen: EndpointText = Endpoint("127.0.0.1", 9849)
    """Where Prometheus reads `/metrics`. There is no authentication: keep it on loopback or a
    management network."""


class MemberFile(Section):
    include: list[FilePattern] = []
    """Further files, relative to this one; a pattern such as `groups/*.yaml` takes all that fit.
    Lists are joined, sections filled up, and a value given twice is an error."""
    identity: IdentityText
    """Who this member is (IDi); the server's `members` rules go by it."""
    server: MemberServerSection
    """The key server, and who it must prove to be."""
    local: LocalSection = LocalSection()
    """This host's addresses, ports and interface. Most hosts need none of it."""
    authentication: MemberAuthenticationSection
    """What this member proves itself with (`psk`, or `certificate` and `key`, or all of them: the
    server says what it takes, RFC 9593), and how the server does."""
    groups: Annotated[list[MembershipSection], Field(min_length=1)]
    """The groups to join."""
    ceiling: CeilingSection = CeilingSection()
    """What is accepted from the server, whoever controls it: policy is distributed, not negotiated
    (RFC 9838 section 2.2). What goes beyond is refused as a whole, with the reason."""
    data_plane: DataPlaneSection = DataPlaneSection()
    """Where the SAs go."""
    ike: MemberIkeSection = MemberIkeSection()
    """The IKE SA with the server: algorithms, times and tries. Most members need none of it."""
    metrics: MemberMetricsSection | None = None
    """Metrics for Prometheus; `null` for none."""
    control: MemberControlSection = MemberControlSection()
    """The socket of `gcks-member status` and `leave`, and who may use it."""
    logging: LoggingSection = LoggingSection()
    """What is logged, and how."""
