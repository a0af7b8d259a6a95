"""The alert rules and their tests name the same alerts, and ask for what is told from the start.

Prometheus' own judgement is in tests/edge/test_prometheus.py.

Shows gcks/daemon/metrics.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.metrics_states import GROUP, Member, Server
from tests.support.repository import ROOT

RULES = ROOT / "config" / "prometheus"
BEGINS_WITH_THE_FIRST = {'gcks_registrations_total{result="refused"}'}
"""Reasons are many, and the alert waits for more than a few refusals anyway."""


def rules() -> dict[str, dict[str, Any]]:
    content = yaml.safe_load((RULES / "alerts.yml").read_text())
    return {rule["alert"]: rule for group in content["groups"] for rule in group["rules"]}


def cases() -> Iterator[tuple[str, bool]]:
    """Yield each alert of the tests, and whether it must fire."""
    content = yaml.safe_load((RULES / "alerts_test.yml").read_text())
    for test in content["tests"]:
        for case in test["alert_rule_test"]:
            yield case["alertname"], bool(case["exp_alerts"])


def test_every_alert_is_shown_to_fire_and_not_to_fire() -> None:
    assert {name for name, fires in cases() if fires} == set(rules())
    assert {name for name, fires in cases() if not fires} == set(rules())


def selectors() -> set[str]:
    """Return what rules take the increase or rate of."""
    expressions = " ".join(str(rule["expr"]) for rule in rules().values())
    return set(re.findall(r"\b(?:increase|rate)\((gcks_\w+(?:\{[^}]*\})?)\[", expressions))


@pytest.mark.parametrize("selector", sorted(selectors() - BEGINS_WITH_THE_FIRST))
def test_what_an_alert_counts_is_there_before_it_happens(selector: str, tmp_path: Path) -> None:
    """Prometheus sees no increase in a series that begins with its first event."""
    name, _, conditions = selector.partition("{")
    wanted = dict(re.findall(r'(\w+)="(\w*)"', conditions))
    daemon = Member(tmp_path / "xfrm_stat") if "_member_" in name else Server()
    found = [
        sample
        for family in daemon.metrics.registry.collect()
        for sample in family.samples
        if sample.name == name and wanted.items() <= sample.labels.items()
    ]
    assert found
    assert {sample.value for sample in found} == {0}
    assert {sample.labels.get("group", GROUP) for sample in found} == {GROUP}
