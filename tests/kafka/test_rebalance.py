"""Two workers in one group, one of them leaving or dying: the other takes over, and nothing is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.kafka import records
from tests.kafka.cluster import Cluster, place_of, score_of, wait_for
from tests.kafka.service import Service

PARTITIONS = 4
BATCH = 200


def test_partitions_move_without_a_gap(
    cluster: Cluster, make_settings: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    # 1. Two workers share four partitions under load. 2. One is stopped: the other has all four at once, nothing twice.
    # 3. A third joins: two and two again. 4. It is killed: the first has all four after the session's time.
    # Result: every record has a score; twice only what was in the killed one's hands.
    topic = cluster.topic(partitions=PARTITIONS)
    settings = make_settings(tmp_path, topic, partitions=PARTITIONS) | {"worker__max_batch_records": str(BATCH)}
    sent = 0

    def send() -> None:
        nonlocal sent
        for partition in range(PARTITIONS):
            cluster.send(topic, records.values(1000, seed=sent), partition=partition)
        sent += 1000 * PARTITIONS

    def seen() -> list[tuple[str, int, int]]:
        return [place_of(score_of(record)) for record in cluster.read(settings["topics__scores"])]

    def shares(*workers: Service) -> Callable[[], bool]:
        def even() -> bool:
            for worker in workers:
                assert worker.process.poll() is None, worker.log
            return [worker.metric("aestream_assigned_partitions") for worker in workers] == [
                PARTITIONS / len(workers)
            ] * len(workers)

        return even

    with (
        Service(["worker"], settings=settings, folder=tmp_path) as first,
        Service(["worker"], settings=settings, folder=tmp_path) as second,
    ):
        wait_for("two and two", shares(first, second), context=lambda: first.log + second.log)
        send()
        first.until("scores from both", lambda: first.metric("aestream_records_scored_total") > 0)
        second.until("scores from both", lambda: second.metric("aestream_records_scored_total") > 0)
        send()
        assert second.stop() == 0, second.log
        wait_for("all four", shares(first), context=lambda: first.log)
        send()
        wait_for("all scores", lambda: len(seen()) >= sent, context=lambda: first.log)
        assert len(seen()) == len(set(seen())) == sent
        with Service(["worker"], settings=settings, folder=tmp_path) as third:
            wait_for("two and two", shares(first, third), context=lambda: first.log + third.log)
            send()
            third.until("scores from the third", lambda: third.metric("aestream_records_scored_total") > 0)
            third.kill()
        send()
        wait_for("all four again", shares(first), context=lambda: first.log)
        wait_for("all scores", lambda: len(set(seen())) == sent, context=lambda: first.log)
        assert len(seen()) - sent <= BATCH * PARTITIONS
        assert first.metric('aestream_rebalances_total{event="assigned"}') >= 2
        assert first.stop() == 0, first.log
        assert "Traceback" not in first.log
