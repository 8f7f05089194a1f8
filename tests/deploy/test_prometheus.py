"""The alerts are valid, fire when they should, and each leads to its runbook."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml
from prometheus_client import CollectorRegistry

from aestream.service.endpoints import HttpServer
from aestream.service.health import Health
from aestream.settings.serving import Http
from tests.deploy.files import (
    ADDRESSES,
    BASE,
    DASHBOARD,
    DEPLOY,
    GUIDE,
    ROOT,
    RULES,
    RUNBOOKS,
    alerts,
    dashboard,
    panels,
    queries,
    rules,
    texts,
    yaml_of,
)  # fmt: skip
from tests.deploy.tools import run

pytestmark = pytest.mark.timeout(900)  # promtool may have to be fetched first

# The contract: people's notification routes are built on these. AestreamScoreDrift comes with its metric.
NAMES = {
    "AestreamWorkerDown", "AestreamTrainerDown", "AestreamNotReady", "AestreamCommitsRefused", "AestreamStalled",
    "AestreamLagKeepsIncreasing", "AestreamDeadLetterRateHigh", "AestreamAnomalyRateShift", "AestreamEntitiesMoved",
    "AestreamModelStale", "AestreamModelReloadFailed", "AestreamTrainerFailing",
}  # fmt: skip
SCENARIOS = DEPLOY / "prometheus/alerts_test.yml"
ELSEWHERE = "../../docs/operations.md#running-a-command-as-the-service-does"


def test_promtool_accepts_the_rules() -> None:
    run("promtool", "check", "rules", "--lint=all", "--lint-fatal", RULES, ADDRESSES)


def test_promtool_accepts_the_configuration() -> None:
    run("promtool", "check", "config", DEPLOY / "prometheus/prometheus.yml")


def test_promtool_accepts_how_the_guide_scrapes_over_tls(tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/security.md").read_text(), re.MULTILINE | re.DOTALL)
    (config,) = [block for block in blocks if block.startswith("scrape_configs:")]
    for path in re.findall(r"/etc/prometheus/([\w.-]+)", config):
        (tmp_path / path).touch()
    (tmp_path / "prometheus.yml").write_text(config.replace("/etc/prometheus", str(tmp_path)))
    run("promtool", "check", "config", tmp_path / "prometheus.yml")
    (monitor,) = [yaml.safe_load(block) for block in blocks if "kind: PodMonitor" in block]
    (worker,) = [o for o in yaml.safe_load_all((BASE / "worker.yaml").read_text()) if o["kind"] == "StatefulSet"]
    labels = worker["spec"]["template"]["metadata"]["labels"] | {"app.kubernetes.io/name": "aestream"}  # by kustomize
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    assert endpoint["port"] in [port["name"] for port in container["ports"]]


def test_the_alerts_fire_when_they_should() -> None:
    run("promtool", "test", "rules", SCENARIOS)


def test_without_addresses_an_alert_leads_to_paths(tmp_path: Path) -> None:
    text = SCENARIOS.read_text().replace("  - addresses.yml\n", "")
    addresses = yaml_of(ADDRESSES)["groups"][0]["rules"][0]["labels"]
    assert text.count(addresses["grafana"]) == text.count(addresses["runbooks"]) > len(NAMES)
    text = text.replace(addresses["grafana"], "").replace(addresses["runbooks"], "deploy/runbooks")
    (tmp_path / "alerts.yml").write_text(RULES.read_text())
    (tmp_path / "alerts_test.yml").write_text(text)
    run("promtool", "test", "rules", tmp_path / "alerts_test.yml")


def fired() -> list[dict[str, Any]]:
    """Every alert of the scenarios, as it should fire."""
    cases = [case for scenario in yaml_of(SCENARIOS)["tests"] for case in scenario["alert_rule_test"]]
    return [{"name": case["alertname"], **alert} for case in cases for alert in case["exp_alerts"]]


def test_every_alert_is_tested() -> None:
    assert {alert["name"] for alert in fired()} == NAMES


def test_every_alert_says_what_where_and_how_to_fix_it() -> None:
    assert [alert["alert"] for alert in alerts()] == list(dict.fromkeys(alert["alert"] for alert in alerts()))
    assert {alert["alert"] for alert in alerts()} == NAMES
    for alert in alerts():
        assert alert["labels"].keys() == {"severity"}
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}
        assert alert["annotations"].keys() == {"summary", "description", "runbook_url", "dashboard_url"}


def test_an_alert_leads_to_its_runbook_and_to_a_panel_that_shows_it() -> None:
    expressions = {alert["alert"]: alert["expr"] for alert in alerts()}
    recorded = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    drawn = {str(panel["id"]): " ".join(target["expr"] for target in panel["targets"]) for panel in panels()}
    for alert in fired():
        annotations, labels = alert["exp_annotations"], alert["exp_labels"]
        assert annotations["runbook_url"].endswith(f"/deploy/runbooks/{alert['name']}.md")
        url = urlsplit(annotations["dashboard_url"])
        assert url.path == f"/d/{dashboard()['uid']}"
        asked = dict(parse_qsl(url.query))
        metrics = re.findall(r"\b(?:aestream_\w+|up)\b", drawn[asked.pop("viewPanel")])
        expression = re.sub(r"job:[\w:]+", lambda found: recorded[found[0]], expressions[alert["name"]])
        assert any(re.search(rf"\b{metric}\b", expression) for metric in metrics), alert["name"]
        assert asked == {f"var-{name}": value for name, value in labels.items() if name != "severity"}


def test_nothing_leads_to_another_projects_pages() -> None:
    operating = [text for place, text in texts() if place.startswith(("deploy/prom", "deploy/graf", "deploy/runb"))]
    assert len(operating) > len(NAMES)
    assert not [text for text in operating if "github.com" in text]


def test_every_runbook_is_of_an_alert_and_tells_what_to_do() -> None:
    assert {page.stem for page in RUNBOOKS} == NAMES
    for page in RUNBOOKS:
        text = page.read_text()
        assert text.startswith(f"# {page.stem}\n\n**What it means.** ")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["How to investigate", "How to fix it"]
        links = re.findall(r"\]\(([^)]+)\)", text)
        assert links.count(ELSEWHERE) == 1
        for link in links:
            assert (page.parent / link.partition("#")[0]).is_file()


def test_no_step_needs_a_program_that_the_image_has_not() -> None:
    for page in RUNBOOKS:
        assert not re.findall(r"\b(?:curl|wget|kcat|kafka-[\w-]+\.sh)\b", page.read_text()), page.name


def test_the_step_that_asks_a_process_what_it_waits_for_works() -> None:
    health = Health(stale_after=60)
    health.wait_for("the consumer group")
    server = HttpServer("127.0.0.1", 0, health=health, registry=CollectorRegistry(), version="")
    try:
        (step,) = re.findall(r"^python3 (-c .*)$", (DEPLOY / "runbooks/AestreamNotReady.md").read_text(), re.MULTILINE)
        step = step.replace(str(Http().port), server.address.rpartition(":")[2])
        done = subprocess.run([sys.executable, *shlex.split(step)], capture_output=True, text=True, check=True)
    finally:
        server.close()
    assert done.stdout.strip() == "waiting: the consumer group"


def test_the_rules_become_objects_of_the_prometheus_operator(tmp_path: Path) -> None:
    (step,) = re.findall(r"^for name in .*?kubectl apply -f -$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    applied = tmp_path / "applied.yml"
    step = step.replace("kubectl apply -f -", f"cat >{applied}")
    subprocess.run(["sh", "-ec", step], cwd=ROOT, check=True)
    objects = list(yaml.safe_load_all(applied.read_text()))
    assert [made["metadata"]["name"] for made in objects] == ["aestream-addresses", "aestream-alerts"]
    assert {made["kind"] for made in objects} == {"PrometheusRule"}
    assert [made["spec"] for made in objects] == [yaml_of(ADDRESSES), yaml_of(RULES)]


def test_promtool_understands_every_query(tmp_path: Path) -> None:
    rules = [{"record": f"query_{n}", "expr": found.text} for n, found in enumerate(queries())]
    assert len(rules) > 60, f"the queries of {DASHBOARD.name} and the runbooks are among them"
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    run("promtool", "check", "rules", path)
