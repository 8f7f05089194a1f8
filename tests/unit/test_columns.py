from __future__ import annotations

import math

import numpy as np
import pytest

from aestream.columns import BadValueError, Column, Kind

QUOTED = Column(quoted=True)
SECONDS = Column(quoted=True, unit="s", imputed=True)


def test_quoted_numbers_are_numbers_and_come_back_as_numbers() -> None:
    column = QUOTED.column(["12.5", 3, " 4 ", 5.5])
    assert column.tolist() == QUOTED.numbers(["12.5", 3, " 4 ", 5.5]).tolist() == [12.5, 3, 4, 5.5]
    assert QUOTED.show(column) == [12.5, 3, 4, 5.5]
    assert QUOTED.wire == float | str


def test_numbers_with_units_become_numbers_of_the_base_unit() -> None:
    expected = [0.0123, 2, 7, np.nan, np.nan, 62]
    np.testing.assert_allclose(SECONDS.column(["12.3 ms", "2s", 7, "N/A", None, "1m2s"]), expected)
    assert SECONDS.column(["12.3 ms", "2s"]).tolist() == [0.0123, 2]
    with pytest.raises(BadValueError, match=r"text with a unit \(GiB\), not a finite number"):
        SECONDS.column(["1 s", "2 GiB"])


def test_text_in_a_column_of_plain_numbers_is_read_if_it_holds_one() -> None:
    np.testing.assert_array_equal(Column().column([1, "2.5", "n/a", math.inf, None]), [1, 2.5, np.nan, np.nan, np.nan])
    with pytest.raises(BadValueError, match="text, not a finite number") as caught:
        Column().column([1, "12.3 abc"])
    assert caught.value.row == 1
    assert Column(Kind.TIMESTAMP, unit="ms").column([5000, "6000"]).tolist() == [5, 6]
    assert np.isnan(Column(Kind.TIMESTAMP, unit="text").column(["2026-01-05", ""])).tolist() == [False, True]


def test_a_word_for_a_missing_value_may_be_a_category() -> None:
    assert Column(Kind.CATEGORICAL, ("N/A", "eu")).column(["N/A", "eu", "us"]).tolist() == [0, 1, -1]


@pytest.mark.parametrize("column", [Column(), QUOTED, SECONDS, Column(Kind.TIMESTAMP, unit="s"), Column(rate=True)])
def test_a_column_survives_json(column: Column) -> None:
    assert Column.from_dict(column.to_dict()) == column
    assert ("quoted" in column.to_dict()) == column.quoted
    assert ("rate" in column.to_dict()) == column.rate  # manifests of before do not say


def test_only_numbers_have_a_rate() -> None:
    with pytest.raises(ValueError, match="a boolean column cannot be a rate"):
        Column(Kind.BOOLEAN, rate=True)


@pytest.mark.parametrize(
    ("kind", "unit", "quoted"),
    [(Kind.NUMERIC, "s", False), (Kind.NUMERIC, "ms", True), (Kind.TIMESTAMP, "B", False), (Kind.TIMESTAMP, "", False)],
)
def test_a_unit_that_does_not_go_with_the_kind_is_refused(kind: Kind, unit: str, quoted: bool) -> None:
    with pytest.raises(ValueError, match="cannot have the unit"):
        Column(kind, unit=unit, quoted=quoted)
