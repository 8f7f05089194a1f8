"""Three brokers, and the one that coordinates the group dies: its work moves to another one."""

from __future__ import annotations

from functools import partial

import pytest

from tests.brokers.three import ThreeBrokers
from tests.chaos.conftest import Stage
from tests.chaos.form import FORM, SHORT, TIMEOUT
from tests.chaos.scene import Scene


@pytest.mark.skipif(SHORT, reason="three brokers take a minute: AESTREAM_TEST_CHAOS=both or long")
@pytest.mark.timeout(TIMEOUT)
def test_the_coordinator_of_the_group_moves(three_stage: Stage, three: ThreeBrokers) -> None:
    # 1. Two workers on a cluster of three brokers. 2. The broker that coordinates their group dies, for longer than the
    # cluster waits for it. 3. It comes back. Result: another one coordinates, and the same processes go on.
    with three_stage("the group's coordinator killed, of three brokers") as scene:
        for _ in range(2):
            scene.worker()
        scene.feed.start()
        for _ in range(FORM.times):
            scene.goes_on()
            old = scene.until("a coordinator", lambda: scene.cluster.coordinator(scene.group))
            others = {*three.nodes} - {old}
            with scene.fault():
                three.nodes[old].halt()
                scene.until("another one", partial(_coordinated_by, scene, others))
            three.nodes[old].revive()
            scene.goes_on(200)
        scene.says("no answer from Kafka", "a commit was refused", "Marking the coordinator dead")
        scene.finish()
        assert len(scene.workers) == 2


def _coordinated_by(scene: Scene, nodes: set[int]) -> bool:
    return scene.cluster.coordinator(scene.group) in nodes
