"""Many servers through one model, and a model each: what is lost by learning them together."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from tests.bench.quality import measures, ours
from tests.bench.quality.alarms import count
from tests.bench.quality.cells import AESTREAM, Cell, Figures, Scope
from tests.bench.quality.data import Library
from tests.bench.quality.series import RATE, Stretches

FOLDERS = ("asd", "smd")
TOGETHER, ALONE = "one model", "a model each"


def entities(library: Library, scope: Scope) -> Iterator[Cell]:
    """Every server of a folder both ways, with the first seed."""
    for folder in FOLDERS[:1] if scope.quick else FOLDERS:
        names = library.names(folder)
        if scope.wants(AESTREAM) and len(names) > 1:
            for protocol in (TOGETHER, ALONE):
                yield from (Cell("entities", data, protocol, scope.seeds[0], AESTREAM) for data in names)


def measure_entities(cell: Cell, library: Library) -> Figures:
    """Rank the rows of one server, and count alarms at 1 %."""
    recording = library.recording(cell.data)
    part = Stretches.of(cell.data, recording)
    keys = np.full(len(part.test), cell.data)
    if cell.protocol == TOGETHER:
        judged = ours.judge(_of_all(cell.folder, library, cell.seed), part.test, keys, part.test_times)
    else:
        detector = ours.learnt(part.train, times=part.train_times, false_alarm_rate=RATE, seed=cell.seed)
        judged = ours.judge(detector, part.test, times=part.test_times)
    counted = count(recording.label, recording.incidents, judged.flags)
    return {
        **measures.ranking(recording.label, judged.error),
        **counted,
        "times": counted["flagged"] / RATE,
    }


@lru_cache(maxsize=1)
def _of_all(folder: str, library: Library, seed: int) -> Any:
    """One detector for all servers of a folder."""
    names = library.names(folder)
    parts = [Stretches.of(name, library.recording(name)) for name in names]
    train = np.concatenate([part.train for part in parts])
    times = np.concatenate([part.train_times for part in parts if part.train_times is not None])
    keys = np.repeat(names, [len(part.train) for part in parts])
    return ours.learnt(train, keys, times, false_alarm_rate=RATE, seed=seed)
