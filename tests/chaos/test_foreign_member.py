"""A stranger in the group: another program with the same group id, subscribed to something else, comes and goes."""

from __future__ import annotations

import random
import time

import pytest
from kafka import KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from tests.chaos.conftest import Stage
from tests.chaos.form import FORM, TIMEOUT


@pytest.mark.timeout(TIMEOUT)
def test_a_foreign_member_that_comes_and_goes_does_no_harm(stage: Stage) -> None:
    # 1. A worker scores a slow stream. 2. Again and again a foreign member joins its group for a moment, subscribed to
    # another topic. 3. The stranger stays away. Result: one process, everything scored and committed.
    rng = random.Random(1)
    with stage("a foreign member in the group, coming and going", rate=100) as scene:
        other, minutes = scene.cluster.topic("other"), FORM.foreign_seconds / 60
        scene.worker()
        scene.feed.start()
        end = time.monotonic() + FORM.foreign_seconds
        with scene.fault():
            while time.monotonic() < end:
                stranger = KafkaConsumer(
                    other,
                    bootstrap_servers=scene.cluster.bootstrap,
                    group_id=scene.group,
                    enable_auto_commit=False,
                    partition_assignment_strategy=(CooperativeStickyAssignor,),
                )
                leave = time.monotonic() + rng.uniform(0.05, 5)
                while time.monotonic() < leave:
                    stranger.poll(timeout_ms=50)
                stranger.close()
                scene.times += 1
                time.sleep(rng.uniform(0.5, 3))
        scene.says("a commit was refused|rejoining|waiting for the consumer group")
        scene.finish(times=f"{scene.times - 1} visits in {minutes:.1f} minutes")
        assert len(scene.workers) == 1
