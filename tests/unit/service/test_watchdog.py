"""What ends a service whose main thread hangs: the log shows where, the probe fails, the manager hears nothing more."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from aestream.service import watchdog as watchdogs
from aestream.service.service import Service
from aestream.service.watchdog import Watchdog, tell_stacks
from tests.kafka.cluster import wait_for


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float, float], tuple[Service, list[int]]]]:
    monkeypatch.setattr(watchdogs, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(watchdogs, "_LAST_SECONDS", 0.02)
    monkeypatch.setattr(watchdogs, "_GRACE_SECONDS", 0.1)
    with ExitStack() as opened:

        def watch(stale_after: float, drain_timeout: float) -> tuple[Service, list[int]]:
            service, ended = Service(stale_after=stale_after), list[int]()
            opened.enter_context(closing(Watchdog(service, drain_timeout=drain_timeout, end=ended.append)))
            return service, ended

        yield watch


Watched = Callable[[float, float], tuple[Service, list[int]]]


def test_a_loop_that_hangs_is_ended_and_the_log_shows_where(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    service, ended = watched(0.2, 60)
    wait_for("the end", lambda: ended, seconds=10)
    assert ended == [1]
    assert not service.health.live()[0]
    assert "the loop hangs: last progress" in service.health.live()[1]
    service.beat()  # too late
    assert not service.health.live()[0]
    (record,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert "test_watchdog.py" in record.message
    assert "thread MainThread:" in record.message


def test_a_loop_that_beats_or_waits_for_an_answer_goes_on(watched: Watched) -> None:
    service, ended = watched(0.2, 60)
    for _ in range(10):
        service.beat()
        time.sleep(0.05)
    with service.asking():
        time.sleep(0.6)
    assert not ended
    with service.asking(0.1):
        wait_for("the end", lambda: ended, seconds=10)


def test_a_process_that_was_suspended_has_all_its_time_again() -> None:
    # Its loop is in a step that may take three seconds, and the process stands still for four: more than is stale.
    script = """if True:
        import os, signal, time
        from aestream.service import watchdog
        from aestream.service.service import Service
        watchdog._LOOK_SECONDS = watchdog._LAST_SECONDS = 0.05
        watchdog._LATE_SECONDS = 1.0
        service = Service(stale_after=3.0)
        watchdog.Watchdog(service, drain_timeout=60)
        print("begun", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(0.5)
        service.beat()
    """
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process:
        process.stdout.readline()
        time.sleep(4.0)  # the time itself is what is tested
        process.send_signal(signal.SIGCONT)
    assert process.returncode == 0


def test_a_shutdown_has_one_deadline(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    service, ended = watched(60, 0.1)
    service.stop.set()
    wait_for("the end", lambda: ended, seconds=10)
    assert "the shutdown has not come to its end" in caplog.text


def test_all_threads_are_told(caplog: pytest.LogCaptureFixture) -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="the-one-that-waits")
    thread.start()
    tell_stacks("something")
    over.set()
    thread.join()
    assert "thread the-one-that-waits:" in caplog.text
    assert "thread MainThread:" in caplog.text
    assert len(caplog.records) == 1
