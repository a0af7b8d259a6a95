"""member.yaml, loaded: everything that `gcks-member run` needs, or every problem at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gcks.crypto.certificates import TrustStore
from gcks.daemon.config.control import control_options
from gcks.daemon.config.credentials import (
    read_own,
    read_raw_public_key,
    read_secret,
    read_trust,
    reading_again,
)
from gcks.daemon.config.files import Files
from gcks.daemon.config.ike_model import optimized_rekey, retransmission
from gcks.daemon.config.loaded import CredentialSource, LogOptions, MemberConfig
from gcks.daemon.config.member_model import (
    CeilingSection,
    DataPlaneSection,
    MemberAuthenticationSection,
    MemberFile,
    MemberServerSection,
)
from gcks.daemon.config.problems import KEEP_ONE, ConfigError, Findings
from gcks.daemon.config.program import Program, refuse_others
from gcks.daemon.config.validation import section, validate
from gcks.daemon.config.yaml_source import read_yaml
from gcks.datagrams import Endpoint
from gcks.dataplane.options import DataPlaneOptions, features_of
from gcks.iana import ProtocolId
from gcks.ike.credentials import Credentials, OwnCredential, PreSharedKey, RawPublicKey
from gcks.ike.keywords import ENCR, INTEG, KWA, parse_ike
from gcks.member.ceiling import Ceiling
from gcks.member.data_plane import Feature, Mode
from gcks.member.settings import (
    GroupMembership,
    MemberSettings,
    OwnAuthentication,
    Retry,
    Transport,
)
from gcks.wire.identification import Identity

_PROTOCOLS = {"esp": ProtocolId.ESP, "ah": ProtocolId.AH}


def load_member(path: Path) -> MemberConfig:
    """Load a configuration.  Raises `ConfigError` with all problems."""
    config, findings = read_member(path)
    if config is None:
        raise ConfigError(findings.errors)
    return config


def read_member(path: Path) -> tuple[MemberConfig | None, Findings]:
    """Load a configuration; None where there are errors.

    Raises `ConfigError` where the file isn't YAML, or a server's.
    """
    content, findings = read_yaml(path)
    refuse_others(content, path, Program.MEMBER)
    model = validate(content, MemberFile, findings)
    files = Files(path, findings.files)
    credentials = _credentials(content, files, findings)
    plane = section(content, "data_plane", DataPlaneSection)
    if plane:
        _check_plane(plane, findings)
    if model is None:
        return None, findings
    _check_groups(model, findings)
    _check_addresses(model, findings)
    control = control_options(model.control, files, findings)
    if findings.errors:
        return None, findings
    options = _data_plane(model.data_plane)
    config = MemberConfig(
        settings=_settings(model),
        credentials=credentials,
        ceiling=_ceiling(model.ceiling, features_of(options)),
        data_plane=options,
        metrics=model.metrics.listen if model.metrics else None,
        control=control,
        logs=LogOptions(model.logging.format, model.logging.level, "gcks-member"),
        source=path,
        credential_source=CredentialSource(
            dict(files.seen),
            reading_again(
                path,
                lambda collector: _credentials(content, Files(path, findings.files), collector),
            ),
        ),
    )
    return config, findings


def _settings(model: MemberFile) -> MemberSettings:
    signs = model.authentication.key is not None or bool(model.authentication.certificates)
    ike = model.ike
    return MemberSettings(
        Identity.parse(model.identity),
        Endpoint(model.server.address, model.server.port),
        Identity.parse(model.server.identity),
        Endpoint(model.local.address or "", model.local.port),
        tuple(
            GroupMembership(Identity.parse(g.id), g.send, g.sender_ids, g.receive_own_data)
            for g in model.groups
        ),
        authentication=OwnAuthentication.CERTIFICATE if signs else OwnAuthentication.PSK,
        natt_port=model.server.natt_port,
        tcp_port=model.server.tcp_port,
        transport=Transport(model.server.transport),
        local_natt_port=model.local.natt_port,
        ike_proposals=parse_ike(ike.proposals),
        interface=model.local.interface,
        data_addresses=tuple(model.local.data_addresses),
        retransmission=retransmission(ike),
        fragment_octets=ike.fragment_size or None,
        ike_sa_rekey_seconds=ike.rekey_after,
        liveness_seconds=ike.liveness,
        optimized_rekey=optimized_rekey(ike),
        retry=Retry(ike.retry_first, ike.retry_factor, ike.retry_max),
        reregister_jitter_seconds=ike.reregister_jitter,
        announce_transforms=ike.announce_transforms,
        max_puzzle_difficulty=ike.max_puzzle_difficulty,
    )


def _check_plane(plane: DataPlaneSection, findings: Findings) -> None:
    if plane.kind == "exec" and not plane.command:
        findings.add(("data_plane", "command"), "missing", "name the hook to run")
    if plane.kind != "exec" and plane.features:
        findings.add(
            ("data_plane", "features"),
            f"is for hooks: {plane.kind} knows its own",
            "leave it out",
        )


def _data_plane(plane: DataPlaneSection) -> DataPlaneOptions:
    features = frozenset(Feature(name) for name in plane.features)
    return DataPlaneOptions(plane.kind, tuple(plane.command), plane.timeout, features)


def _ceiling(ceiling: CeilingSection, features: frozenset[Feature]) -> Ceiling:
    return Ceiling(
        destinations=tuple(ceiling.destinations),
        sources=tuple(ceiling.sources),
        allow_any_destination=ceiling.allow_any_destination,
        rekey_destinations=tuple(ceiling.rekey_destinations),
        protocols=frozenset(_PROTOCOLS[name] for name in ceiling.protocols),
        encr=tuple(ENCR[name] for name in ceiling.encryption),
        integ=tuple(INTEG[name] for name in ceiling.integrity),
        kwa=tuple(KWA[name].id for name in ceiling.key_wrap),
        signatures=tuple(ceiling.signatures),
        allow_implicit_authentication=ceiling.allow_implicit_authentication,
        modes=frozenset(Mode(name) for name in ceiling.modes),
        min_lifetime_seconds=ceiling.min_lifetime,
        max_lifetime_seconds=ceiling.max_lifetime,
        max_rekey_lifetime_seconds=ceiling.max_rekey_lifetime,
        max_data_sas=ceiling.max_data_sas,
        max_delay_seconds=ceiling.max_delay,
        features=features,
    )


def _check_groups(model: MemberFile, findings: Findings) -> None:
    seen: set[str] = set()
    for place, group in enumerate(model.groups):
        if group.id in seen:
            findings.add(("groups", place, "id"), f"{group.id} is given twice", KEEP_ONE)
        seen.add(group.id)


def _check_addresses(model: MemberFile, findings: Findings) -> None:
    local = model.local.address
    if local is not None and (":" in local) != (":" in model.server.address):
        findings.add(
            ("local", "address"),
            f"{local} and the server's {model.server.address} are of different IP versions",
            "give both of one, or leave it out",
        )


def _credentials(content: Any, files: Files, findings: Findings) -> Credentials:
    auth = section(content, "authentication", MemberAuthenticationSection)
    server = section(content, "server", MemberServerSection)
    if auth is None:
        return Credentials()
    place = ("authentication",)
    signs = auth.key is not None or auth.certificate is not None or bool(auth.certificates)
    if auth.psk is None and not signs:
        findings.add(place, "nothing to prove ourselves with", "give psk, or certificate and key")
    trust = read_trust(auth, place, files, findings)
    if signs and not auth.trust_anchors and not auth.raw_public_keys:
        findings.add(
            (*place, "trust_anchors"),
            "missing: the server can't be verified",
            "give the CA of its certificate, or raw_public_keys",
        )
    secret = read_secret(auth.psk, (*place, "psk"), files, findings) if auth.psk else None
    keys = (PreSharedKey(server.identity, secret),) if server and secret else ()
    raw = _raw_public_keys(auth, server, files, findings) if server else []
    return Credentials(keys, _own(content, auth, trust, files, findings), trust, raw)


def _raw_public_keys(
    auth: MemberAuthenticationSection,
    server: MemberServerSection,
    files: Files,
    findings: Findings,
) -> list[RawPublicKey]:
    identity = str(Identity.parse(server.identity))
    raw_keys = [
        read_raw_public_key(
            text, identity, ("authentication", "raw_public_keys", place), files, findings
        )
        for place, text in enumerate(auth.raw_public_keys)
    ]
    return [raw_key for raw_key in raw_keys if raw_key is not None]


def _own(
    content: Any,
    auth: MemberAuthenticationSection,
    trust: TrustStore | None,
    files: Files,
    findings: Findings,
) -> tuple[OwnCredential, ...]:
    try:
        identity = Identity.parse(content.get("identity", ""))
    except (ValueError, AttributeError):
        identity = None
    anchors = trust.anchors if trust else ()
    return read_own(auth, ("authentication",), identity, anchors, files, findings)
