"""What the benchmarks make of their figures, and where they write them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.bench import page
from tests.bench.jobs import Spread
from tests.bench.telemetry import telemetry


def test_a_part_is_replaced_and_the_rest_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("before\n<!-- a: begin -->\nold\n<!-- a: end -->\n<!-- b: begin -->\nkept\n<!-- b: end -->\n")
    for _ in range(2):
        page.write("a", page.table(["", "x"], [["one", r"\1"]]), path)
    text = path.read_text()
    assert text.startswith("before\n<!-- a: begin -->\n\n|  | x |\n| --- | ---: |\n| one | \\1 |\n\nMeasured on ")
    assert text.endswith("<!-- a: end -->\n<!-- b: begin -->\nkept\n<!-- b: end -->\n")
    with pytest.raises(ValueError, match="0 places for c"):
        page.write("c", "", path)


def test_every_table_of_the_page_has_its_place() -> None:
    for part in ("compared", "stages", "alone", "latency", "scaling", "growth", "serving", "training"):
        assert page.PAGE.read_text().count(f"<!-- {part}: begin -->") == 1


def test_a_spread_is_told_by_its_median_and_its_ends() -> None:
    assert Spread.of([3.0, 1.0, 2.0]).told(10, 1) == "20.0 (10.0 to 30.0)"
    assert Spread.of([1234.0]).told() == "1,234"


@pytest.mark.parametrize(("features", "size"), [(5, 0), (20, 0), (100, 0), (20, 10_000)])
def test_records_are_the_recording_as_hosts_would_send_it(features: int, size: int) -> None:
    made = telemetry(700, features, size=size)
    decoded = [msgspec.json.decode(value) for value in made.values]
    assert made.matrix.shape == (700, features)
    assert made.training.shape[1] == len(set(made.names)) == features
    assert decoded[650]["host"] == "host-050"
    assert [decoded[650][name] for name in made.names] == made.matrix[650].tolist()
    assert not np.array_equal(made.matrix[0], made.matrix[1])
    assert all(len(value) >= size for value in made.values)
