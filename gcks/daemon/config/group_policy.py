"""From the groups of gcks.yaml to `GroupPolicy` records, held against the rules."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Final

from gcks.daemon.config.group_model import DataSaSection, GroupSection, RekeySection
from gcks.daemon.config.problems import Findings, KeyPath
from gcks.datagrams import Endpoint
from gcks.iana import ProtocolId
from gcks.ike.keywords import parse_ah, parse_esp, parse_kwa
from gcks.keyserver.groups.policy import SINGLE, DataSaPolicy, GroupPolicy, MemberRule, RekeyPolicy
from gcks.keyserver.groups.rules import check
from gcks.wire.identification import Identity
from gcks.wire.traffic_selector import TrafficSelector

ANY: Final = "any"
_PROTOCOLS: Final = {"esp": ProtocolId.ESP, "ah": ProtocolId.AH}
_INDEXED: Final = re.compile(r"(\w+)\[(\d+)\]")


def build_group(
    section: GroupSection, path: KeyPath, default_source: str, findings: Findings
) -> GroupPolicy:
    """Convert one group; problems go to the findings."""
    data_sas = [
        (place, _data_sa(sa))
        for place, listed in enumerate(section.data_sas)
        for sa in _one_for_each(listed, (*path, "data_sas", place), findings)
    ]
    policy = GroupPolicy(
        Identity.parse(section.id),
        tuple(sa for _, sa in data_sas),
        _rekey(section.rekey, default_source) if section.rekey is not None else None,
        tuple(MemberRule(m.identity, m.send, m.receive) for m in section.members),
        mode=section.mode,
        atd_seconds=section.atd,
        dtd_seconds=section.dtd,
        sender_id_bits=section.sender_id_bits,
        max_sender_ids_per_request=section.max_sender_ids_per_request,
        capacity=section.capacity,
        expected_members=section.expected_members,
        evaluate_sag=section.evaluate_sag,
        inband_senders=section.inband_senders,
        key_management=section.key_management,
        exclusion_window_seconds=section.exclusion_window,
        forward_access=section.forward_access,
        backward_access=section.backward_access,
        hide_policy=section.hide_policy,
        excluded=tuple(section.excluded),
        aggfrag=section.aggfrag,
        ipcomp=section.ipcomp,
    )
    places = {sa.name: place for place, sa in data_sas}
    for problem in check(policy):
        key_path = (*path, *_yaml_path(problem.where, places))
        findings.add(key_path, problem.reason, problem.remedy, warning=problem.warning)
    return policy


def _yaml_path(where: str, places: Mapping[str, int]) -> KeyPath:
    """Turn data_sas.NAME.suite into (data_sas, 0, suite), members[1] into (members, 1)."""
    first, _, rest = where.partition(".")
    name, _, last = rest.rpartition(".")
    if first == "data_sas" and name in places:
        return ("data_sas", places[name], last)
    indexed = _INDEXED.fullmatch(where)
    return (indexed[1], int(indexed[2])) if indexed else tuple(where.split("."))


def _one_for_each(sa: DataSaSection, path: KeyPath, findings: Findings) -> Sequence[DataSaSection]:
    """Make of an SA with `each_of` one SA for each sender, told apart by its address."""
    if not sa.each_of:
        return (sa,)
    for key in ("senders", "sender", "source"):
        if key in sa.model_fields_set:
            findings.add((*path, key), "each_of decides this", "leave it out")
    return [
        sa.model_copy(
            update={
                "name": f"{sa.name}/{member.identity}",
                "senders": SINGLE,
                "sender": member.identity,
                "source": member.address,
            }
        )
        for member in sa.each_of
    ]


def _data_sa(sa: DataSaSection) -> DataSaPolicy:
    encr, integ = parse_esp(sa.suite) if sa.protocol == "esp" else (None, parse_ah(sa.suite))
    fixed = next((a for a in (sa.destination, sa.source) if a != ANY), "0.0.0.0/0")
    version = ipaddress.ip_network(fixed).version
    return DataSaPolicy(
        name=sa.name,
        protocol=_PROTOCOLS[sa.protocol],
        encr=encr,
        integ=integ,
        source=_selector(sa.source, version, sa.ip_protocol, sa.source_port),
        destination=_selector(sa.destination, version, sa.ip_protocol, sa.destination_port),
        lifetime_seconds=sa.lifetime,
        senders=sa.senders,
        sender=sa.sender,
        replay_protection=sa.replay_protection,
        renew_seconds=sa.renew,
        security_label=sa.security_label or "",
    )


def _selector(
    address: str, version: int, ip_protocol: int, ports: tuple[int, int]
) -> TrafficSelector:
    network = {4: "0.0.0.0/0", 6: "::/0"}[version] if address == ANY else address
    return TrafficSelector.from_network(network, ip_protocol, *ports)


def _rekey(section: RekeySection, default_source: str) -> RekeyPolicy:
    encr, integ = parse_esp(section.suite)
    return RekeyPolicy(
        encr=encr,
        integ=integ,
        kwa=parse_kwa(section.key_wrap),
        authentication=section.authentication,
        source=Endpoint(section.source or default_source, section.source_port),
        destination=Endpoint(section.address, section.port),
        lifetime_seconds=section.lifetime,
        copies=section.copies,
        spread_seconds=section.spread,
        interface=section.interface,
        ttl=section.ttl,
        fragment_octets=section.fragment_size or None,
        renew_seconds=section.renew,
        auth_key_seconds=section.auth_key_renew,
        reminders=section.reminders,
    )
