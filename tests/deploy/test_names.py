"""Whatever the deploy files name exists: metrics, labels, settings, commands."""

import ast
import re
import shlex
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import Metric

from aestream.cli import build_parser
from aestream.service.metrics import TrainerMetrics, WorkerMetrics
from aestream.settings.reference import environment_names
from tests.deploy.files import ROOT, Found, commands, queries, rules, texts

TARGET_LABELS = {"job", "instance", "le"}  # given by Prometheus, not by us


def series(family: Metric) -> Iterator[str]:
    """The names under which Prometheus stores a metric."""
    if family.type == "counter":
        yield f"{family.name}_total"
    elif family.type == "histogram":
        yield from (f"{family.name}_{part}" for part in ("bucket", "sum", "count"))
    else:
        yield family.name


@pytest.fixture(scope="module")
def labels() -> dict[str, set[str]]:
    """Every series that a worker or trainer exports, with its labels."""
    found: dict[str, set[str]] = {}
    for role in (WorkerMetrics, TrainerMetrics):
        registry = CollectorRegistry()
        named = {m._name: set(m._labelnames) for m in vars(role(registry)).values() if hasattr(m, "_labelnames")}
        found |= {name: named.get(family.name, set()) for family in registry.collect() for name in series(family)}
    process = CollectorRegistry()
    ProcessCollector(registry=process)
    found |= {name: set() for family in process.collect() for name in series(family)}
    return found | {"up": set()}


def metrics_in(query: str) -> list[tuple[str, str]]:
    """The metrics of a query with the text between their braces."""
    bare = re.sub(r"\b(?:by|on|ignoring|without)\s*\([^)]*\)", "", query)
    return re.findall(r"(?<![:\w\"$])((?:aestream_|process_)\w+|up)\b(?:\{([^}]*)\})?", bare)


def test_every_metric_of_a_query_exists_with_its_labels(labels: dict[str, set[str]]) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for place, query in queries():
        used = metrics_in(query)
        for name, braces in used:
            assert name in labels, f"{place}: there is no metric {name}"
            asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", braces))
            assert asked <= labels[name] | TARGET_LABELS, f"{place}: {name} has no such label"
        recordings = re.findall(r"\bjob:[\w:]+", query)
        assert set(recordings) <= recorded, f"{place}: no rule records one of {recordings}"
        assert used or recordings, f"{place}: no metric found in {query}"
        lists = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", query)
        grouped = set(re.findall(r"\w+", " ".join(lists)))
        known = TARGET_LABELS.union(*(labels[name] for name, _ in used))
        assert grouped <= known, f"{place}: none of its metrics has {grouped - known}"


def test_every_metric_named_in_prose_exists(labels: dict[str, set[str]]) -> None:
    for place, text in texts():
        if place.endswith(".md"):
            for name in re.findall(r"(?<![:\w])aestream_\w+", text):
                assert name in labels, f"{place}: there is no metric {name}"


def test_every_label_value_of_a_query_is_one_that_the_code_writes() -> None:
    written = {
        node.value
        for path in (ROOT / "aestream").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
    }
    for place, query in queries():
        for label, value in re.findall(r"(\w+)=\"([^\"]*)\"", query):
            assert label in TARGET_LABELS or value in written, f"{place}: nothing writes {label}={value!r}"


def test_every_metric_is_on_the_dashboard(labels: dict[str, set[str]]) -> None:
    drawn = {name for place, query in queries() if place.startswith("dashboard") for name, _ in metrics_in(query)}
    ours = {name for name in labels if name.startswith("aestream_")}
    missing = ours - drawn
    # Of a histogram one series is enough.
    histograms = {name.removesuffix("_bucket") for name in ours if name.endswith("_bucket")}
    for base in histograms:
        parts = {f"{base}_{part}" for part in ("bucket", "sum", "count")}
        if parts & drawn:
            missing -= parts
    assert not missing


def test_every_setting_exists() -> None:
    known = environment_names()
    found = [Found(place, name) for place, text in texts() for name in re.findall(r"\bAESTREAM_[A-Z0-9_]+", text)]
    assert found
    for place, name in found:
        assert name in known, f"{place}: there is no setting {name}"


def test_every_command_exists(capsys: pytest.CaptureFixture[str]) -> None:
    parser = build_parser()
    calls = commands()
    assert {"worker", "trainer", "validate", "topics create", "model rollback"} <= {text for _, text in calls}
    for place, text in calls:
        try:
            parser.parse_args(shlex.split(text))
        except SystemExit:
            pytest.fail(f"{place}: `aestream {text}` is no command: {capsys.readouterr().err}")
