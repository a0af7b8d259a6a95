"""From the groups of gcks.yaml to `GroupPolicy` records, held against the rules."""

from __future__ import annotations

import ipaddress

from gcks.daemon.config.problems import Findings, KeyPath
from gcks.daemon.config.server_model import DataSaSection, GroupSection, RekeySection
from gcks.group.policy import DataSaPolicy, GroupPolicy, MemberRule, RekeyPolicy
from gcks.group.rules import check
from gcks.iana import ProtocolId
from gcks.ike.keywords import parse_ah, parse_esp, parse_kwa
from gcks.outcome import Endpoint
from gcks.wire.identification import Identity
from gcks.wire.traffic_selector import TrafficSelector
from gcks.wire.transform import Transform

_PROTOCOLS = {"esp": ProtocolId.ESP, "ah": ProtocolId.AH}


def build_group(
    section: GroupSection, path: KeyPath, default_source: str, findings: Findings
) -> GroupPolicy | None:
    """Convert one group; problems go to the findings."""
    before = len(findings.errors)
    data_sas = [
        _data_sa(sa, (*path, "data_sas", place), findings)
        for place, sa in enumerate(section.data_sas)
    ]
    rekey = _rekey(section.rekey, (*path, "rekey"), default_source, findings)
    if len(findings.errors) > before:
        return None
    policy = GroupPolicy(
        Identity.parse(section.id),
        tuple(sa for sa in data_sas if sa is not None),
        rekey,
        tuple(MemberRule(m.identity, m.send, m.receive) for m in section.members),
        mode=section.mode,
        atd_seconds=section.atd,
        dtd_seconds=section.dtd,
        sender_id_bits=section.sender_id_bits,
        max_sender_ids_per_request=section.max_sender_ids_per_request,
        capacity=section.capacity,
        evaluate_sag=section.evaluate_sag,
    )
    for problem in check(policy):
        place = (*path, *_yaml_path(problem.where, section))
        findings.add(place, problem.reason, warning=problem.warning)
    return policy


def _yaml_path(where: str, section: GroupSection) -> KeyPath:
    """Turn data_sas.NAME.suite into (data_sas, 0, suite)."""
    parts = where.split(".")
    if parts[0] != "data_sas" or len(parts) < 2:
        return tuple(parts)
    names = [sa.name for sa in section.data_sas]
    place = names.index(parts[1]) if parts[1] in names else 0
    return ("data_sas", place, *parts[2:])


def _data_sa(sa: DataSaSection, path: KeyPath, findings: Findings) -> DataSaPolicy | None:
    suite = _suite(sa, path, findings)
    version = ipaddress.ip_network(sa.destination).version if sa.destination != "any" else 4
    if suite is None:
        return None
    encr, integ = suite
    return DataSaPolicy(
        sa.name,
        _PROTOCOLS[sa.protocol],
        encr,
        integ,
        _selector(sa.source, version, sa.ip_protocol, sa.source_port),
        _selector(sa.destination, version, sa.ip_protocol, sa.destination_port),
        sa.lifetime,
        sa.senders,
        sa.sender,
        sa.replay_protection,
        sa.renew,
    )


def _suite(
    sa: DataSaSection, path: KeyPath, findings: Findings
) -> tuple[Transform | None, Transform | None] | None:
    try:
        return parse_esp(sa.suite) if sa.protocol == "esp" else (None, parse_ah(sa.suite))
    except ValueError as error:
        findings.add((*path, "suite"), str(error))
        return None


def _selector(
    address: str, version: int, ip_protocol: int, ports: tuple[int, int]
) -> TrafficSelector:
    network = {4: "0.0.0.0/0", 6: "::/0"}[version] if address == "any" else address
    return TrafficSelector.from_network(network, ip_protocol, *ports)


def _rekey(
    section: RekeySection, path: KeyPath, default_source: str, findings: Findings
) -> RekeyPolicy | None:
    try:
        encr, integ = parse_esp(section.suite)
    except ValueError as error:
        findings.add((*path, "suite"), str(error))
        return None
    return RekeyPolicy(
        encr,
        integ,
        parse_kwa(section.key_wrap),
        section.authentication,
        Endpoint(section.source or default_source, section.source_port),
        Endpoint(section.address, section.port),
        section.lifetime,
        section.copies,
        section.spread,
        section.interface,
        section.ttl,
        section.renew,
    )
