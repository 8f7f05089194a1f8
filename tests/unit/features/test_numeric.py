import numpy as np
import pytest

from aestream.features.numeric import LINEAR, NumericScaler, soft_clip


def test_columns_of_any_size_come_out_alike() -> None:
    normal = np.random.default_rng(0).normal(size=(1000, 1))
    matrix = np.hstack([normal * 1e-6, normal * 3 + 50, normal * 2.0**70 + 2.0**73, normal * 1e300])
    scaled = NumericScaler.fit(matrix).transform(matrix)
    assert np.allclose(scaled, scaled[:, :1], atol=1e-5)
    assert scaled.std() == pytest.approx(1, rel=0.01)


def test_a_small_spread_on_a_large_value_is_kept() -> None:
    matrix = 1013.25 + 1e-4 * np.random.default_rng(0).normal(size=(1000, 1))
    assert NumericScaler.fit(matrix).transform(matrix).std() == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize("constant", [0.0, 5.0, -7e20, 1e308])
def test_a_constant_that_changes_is_far_and_finite(constant: float) -> None:
    scaler = NumericScaler.fit(np.full((50, 1), constant))
    assert scaler.transform(np.full((1, 1), constant))[0, 0] == 0
    changed = scaler.transform(np.array([[constant * 0.9 + 1.0], [-constant - 1.0], [1e-300]]))
    assert np.all(np.isfinite(changed))
    assert np.all(np.abs(changed[:2]) > LINEAR)


def test_the_largest_numbers_stay_finite_in_float32() -> None:
    extremes = np.array([[1.7e308, -1.7e308, 5e-324]])
    for sample in (np.random.default_rng(0).normal(size=(50, 3)), np.repeat([[1.7e308], [-1.7e308]], 3, axis=1)):
        scaler = NumericScaler.fit(sample)
        for rows in (extremes, -extremes):
            scaled = scaler.transform(rows)
            assert np.all(np.isfinite(scaled.astype(np.float32)))
            assert np.all(np.abs(scaled) < 1500)
            assert np.all(np.isfinite(scaler.inverse(scaled)))


def test_the_soft_clip_keeps_order_and_is_smooth() -> None:
    line = np.concatenate([np.linspace(-20, 20, 4001), np.geomspace(20.1, 1e29, 100)])
    clipped = soft_clip(line.copy())
    assert np.all(np.diff(clipped) > 0)
    inner = np.abs(line) <= LINEAR
    assert np.array_equal(clipped[inner], line[inner])
    assert np.abs(np.diff(clipped[:4001], 2)).max() < 1e-3


def test_inverse_undoes_transform_within_what_was_seen() -> None:
    matrix = np.random.default_rng(0).standard_t(2, size=(500, 3)) * [1e-3, 1, 1e9]
    scaler = NumericScaler.fit(matrix)
    assert np.allclose(scaler.inverse(scaler.transform(matrix)), matrix, rtol=1e-9, atol=1e-12)
    assert np.array_equal(scaler.inverse(np.full((1, 3), 600.0))[0], matrix.max(axis=0))


def test_the_input_is_left_alone() -> None:
    matrix = np.random.default_rng(0).standard_t(1, size=(100, 2))
    before = matrix.copy()
    NumericScaler.fit(matrix).transform(matrix)
    assert np.array_equal(matrix, before)


def test_arrays_make_it_again() -> None:
    matrix = np.random.default_rng(0).normal(size=(100, 2))
    scaler = NumericScaler.fit(matrix)
    assert np.array_equal(NumericScaler.from_arrays(scaler.arrays()).transform(matrix), scaler.transform(matrix))
