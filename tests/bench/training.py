"""What a training takes: time and memory of `aestream train` on the newest records of a topic.

    python -m tests.bench.training [--records 10000,100000,1000000] [--write]

The records have 20 features. The peak is of the process's resident memory, as the kernel counts it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.bench import page
from tests.bench.stage import CALM, opened
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
    began, peak, cpu = time.perf_counter(), 0, 0.0
    with subprocess.Popen([sys.executable, "-m", "aestream", "train"], env=given) as process:
        status, times = Path(f"/proc/{process.pid}/status"), psutil.Process(process.pid)
        while process.poll() is None:
            found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
            if found:  # not while it ends
                peak, cpu = int(found[1]), sum(times.cpu_times()[:2])
            time.sleep(0.1)
    if process.returncode:
        sys.exit(f"the training on {count} records failed")
    seconds = time.perf_counter() - began
    return [f"{count:,}", f"{seconds:.0f}", f"{cpu:.0f}", f"{peak / 1024:,.0f}"]


def main() -> None:
    """Train on more and more records, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", default="10000,100000,1000000")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--bootstrap-servers")
    options = parser.parse_args()
    counts = sorted(map(int, options.records.split(",")))
    with opened(options.bootstrap_servers) as stage:
        topic = stage.filled(telemetry(counts[-1]))
        rows = [trained(stage.bootstrap, topic, count, stage.folder) for count in counts]
    text = page.table(["records", "seconds", "CPU seconds", "peak memory, MiB"], rows)
    page.show("training", text, into_page=options.write)


if __name__ == "__main__":
    main()
