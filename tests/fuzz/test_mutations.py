"""Good messages changed at random, of every layout, for models with windows and without."""

from __future__ import annotations

import os
import random
import resource
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.fuzz.checks import judged
from tests.fuzz.inputs import mutated
from tests.fuzz.worlds import HOSTS, QUIET, STEPS, World, worlds

INPUTS = int(os.environ.get("AESTREAM_TEST_FUZZ_INPUTS", "3000"))
SEED = int(os.environ.get("AESTREAM_TEST_FUZZ_SEED", "0"))
WORLDS = list(worlds())
BATCH = 250  # of which every fifth is a good message


@pytest.fixture(scope="module")
def seen() -> Iterator[Counter[tuple[str, str]]]:
    """What became of all inputs, by world; printed at the end."""
    counts: Counter[tuple[str, str]] = Counter()
    began = time.perf_counter()
    yield counts
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n\n{counts.total()} inputs in {time.perf_counter() - began:.0f} s, peak memory {peak:.0f} MiB")  # noqa: T201
    outcomes = sorted({outcome for _, outcome in counts})
    for outcome in outcomes:
        of = {world: count for (world, other), count in counts.items() if other == outcome}
        print(f"{sum(of.values()):9,} {outcome}")  # noqa: T201


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_every_input_is_a_score_or_a_dead_letter(world: World, seen: Counter[tuple[str, str]]) -> None:
    left = -(-INPUTS // len(WORLDS))
    turn = 0
    while left > 0:
        rng = random.Random(f"{SEED} {world.name} {turn}")
        good = list(range(0, BATCH, 5))
        values = [_value(world, row, rng, good=row % 5 == 0) for row in range(BATCH)]
        try:
            whole = judged(world, values, good, cuts=sorted(rng.sample(range(BATCH), rng.randint(1, 6))))
        except Exception as error:
            error.add_note(f"of {world.name}, AESTREAM_TEST_FUZZ_SEED={SEED}, turn {turn}")
            raise
        for row in range(BATCH):
            if row % 5:
                letter = whole.letters.get(row)
                outcome = f"dead letter: {letter[0]}" if letter else "score" if row in whole.scores else "passed over"
                seen[world.name, outcome] += 1
        left -= BATCH - len(good)
        turn += 1


def _value(world: World, row: int, rng: random.Random, *, good: bool) -> bytes | None:
    message = world.message(STEPS + row, QUIET if good else rng.choice(HOSTS), rng)
    return message if good else mutated(message, rng)
