"""member.yaml, loaded: everything that `gcks-member run` needs, or every problem at once."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from gcks.crypto.certificates import TrustStore
from gcks.crypto.errors import CryptoError
from gcks.daemon.config.files import Files
from gcks.daemon.config.loaded import LogOptions, MemberConfig
from gcks.daemon.config.member_model import CeilingSection, MemberFile
from gcks.daemon.config.problems import ConfigError, Findings
from gcks.daemon.config.validation import read_model
from gcks.dataplane.options import DataPlaneOptions
from gcks.iana import ProtocolId
from gcks.ike.credentials import Credentials, OwnCertificate, PreSharedKey
from gcks.ike.keywords import ENCR, INTEG, KWA, parse_ike
from gcks.member.ceiling import Ceiling
from gcks.member.data_plane import Mode
from gcks.member.settings import (
    GroupMembership,
    MemberSettings,
    OwnAuthentication,
    Retransmission,
)
from gcks.outcome import Endpoint
from gcks.wire.identification import Identity

_PROTOCOLS = {"esp": ProtocolId.ESP, "ah": ProtocolId.AH}
_NETWORK_KEYS = ("destinations", "sources", "rekey_destinations")


def load_member(path: Path) -> MemberConfig:
    """Load a configuration.  Raises `ConfigError` with all problems."""
    config, findings = read_member(path)
    if config is None:
        raise ConfigError(findings.errors)
    return config


def read_member(path: Path) -> tuple[MemberConfig | None, Findings]:
    """Load a configuration; None where there are errors.

    Raises `ConfigError` where the file isn't YAML.
    """
    model, findings = read_model(path, MemberFile)
    if model is None:
        return None, findings
    files = Files(path.parent)
    credentials = _credentials(model, files, findings)
    _check_networks(model.ceiling, findings)
    plane = model.data_plane
    if plane.kind == "exec" and not plane.command:
        findings.add(("data_plane", "command"), "missing: name the hook to run")
    if findings.errors:
        return None, findings
    config = MemberConfig(
        settings=_settings(model),
        credentials=credentials,
        ceiling=_ceiling(model.ceiling),
        data_plane=DataPlaneOptions(plane.kind, tuple(plane.command), plane.timeout),
        metrics=model.metrics.listen if model.metrics else None,
        logs=LogOptions(model.logging.format, model.logging.level),
        source=path,
    )
    return config, findings


def _settings(model: MemberFile) -> MemberSettings:
    by_certificate = model.authentication.certificate is not None
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
        authentication=OwnAuthentication.CERTIFICATE if by_certificate else OwnAuthentication.PSK,
        natt_port=model.server.natt_port,
        local_natt_port=model.local.natt_port,
        ike_proposals=parse_ike(ike.proposals),
        interface=model.local.interface,
        data_addresses=tuple(model.local.data_addresses),
        retransmission=Retransmission(
            ike.retransmit_first, ike.retransmit_factor, ike.retransmit_tries
        ),
        reregister_jitter_seconds=ike.reregister_jitter,
    )


def _ceiling(section: CeilingSection) -> Ceiling:
    return Ceiling(
        destinations=tuple(section.destinations),
        sources=tuple(section.sources),
        allow_any_destination=section.allow_any_destination,
        rekey_destinations=tuple(section.rekey_destinations),
        protocols=frozenset(_PROTOCOLS[name] for name in section.protocols),
        encr=tuple(ENCR[name] for name in section.encryption),
        integ=tuple(INTEG[name] for name in section.integrity),
        kwa=tuple(KWA[name].id for name in section.key_wrap),
        allow_implicit_authentication=section.allow_implicit_authentication,
        modes=frozenset(Mode(name) for name in section.modes),
        min_lifetime_seconds=section.min_lifetime,
        max_lifetime_seconds=section.max_lifetime,
        max_rekey_lifetime_seconds=section.max_rekey_lifetime,
        max_data_sas=section.max_data_sas,
        max_delay_seconds=section.max_delay,
    )


def _check_networks(section: CeilingSection, findings: Findings) -> None:
    for key in _NETWORK_KEYS:
        for place, text in enumerate(getattr(section, key)):
            try:
                ipaddress.ip_network(text)
            except ValueError as error:
                findings.add(("ceiling", key, place), str(error))


def _credentials(model: MemberFile, files: Files, findings: Findings) -> Credentials:
    own_keys = _psk(model, files, findings)
    anchors: list[bytes] = []
    for place, text in enumerate(model.authentication.trust_anchors):
        try:
            anchors += files.certificates(text)
        except ValueError as error:
            findings.add(("authentication", "trust_anchors", place), str(error))
    own = _own(model, files, findings)
    if own is not None and not anchors and not findings.errors:
        findings.add(("authentication", "trust_anchors"), "missing: the server can't be verified")
    try:
        trust = TrustStore(anchors) if anchors else None
    except CryptoError as error:
        findings.add(("authentication", "trust_anchors"), str(error))
        trust = None
    return Credentials(own_keys, own, trust)


def _psk(model: MemberFile, files: Files, findings: Findings) -> tuple[PreSharedKey, ...]:
    auth = model.authentication
    if (auth.psk is None) == (auth.certificate is None):
        findings.add(("authentication",), "give either psk or certificate and key")
    if auth.psk is None:
        return ()
    try:
        return (PreSharedKey(model.server.identity, files.secret(auth.psk)),)
    except ValueError as error:
        findings.add(("authentication", "psk"), str(error))
        return ()


def _own(model: MemberFile, files: Files, findings: Findings) -> OwnCertificate | None:
    auth = model.authentication
    if auth.certificate is None:
        return None
    if auth.key is None:
        findings.add(("authentication", "key"), "missing: certificate and key go together")
        return None
    try:
        return files.own_certificate(auth.certificate, auth.key)
    except ValueError as error:
        findings.add(("authentication", "key"), str(error))
        return None
