"""gcks.yaml, loaded: everything that `gcks serve` needs, or every problem at once."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
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
    tried,
)
from gcks.daemon.config.files import Files
from gcks.daemon.config.groups import build_groups
from gcks.daemon.config.ike_model import optimized_rekey, retransmission
from gcks.daemon.config.loaded import (
    CredentialSource,
    Listener,
    LogOptions,
    ServerConfig,
)
from gcks.daemon.config.output_files import file_to_make
from gcks.daemon.config.problems import KEEP_ONE, ConfigError, Findings
from gcks.daemon.config.program import Program, refuse_others
from gcks.daemon.config.server_model import (
    AuthenticationSection,
    ListenSection,
    PskSection,
    RawPublicKeySection,
    ServerFile,
    ServerSection,
    StoreSection,
)
from gcks.daemon.config.validation import entries, section, validate
from gcks.daemon.config.yaml_source import read_yaml
from gcks.daemon.pktinfo import ANY_IPV4, any_of
from gcks.datagrams import Endpoint
from gcks.ike.credentials import Credentials, OwnCredential, PreSharedKey, RawPublicKey
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

    Sections that are valid are held against files and rules even where others
    are not, so that all problems come at once.  Raises `ConfigError` where the
    file isn't YAML, or a member's.
    """
    content, findings = read_yaml(path)
    refuse_others(content, path, Program.SERVER)
    model = validate(content, ServerFile, findings)
    files = Files(path, findings.files)
    server = section(content, "server", ServerSection)
    listen = [listener for _, listener in entries(content, "listen", ListenSection)]
    _check_listeners(listen, findings)
    credentials = _credentials(content, server, files, findings)
    watched = dict(files.seen)
    groups = build_groups(content, _rekey_source(listen), findings)
    store_path, master_key = _store(section(content, "store", StoreSection), files, findings)
    if model is None:
        return None, findings
    control, audit = control_options(model.control, files, findings), _audit(model, files, findings)
    if findings.errors:
        return None, findings
    config = ServerConfig(
        settings=_settings(model),
        credentials=credentials,
        groups=groups,
        listeners=tuple(
            Listener(
                listener.address,
                tuple(listener.ike_ports),
                tuple(listener.natt_ports),
                tuple(listener.tcp_ports),
            )
            for listener in listen
        ),
        store_path=store_path,
        master_key=master_key,
        metrics=model.metrics.listen if model.metrics else None,
        control=control,
        audit=audit,
        logs=LogOptions(model.logging.format, model.logging.level),
        source=path,
        credential_source=CredentialSource(
            watched,
            reading_again(
                path,
                lambda collector: _credentials(
                    content, server, Files(path, findings.files), collector
                ),
            ),
        ),
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
        cookie_threshold_per_prefix=ike.cookie_threshold_per_prefix,
        puzzle_difficulty=ike.puzzle_difficulty,
        puzzle_threshold=ike.puzzle_threshold,
        puzzle_threshold_per_prefix=ike.puzzle_threshold_per_prefix,
        rate_per_address=ike.rate_per_address,
        rate_per_identity=ike.rate_per_identity,
        max_half_open=ike.max_half_open,
        max_half_open_per_prefix=ike.max_half_open_per_prefix,
        max_ike_sas=ike.max_ike_sas,
        retransmission=retransmission(ike),
        fragment_octets=ike.fragment_size or None,
        ike_sa_rekey_seconds=ike.rekey_after,
        liveness_seconds=ike.liveness,
        optimized_rekey=optimized_rekey(ike),
        childless=ike.childless,
        remove_on_certificate_end=model.authentication.certificate_end == "remove",
    )


def _check_listeners(listen: Sequence[ListenSection], findings: Findings) -> None:
    taken: set[Endpoint] = set()
    everywhere = {
        Endpoint(listener.address, port)
        for listener in listen
        if _is_wildcard(listener)
        for port in (*listener.ike_ports, *listener.natt_ports)
    }
    for place, listener in enumerate(listen):
        for key, ports in (("ike_ports", listener.ike_ports), ("natt_ports", listener.natt_ports)):
            for port in ports:
                endpoint = Endpoint(listener.address, port)
                if endpoint in taken:
                    findings.add(("listen", place, key), f"{endpoint} is given twice", KEEP_ONE)
                taken.add(endpoint)
                covering = Endpoint(any_of(listener.address), port)
                if covering in everywhere and not _is_wildcard(listener):
                    reason = f"{covering} covers {endpoint}"
                    findings.add(("listen", place, key), reason, KEEP_ONE)


def _is_wildcard(listener: ListenSection) -> bool:
    return ipaddress.ip_address(listener.address).is_unspecified


def _rekey_source(listen: Sequence[ListenSection]) -> str:
    """Return where rekeys come from unless a group says otherwise: an address, if there is one."""
    named = (listener.address for listener in listen if not _is_wildcard(listener))
    return next(named, ANY_IPV4)


def _credentials(
    content: Any, server: ServerSection | None, files: Files, findings: Findings
) -> Credentials:
    place = ("authentication",)
    given = content.get("authentication", {})
    keys = _pre_shared_keys(given, files, findings)
    raw = _raw_public_keys(given, files, findings)
    valid = section(content, "authentication", AuthenticationSection)
    chosen = valid or AuthenticationSection()
    trust = read_trust(chosen, place, files, findings)
    if valid and not (valid.psk or valid.trust_anchors or valid.raw_public_keys):
        findings.add(
            place, "nobody can authenticate", "give psk entries, trust_anchors or raw_public_keys"
        )
    own = _own(server, trust, files, findings) if server else ()
    if server and (chosen.trust_anchors or raw) and not _has_key(server):
        findings.add(
            ("server", "certificate"),
            "missing: members with certificates want one from the server",
            "give certificate and key",
        )
    return Credentials(keys, own, trust, raw)


def _has_key(server: ServerSection) -> bool:
    return server.key is not None or server.certificate is not None or bool(server.certificates)


def _raw_public_keys(content: Any, files: Files, findings: Findings) -> list[RawPublicKey]:
    raw_keys = [
        read_raw_public_key(
            section.key,
            str(Identity.parse(section.identity)),
            ("authentication", "raw_public_keys", place, "key"),
            files,
            findings,
        )
        for place, section in entries(content, "raw_public_keys", RawPublicKeySection)
    ]
    return [raw_key for raw_key in raw_keys if raw_key is not None]


def _pre_shared_keys(content: Any, files: Files, findings: Findings) -> tuple[PreSharedKey, ...]:
    keys: dict[str, PreSharedKey] = {}
    for place, psk in entries(content, "psk", PskSection):
        path = ("authentication", "psk", place)
        if psk.identity in keys:
            findings.add((*path, "identity"), f"a second secret for {psk.identity}", KEEP_ONE)
        secret = read_secret(psk.secret, (*path, "secret"), files, findings)
        if secret is not None:
            keys[psk.identity] = PreSharedKey(psk.identity, secret)
    return tuple(keys.values())


def _own(
    server: ServerSection, trust: TrustStore | None, files: Files, findings: Findings
) -> tuple[OwnCredential, ...]:
    identity, anchors = Identity.parse(server.identity), trust.anchors if trust else ()
    return read_own(server, ("server",), identity, anchors, files, findings)


def _store(store: StoreSection | None, files: Files, findings: Findings) -> tuple[Path, bytes]:
    if store is None:
        return Path(), b""
    path = file_to_make(store.path, ("store", "path"), files, findings)
    key = tried(lambda: files.master_key(store.master_key), ("store", "master_key"), findings)
    return path or Path(), key or b""


def _audit(model: ServerFile, files: Files, findings: Findings) -> Path | None:
    given = model.audit
    if given is None:
        return None
    return file_to_make(given.path, ("audit", "path"), files, findings)
