import numpy as np
import pytest

from aestream.detector.folds import Folds
from aestream.detector.neighbours import Memory
from aestream.detector.residuals import PRECISION
from aestream.types import Floats


def normal(count: int, *, seed: int) -> np.ndarray:
    """(n, 4) rows without a structure."""
    return np.random.default_rng(seed).normal(size=(count, 4))


ROWS = normal(2000, seed=0)


def spread(count: int, *, seed: int) -> np.ndarray:
    """(n,) reconstruction errors around 1."""
    found: np.ndarray = np.exp(0.3 * np.random.default_rng(seed).normal(size=count))
    return found


def single(rows: np.ndarray) -> Floats:
    return np.asarray(rows, dtype=np.float32)


def fitted(rows: np.ndarray, size: int = 500, weights: np.ndarray | None = None) -> tuple[Memory, np.ndarray]:
    unseen, errors = Folds.of(len(rows), 4).unseen, spread(len(rows), seed=1)
    return Memory.fit(single(rows), unseen, errors, size=size, weights=weights)


def nearest(memory: Memory, rows: np.ndarray, level: int = -1) -> np.ndarray:
    return memory.levels[level].nearest(single(rows) * memory.weights)


def worth(memory: Memory, distances: np.ndarray) -> np.ndarray:
    """What distances to the nearest of all rows are worth."""
    scale, power = memory.worth[-1]
    found: np.ndarray = np.exp(scale) * distances**power
    return found


def join(memory: Memory, rows: np.ndarray) -> np.ndarray:
    """What the distances alone are worth."""
    return memory.join(np.full(len(rows), 1e-12), single(rows))


def test_the_distance_is_the_one_to_the_nearest_kept_row() -> None:
    memory, _ = fitted(ROWS)
    asked = normal(3000, seed=2) * 5
    distance = nearest(memory, asked)
    kept = ROWS[np.linspace(0, len(ROWS) - 1, 500).astype(int)]
    apart = np.linalg.norm((asked[:, None] - kept[None]) * memory.weights, axis=2)
    assert np.allclose(distance, apart.min(axis=1), rtol=1e-5)


def test_a_result_does_not_depend_on_the_rows_beside_it() -> None:
    memory, _ = fitted(ROWS)
    asked = normal(700, seed=2)
    alone = np.concatenate([join(memory, asked[place : place + 1]) for place in range(len(asked))])
    assert np.allclose(alone, join(memory, asked), rtol=1e-6)


def test_a_kept_row_does_not_vouch_for_itself() -> None:
    memory, _ = fitted(ROWS, size=2000)
    distance = nearest(memory, ROWS[:50])
    apart = np.linalg.norm((ROWS[:50, None] - ROWS[None]) * memory.weights, axis=2)
    apart[np.arange(50), np.arange(50)] = np.inf
    assert np.allclose(distance, np.maximum(apart.min(axis=1), PRECISION), rtol=1e-5)


def test_a_training_row_is_not_compared_with_its_own_stretch() -> None:
    """Rows that only one stretch has are far, though they are near each other."""
    rows = ROWS.copy()
    rows[500:520] += 10.0
    joined = fitted(rows, size=2000)[1]
    assert joined[500:520].min() > np.delete(joined, np.s_[500:520]).max()


@pytest.mark.parametrize(("size", "levels"), [(100, 1), (799, 1), (800, 2), (2000, 2), (6400, 3)])
def test_asking_a_few_rows_first_changes_no_large_error(size: int, levels: int) -> None:
    memory, joined = fitted(normal(7000, seed=2), size)
    assert len(memory.levels) == levels
    assert len(memory.levels[-1].rows) == size
    asked, errors = normal(3000, seed=3) * 1.3, spread(3000, seed=4)
    found = memory.join(errors, single(asked))
    exact = np.maximum(errors, worth(memory, nearest(memory, asked)))
    large = exact > memory.clear
    assert 100 < large.sum() < 2500
    assert np.array_equal(found[large], exact[large])
    assert (found[~large] <= memory.clear).all()
    assert (joined > memory.clear).mean() == pytest.approx(0.1, abs=0.002)


def test_what_few_rows_say_is_on_the_scale_of_all() -> None:
    """Fewer rows are farther away: without a scale of their own they would make every small error larger."""
    memory, _ = fitted(normal(20_000, seed=2), 2000)
    asked = normal(3000, seed=3)
    exact = worth(memory, nearest(memory, asked))
    assert np.median(join(memory, asked)) == pytest.approx(np.median(exact), rel=0.1)
    assert np.median(join(memory, asked)) < 0.8 * np.median(worth(memory, nearest(memory, asked, level=0)))


def test_a_row_in_a_gap_is_farther_than_the_groups_around_it() -> None:
    groups = np.concatenate([ROWS * 0.1 + 3.0, ROWS * 0.1 - 3.0])
    memory, joined = fitted(groups[np.random.default_rng(2).permutation(len(groups))])
    assert join(memory, np.zeros((1, 4)))[0] > joined.max()


def test_the_memory_only_adds_to_a_suspicion() -> None:
    errors = spread(2000, seed=2) ** 3
    _, joined = Memory.fit(single(ROWS), Folds.of(2000, 4).unseen, errors, size=500, weights=None)
    assert (joined >= errors).all()
    assert (joined > errors).any()


def test_a_distance_is_worth_the_reconstruction_error_that_is_as_rare() -> None:
    errors = spread(2000, seed=2) * 7.0
    memory, _ = Memory.fit(single(ROWS), Folds.of(2000, 4).unseen, errors, size=500, weights=None)
    found = join(memory, normal(20_000, seed=3))
    assert np.quantile(found, 0.9) == pytest.approx(np.quantile(errors, 0.9), rel=0.1)
    assert np.quantile(found, 0.99) == pytest.approx(np.quantile(errors, 0.99), rel=0.3)


def test_several_inputs_of_one_feature_count_as_one() -> None:
    """Two inputs that weigh 1 / sqrt(2) each make the distance that one input makes."""
    twice = np.hstack([ROWS[:, :1], ROWS[:, :1], ROWS[:, 1:]])
    weights = np.array([0.5**0.5, 0.5**0.5, 1, 1, 1])
    asked = normal(50, seed=2) * 4
    plain = nearest(fitted(ROWS)[0], asked)
    doubled = nearest(fitted(twice, weights=weights)[0], np.hstack([asked[:, :1], asked]))
    assert np.allclose(plain, doubled, rtol=1e-4)


def test_an_input_that_jumps_now_and_then_is_measured_by_its_jumps() -> None:
    jumping = ROWS.copy()
    jumping[::400, 3] = 60.0
    memory, _ = fitted(jumping)
    steady, jumps = memory.weights[0], memory.weights[3]
    assert jumps < 0.3 * steady


@pytest.mark.parametrize("width", [1, 3, 300])
@pytest.mark.parametrize("count", [10, 700])
def test_constant_and_repeated_rows_have_a_finite_worth(width: int, count: int) -> None:
    rows = np.zeros((count, width))
    rows[:, : width // 2] = np.random.default_rng(2).integers(0, 2, size=(count, width // 2))
    memory, joined = fitted(rows)
    assert np.isfinite(joined).all()
    far = join(memory, rows[:1] + 700.0)
    assert np.isfinite(far).all()
    assert far > joined.max()


def test_arrays_make_it_again() -> None:
    memory, _ = fitted(ROWS)
    again = Memory.from_arrays(memory.arrays())
    asked = normal(900, seed=2)
    assert np.array_equal(join(again, asked), join(memory, asked))
