"""The metrics by Prometheus' own judgement, and scraped by a real one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import yaml

from tests.edge.test_dev import MEMBER, ROOT, Daemon, wait_for
from tests.edge.test_operator import JOIN, Site
from tests.edge.test_serve_config import free_ports

RULES = ROOT / "config" / "prometheus"
REFUSED = ["refused"]
pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed"
)


def promtool(*arguments: str, given: str = "") -> str:
    done = subprocess.run(
        ["promtool", *arguments], input=given, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_alert_rules_are_right() -> None:
    assert "17 rules found" in promtool("check", "rules", str(RULES / "alerts.yml"))
    assert "SUCCESS" in promtool("test", "rules", str(RULES / "alerts_test.yml"))


def alerts() -> list[dict[str, object]]:
    content = yaml.safe_load((RULES / "alerts.yml").read_text())
    return [rule for group in content["groups"] for rule in group["rules"]]


def alert_expressions() -> list[tuple[str, str]]:
    return [(str(rule["alert"]), str(rule["expr"])) for rule in alerts()]


def dashboard_expressions() -> list[tuple[str, str]]:
    dashboard = json.loads((ROOT / "config" / "grafana" / "gcks.json").read_text())
    return [
        (panel["title"], target["expr"])
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]


def test_every_alert_has_its_paragraph_in_the_runbook() -> None:
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    names = [str(rule["alert"]) for rule in alerts()]
    assert headings == names
    for rule in alerts():
        annotations = rule["annotations"]
        assert isinstance(annotations, dict)
        assert annotations["runbook"] == f"docs/runbook.md#{str(rule['alert']).lower()}"


@pytest.fixture
def site(tmp_path: Path):  # type: ignore[no-untyped-def]
    site = Site(tmp_path)
    yield site
    for daemon in reversed(site.daemons):
        daemon.stop()


def page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return answer.read().decode()


def test_a_real_prometheus_scrapes_both_daemons(site: Site, tmp_path: Path) -> None:
    server_port, member_port, prometheus_port = free_ports(3)
    listen = "metrics: {{listen: '127.0.0.1:{}'}}\n"
    site.config.write_text(site.config.read_text() + listen.format(server_port))
    site.serve()
    file = tmp_path / "gm1.yaml"
    text = JOIN.format(name="gm1", local="", **vars(site)) + listen.format(member_port)
    file.write_text(text)
    member = Daemon([*MEMBER, "--config", str(file)], tmp_path / "gm1.log")
    site.daemons.append(member)
    member.says("registered ")
    pages = page(server_port) + page(member_port)
    for one in (page(server_port), page(member_port)):
        promtool("check", "metrics", given=one)
    known = set(re.findall(r"# TYPE (\w+)", pages))
    for what, expression in (*alert_expressions(), *dashboard_expressions()):
        for name in re.findall(r"\bgcks_\w+", expression):
            told = name.removesuffix("_bucket") in known
            assert told, f"{what} asks for {name}, which nobody tells"
    config = tmp_path / "prometheus.yml"
    targets = [f"127.0.0.1:{server_port}"], [f"127.0.0.1:{member_port}"]
    config.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(RULES / "alerts.yml")],
                "scrape_configs": [
                    {"job_name": name, "static_configs": [{"targets": target}]}
                    for name, target in zip(("gcks", "gcks-member"), targets, strict=True)
                ],
            }
        )
    )
    promtool("check", "config", str(config))
    prometheus = Daemon(
        ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
         f"--web.listen-address=127.0.0.1:{prometheus_port}"],
        tmp_path / "prometheus.log",
    )  # fmt: skip
    site.daemons.append(prometheus)

    def asked(query: str) -> list[str]:
        url = f"http://127.0.0.1:{prometheus_port}/api/v1/query?query={urllib.parse.quote(query)}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError:
            return REFUSED
        except OSError:
            return []
        return [one["value"][1] for one in found]

    wait_for(lambda: asked('gcks_members{group="keyid:ops"}') == ["1"], "the server's members")
    wait_for(lambda: asked("gcks_member_registered") == ["1"], "the member's state")
    wait_for(lambda: asked("gcks_loop_lag_seconds_count"), "the loop's lag")
    for title, expression in dashboard_expressions():
        url = expression.replace("$group", ".*")
        assert asked(url) is not REFUSED, f"{title}: Prometheus doesn't understand {expression}"
    assert asked('up{job="gcks"}') == ["1"]
    assert asked('gcks_registration_seconds_count{exchange="gsa_auth"}') == ["1"]
