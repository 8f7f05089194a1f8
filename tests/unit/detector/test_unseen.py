"""Categories that training has not seen: by default they flag nothing, and hide nothing else."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aestream import Detector

REGIONS = ("eu", "us", "asia")
HOSTS = tuple(f"h{i}" for i in range(10))


def records(rows: int, seed: int, **changed: Any) -> list[dict[str, Any]]:
    """Load and latency, a region that decides about both, and a host that decides about nothing."""
    random = np.random.default_rng(seed)
    load = random.normal(size=rows)
    made = []
    for i in range(rows):
        region = int(random.integers(len(REGIONS)))
        record = {
            "load": 50 + 5 * load[i] + 20 * region,
            "latency": 10 + load[i] + 4 * region + random.normal(0, 0.3),
            "region": REGIONS[region],
            "host": HOSTS[int(random.integers(len(HOSTS)))],
        }
        made.append({**record, **changed})
    return made


def fitted(**options: Any) -> Detector:
    return Detector(**{"false_alarm_rate": 0.01, "steps": 300, **options}).fit(records(3000, 0))


@pytest.fixture(scope="module")
def detector() -> Detector:
    return fitted()


@pytest.fixture(scope="module")
def strict() -> Detector:
    return fitted(flag_unseen=True)


@pytest.mark.parametrize("changed", [{"host": "h99"}, {"region": "moon"}, {"region": "moon", "host": "h99"}])
def test_an_unseen_category_alone_flags_no_more_than_was_asked_for(detector: Detector, changed: dict[str, str]) -> None:
    rows = records(5000, 1, **changed)
    assert detector.flag(rows).mean() < 0.03
    share = detector.explain(rows)
    places = [detector.schema.names.index(name) for name in changed]
    assert (share[:, places] == 0).all()
    assert np.allclose(share.sum(axis=1), 1)
    assert detector.unseen(detector.schema.matrix(rows)) == {
        name: 5000 * (name in changed) for name in ("region", "host")
    }


def test_what_is_expected_is_the_likeliest_category(detector: Detector) -> None:
    known = records(500, 1)
    rows = [{**record, "region": "moon"} for record in known]
    found = detector.attribute(detector.schema.matrix(rows))
    place = detector.schema.names.index("region")
    expected = [row[place] for row in detector.schema.show(found.expected)]
    assert np.mean([name == record["region"] for name, record in zip(expected, known, strict=True)]) > 0.95
    assert (found.observed[:, place] == -1).all()


def test_another_anomaly_is_still_found_and_named(detector: Detector) -> None:
    both, one = ({"region": "moon", "host": "h99"}, {"host": "h99"})
    for changed in (both, one):
        rows = [{**record, "latency": record["latency"] + 15} for record in records(200, 2, **changed)]
        assert detector.flag(rows).mean() > 0.9
    names = np.array(detector.schema.names)[detector.explain(rows).argmax(axis=1)]
    assert np.mean(names == "latency") > 0.9


def test_it_can_be_asked_to_flag_them(strict: Detector, detector: Detector) -> None:
    rows = records(200, 3, host="h99")
    assert strict.flag(rows).all()
    place = strict.schema.names.index("host")
    assert (strict.explain(rows).argmax(axis=1) == place).all()
    assert strict.threshold == detector.threshold


def test_rows_without_them_are_judged_as_ever(detector: Detector, strict: Detector) -> None:
    rows = records(300, 4)
    assert np.array_equal(detector.error(rows), strict.error(rows))
    mixed = [dict(record) for record in rows]
    for record in mixed[::3]:
        record["host"] = "h99"
    seen = np.arange(300) % 3 > 0
    assert np.array_equal(detector.error(mixed)[seen], detector.error(rows)[seen])
    assert not np.array_equal(detector.error(mixed), detector.error(rows))


def test_the_threshold_does_not_suffer_from_those_in_the_training_rows(detector: Detector) -> None:
    """The schema comes from the first records alone: later ones hold categories that it does not know."""
    matrix = detector.schema.matrix(records(3000, 0))
    matrix[::100, detector.schema.names.index("host")] = -1
    again = Detector(false_alarm_rate=0.01, steps=300).fit_matrix(matrix, detector.schema)
    assert again.threshold == pytest.approx(detector.threshold, rel=0.3)
    assert again.flag(records(5000, 5, host="h99")).mean() < 0.03


def test_the_choice_is_kept(strict: Detector, detector: Detector, tmp_path: Path) -> None:
    rows = records(50, 6, host="h99")
    for name, made in (("strict", strict), ("default", detector)):
        made.save(tmp_path / name)
        again = Detector.load(tmp_path / name)
        assert again.options.flag_unseen == made.options.flag_unseen
        assert np.array_equal(again.error(rows), made.error(rows))


def test_a_model_from_before_the_choice_flags_none(strict: Detector, tmp_path: Path) -> None:
    strict.save(tmp_path / "m")
    manifest = tmp_path / "m" / "manifest.json"
    facts = json.loads(manifest.read_text())
    assert facts["options"].pop("flag_unseen") is True
    manifest.write_text(json.dumps(facts))
    again = Detector.load(tmp_path / "m")
    assert not again.options.flag_unseen
    assert again.flag(records(500, 6, host="h99")).mean() < 0.05
