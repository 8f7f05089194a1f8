"""Scoring alone, bytes in to messages out: CPU time of its stages, with the decoder in C and without.

    python -m tests.bench.alone [--against CHECKOUT] [--window 10] [--rounds 15] [--records 50000] [--write]

Processes take turns on the same records and the same model, so that what else the machine does hits all alike. Only
ratios within one run count. `--against` compares with the code of another checkout. Both run on one core.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

BATCH, HOSTS = 5_000, 300
STAGES = ("decode", "score", "messages")
ROOT = Path(__file__).resolve().parents[2]


def child(folder: Path) -> None:
    """Run once for each line of standard input, and print the microseconds a record of each stage."""
    from aestream.app import models  # noqa: PLC0415 - of the checkout that PYTHONPATH names
    from aestream.detector.detector import Detector  # noqa: PLC0415
    from aestream.service import garbage  # noqa: PLC0415
    from aestream.settings import settings  # noqa: PLC0415
    from aestream.types import Batch, Partition, Span  # noqa: PLC0415

    with contextlib.suppress(ImportError):  # a checkout from before
        from aestream.service import heap  # noqa: PLC0415

        heap.keep_freed()
    values = (folder / "records").read_bytes().split(b"\n")
    detector = Detector.load(folder / "model")
    batches = []
    for start in range(0, len(values), BATCH):
        rows = range(start, min(start + BATCH, len(values)))
        keys, stamps = [b"host-%03d" % (i % HOSTS) for i in rows], [1_700_000_000_000 + i for i in rows]
        span = Span(Partition("input", 0), 0, len(rows))
        batches.append(Batch([span], list(rows), stamps, keys, values[start : rows.stop], [()] * len(rows)))
    garbage.settle()
    for _ in sys.stdin:
        pipeline, took = models.pipeline(settings.load(), detector, "bench"), [0.0] * len(STAGES)
        for batch in batches:
            times = [time.process_time()]
            decoded = pipeline.decode(batch)
            times.append(time.process_time())
            scored = pipeline.score(batch, decoded)
            times.append(time.process_time())
            pipeline.results(batch, decoded, scored, lambda _topic: 1_000_000)
            times.append(time.process_time())
            took = [sum(x) for x in zip(took, map(float.__rsub__, times, times[1:]), strict=False)]
        print(json.dumps([1e6 * seconds / len(values) for seconds in took]), flush=True)


def prepare(folder: Path, count: int, window: int) -> None:
    """Write the records, and a model that is trained on the same recording."""
    from aestream.settings import settings  # noqa: PLC0415 - the child does without all of these, and without Kafka
    from tests.bench.stage import learnt  # noqa: PLC0415
    from tests.bench.telemetry import telemetry  # noqa: PLC0415

    made = telemetry(count)
    (folder / "records").write_bytes(b"\n".join(made.values))
    learnt(settings.load(), made, window).save(folder / "model")


def measure(sides: dict[str, dict[str, str]], folder: Path, rounds: int) -> dict[str, list[list[float]]]:
    """Let the sides take turns -> for each, the microseconds of its stages, round by round."""
    command = [sys.executable, __file__, "--child", str(folder)]
    with contextlib.ExitStack() as stack:
        running = {}
        for name, variables in sides.items():
            process = subprocess.Popen(
                command, env={**os.environ, **variables}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            running[name] = stack.enter_context(process)
        found: dict[str, list[list[float]]] = {name: [] for name in sides}
        for turn in range(rounds + 1):
            for name, process in running.items():
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write("\n")
                process.stdin.flush()
                if not (line := process.stdout.readline()):
                    for other in running.values():
                        other.kill()
                    sys.exit(f"{name} ended early: can it read the other's model?")
                took = json.loads(line)
                if turn:  # the first one warms up
                    found[name].append(took)
        for process in running.values():
            assert process.stdin is not None
            process.stdin.close()
    return found


def table(found: dict[str, list[list[float]]]) -> str:
    """Medians of the stages, and the rate as a multiple of the first side's, round by round."""
    from tests.bench import page  # noqa: PLC0415 - the child does without it

    first = [sum(took) for took in next(iter(found.values()))]
    rows = []
    for name, rounds in found.items():
        totals = [sum(took) for took in rounds]
        ratios = [one / other for one, other in zip(first, totals, strict=True)]
        columns = [statistics.median(column) for column in (*zip(*rounds, strict=True), totals)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        rows.append([name, *(f"{column:.2f}" for column in columns), spread])
    return page.table(["CPU us a record", *STAGES, "together", "times the rate"], rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the decoder, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--window", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "AESTREAM_TOPICS__INPUT": "input"}
    os.environ["AESTREAM_FEATURES__WINDOW"] = str(options.window)
    if options.child:
        child(options.child)
        return
    from tests.speedups import build  # noqa: PLC0415 - the child does without it

    with tempfile.TemporaryDirectory() as name:
        folder, library = Path(name), Path(name) / "library"
        library.mkdir()
        build(library, ["-O3"])
        prepare(folder, options.records, options.window)
        sides = {"msgspec": {"PYTHONPATH": str(ROOT)}, "decoder in C": {"PYTHONPATH": f"{ROOT}:{library}"}}
        if options.against:
            sides = {"the other checkout": {"PYTHONPATH": str(options.against.resolve())}, **sides}
        told = table(measure(sides, folder, options.rounds))
    print(told)
    if options.write:
        from tests.bench import page  # noqa: PLC0415 - the child does without it

        page.write("alone", told)


if __name__ == "__main__":
    main()
