"""A detector gives the same numbers as when torch ran its networks, and as torch gives while they learn.

`detectors/` holds what aestream saved while torch still ran them, with records to judge and what it made of these.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import aestream.models.skip  # noqa: F401 - enters its kind
from aestream import Detector
from aestream.detector import windows
from aestream.models.base import kinds
from aestream.networks.base import TrainedNetwork
from tests.bench.quality.sequence import MeanOfMembers, RunByTorch

SAVED = Path(__file__).parent / "detectors"
NAMES = sorted(path.name for path in SAVED.iterdir())
# Of the threshold, of a unit, or of the number itself.
NEAR = 1e-5


def asked(name: str) -> tuple[Any, dict[str, Any], dict[str, np.ndarray]]:
    """The records that a saved detector was asked about, their keys and times, and its answers."""
    with np.load(SAVED / name / "answers.npz") as file:
        found = dict(file)
    told = {name.partition(".")[2]: found.pop(name) for name in list(found) if name.startswith("asked.")}
    rows = told.pop("rows")
    if "keys" in told:
        told["keys"] = told["keys"].tolist()
    return (rows if rows.ndim else json.loads(str(rows))), told, found


def answers(detector: Detector, rows: Any, told: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """All that a detector says of records."""
    found = detector.detect(rows, **told, explain=np.ones(len(rows), bool), latent=True, reconstruction=True)
    assert found.attribution is not None
    assert found.latent is not None
    assert found.reconstruction is not None
    said = {
        "error": found.error,
        "anomaly": found.anomaly,
        "latent": found.latent,
        "reconstruction": found.reconstruction,
        "share": found.attribution.share,
        "expected": found.attribution.expected,
        "decode": detector.decode(found.latent, keys=told.get("keys")),
    }
    return said if found.attribution.since is None else {**said, "since": found.attribution.since}


def check(found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray], threshold: float) -> None:
    assert set(found) == set(wanted)
    assert np.array_equal(found["anomaly"], wanted["anomaly"])
    assert 5 < found["anomaly"].sum() < len(found["anomaly"]) / 2
    for name, values in found.items():
        least = NEAR * (threshold if name == "error" else 10.0)
        assert np.allclose(values, wanted[name], rtol=NEAR, atol=least), name


@pytest.mark.parametrize("name", NAMES)
def test_a_detector_that_was_saved_while_torch_ran_it_says_the_same(name: str) -> None:
    rows, told, said = asked(name)
    detector = Detector.load(SAVED / name)
    check(answers(detector, rows, told), said, detector.threshold)


@pytest.mark.parametrize("name", NAMES)
def test_torch_makes_the_same_of_the_networks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, told, _ = asked(name)
    detector, again = Detector.load(SAVED / name), Detector.load(SAVED / name)
    monkeypatch.setattr(windows, "TrainedDense", RunByTorch)
    monkeypatch.setattr(windows, "Merged", MeanOfMembers)
    fitted = again._fitted
    judge: Any = fitted.judge
    again._state = replace(
        fitted,
        judge=replace(judge, network=replace(judge.network, model=by_torch(judge.model))),
        representation=None if fitted.representation is None else by_torch(fitted.representation),
    )
    check(answers(again, rows, told), answers(detector, rows, told), detector.threshold)


def by_torch(network: TrainedNetwork) -> RunByTorch:
    """The same network, run by what trained it."""
    model = kinds()[network.kind](**network.config())
    model.load_state_dict({name: torch.from_numpy(array) for name, array in network.weights.items()})
    return RunByTorch(model)


def test_all_kinds_of_detectors_are_there() -> None:
    fitted = [Detector.load(SAVED / name)._fitted for name in NAMES]
    assert {type(each.judge).__name__ for each in fitted} == {"Rows", "Windows"}
    assert {each.representation is None for each in fitted} == {True, False}
    assert {each.judge.model.context for each in fitted} > {0}
    assert {bool(each.options.memory) for each in fitted} == {True, False}
    assert {bool(len(each.constants.value)) for each in fitted} == {True, False}
    assert {bool(each.options.direction) for each in fitted} == {True, False}
