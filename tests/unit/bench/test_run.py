"""The whole bench on a made directory: every part, one page, and nothing measured twice."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from aestream import Detector
from tests.bench.quality import __main__ as bench
from tests.bench.quality import alarms, ours, rig, storm
from tests.bench.quality.cells import AESTREAM, Cell, Scope
from tests.bench.quality.data import LAYOUT, Library
from tests.bench.quality.page import render
from tests.bench.quality.parts import PARTS
from tests.bench.quality.peers import DETECTORS, PYOD
from tests.bench.quality.results import Results, product_hash
from tests.bench.quality.run import measure
from tests.bench.quality.summary import document
from tests.bench.quality.windowed import CLOSED

KNN = "KNN (k = 5)"
CHOSEN = "tabular,calibration,series,reduction,denoising"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One table, two servers and a test rig of three directions in six features; anomalies leave them."""
    root = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    mixing = random.normal(size=(3, 6))

    def normal(rows: int) -> np.ndarray:
        return random.normal(size=(rows, 3)) @ mixing + 0.1 * random.normal(size=(rows, 6))

    for folder in ("adbench", "asd", "skab/valve1"):
        (root / folder).mkdir(parents=True)
    rows, label = normal(1020), np.arange(1020) >= 1000
    rows[label] += random.normal(scale=4, size=(20, 6))
    np.savez(root / "adbench/1_made.npz", X=rows, y=label.astype(int))
    for server in ("asd/1", "asd/2"):
        test, label = normal(150), np.zeros(150, np.uint8)
        test[50:60, 1] += 20
        test[90:95, 4] -= 20
        label[50:60] = label[90:95] = 1
        np.savez(root / server, train=normal(300), test=test, label=label, interpretation="50-59:2\n90-94:5\n")
    lines = [[f"2020-03-01 00:{row // 60:02}:{row % 60:02}", *values, 0, 0] for row, values in enumerate(normal(500))]
    for row in lines[480:]:
        row[3:5], row[-2] = [30.0, -30.0], 1
    head = ["datetime", *"abcdef", "anomaly", "changepoint"]
    (root / "skab/valve1/0.csv").write_text("\n".join(";".join(map(str, row)) for row in [head, *lines]))
    return root


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """One rate and spacing, and a short training, for the sake of time."""
    for choice in (alarms.RATES, storm.SPACINGS):
        for name in list(choice)[1:]:
            monkeypatch.delitem(choice, name)
    monkeypatch.setattr(ours, "Detector", partial(Detector, steps=60))


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The page goes to a folder of the test's own; the arguments that every run has."""
    monkeypatch.setattr(bench, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(bench, "DOCUMENT", tmp_path / "page.json")
    return ["--out", str(tmp_path / "results.jsonl"), "--seeds", "0", "--jobs", "1", "--page"]


def test_a_run_measures_every_part_once_and_writes_the_page(library: Path, told: list[str], tmp_path: Path) -> None:
    arguments = [*told, "--data", str(library), "--parts", CHOSEN, "--methods", f"{AESTREAM},{KNN},PCA"]
    assert bench.main(arguments) == 0
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    made = json.loads((tmp_path / "page.json").read_text())

    ranked = {(row["protocol"], row["detector"]): row for row in made["tabular"]}
    assert set(ranked) == {(p, d) for p in ("novelty", "contaminated") for d in (AESTREAM, KNN)}
    assert ranked["novelty", AESTREAM]["auroc"] > 0.9
    assert ranked["novelty", AESTREAM]["wins"] + ranked["novelty", KNN]["wins"] >= 1
    assert made["calibration"][0]["rows"] == 500
    assert [row["detector"] for row in made["series"]] == [AESTREAM, KNN] * 2
    assert [row["vus_pr"] > 0.9 for row in made["series"]] == [True] * 4
    for row in made["series"][::2]:
        assert (row["found"], row["incidents"]) == (2, 2)
        assert (row["hit100"], row["auroc"]) == (1, 1)
    assert set(made["reduction"][0]["value"]) == {AESTREAM, "PCA"}
    assert 0 < made["denoising"][0]["value"]["PCA"] < 1

    page = (tmp_path / "page.md").read_text()
    assert page == render(made)
    assert f"python -m tests.bench.quality --seeds 0 --page --parts {CHOSEN}" in page
    assert str(tmp_path) not in page
    assert str(library) not in page
    assert f"| {KNN} |" in page
    assert made["measured"] == made["cells"] == len(lines)

    assert bench.main(arguments) == 0
    assert (tmp_path / "results.jsonl").read_text().splitlines() == lines


@pytest.mark.usefixtures("short")
def test_the_parts_on_time_series_find_what_is_there(library: Path, tmp_path: Path) -> None:
    parts = ("alarms", "storm", "entities", "rig")
    cells = [cell for part in parts for cell in PARTS[part].plan(Library(library), Scope((0,)))]
    results = Results(tmp_path / "results.jsonl", "")
    for cell in cells:
        figures = measure(cell, Library(library))
        assert not isinstance(figures, str), f"{cell}: {figures}"
        results.add(cell, figures)
    made = document(cells, results, command="")

    on_call = {row["method"]: row for row in made["alarms"]}
    others = (f"{AESTREAM}, adaptation {adaptation}" for adaptation in alarms.ADAPTATIONS)
    assert set(on_call) == {*alarms.OURS, *others, *CLOSED, alarms.ORACLE}
    for row in on_call.values():
        assert row["found"] == row["incidents"] == {"asd": 4}
        assert row["delay"] == 0
    assert on_call[alarms.ORACLE]["near"] == 2
    assert {row["found"] for row in made["storm"] if not row["method"].endswith("held")} == {50}
    for row in made["entities"]:
        assert {figures["found"] for figures in row["learnt"].values()} == {2}
    assert {row["missed"] for row in made["rig"] if not row["method"].endswith("held")} == {0}
    assert len(made["rig"]) == len(alarms.OURS) + len(alarms.ADAPTATIONS) + len(rig.PEERS)
    assert all(name in render(made) for name in on_call)


def test_a_change_of_the_product_measures_it_anew_and_not_its_peers(tmp_path: Path) -> None:
    cells = [Cell("tabular", "adbench/1_made", "novelty", 0, name) for name in (AESTREAM, KNN)]
    cells.append(Cell("ablation", "adbench/1_made", "novelty", 0, "denoising"))
    path = tmp_path / "results.jsonl"
    before = Results(path, "before")
    for cell in cells:
        before.add(cell, {"auroc": 0.5})
    path.write_text(path.read_text() + '{"part": "tab')  # what a killed run leaves
    assert [cell in Results(path, "before") for cell in cells] == [True, True, True]
    after = Results(path, "after")
    assert [cell in after for cell in cells] == [False, True, False]
    assert after[cells[1]] == {"auroc": 0.5}


def test_the_hash_is_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    before = product_hash()
    assert before == product_hash()
    monkeypatch.setattr("tests.bench.quality.results._DECIDES", ("detector",))
    assert product_hash() != before


def test_a_failure_is_told_and_ends_nothing(library: Path) -> None:
    gone = Cell("tabular", "adbench/2_gone", "novelty", 0, KNN)
    told = measure(gone, Library(library))
    assert isinstance(told, str)
    assert told.startswith("FileNotFoundError")


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_finds_what_is_far_out(name: str) -> None:
    if name in PYOD:
        pytest.importorskip("pyod")
    random = np.random.default_rng(0)
    train, test = random.normal(size=(200, 4)), random.normal(size=(20, 4))
    test[7] = 9.0
    assert int(np.argmax(DETECTORS[name](0).fit(train).score(test))) == 7


def test_the_quick_look_is_a_part_of_the_whole(library: Path) -> None:
    for part in PARTS.values():
        whole = set(part.plan(Library(library), Scope()))
        quick = set(part.plan(Library(library), Scope(seeds=(0,), quick=True)))
        assert quick
        assert quick <= whole


@pytest.mark.parametrize("data", [None, "empty"])
def test_without_data_one_line_says_what_they_look_like(
    data: str | None, told: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = told if data is None else [*told, "--data", str(tmp_path / data)]
    assert bench.main(arguments) == 2
    said = " ".join(capsys.readouterr().out.split())
    assert LAYOUT in said
    assert not (tmp_path / "page.md").exists()


def test_the_page_is_what_its_json_says() -> None:
    if not bench.DOCUMENT.exists():
        pytest.skip("no page yet")
    assert bench.PAGE.read_text() == render(json.loads(bench.DOCUMENT.read_text())), "run the bench with --page"
