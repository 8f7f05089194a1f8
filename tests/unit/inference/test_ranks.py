import numpy as np

from aestream.inference.ranks import within


def test_ranks_are_those_within_an_entity() -> None:
    matrix = np.array([[10.0, 1], [1000, 1], [30, 1], [2000, np.nan], [20, 1], [3000, 0]])
    entity = np.array([0, 1, 0, 1, 0, 1])
    third = 1 / 3
    expected = np.array([[-third, 0], [-third, 0.25], [third, 0], [0, 0], [0, 0], [third, -0.25]])
    np.testing.assert_allclose(within(matrix, entity), expected)


def test_nothing_has_no_ranks() -> None:
    assert within(np.empty((3, 0)), np.zeros(3, np.intp)).shape == (3, 0)
    assert within(np.empty((0, 2)), np.zeros(0, np.intp)).shape == (0, 2)


def test_their_mean_is_0_whatever_is_equal_or_missing() -> None:
    random = np.random.default_rng(0)
    matrix = random.integers(0, 4, (500, 3)).astype(float)
    matrix[random.random(matrix.shape) < 0.2] = np.nan
    entity = random.integers(0, 9, 500)
    ranks = within(matrix, entity)
    assert np.abs(ranks).max() <= 0.5
    for code in range(9):
        np.testing.assert_allclose(ranks[entity == code].sum(axis=0), 0, atol=1e-9)
