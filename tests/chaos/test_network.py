"""What happens between a worker and its broker: the broker gone, the way to it cut, slow, or open at one end only."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.brokers.apache import ApacheKafka
from tests.brokers.proxy import Proxy
from tests.chaos.conftest import Stage
from tests.chaos.form import FORM, TIMEOUT, some
from tests.kafka.conftest import CLIENTS

pytestmark = pytest.mark.parametrize("client", CLIENTS, indirect=True)

# Which of these comes first depends on what the worker is doing at that moment.
SAID = (
    "no answer from Kafka",
    "a commit was refused",
    "partitions lost",
    "Marking the coordinator dead",
    "Connection lost",
)
Harm = Callable[[Proxy], AbstractContextManager[None]]

# The session's time is six seconds here: what lasts longer costs the worker its partitions.
HARMS: dict[str, Harm] = {
    "broker unreachable: connections refused": lambda proxy: proxy.cut(),
    "half-open connection: the broker's answers are lost": lambda proxy: proxy.toxic("timeout", timeout=0),
    "half-open connection: what the broker is told is lost": lambda proxy: proxy.toxic(
        "timeout", stream="upstream", timeout=0
    ),
}
SLOW: dict[str, Harm] = {
    "slow connection: answers take 2 s": lambda proxy: proxy.toxic("latency", latency=2000, jitter=500),
    "slow connection: 20 kB/s": lambda proxy: proxy.toxic("bandwidth", stream="upstream", rate=20),
}


@pytest.mark.timeout(TIMEOUT)
def test_a_broker_that_is_killed_and_comes_back(frail_stage: Stage, frail: ApacheKafka) -> None:
    # 1. A worker at work. 2. Its broker dies at once, and starts again with its data. Result: the same process goes on.
    with frail_stage("broker killed and restarted") as scene:
        scene.worker()
        scene.feed.start()
        for _ in range(FORM.times):
            scene.goes_on()
            with scene.fault():
                frail.halt()
                time.sleep(FORM.outage_seconds / 2)  # the time itself is the fault
                frail.revive()
        scene.says(*SAID)
        scene.finish()
        assert len(scene.workers) == 1


@pytest.mark.timeout(TIMEOUT)
@pytest.mark.parametrize("name", some(HARMS, 2))
def test_a_broker_that_cannot_be_reached(frail_stage: Stage, proxy: Proxy, name: str) -> None:
    # 1. A worker at work. 2. Its broker cannot be reached for a while. Result: it says so, and the same process goes
    # on.
    with frail_stage(name) as scene:
        scene.worker()
        scene.feed.start()
        scene.goes_on()
        with scene.fault(), HARMS[name](proxy):
            time.sleep(FORM.outage_seconds)  # the time itself is the fault
        scene.says(*SAID)
        scene.finish(times=f"{FORM.outage_seconds:.0f} s")
        assert len(scene.workers) == 1


@pytest.mark.timeout(TIMEOUT)
@pytest.mark.parametrize("name", some(SLOW))
def test_a_slow_connection(frail_stage: Stage, proxy: Proxy, name: str) -> None:
    # 1. A worker at work. 2. The connection is slow for a while. Result: it is slow too, and works. A transaction may
    # wait for five answers.
    with frail_stage(name, kafka__transaction_timeout_ms="30000") as scene:
        worker = scene.worker()
        scene.feed.start()
        scene.goes_on()
        with scene.fault(), SLOW[name](proxy):
            before = scene.committed()
            time.sleep(FORM.outage_seconds)  # the time itself is the fault
            scene.until("commits in spite of it", lambda: scene.committed() != before)
        assert worker.get("/livez")[0] == 200
        scene.finish(times=f"{FORM.outage_seconds:.0f} s")
        assert len(scene.workers) == 1
