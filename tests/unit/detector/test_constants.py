"""Features that never moved in training: what a move of one does to error, score and explanation."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from aestream import Detector
from aestream.columns import Column, Kind
from aestream.errors import ConfigurationError, DataError
from aestream.features.schema import FeatureSchema

Matrix = npt.NDArray[np.float64]
ROWS, FEATURES = 3000, 4
VALUES = [0.0, 1.0, 100.0, 0.25, 0.1 + 0.2, -7.0, 1e10, 20.5, 0.0, 3.3333333333333335] * 5
STEADY = len(VALUES)


def schema(steady: int = STEADY) -> FeatureSchema:
    """Four ordinary features and so many steady ones; every third of these is a boolean's if it can be."""
    names = tuple(f"f{i}" for i in range(FEATURES)) + tuple(f"s{i}" for i in range(steady))
    kinds = [Kind.BOOLEAN if value in (0.0, 1.0) and i % 3 == 0 else Kind.NUMERIC for i, value in enumerate(VALUES)]
    columns = (Column(),) * FEATURES + tuple(Column(kind, imputed=True, steady=True) for kind in kinds[:steady])
    return FeatureSchema(names, tuple((name,) for name in names), columns)


def ordinary(rows: int, seed: int = 0) -> Matrix:
    """Four features of one load."""
    random = np.random.default_rng(seed)
    load = random.normal(size=(rows, 1))
    return load * [10, 100, 1, -5] + [100, 1000, 10, -50] + random.normal(size=(rows, 4)) * [1, 10, 0.1, 0.5]


def table(rows: int, seed: int = 0, steady: int = STEADY) -> Matrix:
    return np.hstack([ordinary(rows, seed), np.tile(VALUES[:steady], (rows, 1))])


def fitted(matrix: Matrix, asked: FeatureSchema, **options: object) -> Detector:
    return Detector(**{"window": 1, "false_alarm_rate": 0.01, "steps": 200, **options}).fit_matrix(matrix, asked)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def detector() -> Detector:
    return fitted(table(ROWS), schema())


@pytest.fixture(scope="module")
def plain() -> Detector:
    return fitted(ordinary(ROWS), schema(0))


def test_the_network_does_not_see_constants(detector: Detector, plain: Detector) -> None:
    assert detector.threshold == plain.threshold
    assert detector.warnings == plain.warnings
    later = table(ROWS, seed=1)
    assert np.array_equal(detector.error(later), plain.error(later[:, :FEATURES]))
    assert 0.002 < detector.flag(later).mean() < 0.03


def test_one_constant_that_moves_is_flagged_and_named(detector: Detector) -> None:
    rows = table(STEADY, seed=2)
    for i in range(STEADY):
        rows[i, FEATURES + i] = 1 - rows[i, FEATURES + i] if VALUES[i] in (0.0, 1.0) else rows[i, FEATURES + i] + 1.0
    assert (detector.score(rows) >= 1.99).all()
    found = detector.attribute(rows)
    own = (np.arange(STEADY), FEATURES + np.arange(STEADY))
    assert (found.share.argmax(axis=1) == own[1]).all()
    assert np.array_equal(found.observed[own], rows[own])
    assert np.allclose(found.expected[own], VALUES)
    assert np.allclose(found.share.sum(axis=1), 1)


def test_a_longer_move_is_a_larger_score(detector: Detector) -> None:
    rows = np.repeat(table(1, seed=2), 5, axis=0)
    rows[1:, FEATURES] = [1, 10, 500, 1.7e308]
    score = detector.score(rows)
    assert score[0] < 1
    assert score[1:] == pytest.approx([2, 3, 4.7, 102], abs=0.2)
    p_value = detector.detect(rows).p_value
    assert (np.diff(p_value) <= 0).all()
    assert p_value[1] <= 0.01


@pytest.mark.filterwarnings("error")
def test_rounding_errors_and_missing_values_are_no_moves(detector: Detector) -> None:
    rows = table(200, seed=3)
    quiet = detector.error(rows)
    rows[:, FEATURES:] *= 1 + 1e-11
    rows[:, FEATURES:] += 1e-9
    rows[0, FEATURES + 4] = 0.3
    rows[1, FEATURES:] = np.nan
    assert np.array_equal(detector.error(rows), quiet)
    assert (detector.explain(rows)[:, FEATURES:] == 0).all()


def test_a_small_move_beyond_rounding_counts(detector: Detector) -> None:
    rows = table(4, seed=3)
    rows[0, FEATURES] = 0.4  # a share that was always 0
    rows[1, FEATURES + 2] = 99.7
    rows[2, FEATURES + 3] = 0.251
    rows[3, FEATURES + 6] += 1
    assert (detector.score(rows) >= 1.99).all()


def test_an_ordinary_anomaly_is_found_as_without_constants(detector: Detector, plain: Detector) -> None:
    rows = table(50, seed=4)
    rows[:, 1] += 300
    assert detector.flag(rows).all()
    assert np.array_equal(detector.explain(rows)[:, :FEATURES], plain.explain(rows[:, :FEATURES]))


def test_both_at_once_are_both_shown(detector: Detector) -> None:
    rows = table(50, seed=4)
    rows[:, 1] += 200
    before = detector.score(rows)
    rows[:, FEATURES + 8] = 500
    assert (detector.score(rows) > before).all()
    share = detector.explain(rows)
    assert (np.sort(np.argsort(-share, axis=1)[:, :2], axis=1) == [1, FEATURES + 8]).all()
    assert (share[:, [1, FEATURES + 8]] > 0.05).all()


def test_fifty_constants_that_move_do_not_drown_an_ordinary_feature(detector: Detector) -> None:
    rows = table(50, seed=4)
    rows[:, FEATURES + 4] += 1.0
    one = detector.score(rows)
    rows[:, FEATURES:] = np.add(VALUES, 1.0)
    assert (detector.score(rows) - one < 1).all()
    rows[:, 1] += 300
    assert (detector.explain(rows).argmax(axis=1) == 1).all()


def test_direction_and_least_deviation_hold() -> None:
    options = {"direction": {"s0": "down"}, "min_abs_deviation": {"s1": 10.0}, "min_rel_deviation": {"s2": 0.5}}
    detector = fitted(table(ROWS), schema(), **options)
    assert fitted(table(ROWS), schema()).threshold == detector.threshold
    rows = table(6, seed=2)
    rows[range(6), [4, 4, 5, 5, 6, 6]] = [5, -5, 5, 20, 120, 160]
    assert (detector.score(rows) > 1).tolist() == [False, True, False, True, False, True]
    assert (detector.explain(rows)[[0, 2, 4], FEATURES:] == 0).all()
    with pytest.raises(ConfigurationError, match="direction names 'cpu', which is not a feature: the features are f0"):
        fitted(table(ROWS), schema(), direction={"cpu": "up"})


def test_where_nothing_else_counts_a_constant_still_does() -> None:
    names = [f"f{i}" for i in range(FEATURES)]
    detector = fitted(table(ROWS), schema(), min_abs_deviation=dict.fromkeys(names, 1e6))
    rows = table(2, seed=5)
    rows[1, FEATURES] = 3
    assert detector.error(rows)[0] == 0
    assert detector.flag(rows).tolist() == [False, True]
    assert detector.explain(rows)[1, FEATURES] == 1


def test_reconstructions_hold_the_constants(detector: Detector) -> None:
    rows = table(10, seed=6)
    rows[:, FEATURES] = 500
    for made in (detector.reconstruct(rows), detector.decode(detector.encode(rows))):
        assert made.shape == rows.shape
        assert np.allclose(made[:, FEATURES:], VALUES)
    denoising = fitted(table(ROWS), schema(), noise=0.3, steps=50)
    assert np.allclose(denoising.denoise(rows)[:, FEATURES:], VALUES)


def test_it_survives_being_kept(detector: Detector, tmp_path: Path) -> None:
    detector.save(tmp_path / "m")
    again = Detector.load(tmp_path / "m")
    assert again.schema == detector.schema
    rows = table(20, seed=7)
    rows[::2, FEATURES + 3] += 5
    assert np.array_equal(again.error(rows), detector.error(rows))
    assert np.array_equal(again.explain(rows), detector.explain(rows))


def test_what_moves_in_the_sample_is_an_ordinary_feature() -> None:
    matrix = table(ROWS, steady=6)
    matrix[::3, FEATURES] = np.random.default_rng(0).integers(0, 5, len(matrix[::3]))
    matrix[::3, FEATURES + 1] = 0.0
    matrix[5, FEATURES + 1] = np.nan
    detector = fitted(matrix, schema(6))
    columns = detector.schema.columns
    assert [column.steady for column in columns] == [False] * 6 + [True] * 4
    assert [column.imputed for column in columns[FEATURES:]] == [False, True] + [True] * 4
    assert fitted(matrix, schema(6), missing="impute").schema.columns[FEATURES].imputed
    assert 0.002 < detector.flag(matrix).mean() < 0.03


def test_constants_that_could_as_well_have_moved_need_a_larger_move() -> None:
    """Forty counters of errors, each of which may rise by up to 3 in one row of a thousand or so."""
    random = np.random.default_rng(8)

    def counters(rows: int) -> Matrix:
        return np.where(random.random((rows, 40)) < 3e-4, random.integers(1, 4, (rows, 40)), 0.0)

    training = counters(ROWS)
    names = [f"f{i}" for i in range(FEATURES)] + [f"s{i}" for i in range(40)]
    columns = (Column(),) * FEATURES + tuple(Column(steady=True, imputed=True) for _ in range(40))
    asked = FeatureSchema(tuple(names), tuple((name,) for name in names), columns)
    detector = fitted(np.hstack([ordinary(ROWS), training]), asked, false_alarm_rate=0.001)
    still = ~training.any(axis=0)
    first = names[FEATURES + int(np.argmax(still))]
    assert f"(of {first}: more than 3)" in detector.warnings[-1]
    assert detector.schema.steady[FEATURES:].tolist() == still.tolist()
    assert 5 < still.sum() < 35
    later = counters(20_000) * still
    rows = np.hstack([ordinary(20_000, seed=9), later])
    assert later.any(axis=1).mean() > 0.002
    assert not (detector.score(rows)[later.any(axis=1)] > 1.9).any()
    rows[:5, FEATURES + int(np.argmax(still))] = 500
    assert (detector.score(rows[:5]) > 3).all()


def test_a_switch_that_could_as_well_have_turned_counts_for_nothing() -> None:
    matrix = np.hstack([ordinary(ROWS), np.zeros((ROWS, 8))])
    matrix[range(100, 700, 100), range(FEATURES, FEATURES + 6)] = 1
    names = [f"f{i}" for i in range(FEATURES)] + [f"s{i}" for i in range(8)]
    switches = tuple(Column(Kind.BOOLEAN, steady=True, imputed=True) for _ in range(8))
    asked = FeatureSchema(tuple(names), tuple((name,) for name in names), (Column(),) * FEATURES + switches)
    later = np.hstack([ordinary(1, seed=9), np.zeros((1, 8))])
    later[0, -1] = 1
    assert fitted(matrix, asked, false_alarm_rate=0.01).flag(later).tolist() == [True]
    assert fitted(matrix, asked, false_alarm_rate=0.001).flag(later).tolist() == [False]


def test_a_feature_without_a_value_or_none_that_moves_is_one_clear_line() -> None:
    matrix = table(50)
    matrix[:, FEATURES] = np.nan
    with pytest.raises(DataError, match="'s0' is missing in every record: exclude it"):
        fitted(matrix, schema())
    still = np.tile(VALUES[:2], (500, 1))
    columns = (Column(steady=True, imputed=True),) * 2
    with pytest.raises(DataError, match="none of the 2 features ever changes in the 500 records: give records"):
        fitted(still, FeatureSchema(("a", "b"), (("a",), ("b",)), columns))


def test_features_of_every_kind_stand_beside_constants() -> None:
    random = np.random.default_rng(0)
    columns = (
        Column(steady=True, imputed=True),
        Column(Kind.CATEGORICAL, ("a", "b")),
        Column(Kind.BOOLEAN, imputed=True),
        Column(),
        Column(Kind.BOOLEAN, steady=True, imputed=True),
    )
    names = ("errors", "till", "open", "sold", "up")
    asked = FeatureSchema(names, tuple((name,) for name in names), columns)
    till = random.integers(0, 2, 1000)
    rest = [till, random.random(1000) < 0.5, till * 10 + random.normal(size=1000)]
    matrix = np.column_stack([np.zeros(1000), *rest, np.ones(1000)])
    detector = fitted(matrix, asked)
    rows = matrix[:3].copy()
    rows[1, 4], rows[2, 1] = 0, -1
    assert detector.unseen(rows) == {"till": 1}
    assert detector.explain(rows)[1].argmax() == 4
    assert detector.schema.show(detector.reconstruct(rows))[1][4] is True


def test_only_numbers_and_booleans_can_be_steady() -> None:
    with pytest.raises(ValueError, match="a categorical column cannot be steady"):
        Column(Kind.CATEGORICAL, ("a",), steady=True)
    column = Column(Kind.BOOLEAN, imputed=True, steady=True)
    assert Column.from_dict(column.to_dict()) == column
    assert "steady" not in Column().to_dict()
