import numpy as np

from aestream.detector.attribution import shares


def test_shares_keep_the_proportions_and_sum_to_one() -> None:
    assert shares(np.array([[1.0, 3.0], [5e12, 5e12]])).tolist() == [[0.25, 0.75], [0.5, 0.5]]


def test_no_error_is_shared_equally() -> None:
    assert shares(np.zeros((1, 4))).tolist() == [[0.25] * 4]


def test_no_rows_no_shares() -> None:
    assert shares(np.empty((0, 3))).shape == (0, 3)
