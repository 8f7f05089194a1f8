"""Measure cells in a few processes of one thread each, with a bar and the time left."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from aestream.networks.threads import use_threads
from tests.bench.quality.cells import Cell, Figures
from tests.bench.quality.data import Library
from tests.bench.quality.parts import PARTS
from tests.bench.quality.results import Results

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
# Estimates of the time left follow the last so many seconds: fits differ by their size.
ESTIMATE_SECONDS = 120.0


def measure(cell: Cell, library: Library) -> Figures | str:
    """Return a cell's figures, or in a line why there are none: one failure must not end a long run."""
    use_threads(1)
    started = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            figures = PARTS[cell.part].measure(cell, library)
    except Exception as error:  # noqa: BLE001 - whatever a peer raises is its result
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return figures | {"cpu_seconds": time.process_time() - started}


def run(cells: Sequence[Cell], library: Library, results: Results, *, jobs: int, console: Console) -> dict[Cell, str]:
    """Measure what `results` lacks and keep it there; return the cells that failed, and why."""
    missing = [cell for cell in cells if cell not in results]
    failed: dict[Cell, str] = {}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    columns = (BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    name = TextColumn("{task.description}")  # at the end: its length changes, and nothing else is to move
    with Progress(*columns, name, console=console, speed_estimate_period=ESTIMATE_SECONDS) as progress:
        task = progress.add_task("measuring", total=len(missing))
        for alone in (False, True):
            chosen = [cell for cell in missing if PARTS[cell.part].alone is alone]
            for cell, figures in _measured(chosen, library, 1 if alone else jobs):
                progress.update(task, advance=1, description=str(cell))
                if isinstance(figures, str):
                    failed[cell] = figures
                    progress.console.print(f"{cell}: {figures}", markup=False)
                else:
                    results.add(cell, figures)
    return failed


def _measured(cells: Sequence[Cell], library: Library, jobs: int) -> Iterator[tuple[Cell, Figures | str]]:
    """Hand out the cells in their order and yield them as they end."""
    if not cells:
        return
    context = multiprocessing.get_context("spawn")
    ignore = (signal.SIGINT, signal.SIG_IGN)  # it is for the parent, which lets the cells that have begun end
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=signal.signal, initargs=ignore) as pool:
        futures = {pool.submit(measure, cell, library): cell for cell in cells}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)
