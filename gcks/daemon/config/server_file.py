"""gcks.yaml, loaded: everything that `gcks serve` needs, or every problem at once."""

from __future__ import annotations

from pathlib import Path

from gcks.crypto.certificates import TrustStore
from gcks.crypto.errors import CryptoError
from gcks.daemon.config.files import Files
from gcks.daemon.config.group_policy import build_group
from gcks.daemon.config.loaded import Listener, LogOptions, ServerConfig
from gcks.daemon.config.problems import ConfigError, Findings
from gcks.daemon.config.server_model import ServerFile
from gcks.daemon.config.validation import read_model
from gcks.group.policy import GroupPolicy
from gcks.ike.credentials import Credentials, OwnCertificate, PreSharedKey
from gcks.ike.keywords import parse_ike
from gcks.keyserver.settings import ServerSettings
from gcks.wire.identification import Identity


def load_server(path: Path) -> ServerConfig:
    """Load a configuration.  Raises `ConfigError` with all problems."""
    config, findings = read_server(path)
    if config is None:
        raise ConfigError(findings.errors)
    return config


def read_server(path: Path) -> tuple[ServerConfig | None, Findings]:
    """Load a configuration; None where there are errors.

    Raises `ConfigError` where the file isn't YAML.
    """
    model, findings = read_model(path, ServerFile)
    if model is None:
        return None, findings
    files = Files(path.parent)
    credentials = _credentials(model, files, findings)
    groups = _groups(model, findings)
    store_path, master_key = _store(model, files, findings)
    if findings.errors:
        return None, findings
    config = ServerConfig(
        settings=_settings(model),
        credentials=credentials,
        groups=groups,
        listeners=tuple(
            Listener(one.address, tuple(one.ike_ports), tuple(one.natt_ports))
            for one in model.listen
        ),
        store_path=store_path,
        master_key=master_key,
        metrics=model.metrics.listen if model.metrics else None,
        logs=LogOptions(model.logging.format, model.logging.level),
        source=path,
    )
    return config, findings


def _settings(model: ServerFile) -> ServerSettings:
    ike = model.ike
    return ServerSettings(
        Identity.parse(model.server.identity),
        parse_ike(ike.proposals),
        ike_sa_idle_seconds=ike.idle,
        half_open_seconds=ike.half_open,
        cookie_threshold=ike.cookie_threshold,
        max_half_open=ike.max_half_open,
        max_ike_sas=ike.max_ike_sas,
    )


def _groups(model: ServerFile, findings: Findings) -> dict[str, GroupPolicy]:
    groups: dict[str, GroupPolicy] = {}
    source = model.listen[0].address
    for place, section in enumerate(model.groups):
        policy = build_group(section, ("groups", place), source, findings)
        if policy is not None and policy.name in groups:
            findings.add(("groups", place, "id"), f"a second group {policy.name}")
        elif policy is not None:
            groups[policy.name] = policy
    return groups


def _credentials(model: ServerFile, files: Files, findings: Findings) -> Credentials:
    keys: list[PreSharedKey] = []
    for place, psk in enumerate(model.authentication.psk):
        try:
            keys.append(PreSharedKey(psk.identity, files.secret(psk.secret)))
        except ValueError as error:
            findings.add(("authentication", "psk", place, "secret"), str(error))
    anchors: list[bytes] = []
    for place, text in enumerate(model.authentication.trust_anchors):
        try:
            anchors += files.certificates(text)
        except ValueError as error:
            findings.add(("authentication", "trust_anchors", place), str(error))
    own = _own(model, files, findings)
    if not keys and not anchors and not findings.errors:
        findings.add(("authentication",), "nobody can authenticate: give psk or trust_anchors")
    return Credentials(tuple(keys), own, _trust(anchors, findings))


def _trust(anchors: list[bytes], findings: Findings) -> TrustStore | None:
    try:
        return TrustStore(anchors) if anchors else None
    except CryptoError as error:
        findings.add(("authentication", "trust_anchors"), str(error))
        return None


def _own(model: ServerFile, files: Files, findings: Findings) -> OwnCertificate | None:
    certificate, key = model.server.certificate, model.server.key
    if certificate is None and key is None:
        if model.authentication.trust_anchors:
            findings.add(
                ("server", "certificate"),
                "missing: members with certificates want one from the server",
            )
        return None
    if certificate is None or key is None:
        findings.add(("server",), "certificate and key go together")
        return None
    try:
        return files.own_certificate(certificate, key)
    except ValueError as error:
        findings.add(("server", "key"), str(error))
        return None


def _store(model: ServerFile, files: Files, findings: Findings) -> tuple[Path, bytes]:
    path, key = Path(), b""
    try:
        path = files.path(model.store.path)
        if not path.parent.is_dir():
            raise ValueError(f"there is no directory {path.parent}")
    except ValueError as error:
        findings.add(("store", "path"), str(error))
    try:
        key = files.master_key(model.store.master_key)
    except ValueError as error:
        findings.add(("store", "master_key"), str(error))
    return path, key
