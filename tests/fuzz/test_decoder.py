"""The decoder in C on good and bad records: as msgspec reads them, within its bounds."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from aestream.codecs import flat
from aestream.codecs.json import JsonDecoder
from tests.fuzz.decoder import COLUMNS, LIMIT, NAMES, compare, values_of
from tests.fuzz.test_mutations import INPUTS, SEED
from tests.speedups import SANITIZERS, build, without

TIMES = 50  # a record takes microseconds here, and a message of test_mutations.py a millisecond


@pytest.mark.timeout(7200)
def test_what_the_decoder_reads_msgspec_reads_alike(decoder_in_c: ModuleType) -> None:
    counts = compare(decoder_in_c, TIMES * INPUTS, SEED)
    print(f"\n\n{counts.total():,} inputs: {dict(counts)}")  # noqa: T201
    assert counts["read by both"] > counts.total() / 4
    assert counts["by msgspec alone"]
    assert counts["by neither"]


@pytest.mark.timeout(7200)
def test_the_decoder_stays_within_its_bounds(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or ""
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }")
    known = [compiler, *SANITIZERS, str(probe), "-o", str(tmp_path / "probe")]
    if not compiler or subprocess.run(known, check=False, capture_output=True).returncode:
        without("a C compiler with sanitizers is needed")
    library = build(tmp_path, SANITIZERS)
    runtime = subprocess.run([compiler, "-print-file-name=libasan.so"], check=True, capture_output=True, text=True)
    command = [sys.executable, "-m", "tests.fuzz.decoder", f"--library={library}", f"--inputs={5 * INPUTS}"]
    environment = {"LD_PRELOAD": runtime.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}
    done = subprocess.run(
        [*command, f"--seed={SEED}"], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "inputs in" in done.stdout


def test_reasons_and_messages_are_the_same_with_the_decoder(
    decoder_in_c: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for module in (decoder_in_c, None):
        monkeypatch.setattr(flat, "aestream_speedups", module)
        decoder = JsonDecoder([(name,) for name in NAMES], COLUMNS, max_record_bytes=LIMIT)
        found.append([decoder.decode(values_of(random.Random(f"{SEED} {turn}"))) for turn in range(5)])
    outcomes: Counter[str] = Counter()
    for ours, theirs in zip(*found, strict=True):
        assert ours.rows.tolist() == theirs.rows.tolist()
        assert np.array_equal(ours.matrix, theirs.matrix, equal_nan=True)
        assert list(ours.invalid) == list(theirs.invalid)
        assert ours.passed == theirs.passed
        outcomes.update(str(problem.reason) for problem in ours.invalid)
    assert len(outcomes) > 5, outcomes
