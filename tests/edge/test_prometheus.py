"""The metrics by Prometheus' own judgement, and scraped by a real one."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import yaml

from tests.support.daemon_process import MEMBER, Daemon
from tests.support.free_ports import free_ports
from tests.support.pem_authority import PemAuthority
from tests.support.repository import ROOT
from tests.support.site import JOIN, Site
from tests.support.waiting import wait_for

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
    assert "18 rules found" in promtool("check", "rules", str(RULES / "alerts.yml"))
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


class Scraped:
    """A site whose daemons tell their metrics, and a Prometheus that asks for them every second."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.server_port, self.member_port, self._port = free_ports(3)

    def serve(self, config: str) -> None:
        self.site.config.write_text(config + self._listen(self.server_port))
        self.site.serve()

    def join(self, groups: str = "{id: 'keyid:ops', send: true}") -> None:
        text = JOIN.format(name="gm1", local="", **vars(self.site))
        text = text.replace("{id: 'keyid:ops', send: true}", groups)
        file = self.site.directory / "gm1.yaml"
        file.write_text(text + self._listen(self.member_port))
        member = Daemon([*MEMBER, "--config", str(file)], self.site.directory / "gm1.log")
        self.site.daemons.append(member)
        member.says("registered ", groups.count("{id:"))

    def _listen(self, port: int) -> str:
        return f"metrics: {{listen: '127.0.0.1:{port}'}}\n"

    def scrape(self) -> None:
        config = self.site.directory / "prometheus.yml"
        targets = {"gcks": self.server_port, "gcks-member": self.member_port}
        content = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES / "alerts.yml")],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
                for job, port in targets.items()
            ],
        }
        config.write_text(yaml.safe_dump(content))
        promtool("check", "config", str(config))
        prometheus = Daemon(
            ["prometheus", f"--config.file={config}",
             f"--storage.tsdb.path={self.site.directory / 'tsdb'}",
             f"--web.listen-address=127.0.0.1:{self._port}"],
            self.site.directory / "prometheus.log",
        )  # fmt: skip
        self.site.daemons.append(prometheus)

    def asked(self, query: str) -> list[str]:
        """Return the values that there are now."""
        url = f"http://127.0.0.1:{self._port}/api/v1/query?query={urllib.parse.quote(query)}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            return [] if error.code == 503 else REFUSED  # 503: Prometheus is still starting
        except OSError:
            return []
        return [one["value"][1] for one in found]


def test_a_real_prometheus_scrapes_both_daemons(site: Site) -> None:
    scraped = Scraped(site)
    scraped.serve(site.text())
    scraped.join()
    pages = page(scraped.server_port), page(scraped.member_port)
    for one in pages:
        promtool("check", "metrics", given=one)
    known = set(re.findall(r"# TYPE (\w+)", "".join(pages)))
    for what, expression in (*alert_expressions(), *dashboard_expressions()):
        for name in re.findall(r"\bgcks_\w+", expression):
            told = name.removesuffix("_bucket") in known
            assert told, f"{what} asks for {name}, which nobody tells"
    scraped.scrape()
    asked = scraped.asked
    wait_for(lambda: asked('gcks_members{group="keyid:ops"}') == ["1"], "the server's members")
    wait_for(lambda: asked("gcks_member_registered") == ["1"], "the member's state")
    wait_for(lambda: asked("gcks_loop_lag_seconds_count"), "the loop's lag")
    for title, expression in dashboard_expressions():
        url = expression.replace("$group", ".*")
        assert asked(url) is not REFUSED, f"{title}: Prometheus doesn't understand {expression}"
    assert asked('up{job="gcks"}') == ["1"]
    assert asked('gcks_registration_seconds_count{exchange="gsa_auth"}') == ["1"]
    assert asked('gcks_registration_seconds_count{exchange="gsa_registration"}') == ["0"]


QUIET = {
    "What new peers must prove": "nobody floods the server",
    "Members: rekeys missed": "loopback loses nothing",
    "Members: registering again": "nobody has to",
}
"""Panels that show 0 here."""


def busy_config(site: Site) -> str:
    """Give the server a certificate, a number to expect, and a second group."""
    authority = PemAuthority(site.directory)
    authority.leaf("server", "gcks.test")
    text = site.text()
    head, groups = text.split("groups:\n")
    head = head.replace("gcks.test'", "gcks.test', certificate: server.pem, key: server.key")
    head = head.replace("authentication: {psk", "authentication: {trust_anchors: [ca.pem], psk")
    ops = groups.replace("id: keyid:ops\n", "id: keyid:ops\n    expected_members: 2\n")
    other = groups.replace("keyid:ops", "keyid:other").replace("239.255.84.7", "239.255.84.17")
    return f"{head}groups:\n{ops}{other}"


def test_every_panel_shows_something(site: Site) -> None:
    """Prometheus looks before anything happens, as it does where it has been there all the time."""
    scraped = Scraped(site)
    scraped.serve(busy_config(site))
    scraped.scrape()
    for name in ("gcks_registration_seconds_count", "gcks_store_commit_seconds_count"):
        wait_for(lambda name=name: scraped.asked(name), name)  # type: ignore[misc]
    scraped.join("{id: 'keyid:ops', send: true}, {id: 'keyid:other', send: true}")
    site.gcks("rekey", "keyid:ops")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"no IKE message", ("127.0.0.1", site.port))

    def shown(expression: str, *, quiet: bool) -> bool:
        values = [float(one) for one in scraped.asked(expression.replace("$group", ".*"))]
        return any(value >= 0 if quiet else value > 0 for value in values)

    titles = set()
    for title, expression in dashboard_expressions():
        titles.add(title)
        quiet = title in QUIET
        wait_for(lambda e=expression, q=quiet: shown(e, quiet=q), f"{title}: {expression}")  # type: ignore[misc]
    assert set(QUIET) <= titles
