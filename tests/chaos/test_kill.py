"""kill -9 and rebalances, again and again, in the middle of a stream: no record is without its score or dead letter."""

from __future__ import annotations

import random
import time
from functools import partial

import pytest

from tests.chaos.conftest import Stage
from tests.chaos.form import DELIVERIES, FORM, TIMEOUT
from tests.chaos.scene import Scene
from tests.kafka.conftest import CLIENTS
from tests.kafka.service import Service

pytestmark = pytest.mark.parametrize("client", CLIENTS, indirect=True)

PARTITIONS = 4
BATCH = 100  # many small batches, so that a kill hits one


@pytest.mark.timeout(TIMEOUT)
@pytest.mark.parametrize("delivery", DELIVERIES)
def test_kills_and_rebalances_lose_nothing(stage: Stage) -> None:
    # 1. Two workers, and a share of the stream for each turn. 2. A turn: new results, then a random moment later one of
    # the two gets kill -9 and a successor, with and without static membership; or a third worker joins and one of the
    # two is stopped in order. Result: every record has its score or dead letter, in order.
    rng = random.Random(3)
    turns = ["kill"] * FORM.kills + ["rebalance"] * FORM.rebalances
    rng.shuffle(turns)
    share = FORM.records // len(turns)
    name = "kill -9 at random moments, and orderly rebalances"
    with stage(name, partitions=PARTITIONS, worker__max_batch_records=str(BATCH)) as scene:

        def another(name: str, turn: int) -> Service:
            """With a permanent name in the group, or without."""
            return scene.worker(ready=False, kafka__group_instance_id=name if turn % 4 > 1 else "")

        pair = [another("one", 0), another("two", 0)]
        pair[0].ready()
        waiting = 0
        for number, turn in enumerate(turns):
            before = scene.results()
            scene.feed.send(share)
            scene.until("new results", partial(_more, scene, before))
            time.sleep(rng.uniform(0, share / 40_000))
            chosen = rng.randrange(2)
            if turn == "kill":
                pair[chosen].kill()
                waiting += scene.cluster.count(scene.topic) - sum(scene.committed().values())
                pair[chosen] = another(("one", "two")[chosen], number)  # a permanent name comes back
                scene.recovers()
            else:
                old, pair[chosen] = pair[chosen], another(f"beside-{number}", number).ready()
                assert old.stop() == 0, old.log
                assert "Traceback" not in old.log
            if number % 10 == 0:
                scene.until("the end of a turn", scene.done)
        rebalances = sum(worker.log.count("partitions assigned") for worker in scene.workers)
        scene.says("partitions assigned")
        verdict = scene.finish(times=f"{FORM.kills} kills, {FORM.rebalances} rebalances")
    assert waiting > share, "the kills came when all work was done: they prove nothing"
    assert rebalances >= FORM.rebalances
    # What was published and not committed is at most the batch in hand of each partition.
    assert verdict.duplicated <= 2 * FORM.kills * BATCH * PARTITIONS


def _more(scene: Scene, before: int) -> bool:
    return scene.results() > before
