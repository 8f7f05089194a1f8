import numpy as np
import pytest

from aestream import portions
from aestream.features.numeric import NumericScaler

SHAPES = [(0, 3), (5, 1), (1000, 7), (400_000, 12), (3_000_000, 5), (10, 500)]


@pytest.mark.parametrize(("count", "width"), SHAPES)
def test_portions_cover_a_table_once_and_are_small(count: int, width: int) -> None:
    columns, rows = list(portions.columns(count, width)), list(portions.rows(count, width))
    assert np.concatenate([np.arange(width)[place] for place in columns]).tolist() == list(range(width))
    assert sum(len(range(count)[place]) for place in rows) == count
    assert all(place.stop - place.start >= min(2, width) for place in columns)
    assert all(count * (place.stop - place.start) <= max(3 * count, 4_000_000) for place in columns)
    assert all((place.stop - place.start) * width <= 4_000_000 for place in rows)


def test_what_is_learnt_from_portions_is_what_is_learnt_from_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = np.random.default_rng(0).normal(size=(5000, 7)) * 10.0 ** np.arange(7)
    whole = NumericScaler.fit(matrix)
    monkeypatch.setattr(portions, "_VALUES", 1)
    parts = NumericScaler.fit(matrix)
    for name, array in whole.arrays().items():
        assert array.tolist() == parts.arrays()[name].tolist()


def test_chosen_rows_and_columns() -> None:
    matrix = np.arange(60.0).reshape(12, 5)
    chosen = portions.Chosen(matrix, np.array([1, 4, 11]), np.array([0, 3, 4]))
    assert chosen.shape == (3, 3)
    assert chosen[:, 1:3].tolist() == [[8.0, 9.0], [23.0, 24.0], [58.0, 59.0]]


def test_rows_are_moved_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "_VALUES", 20)
    random = np.random.default_rng(0)
    matrix = random.normal(size=(100, 6))
    kept, order = np.flatnonzero(random.random(100) < 0.7), random.permutation(100)
    shorter, ordered = matrix.copy(), matrix.copy()
    found = portions.compact(shorter, kept)
    assert np.shares_memory(found, shorter)
    assert found.tolist() == matrix[kept].tolist()
    portions.reorder(ordered, order)
    assert ordered.tolist() == matrix[order].tolist()
