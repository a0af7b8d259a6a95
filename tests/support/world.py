"""A key server with groups, and members for it, on the virtual network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from gcks.change import Change
from gcks.datagrams import Endpoint
from gcks.iana import Encr, Integ, Kwa, ProtocolId, TransformType
from gcks.ike.credentials import Credentials, PreSharedKey
from gcks.ike.key_log_entry import KeyLog
from gcks.keyserver.engine import Engine
from gcks.keyserver.groups.policy import DataSaPolicy, GroupPolicy, MemberRule, RekeyPolicy
from gcks.keyserver.load import unmetered
from gcks.keyserver.settings import ServerSettings
from gcks.member.ceiling import Ceiling
from gcks.member.engine import MemberEngine
from gcks.member.settings import (
    DEFAULT_IKE_PROPOSALS,
    GroupMembership,
    MemberSettings,
    OwnAuthentication,
)
from gcks.wire.identification import Identity
from gcks.wire.sa import SecurityAssociation
from gcks.wire.traffic_selector import TrafficSelector
from gcks.wire.transform import Transform
from tests.support.network import MemberNode, Network, Weather

SERVER_HOST = "192.0.2.1"
SERVER_IDENTITY = Identity.parse("fqdn:gcks.dev")
SECRET = b"a secret of thirty-two octets ..."
GCM = Transform(TransformType.ENCR, Encr.AES_GCM_16, 256)
CBC = Transform(TransformType.ENCR, Encr.AES_CBC, 256)
HMAC = Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128)

DATA_LIFETIME = 600
REKEY_LIFETIME = 2000
ATD, DTD = 5, 15


def group_policy(
    name: str = "demo", *, cbc: bool = False, number: int = 8, data_sas: int = 1
) -> GroupPolicy:
    """Make a group with ESP SAs for many senders and signed rekeys."""
    esp = DataSaPolicy(
        "video",
        ProtocolId.ESP,
        CBC if cbc else GCM,
        HMAC if cbc else None,
        TrafficSelector.any(4, 17),
        TrafficSelector.single(f"239.1.2.{number}", 17, 5004),
        DATA_LIFETIME,
    )
    rekey = RekeyPolicy(
        GCM,
        None,
        Kwa.KW_5649_256,
        "ed25519",
        Endpoint(SERVER_HOST, 848),
        Endpoint(f"239.255.84.{number}", 848),
        REKEY_LIFETIME,
    )
    return GroupPolicy(
        Identity.parse(f"keyid:{name}"),
        tuple(_beside(esp, at) for at in range(data_sas)),
        rekey,
        (MemberRule("fqdn:sender*.dev", send=True), MemberRule("fqdn:gm*.dev")),
        atd_seconds=ATD,
        dtd_seconds=DTD,
    )


def _beside(sa: DataSaPolicy, at: int) -> DataSaPolicy:
    """Make a like SA for another port."""
    host = str(ip_address(sa.destination.start_address))
    destination = TrafficSelector.single(host, 17, sa.destination.start_port + at)
    return replace(sa, name=f"{sa.name}{at or ''}", destination=destination)


SERVER_SETTINGS = ServerSettings(SERVER_IDENTITY, DEFAULT_IKE_PROPOSALS)
PSK = Credentials(
    (PreSharedKey("fqdn:*.dev", SECRET),),
)


@dataclass
class World:
    """One server and its members."""

    seed: int = 1
    weather: Weather = field(default_factory=Weather)
    groups: Sequence[GroupPolicy] = field(default_factory=lambda: (group_policy(),))
    settings: ServerSettings = SERVER_SETTINGS
    server_credentials: Credentials = field(default_factory=lambda: PSK)
    meter: Callable[[], float] = unmetered
    key_log: KeyLog | None = None

    def __post_init__(self) -> None:
        self.network = Network(self.seed, self.weather)
        self._hosts = 0
        self.start_server()

    @property
    def policies(self) -> Mapping[str, GroupPolicy]:
        return {policy.name: policy for policy in self.groups}

    def start_server(self) -> None:
        """Start the server, or start it again from what its journal says."""
        network = self.network
        journal = network.server.journal if network.server is not None else []
        engine = Engine(
            self.settings,
            self.server_credentials,
            self.policies,
            list(journal),
            entropy=network.entropy,
            wall=network.wall,
            now=network.now,
            key_log=self.key_log,
            meter=self.meter,
        )
        network.add_server(engine, SERVER_HOST)

    @property
    def server(self) -> Engine:
        assert self.network.server is not None
        engine = self.network.server.engine
        assert isinstance(engine, Engine)
        return engine

    def decide(
        self, decider: Callable[..., object], *arguments: object, name: str = "keyid:demo"
    ) -> None:
        """Have a group of the server decide something, beside what peers ask for."""
        network, engine, change = self.network, self.server, Change()
        with engine._groups.deciding(engine.groups[name], network.now, change) as decision:
            decider(decision, *arguments)
        network.server_did(engine._finished(change, network.now))

    def member(
        self,
        name: str,
        *,
        groups: Sequence[str] = ("demo",),
        nat_host: str | None = None,
        at: float = 0.0,
        port: int = 500,
        credentials: Credentials = PSK,
        ceiling: Ceiling | None = None,
        certificate: bool = False,
        offer: SecurityAssociation = DEFAULT_IKE_PROPOSALS,
        server_identity: Identity = SERVER_IDENTITY,
        sender: bool | None = None,
        sender_ids: int = 1,
        **options: object,
    ) -> MemberNode:
        """Add a member; one whose name begins with "sender" sends."""
        self._hosts += 1
        host = f"10.0.{self._hosts // 250}.{self._hosts % 250 + 1}"
        sends = name.startswith("sender") if sender is None else sender
        settings = MemberSettings(
            Identity.parse(f"fqdn:{name}.dev"),
            Endpoint(SERVER_HOST, port),
            server_identity,
            Endpoint(host, port),
            tuple(
                GroupMembership(Identity.parse(f"keyid:{one}"), sends, sender_ids) for one in groups
            ),
            ike_proposals=offer,
            **options,  # type: ignore[arg-type]
        )
        if certificate:
            settings = replace(settings, authentication=OwnAuthentication.CERTIFICATE)
        engine = MemberEngine(
            settings,
            credentials,
            ceiling or Ceiling(),
            entropy=self.network.entropy,
            wall=self.network.wall,
            jitter=self.network.jitter,
        )
        return self.network.add_member(engine, host, nat_host=nat_host, at=at)

    def run(self, until: float) -> None:
        self.network.run(until)


def state(node: MemberNode, group: int = 0, now: float = 0.0) -> str:
    """Return the state of a member's membership."""
    return node.engine.status(now).groups[group].state


def keys_of(node: MemberNode) -> set[tuple[bytes, bytes]]:
    """Return what the member's data plane holds."""
    return {(sa.spi, sa.key_e + sa.key_a) for sa in node.plane.installed.values()}


def inband(**options: object) -> GroupPolicy:
    """Make the policy of a group without Rekey SA."""
    return replace(group_policy(), rekey=None, **options)  # type: ignore[arg-type]


def current(world: World) -> set[tuple[bytes, bytes]]:
    """Return SPI and keying material of the current Data-Security SAs."""
    group = world.server.groups["keyid:demo"]
    return {(sa.spi, sa.keymat) for sa in group.sas.data}
