"""The alerts are valid, fire when they should, and each leads to its runbook."""

import re
from pathlib import Path

import pytest
import yaml

from tests.deploy.files import DASHBOARD, DEPLOY, RULES, RUNBOOKS, alerts, dashboard, queries, yaml_of
from tests.deploy.tools import run

pytestmark = pytest.mark.timeout(900)  # promtool may have to be fetched first

# The contract: people's notification routes are built on these. AestreamScoreDrift comes with its metric.
NAMES = {
    "AestreamDown", "AestreamStalled", "AestreamLagKeepsIncreasing", "AestreamDeadLetterRateHigh",
    "AestreamAnomalyRateShift", "AestreamModelStale", "AestreamModelReloadFailed", "AestreamTrainerFailing",
}  # fmt: skip
PROJECT = "https://github.com/aestream/aestream/blob/main/"


def test_promtool_accepts_the_rules() -> None:
    run("promtool", "check", "rules", "--lint=all", "--lint-fatal", RULES)


def test_promtool_accepts_the_configuration() -> None:
    run("promtool", "check", "config", DEPLOY / "prometheus/prometheus.yml")


def test_the_alerts_fire_when_they_should() -> None:
    run("promtool", "test", "rules", DEPLOY / "prometheus/alerts_test.yml")


def test_every_alert_is_tested() -> None:
    tested = set()
    for scenario in yaml_of(DEPLOY / "prometheus/alerts_test.yml")["tests"]:
        tested |= {case["alertname"] for case in scenario.get("alert_rule_test", []) if case["exp_alerts"]}
    assert tested == NAMES


def test_every_alert_says_what_where_and_how_to_mend() -> None:
    assert [alert["alert"] for alert in alerts()] == list(dict.fromkeys(alert["alert"] for alert in alerts()))
    assert {alert["alert"] for alert in alerts()} == NAMES
    for alert in alerts():
        assert alert["labels"].keys() == {"severity"}
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}
        assert alert["annotations"].keys() == {"summary", "description", "runbook_url", "dashboard_url"}
        assert alert["annotations"]["runbook_url"] == f"{PROJECT}deploy/runbooks/{alert['alert']}.md"
        assert alert["annotations"]["dashboard_url"].endswith(f"/d/{dashboard()['uid']}")


def test_every_runbook_is_of_an_alert_and_tells_what_to_do() -> None:
    assert {page.stem for page in RUNBOOKS} == NAMES
    for page in RUNBOOKS:
        text = page.read_text()
        assert text.startswith(f"# {page.stem}\n\n**What it means.** ")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Look", "Mend"]
        for link in re.findall(r"\]\(([^)]+)\)", text):
            assert (page.parent / link).is_file()


def test_promtool_understands_every_query(tmp_path: Path) -> None:
    rules = [{"record": f"query_{n}", "expr": found.text} for n, found in enumerate(queries())]
    assert len(rules) > 60, f"the queries of {DASHBOARD.name} and the runbooks are among them"
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    run("promtool", "check", "rules", path)
