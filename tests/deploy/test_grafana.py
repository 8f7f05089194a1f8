"""The dashboard is one that Grafana can load and a person can read."""

from itertools import combinations
from typing import Any

from tests.deploy.files import dashboard, panels

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
        "Overview", "Throughput", "Lag", "Latency", "Anomalies", "Dead letters and errors",
        "Model", "Trainer", "Resources",
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
