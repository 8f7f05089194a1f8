"""Python's collector in a service: what stays is out of its way, what goes is still found, and the end is clean."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from aestream.service import garbage


class Cycle:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_what_is_alive_is_looked_at_no_more() -> None:
    garbage.settle()
    assert gc.get_freeze_count() > 10_000
    garbage.release()
    assert gc.get_freeze_count() == 0


def test_a_cycle_that_outlived_one_model_goes_with_the_next() -> None:
    cycle = Cycle()
    gone = weakref.ref(cycle)
    garbage.settle()
    del cycle
    gc.collect()
    assert gone() is not None, "it is frozen: nothing looks at it"
    garbage.settle()
    assert gone() is None


def test_what_large_values_are_part_of_goes_while_they_go_through() -> None:
    garbage.settle()
    passing, cycle = garbage.Passing(), Cycle()
    gone = weakref.ref(cycle)
    del cycle
    value = bytes(2**20)
    for _ in range(64):
        passing.passed([value, None])
    assert gone() is not None
    passing.passed([value])
    assert gone() is None


def test_a_process_that_settled_ends_without_a_word() -> None:
    # A library's own check at the end takes frozen objects for leaks.
    code = "from aestream.app import worker; from aestream.service import garbage; garbage.settle(); garbage.release()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
