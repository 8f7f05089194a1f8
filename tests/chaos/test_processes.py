"""What happens to a worker's process: SIGTERM, and a stop for longer than its group waits; and a wrong worker."""

from __future__ import annotations

import signal
import time

import pytest

from tests.chaos.conftest import Stage
from tests.chaos.form import FORM, some
from tests.kafka.conftest import CLIENTS
from tests.kafka.service import Service

BATCH = 100  # many small batches, so that a fault hits one


@pytest.mark.parametrize("delivery", ["at_least_once"])  # wrong in one way is enough
def test_a_worker_that_commits_first_is_found_out(stage: Stage) -> None:
    # The checker's own trial: a worker that commits before it publishes is killed in between. Result: records are lost,
    # and the verdict says so.
    name = "kill -9 of a worker that is wrong on purpose: it commits first"
    with stage(name, worker__max_batch_records=str(BATCH)) as scene:
        scene.feed.start()
        worker = scene.worker(module="tests.chaos.broken_worker worker")
        scene.until("commits ahead of results", lambda: sum(scene.committed().values()) > scene.results() > 0)
        worker.kill()
        scene.times += 1
        scene.worker()
        with pytest.raises(AssertionError, match="Verdict"):
            scene.finish()
        assert scene.verdict.lost > 0
        assert scene.verdict.faults("at_least_once").keys() <= {"lost", "unmatched"}


def test_sigterm_in_the_middle_of_a_batch(stage: Stage) -> None:
    # 1. A worker with far more to do than one batch. 2. SIGTERM. Result: exit 0, everything published is committed, and
    # a successor goes on. Not even at-least-once has a result twice.
    with stage("SIGTERM in the middle of a batch", worker__max_batch_records="500") as scene:
        for _ in range(FORM.times):
            scene.feed.send(20_000)
            worker = scene.worker(ready=False)
            scene.goes_on()
            assert worker.stop() == 0, worker.log
            assert not scene.done(), "it was done before the signal came"
            scene.worker(ready=False)
            with scene.fault():
                pass
            scene.until("the rest", scene.done)
            assert scene.workers[-1].stop() == 0
        scene.says("stopped")
        scene.worker()
        verdict = scene.finish()
    assert verdict.duplicated == 0


@pytest.mark.parametrize("client", CLIENTS, indirect=True)
@pytest.mark.parametrize("alone", some([False, True]))
def test_a_process_that_stands_still_for_longer_than_its_session(stage: Stage, alone: bool) -> None:
    # 1. A worker is stopped for twice as long as its group waits (SIGSTOP), alone or beside another one, which takes
    # over its partitions. 2. SIGCONT, with a batch in its hands that is no longer its own. Result: it joins again.
    name = f"SIGSTOP for two sessions, then SIGCONT, {'alone' if alone else 'beside another worker'}"
    with stage(name, worker__max_batch_records=str(BATCH), rate=1000) as scene:
        first = scene.worker()
        if not alone:
            scene.worker()
            scene.until("one each", lambda: [_share(one) for one in scene.workers] == [1, 1])
        scene.feed.start()
        for _ in range(FORM.times):
            scene.goes_on(200)
            with scene.fault():
                first.signal(signal.SIGSTOP)
                time.sleep(12)  # the time itself is the fault
                first.signal(signal.SIGCONT)
            scene.until("the stopped one at work again", lambda: _scores(first))
        scene.says("partitions lost", worker=first)
        scene.finish()


def _share(worker: Service) -> float:
    return worker.metric("aestream_assigned_partitions")


def _scores(worker: Service) -> bool:
    before = worker.metric("aestream_records_scored_total")
    time.sleep(0.5)
    return _share(worker) > 0 and worker.metric("aestream_records_scored_total") > before
