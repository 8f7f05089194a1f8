"""What happens to clocks: that of the machine is set on and back, and producers stamp records with any time."""

from __future__ import annotations

import struct
import subprocess
import time
from pathlib import Path

import pytest

from tests.chaos.conftest import Stage
from tests.chaos.feed import values
from tests.deploy.tools import tool

DAY = 24 * 3600
JUMPS = (2 * DAY, -2 * DAY, 365 * DAY, 0)  # seconds ahead of the machine's own clock


class Clock:
    """The time of day of a process, which we can set. Its monotonic clock stays true, as on a machine."""

    def __init__(self, folder: Path) -> None:
        library, self._file = folder / "clock.so", folder / "ahead"
        source = Path(__file__).with_name("clock.c")
        subprocess.run([tool("cc"), "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, source], check=True)
        self.variables = {"LD_PRELOAD": str(library), "CLOCK_AHEAD": str(self._file)}
        self._file.write_bytes(bytes(8))

    def set(self, ahead: int) -> None:
        """So many seconds before the machine's own clock."""
        with self._file.open("r+b") as file:  # in one write, to the same file: the process has it in its memory
            file.write(struct.pack("=q", ahead))


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


def test_the_clock_is_set_while_a_worker_runs(stage: Stage, clock: Clock, client: str) -> None:
    # 1. A worker whose clock we can set. 2. Two days on, four days back, a year on, and right again. Result: it keeps
    # its partitions, and is ready all the time.
    if client == "confluent":
        pytest.skip("librdkafka times its waits by the time of day, and may hang; docs/configuration.md tells of it")
    with stage("the machine's clock set on and back, by days and by a year") as scene:
        worker = scene.worker(variables=clock.variables)
        scene.feed.start()
        scene.goes_on()
        for ahead in JUMPS:
            with scene.fault():
                clock.set(ahead)
                moment = time.time() + ahead
            time.sleep(2)  # several heartbeats, and looks at the model store
            scene.goes_on()
            assert worker.get("/readyz")[0] == 200
            committed = worker.metric("aestream_last_commit_timestamp_seconds")
            assert committed == pytest.approx(moment, abs=600), "the clock was not set"
        assert worker.log.count("partitions assigned") == 1
        assert "warning" not in worker.log
        scene.finish()


def test_records_of_all_times(stage: Stage) -> None:
    # 1. A worker at work. 2. Records stamped 1970, a thousand years ahead, and with what is no time. Result: each has
    # its score.
    with stage("records stamped 1970, 3000 and later") as scene:
        scene.worker()
        scene.feed.start()
        scene.goes_on()
        with scene.fault():
            for stamp in (0, 1, 32_503_680_000_000, 253_402_300_800_000, 2**62):
                scene.cluster.send(scene.topic, values()[:200], timestamp=stamp)
        scene.finish()
