from __future__ import annotations

import contextlib
import math

import numpy as np
import pytest

from aestream.quantities import BASES, quantities, quantity, text_number, text_numbers, unit_of, unit_remedy


@pytest.mark.parametrize(("text", "number"), [("12.5", 12.5), (" -3 ", -3), ("1e3", 1000), ("+.5", 0.5), ("007", 7)])
def test_a_text_that_holds_a_number_is_one(text: str, number: float) -> None:
    assert text_number(text) == number
    assert text_numbers([text, 2, text]).tolist() == [number, 2, number]


@pytest.mark.parametrize("text", ["", "NaN", "nan", "N/A", "n/a", "null", "None", "nil", "-", "--", "\\N", "inf"])
def test_words_for_a_missing_value_and_infinity_are_nan(text: str) -> None:
    assert math.isnan(text_number(text))
    assert math.isnan(text_number(f" {text} "))
    np.testing.assert_array_equal(text_numbers(["1", text, None, 2.5]), [1, np.nan, np.nan, 2.5])


@pytest.mark.parametrize("text", ["abc", "12.3 ms", "12.3 abc", "1_000", "1,5", "2026-01-05", "1.2.3", "0x1f"])
def test_other_text_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"text|could not convert"):
        text_number(text)
    with pytest.raises(ValueError, match=r"text|could not convert"):
        text_numbers(["1", text])


@pytest.mark.parametrize(
    ("text", "name", "base", "number"),
    [
        ("12.3 ms", "ms", "s", 0.0123),
        ("250µs", "µs", "s", 0.00025),
        ("5 min", "min", "s", 300),
        ("2 HOURS", "hours", "s", 7200),
        ("1h2m3.5s", "s", "s", 3723.5),
        ("1.5GiB", "GiB", "B", 1.5 * 2**30),
        ("128Mi", "Mi", "B", 2**27),
        ("3 kB", "kB", "B", 3000),
        ("10 MB/s", "MB/s", "B/s", 1e7),
        ("100Mbps", "Mbps", "bit/s", 1e8),
        ("2.4 GHz", "GHz", "Hz", 2.4e9),
        ("45 %", "%", "%", 45),
        ("-3.5 °C", "°C", "°C", -3.5),
        ("230 V", "V", "V", 230),
    ],
)
def test_a_quantity_is_read_in_its_base_unit(text: str, name: str, base: str, number: float) -> None:
    unit = unit_of(text)
    assert unit is not None
    assert (unit.name, unit.base) == (name, base)
    assert quantity(text, base) == pytest.approx(number, rel=1e-12)
    assert unit_remedy("x", text) == f"`units`=x reads it as {BASES[base]}"


@pytest.mark.parametrize("text", ["12.3", "12.3 abc", "abc", "", "250m", "3 mb", "ms", "v1.2", "1d2", "N/A", "12:30"])
def test_what_has_no_known_unit_has_none(text: str) -> None:
    assert unit_of(text) is None
    assert unit_remedy("x", text) == unit_remedy("x", 5) == ""


def test_a_column_of_quantities_may_mix_units_but_not_kinds_of_them() -> None:
    texts = ["1.5 s", "20ms", " 3 ", "1 min"]
    assert quantities(texts, "s").tolist() == [quantity(text, "s") for text in texts] == [1.5, 0.02, 3, 60]
    with pytest.raises(ValueError, match="text"):
        quantities(["1 s", "2 kB"], "s")
    for other in ("N/A", "1h2m", "1 s\n2 s", "fast"):
        with pytest.raises(ValueError, match="text"):
            quantities(["1 s", other], "s")
    with pytest.raises(ValueError, match=r"text with a unit of bytes \(kB\), not of seconds"):
        quantity("2 kB", "s")
    assert math.isnan(quantity("N/A", "s"))


@pytest.mark.parametrize("text", ["9" * 400 + " ms", "1e400 ms", "9" * 400, "9" * 400 + "h1m"])
def test_a_quantity_beyond_any_number_is_missing_alone_and_among_others(text: str) -> None:
    assert math.isnan(quantity(text, "s"))
    if not text.endswith("m"):
        np.testing.assert_array_equal(quantities(["1 s", text], "s"), [1, np.nan])


@pytest.mark.timeout(10)
def test_a_megabyte_of_text_is_read_once() -> None:
    n = 2**20
    for text in ("9" * n, "9" * n + "x", "1." * n, " " * n + "1", "1" + " " * n + "\x00", "1h" * n + "x"):
        unit_of(text)
        with contextlib.suppress(ValueError):
            quantities([text], "s")
