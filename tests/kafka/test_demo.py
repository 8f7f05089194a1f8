"""The demo as a user runs it: a process of its own on a real broker, to its end or interrupted on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from kafka import KafkaAdminClient

from aestream.demo.dataset import BUNDLED
from tests.kafka.service import UNMEASURED, Variables, environment

PATIENCE = 240.0  # seconds; the machine may be busy
STREAMED = 300
UNUSABLE = (10, 20)  # rows that lack a value: dead letters, and not lost


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six correlated features, three incidents in 300 streamed rows, two of which nobody could miss."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(2, 6))
    train, test = (rng.normal(size=(n, 2)) @ mixing + 0.1 * rng.normal(size=(n, 6)) for n in (1200, STREAMED))
    label = np.zeros(STREAMED, np.uint8)
    for start, end, feature, height in ((50, 69, 0, 8.0), (150, 159, 2, 8.0), (250, 254, 4, 0.0)):
        test[start : end + 1, feature] += height
        label[start : end + 1] = 1
    test[list(UNUSABLE), 1] = np.nan
    path = tmp_path / "small.npz"
    names = np.array([f"broker.metric_{i}" for i in range(6)])
    causes = np.array("50-69:1\n150-159:3\n250-254:5")
    np.savez(path, train=train.astype("f4"), test=test.astype("f4"), label=label, features=names, causes=causes)
    return path


class Demo:
    """A running demo with a temporary folder of its own; its processes are known by that folder."""

    def __init__(self, folder: Path, *arguments: str, variables: Variables) -> None:
        self.folder = folder / "tmp"
        self.folder.mkdir()
        self.output = folder / "output.txt"
        ours = {"TMPDIR": str(self.folder), "COLUMNS": "160"}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "aestream", "demo", f"--plot={folder}/plot.png", *arguments],
                env=environment({}, {**ours, **variables}),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def text(self) -> str:
        return self.output.read_text()

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while words not in self.text():
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.02)

    def end(self) -> int:
        return self.process.wait(PATIENCE)

    def processes(self) -> list[psutil.Process]:
        """Everything that runs with our temporary folder, whoever is its parent by now."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().get("TMPDIR") == str(self.folder)
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def assert_nothing_stays(self) -> None:
        assert self.processes() == []
        assert list(self.folder.glob("aestream-*")) == []


@contextmanager
def running(folder: Path, *arguments: str, variables: Variables | None = None) -> Iterator[Demo]:
    demo = Demo(folder, *arguments, variables=variables or {})
    try:
        yield demo
    finally:
        if demo.process.poll() is None:
            demo.process.kill()
        demo.process.wait()
        for process in demo.processes():
            process.kill()


def test_the_whole_way(data: Path, tmp_path: Path) -> None:
    arguments = [f"--data={data}", "--rate=0", f"--summary={tmp_path}/summary.json", "--false-alarm-rate=0.01"]
    with running(tmp_path, *arguments) as demo:
        assert demo.end() == 0, demo.text()
        demo.assert_nothing_stays()
        text = demo.text()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["records_in"], summary["scores_out"], summary["dead_letters"]) == (STREAMED, STREAMED - 2, 2)
    assert (summary["incidents_total"], summary["incidents_found"] >= 2) == (3, True)
    assert summary["false_alarm_rate"] < 0.1
    assert summary["auprc"] > 0.7
    assert 0 < summary["latency_p50_ms"] <= summary["latency_p99_ms"]
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert "none lost" in text
    assert "record 50: anomaly, score" in text
    assert "AESTREAM_TOPICS__INPUT=aestream-demo-input" in text
    assert "/metrics" in text


@pytest.mark.skipif(not BUNDLED.is_file(), reason="the recording is not there")
def test_the_bundled_recording_shortened(tmp_path: Path) -> None:
    with running(tmp_path, "--limit=300", "--rate=0", f"--summary={tmp_path}/summary.json") as demo:
        assert demo.end() == 0, demo.text()
        demo.assert_nothing_stays()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["records_in"] == summary["scores_out"] + summary["dead_letters"] == 300


MOMENTS = {
    "broker": "records to train on",
    "training part": "2. topics",
    "training": "3. wrote",
    "worker": "4. started the worker",
    "anomalies": ": anomaly, score",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_at_any_moment_leaves_nothing(data: Path, tmp_path: Path, moment: str) -> None:
    with running(tmp_path, f"--data={data}", "--rate=60", variables=UNMEASURED) as demo:
        demo.wait_for(MOMENTS[moment])
        os.killpg(demo.process.pid, signal.SIGINT)  # as a terminal does: to the whole foreground group
        # CPython 3.11 ends by the signal, which a shell shows as 130 too, if that hit text which was being executed.
        assert demo.end() in {130, -signal.SIGINT}, demo.text()
        demo.assert_nothing_stays()
        assert "Traceback" not in demo.text()
        assert not (tmp_path / "plot.png").exists()


def test_sigterm_and_impatience_leave_nothing_either(data: Path, tmp_path: Path) -> None:
    with running(tmp_path, f"--data={data}", "--rate=60", variables=UNMEASURED) as demo:
        demo.wait_for("5. streaming")
        demo.process.terminate()
        demo.wait_for("stopping")
        while demo.process.poll() is None:
            demo.process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        assert demo.end() == 143, demo.text()
        demo.assert_nothing_stays()
        assert "Traceback" not in demo.text()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_a_killed_demo_leaves_no_process(data: Path, tmp_path: Path) -> None:
    with running(tmp_path, f"--data={data}", "--rate=60") as demo:
        demo.wait_for("5. streaming")
        demo.process.kill()
        demo.process.wait()
        psutil.wait_procs(demo.processes(), timeout=20)
        assert demo.processes() == []


def test_keep_leaves_worker_and_broker_until_ctrl_c(data: Path, tmp_path: Path) -> None:
    with running(tmp_path, f"--data={data}", "--rate=0", "--keep", "--limit=100") as demo:
        demo.wait_for("Ctrl-C stops everything")
        url = next(word for word in demo.text().split() if word.startswith("http") and word.endswith("/metrics"))
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own worker
            assert "aestream_records_scored_total 98.0" in answer.read().decode()
        assert len(demo.processes()) >= 3  # itself, the broker, the worker
        os.killpg(demo.process.pid, signal.SIGINT)
        assert demo.end() == 0, demo.text()
        demo.assert_nothing_stays()


def test_a_kafka_of_others_is_left_as_it_was(data: Path, tmp_path: Path, kafka: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    before = set(admin.list_topics())
    arguments = [f"--data={data}", "--rate=0", f"--bootstrap-servers={kafka}", f"--summary={tmp_path}/summary.json"]
    with running(tmp_path, *arguments) as demo:
        demo.wait_for("5. streaming")
        during = {name for name in admin.list_topics() if name.startswith("aestream-demo-")}
        assert demo.end() == 0, demo.text()
        demo.assert_nothing_stays()
    assert len(during) == 5
    assert not during & before
    assert not during & set(admin.list_topics())
    assert not [group for group in admin.list_groups() if "aestream-demo-" in str(group)]
    admin.close()
    assert json.loads((tmp_path / "summary.json").read_text())["scores_out"] == STREAMED - len(UNUSABLE)


def test_what_cannot_work_is_one_line(data: Path, tmp_path: Path) -> None:
    for arguments, code, words in (
        (["--data=gone.npz"], 1, "there is no recording gone.npz"),
        ([f"--data={data}", "--false-alarm-rate=3"], 2, "AESTREAM_THRESHOLD__FALSE_ALARM_RATE"),
        ([f"--data={data}", "--set=nothing=1"], 2, "--set nothing: write SECTION.NAME=VALUE"),
    ):
        command = [sys.executable, "-m", "aestream", "demo", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
        assert words in done.stderr
