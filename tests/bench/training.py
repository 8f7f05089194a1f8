"""What a training takes: time and memory of `aestream train` on the newest records of a topic.

    python -m tests.bench.training [--records 10000,100000,1000000] [--write]

The records have 20 features. The peak is of the process's resident memory, as the kernel counts it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import page
from tests.bench.stage import CALM, Stage, broker
from tests.bench.telemetry import telemetry


def trained(bootstrap: str, topic: str, count: int, folder: Path) -> list[str]:
    """Train once; return a row of the table."""
    given = {
        **os.environ,
        **CALM,
        "AESTREAM_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
        "AESTREAM_TOPICS__INPUT": topic,
        "AESTREAM_TRAINER__SAMPLE_RECORDS": str(count),
        "AESTREAM_MODEL__STORE": str(folder / str(count)),
    }
    began = time.perf_counter()
    child = os.posix_spawn(sys.executable, [sys.executable, "-m", "aestream", "train"], given)
    _, status, used = os.wait4(child, 0)
    if status:
        sys.exit(f"the training on {count} records failed")
    seconds = time.perf_counter() - began
    return [f"{count:,}", f"{seconds:.0f}", f"{used.ru_utime + used.ru_stime:.0f}", f"{used.ru_maxrss / 1024:,.0f}"]


def main() -> None:
    """Train on more and more records, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", default="10000,100000,1000000")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--bootstrap-servers")
    options = parser.parse_args()
    counts = sorted(map(int, options.records.split(",")))
    with broker(options.bootstrap_servers) as bootstrap, tempfile.TemporaryDirectory() as folder:
        topic = Stage(bootstrap, Path(folder)).filled(telemetry(counts[-1]))
        rows = [trained(bootstrap, topic, count, Path(folder)) for count in counts]
    text = page.table(["records", "seconds", "CPU seconds", "peak memory, MiB"], rows)
    print(text)
    if options.write:
        page.write("training", text)


if __name__ == "__main__":
    main()
