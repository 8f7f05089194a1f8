"""The dashboard is one that Grafana can load and a person can read."""

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from aestream.service.metrics import Metrics
from tests.deploy.files import dashboard, filled, panels
from tests.deploy.tools import run

pytestmark = pytest.mark.timeout(900)  # promtool may have to be fetched first

KINDS = {"timeseries", "stat", "heatmap", "table"}  # all of them come with Grafana


def test_every_panel_has_a_title_an_explanation_and_a_query() -> None:
    assert len(panels()) > 20
    for panel in panels():
        assert panel["type"] in KINDS
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["targets"]
        assert [t["refId"] for t in panel["targets"]] == sorted({t["refId"] for t in panel["targets"]})


def test_ids_are_unique() -> None:
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))
    titles = [panel["title"] for panel in dashboard()["panels"]]
    assert len(titles) == len(set(titles))


def test_every_concern_has_its_row() -> None:
    rows = [panel["title"] for panel in dashboard()["panels"] if panel["type"] == "row"]
    assert rows == [
        "Overview", "Throughput", "Lag", "Latency", "Anomalies", "Entities",
        "Dead letters and errors", "Model", "Trainer", "Resources",
    ]  # fmt: skip


def test_no_two_panels_overlap() -> None:
    def overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
        a, b = one["gridPos"], other["gridPos"]
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        below = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        return not (beside or below)

    everything = dashboard()["panels"]
    assert not [(a["title"], b["title"]) for a, b in combinations(everything, 2) if overlap(a, b)]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in everything)


def test_every_query_follows_the_variables() -> None:
    assert [v["name"] for v in dashboard()["templating"]["list"]] == ["datasource", "job", "instance"]
    for panel in panels():
        for target in panel["targets"]:
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert target["expr"].count('job=~"$job", instance=~"$instance"') >= 1


def test_the_first_look_shows_every_process() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    in_every_process = {family.name for family in registry.collect()}
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            assert variable["includeAll"]
            assert variable["current"]["value"] == ["$__all"]
            asked = variable["query"]["query"].removeprefix("label_values(")
            assert asked.startswith(tuple(in_every_process))


def test_the_dashboard_leads_to_no_other_projects_pages() -> None:
    assert not [link for link in dashboard()["links"] if "://" in link["url"]]


def answer(folder: Path, title: str, series: dict[str, str], *, at: str, samples: list[dict[str, Any]]) -> None:
    """Let Prometheus evaluate a panel's query over series and compare."""
    (panel,) = [panel for panel in panels() if panel["title"] == title]
    (target,) = panel["targets"]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": filled(target["expr"]), "eval_time": at, "exp_samples": samples}],
    }
    path = folder / "panel_test.yml"
    path.write_text(yaml.safe_dump({"tests": [test]}))
    run("promtool", "test", "rules", path)


def test_the_length_of_the_last_run_is_shown_long_after_a_daily_run(tmp_path: Path) -> None:
    # Runs of 100, 900 and 250 seconds, a day apart; the look is 20 hours after the last of them.
    series = {
        'aestream_trainer_duration_seconds_sum{job="aestream-trainer", instance="t0"}': (
            "0x10 100x1439 1000x1439 1250x1300"
        ),
        'aestream_trainer_duration_seconds_count{job="aestream-trainer", instance="t0"}': "0x10 1x1439 2x1439 3x1300",
    }
    samples = [{"labels": '{job="aestream-trainer"}', "value": 250}]
    answer(tmp_path, "Length of the last run", series, at="68h", samples=samples)


def test_the_model_in_use_is_shown_with_the_version_of_aestream(tmp_path: Path) -> None:
    series = {
        'aestream_model_info{job="aestream-worker", instance="w0", name="m", version="3", sha256="ab"}': "1x10",
        'aestream_build_info{job="aestream-worker", instance="w0", version="0.1.0"}': "1x10",
        'aestream_build_info{job="aestream-trainer", instance="t0", version="0.2.0"}': "1x10",
    }
    labels = '{job="aestream-worker", instance="w0", name="m", version="3", sha256="ab", aestream="0.1.0"}'
    answer(tmp_path, "Model in use", series, at="5m", samples=[{"labels": labels, "value": 1}])
