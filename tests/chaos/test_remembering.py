"""Kills, rebalances and a new model, in the middle of a stream of hosts: the same flags and scores as without."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aestream.registry.local import LocalRegistry
from tests.kafka.cluster import Cluster, score_of, wait_for
from tests.kafka.service import BY_HOST, Service, run

PARTITIONS = 4
HOSTS = 8
STEPS = 600  # of each host, in each half
KILLS = 10
BATCH = 100  # many small batches, so that a kill hits one
TRAINING = 600


def records(first: int, steps: int) -> Iterator[tuple[int, bytes, bytes]]:
    """Hosts with an incident now and then: the host's number, its key, and the record."""
    for step in range(first, first + steps):
        rng = np.random.default_rng(step)  # the same in pieces of any size
        for host in range(HOSTS):
            slow, fast = np.sin(step / 20 + host), np.sin(step / 7)
            strange = 5.0 if step > TRAINING and (step + 37 * host) % 200 < 5 else 0.0
            noise = 0.05 * rng.standard_normal(3)
            value = {
                "host": f"host-{host}",
                "at": 1_700_000_000 + 10 * step,
                "cpu": 50 + 10 * (slow + noise[0]) + 30 * host,
                "load": slow + fast + noise[1] + strange,
                "free": 3 - fast + noise[2] - strange,
            }
            yield host, b"host-%d" % host, json.dumps(value).encode()


class Run:
    """One topic, its workers, and what they said of it."""

    def __init__(self, cluster: Cluster, settings: dict[str, str], folder: Path) -> None:
        self.cluster, self.settings, self.folder = cluster, settings, folder
        self.topic = settings["topics__input"]

    def send(self, first: int, steps: int) -> None:
        found = list(records(first, steps))
        for partition in range(PARTITIONS):
            some = [(key, value) for host, key, value in found if host % PARTITIONS == partition]
            self.cluster.send(self.topic, [v for _, v in some], keys=[k for k, _ in some], partition=partition)

    def worker(self) -> Service:
        return Service(["worker"], settings=self.settings, folder=self.folder)

    def done(self) -> bool:
        return self.cluster.committed(self.settings["kafka__group_id"], self.topic) == self.cluster.ends(self.topic)

    def has(self, count: int) -> bool:
        return self.results() >= count

    def results(self) -> int:
        return self.cluster.count(self.settings["topics__scores"])

    def scores(self) -> dict[tuple[int, int], list[dict[str, Any]]]:
        """By partition and offset, every score that was published."""
        found: dict[tuple[int, int], list[dict[str, Any]]] = {}
        for score in map(score_of, self.cluster.read(self.settings["topics__scores"])):
            found.setdefault((score["source"]["partition"], score["source"]["offset"]), []).append(score)
        return found

    def episodes(self) -> set[tuple[Any, ...]]:
        told = map(score_of, self.cluster.read(self.settings["topics__anomalies"]))
        return {
            (one["source"]["offset"], one["episode"]["id"].split("/", 1)[1], one["episode"]["state"])
            for one in told
            if "offset" in one["source"]  # others end the episode of a host that is silent, when a clock says so
        }


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_ten_kills_rebalances_and_a_new_model_change_no_flag(
    delivery: str, cluster: Cluster, make_settings: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    # 1. A model of 8 hosts, from their past. 2. One worker scores half of the stream, is given a new model, scores the
    # rest. 3. The same stream and models once more, with two workers, of which one is killed in each of ten turns, so
    # that partitions move again and again. Result: the same scores, flags and episodes for each record, none lost.
    def ready(name: str) -> Run:
        topic = cluster.topic(partitions=PARTITIONS)
        folder = tmp_path / name
        folder.mkdir()
        settings = (
            make_settings(tmp_path, topic, partitions=PARTITIONS, model=False)
            | BY_HOST
            | {
                "worker__max_batch_records": str(BATCH),
                "delivery": delivery,
                "kafka__transaction_timeout_ms": "4000",
                "model__store": str(folder / "models"),
                "model__poll_interval": "1h",
            }
        )
        return Run(cluster, settings, folder)

    calm, rough = ready("calm"), ready("rough")
    versions = tmp_path / "versions"
    calm.send(0, TRAINING)
    train(calm, versions)
    rough.send(0, TRAINING)

    publish(versions, 0, calm)
    with calm.worker() as worker:
        worker.ready()
        calm.send(TRAINING, STEPS)
        worker.until("the first half", calm.done)
        publish(versions, 1, calm)
        worker.signal(signal.SIGHUP)
        worker.logged("entities go on with model")
        calm.send(TRAINING + STEPS, STEPS)
        worker.until("the second half", calm.done)
        assert worker.stop() == 0, worker.log

    publish(versions, 0, rough)
    logs = live_through_kills(rough, partial(publish, versions, 1, rough))
    assert not [log for log in logs if "not used" in log or "Traceback" in log]
    expected, found = calm.scores(), rough.scores()
    assert found.keys() == expected.keys()
    assert len(expected) == HOSTS * (TRAINING + 2 * STEPS)
    assert len({score["model"] for (score,) in expected.values()}) == 2
    for place, scores in found.items():
        for score in scores:
            wanted = expected[place][0]
            assert score["score"] == pytest.approx(wanted["score"], rel=1e-5, abs=1e-5), (place, score, wanted)
            for name in ("anomaly", "status", "level", "model"):
                assert score.get(name) == wanted.get(name), (place, score, wanted)
    assert rough.episodes() == calm.episodes()
    assert {state for _, _, state in calm.episodes()} == {"opened", "ongoing", "closed"}
    again = sum(len(scores) - 1 for scores in found.values())
    assert delivery == "at_least_once" or not again
    print(f"{len(found)} records, {KILLS} kills, {again} twice, all the same")  # noqa: T201


def live_through_kills(rough: Run, publish_next: Callable[[], None]) -> list[str]:
    """Two workers, one of which is killed in each turn; a new model after half of the stream. Return their logs."""
    rng = random.Random(5)
    with ExitStack() as running:
        workers = [running.enter_context(rough.worker()) for _ in range(2)]
        workers[0].ready()
        for half in range(2):
            share = STEPS // (KILLS // 2)
            for turn in range(KILLS // 2):
                wanted = rough.results() + 1
                rough.send(TRAINING + half * STEPS + turn * share, share)
                wait_for("new results", partial(rough.has, wanted))
                time.sleep(rng.uniform(0, 0.3))
                killed = rng.randrange(2)
                workers[killed].kill()
                workers[killed] = running.enter_context(rough.worker())
            wait_for("the end of a half", rough.done)
            if not half:
                publish_next()
                for worker in workers:
                    worker.ready()
                    worker.signal(signal.SIGHUP)
                    worker.logged("go on with model")
        for worker in workers:
            assert worker.ready().stop() == 0, worker.log
    return [path.read_text() for path in rough.folder.glob("worker-*.log")]


def train(calm: Run, versions: Path) -> None:
    """Two versions of the model, from the same past."""
    for seed in ("0", "1"):
        settings = calm.settings | {"model__store": str(versions), "model__seed": seed}
        made = run("train", settings=settings, folder=calm.folder)
        assert made.returncode == 0, made.stderr
        time.sleep(1.1)  # versions are named by the second


def publish(versions: Path, number: int, to: Run) -> None:
    """Make one of the versions the current one of a run's own store."""
    store = Path(to.settings["model__store"])
    if not store.exists():
        shutil.copytree(versions, store)
    registry = LocalRegistry(store, "default")
    registry.promote(registry.versions()[number].name)
