import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch

from aestream import Detector
from aestream.errors import AestreamError, ConfigurationError, DataError, ModelError
from aestream.features.schema import FeatureSchema
from aestream.networks.progress import Progress

Matrix = npt.NDArray[np.float64]


def server(rows: int, seed: int = 0) -> Matrix:
    """Six metrics that follow one load, in bytes, per cent and seconds, and one that nothing explains."""
    random = np.random.default_rng(seed)
    load = np.sin(np.arange(rows) / 40)[:, None] + 0.2 * random.normal(size=(rows, 1))
    metrics = load * [1e9, 30, 0.01, -5, 2, 100] + [4e9, 50, 0.05, 90, 7, 1000]
    metrics += 0.05 * random.normal(size=(rows, 6)) * [1e9, 30, 0.01, 5, 2, 100]
    return np.hstack([metrics, random.normal(size=(rows, 1))])


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(window=1, false_alarm_rate=0.01, steps=300).fit(server(3000))


def broken(rows: int = 50) -> Matrix:
    """Normal values everywhere, but the second metric no longer follows the load."""
    matrix = server(rows, seed=5)
    matrix[:, 1] = 100 - matrix[:, 1]
    return matrix


def test_normal_rows_pass_and_broken_ones_are_flagged(detector: Detector) -> None:
    assert 0.002 < detector.flag(server(20_000, seed=1)).mean() < 0.02
    far_from_the_middle = np.abs(broken()[:, 1] - 50) > 15
    assert detector.flag(broken())[far_from_the_middle].mean() > 0.95


def test_a_record_of_extremes_that_agree_is_an_anomaly(detector: Detector) -> None:
    """Twenty times the usual load: every metric follows it, so a network that extrapolates would follow it too."""
    strange = server(3000).mean(axis=0) + 20 * np.array([1e9, 30, 0.01, -5, 2, 100, 0])
    assert detector.flag(strange[None]).all()


def test_the_parts_of_a_detection_agree(detector: Detector) -> None:
    matrix = np.vstack([server(1000, seed=2), broken()])
    found = detector.detect(matrix, latent=True, reconstruction=True)
    assert np.array_equal(found.score, found.error / detector.threshold)
    assert np.array_equal(found.anomaly, found.score > 1)
    assert np.all((found.p_value > 0) & (found.p_value <= 1))
    assert np.all(found.p_value[found.anomaly] <= 0.01 * (1 + 1e-9))
    assert found.p_value[~found.anomaly].min() >= 0.009
    assert np.array_equal(detector.error(matrix), found.error)
    assert np.array_equal(detector.score(matrix), found.score)
    assert np.array_equal(detector.flag(matrix), found.anomaly)
    assert found.latent is not None
    assert np.array_equal(detector.encode(matrix), found.latent)
    assert found.latent.shape == (1050, detector.latent_size)
    assert found.reconstruction is not None
    assert np.array_equal(detector.reconstruct(matrix), found.reconstruction)
    plain = detector.detect(matrix)
    assert plain.latent is None
    assert plain.reconstruction is None


def test_reconstructions_are_in_the_user_s_units(detector: Detector) -> None:
    matrix = server(500, seed=2)
    rebuilt = detector.reconstruct(matrix)
    off = (rebuilt - matrix)[:, :6].std(axis=0) / matrix[:, :6].std(axis=0)
    assert np.all(off < 0.35)


def test_batches_of_any_size_give_the_same_numbers(detector: Detector) -> None:
    matrix = np.vstack([server(1500, seed=3), broken()])
    whole = detector.detect(matrix)
    for size in (1, 7, 64, 513):
        cut = [detector.detect(matrix[start : start + size]) for start in range(0, len(matrix), size)]
        assert np.allclose(np.concatenate([each.error for each in cut]), whole.error, rtol=1e-5)
        assert np.array_equal(np.concatenate([each.anomaly for each in cut]), whole.anomaly)


def test_the_input_is_left_alone() -> None:
    matrix = server(300)
    fitted = Detector(window=1, steps=20).fit(matrix)
    fitted.detect(matrix, reconstruction=True)
    fitted.attribute(matrix)
    assert np.array_equal(matrix, server(300))


def test_the_seed_decides_and_nothing_else() -> None:
    torch.manual_seed(1)
    first = Detector(window=1, steps=50, seed=3).fit(server(400))
    before = torch.random.get_rng_state()
    second = Detector(window=1, steps=50, seed=3).fit(server(400))
    assert torch.equal(torch.random.get_rng_state(), before)
    probe = server(100, seed=1)
    assert np.array_equal(first.error(probe), second.error(probe))
    assert first.threshold == second.threshold
    assert not np.array_equal(first.error(probe), Detector(window=1, steps=50, seed=4).fit(server(400)).error(probe))


def test_explanations_name_the_broken_metric(detector: Detector) -> None:
    rows = broken()[np.abs(broken()[:, 1] - 50) > 15]
    found = detector.attribute(rows)
    assert np.array_equal(found.observed, rows)
    assert np.allclose(found.share.sum(axis=1), 1)
    assert np.all(found.share >= 0)
    assert np.mean(found.share.argmax(axis=1) == 1) > 0.9
    healthy = 100 - rows[:, 1]
    assert np.all(np.abs(found.expected[:, 1] - healthy) < np.abs(rows[:, 1] - healthy) / 2)
    assert np.array_equal(detector.explain(rows), found.share)


def test_what_moves_with_a_broken_metric_is_not_blamed(detector: Detector) -> None:
    """Six metrics follow one load: a network that is shown a wrong one expects something wrong of the other five."""
    for metric in range(6):
        rows = server(200, seed=5)
        rows[:, metric] += 6 * rows[:, metric].std() * np.where(np.arange(200) % 2, 1, -1)
        assert detector.explain(rows)[:, metric].mean() > 0.9


def test_no_rows_are_no_trouble(detector: Detector) -> None:
    nothing = np.empty((0, 7))
    found = detector.detect(nothing, latent=True, reconstruction=True)
    assert found.error.shape == found.score.shape == found.p_value.shape == found.anomaly.shape == (0,)
    assert detector.attribute(nothing).share.shape == (0, 7)


@pytest.mark.parametrize("extreme", [1.7e308, -1.7e308, 1e30, 5e-324])
def test_the_largest_numbers_give_a_finite_score(detector: Detector, extreme: float) -> None:
    rows = np.vstack([np.full((1, 7), extreme), server(7, seed=1)])
    rows[np.arange(1, 8), np.arange(7)] = extreme
    found = detector.detect(rows, reconstruction=True)
    for values in (found.error, found.score, found.p_value, found.reconstruction, detector.explain(rows)):
        assert values is not None
        assert np.all(np.isfinite(values))
    if abs(extreme) >= 1e30:
        assert found.anomaly.all()


def test_a_constant_that_changes_is_a_finite_anomaly() -> None:
    matrix = np.column_stack([server(500), np.full(500, 42.0), np.zeros(500)])
    fitted = Detector(window=1, steps=100).fit(matrix)
    for column, value in ((7, 50.0), (8, 1.0)):
        row = matrix[:1].copy()
        row[0, column] = value
        score = fitted.score(row)[0]
        assert np.isfinite(score)
        assert score > 1
        assert fitted.explain(row)[0].argmax() == column


def awkward() -> dict[str, Matrix]:
    """Rows to learn from and, every other one, to hold out: of each kind twice as many as its name says."""
    random = np.random.default_rng(0)
    base = random.normal(size=(100, 3))
    return {
        "one feature": random.normal(size=(400, 1)),
        "fifty rows": random.normal(size=(100, 20)),
        "twenty rows": random.normal(size=(40, 4)),
        "duplicated": np.hstack([base, base, base]),
        "collinear": np.hstack([base, base @ random.normal(size=(3, 5))]),
        "all constant": np.ones((100, 4)),
        "half constant": np.hstack([base, np.full((100, 3), 7.0)]),
        "heavy tails": random.standard_cauchy(size=(400, 3)) ** 3,
        "binary": (random.random((400, 6)) < 0.1).astype(float),
        "seldom on": (random.random((1000, 6)) < 0.01).astype(float),
        "of all kinds": np.hstack([base, np.exp(3 * base), base > 1, np.full((100, 1), -5.0), base * 1e12]),
        "1500 features": random.normal(size=(120, 1500)),
        "beyond 2**53": np.floor(random.normal(size=(200, 2)) * 2.0**70) + 2.0**80,
    }


@pytest.mark.parametrize("rate", [None, 0.01])
@pytest.mark.parametrize("name", list(awkward()))
def test_awkward_data_are_judged_like_any_other(name: str, rate: float | None, tmp_path: Path) -> None:
    matrix = awkward()[name]
    learnt, held_out = matrix[::2], matrix[1::2]
    if len(learnt) < 1 / (4 * 0.01):
        rate = None  # the other one is refused
    fitted = Detector(window=1, false_alarm_rate=rate, steps=20).fit(learnt)
    for rows, at_most in ((learnt, 0.05), (held_out, 0.15)):
        found = fitted.detect(rows, reconstruction=True)
        assert np.isfinite(found.score).all()
        assert found.anomaly.mean() <= at_most
        assert found.reconstruction is not None
        assert np.isfinite(found.reconstruction).all()
    shares = fitted.explain(matrix)
    assert np.all(shares >= 0)
    assert shares.sum(axis=1) == pytest.approx(np.ones(len(matrix)))
    absurd = np.vstack([np.full((1, matrix.shape[1]), 1e100), held_out[:2]])
    absurd[1, 0] = absurd[2, -1] = 1e100  # in one feature alone
    assert fitted.flag(absurd).all()
    assert fitted.explain(absurd)[1:].argmax(axis=1).tolist() == [0, matrix.shape[1] - 1]
    fitted.save(tmp_path / "model")
    assert np.array_equal(Detector.load(tmp_path / "model").score(held_out), fitted.score(held_out))


def test_records_frames_and_matrices_are_the_same_to_it(tmp_path: Path) -> None:
    matrix = server(300)
    names = [f"m{column}" for column in range(7)]
    frame = pd.DataFrame(matrix, columns=names).assign(host="a", id=range(300))
    by_frame = Detector(window=1, steps=30).fit(frame)
    by_records = Detector(window=1, steps=30).fit(frame.to_dict("records"))
    by_matrix = Detector(window=1, steps=30).fit_matrix(matrix, FeatureSchema.of_names(names))
    assert [item.name for item in by_frame.left_out] == ["host", "id"]
    assert np.array_equal(by_frame.score(frame), by_matrix.score(matrix))
    assert np.array_equal(by_records.score(frame.to_dict("records")), by_matrix.score(matrix))
    by_frame.save(tmp_path / "model")
    assert Detector.load(tmp_path / "model").left_out == by_frame.left_out
    assert by_frame.fit_matrix(matrix, by_matrix.schema).left_out == ()


def test_progress_reaches_the_caller() -> None:
    told: list[Progress] = []
    Detector(window=1, steps=40).fit(server(200), progress=told.append)
    assert told[-1].steps == 40
    assert [each.step for each in told] == sorted(each.step for each in told)


def test_a_small_sample_is_said_to_be_small() -> None:
    assert "300 records are few" in Detector(window=1, steps=20).fit(server(300)).warnings[0]
    bent = Detector(window=1, steps=20).fit(server(50)).warnings
    assert bent[0] == "the false-alarm rate is 0.005, the lowest that so few records support: 250 would support 0.001"
    assert "50 records are few for a false-alarm rate of 0.005" in bent[1]


@pytest.mark.parametrize(("calibrator", "needed"), [("pot", 250), ("quantile", 999)])
def test_a_rate_that_the_rows_cannot_support_is_refused_before_any_training(calibrator: str, needed: int) -> None:
    told: list[Progress] = []
    with pytest.raises(DataError, match=f"249 records cannot support .* 0.001: give at least {needed}"):
        Detector(window=1, false_alarm_rate=0.001, calibrator=calibrator).fit(server(249), progress=told.append)
    assert not told


def test_the_calibrator_asked_for_is_the_one_that_is_kept(tmp_path: Path) -> None:
    for calibrator in ("pot", "quantile"):
        fitted = Detector(window=1, false_alarm_rate=0.01, calibrator=calibrator, steps=20).fit(server(300))
        fitted.save(tmp_path / calibrator)
        assert json.loads((tmp_path / calibrator / "manifest.json").read_text())["threshold"]["kind"] == calibrator
        again = Detector.load(tmp_path / calibrator)
        assert again.threshold == fitted.threshold
        assert np.array_equal(again.detect(broken()).p_value, fitted.detect(broken()).p_value)


def test_saved_and_loaded_it_is_the_same(detector: Detector, tmp_path: Path) -> None:
    detector.save(tmp_path / "model", {"offsets": {"0": [1, 5]}})
    again = Detector.load(tmp_path / "model")
    matrix = np.vstack([server(500, seed=4), broken()])
    before, after = (
        detector.detect(matrix, latent=True, reconstruction=True),
        again.detect(matrix, latent=True, reconstruction=True),
    )
    for name in ("error", "score", "p_value", "anomaly", "latent", "reconstruction"):
        assert np.array_equal(getattr(before, name), getattr(after, name))
    assert np.array_equal(detector.explain(matrix), again.explain(matrix))
    assert (again.schema, again.threshold, again.options) == (detector.schema, detector.threshold, detector.options)
    assert again.manifest == detector.manifest
    again.save(tmp_path / "copy")
    assert (tmp_path / "copy" / "model.safetensors").read_bytes() == (
        tmp_path / "model" / "model.safetensors"
    ).read_bytes()


def test_the_manifest_tells_a_person_what_the_model_is(detector: Detector, tmp_path: Path) -> None:
    detector.save(tmp_path / "model", {"offsets": {"0": [1, 5]}})
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert manifest["metadata"] == {"offsets": {"0": [1, 5]}}
    assert manifest["schema_hash"] == detector.schema.hash
    assert manifest["threshold"]["value"] == detector.threshold
    assert manifest["threshold"]["false_alarm_rate"] == 0.01
    assert manifest["threshold"]["calibration_records"] == manifest["training"]["records"] == 3000
    assert manifest["score_quantiles"]["0.99"] == pytest.approx(1, abs=0.05)
    assert manifest["options"]["seed"] == 0
    assert set(manifest["versions"]) == {"aestream", "torch", "numpy"}
    assert set(manifest["files"]) == {"model.safetensors"}


def test_a_model_that_was_tampered_with_is_refused(detector: Detector, tmp_path: Path) -> None:
    detector.save(tmp_path / "model")
    original = json.loads((tmp_path / "model" / "manifest.json").read_text())
    swapped = {**original["schema"], "names": original["schema"]["names"][::-1]}
    cases: list[dict[str, Any]] = [
        {"schema": swapped},
        {"schema": {}},
        {"model": {"kind": "quantum", "config": {}}},
        {"options": {"a": 1}},
    ]
    cases += [{key: None} for key in ("schema_hash", "threshold", "model", "options")]
    cases += [{"threshold": {**original["threshold"], "kind": "oracle"}}]
    for change in cases:
        (tmp_path / "model" / "manifest.json").write_text(json.dumps({**original, **change}))
        with pytest.raises(ModelError):
            Detector.load(tmp_path / "model")
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(ModelError, match="cannot be read"):
        Detector.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("false_alarm_rate", 0),
        ("false_alarm_rate", 1.5),
        ("calibrator", "guess"),
        ("latent_size", 0),
        ("noise", -1),
        ("steps", 0),
        ("hidden", 0),
        ("missing", "median"),
        ("missing", "impute,cpu.*=drop"),
    ],
)
def test_options_that_cannot_work_are_refused(name: str, value: float | str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Detector(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"max_gap": "x"}, {"latent_size": "3"}, {"window": 2.5}, {"clock": 5}])
def test_an_option_of_another_kind_is_refused_as_well(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ConfigurationError, match=f"^{name} is "):
        Detector(**options)


@pytest.mark.parametrize("options", [{"clock": "on"}, {"holidays": "DE"}])
def test_a_clock_is_refused_where_each_record_is_judged_alone(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="set `window` to auto"):
        Detector(window=1, **options)
    Detector(window="auto", **options)


def test_what_cannot_be_learnt_from_is_refused() -> None:
    with pytest.raises(DataError, match="5 records are too few"):
        Detector().fit(server(5))
    with pytest.raises(DataError, match="not a finite number"):
        Detector().fit(np.full((50, 2), np.nan))


def test_asked_before_it_learnt_it_says_so(tmp_path: Path) -> None:
    for ask in (
        lambda: Detector().score(server(5)),
        lambda: Detector().save(tmp_path / "m"),
        lambda: Detector().threshold,
    ):
        with pytest.raises(AestreamError, match="call fit first"):
            ask()
    with pytest.raises(ModelError, match="no files yet: call save"):
        Detector().manifest  # noqa: B018
    assert not (tmp_path / "m").exists()


def orders(rows: int, seed: int = 0) -> list[dict[str, object]]:
    """Two shops, each with its own level of prices; an express order is a dear one; some have no weight."""
    random = np.random.default_rng(seed)
    made: list[dict[str, object]] = []
    for _ in range(rows):
        shop = str(random.choice(["north", "south"]))
        express = bool(random.random() < 0.3)
        price = (100 if shop == "north" else 40) + 20 * express + random.normal()
        made.append({"shop": shop, "express": express, "price": price, "weight": price / 10 + 0.1 * random.normal()})
        if random.random() < 0.1:
            made[-1]["weight"] = None
    return made


@pytest.mark.parametrize("shape", ["frame", "records"])
def test_mixed_records_are_learnt_judged_and_explained(tmp_path: Path, shape: str) -> None:
    def table(records: list[dict[str, object]]) -> object:
        return pd.DataFrame(records) if shape == "frame" else records

    found = Detector(window=1, false_alarm_rate=0.01, steps=300, missing="impute", flag_unseen=True).fit(
        table(orders(3000))
    )
    assert found.schema.names == ("shop", "express", "price", "weight")
    assert found.flag(table(orders(5000, seed=1))).mean() < 0.03
    wrong = [
        {"shop": "north", "express": False, "price": 40.0, "weight": 4.0},  # a price of the other shop
        {"shop": "mars", "express": False, "price": 100.0, "weight": 10.0},  # a shop that nobody has seen
    ]
    assert found.flag(table(wrong)).all()
    shares = found.explain(table(wrong))
    assert shares.sum(axis=1) == pytest.approx([1, 1])
    assert found.schema.names[int(shares[1].argmax())] == "shop"
    found.save(tmp_path / "m")
    again = Detector.load(tmp_path / "m")
    assert again.schema == found.schema
    assert np.array_equal(again.score(table(wrong)), found.score(table(wrong)))
    strict = Detector(window=1, steps=10).fit([record for record in orders(300) if record["weight"] is not None])
    with pytest.raises(DataError, match="'weight' is null"):
        strict.score([{**wrong[0], "weight": None}])


def test_gaps_in_an_array_are_refused_unless_they_are_imputed() -> None:
    table = server(600)
    table[::9, 2] = np.nan
    with pytest.raises(DataError, match="row 0: 'feature_2' is nan"):
        Detector(window=1, steps=10).fit(table)
    found = Detector(window=1, steps=100, missing="impute").fit(table)
    assert np.isfinite(found.score(table)).all()
    assert np.isfinite(found.reconstruct(table)).all()


def test_outliers_that_set_the_threshold_are_told() -> None:
    calm = server(600)
    assert not any("incident" in warning for warning in Detector(window=1, steps=30).fit(calm).warnings)
    calm[200:206] += 50
    (told,) = [warning for warning in Detector(window=1, steps=30).fit(calm).warnings if "incident" in warning]
    assert "times as unusual as the median one" in told
