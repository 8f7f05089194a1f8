"""Many servers through one model, with what is each one's own and without, and a model each."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from aestream import Detector
from tests.bench.quality import measures, ours
from tests.bench.quality.ablation import SHARED, Override
from tests.bench.quality.alarms import count
from tests.bench.quality.cells import AESTREAM, Cell, Figures, Scope
from tests.bench.quality.data import Library
from tests.bench.quality.series import RATE, Stretches

FOLDERS = ("asd", "smd")
TOGETHER, ALIKE, ALONE = "one model", "one model, all alike", "a model each"


def entities(library: Library, scope: Scope) -> Iterator[Cell]:
    """Every server of a folder in each way, with the first seed."""
    for folder in FOLDERS[:1] if scope.quick else FOLDERS:
        names = library.names(folder)
        if scope.wants(AESTREAM) and len(names) > 1:
            for protocol in (TOGETHER, ALIKE, ALONE):
                yield from (Cell("entities", data, protocol, scope.seeds[0], AESTREAM) for data in names)


def measure_entities(cell: Cell, library: Library) -> Figures:
    """Rank the rows of one server, and count alarms at 1 %."""
    recording = library.recording(cell.data)
    part = Stretches.of(cell.data, recording)
    keys = np.full(len(part.test), cell.data)
    if cell.protocol == ALONE:
        detector = ours.learnt(part.train, times=part.train_times, false_alarm_rate=RATE, seed=cell.seed)
        judged = ours.judge(detector, part.test, times=part.test_times)
    else:
        detector = _of_all(cell.folder, library, cell.seed, alike=cell.protocol == ALIKE)
        judged = ours.judge(detector, part.test, keys, part.test_times)
    counted = count(recording.label, recording.incidents, judged.flags)
    return {**measures.ranking(recording.label, judged.error), **counted, "times": counted["flagged"] / RATE}


@lru_cache(maxsize=1)
def _of_all(folder: str, library: Library, seed: int, *, alike: bool) -> Detector:
    """One detector for all servers of a folder; `alike`: it knows nothing of each alone."""
    names = library.names(folder)
    parts = [Stretches.of(name, library.recording(name)) for name in names]
    train = np.concatenate([part.train for part in parts])
    times = np.concatenate([part.train_times for part in parts if part.train_times is not None])
    keys = np.repeat(names, [len(part.train) for part in parts])
    with (SHARED if alike else Override("")).applied():
        return ours.learnt(train, keys, times, false_alarm_rate=RATE, seed=seed)
