"""One real worker over many input topics: what comes in, what comes out, and that nothing ends it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from aestream.demo.brokers import Broker
from tests.brokers.apache import pause, resume
from tests.kafka import records
from tests.kafka.cluster import Cluster, place_of, score_of
from tests.kafka.service import Service

PARTITIONS = 3
TOPICS = ("ordered", "bad", "odd", "keys", "large", "paused", "traced")


@dataclass
class Running:
    """The worker that all tests of this file share, each with an input topic of its own."""

    worker: Service
    cluster: Cluster
    settings: dict[str, str]
    inputs: dict[str, str]

    def results(self, kind: str, topic: str) -> list[Any]:
        """The results of one input topic, in the order of the result topic's partitions."""
        found = []
        for record in self.cluster.read(self.settings[f"topics__{kind}"]):
            headers = dict(record.headers)
            source = headers["aestream.dlq.topic"].decode() if kind == "dead_letters" else place_of(score_of(record))[0]
            if source == topic:
                found.append(record)
        return found

    def done(self, topic: str) -> None:
        """Wait until everything in an input topic is committed."""
        group = self.settings["kafka__group_id"]
        ends = {p: end for p, end in self.cluster.ends(topic).items() if end}

        def committed() -> bool:
            found = self.cluster.committed(group, topic)
            return all(found.get(partition, 0) >= end for partition, end in ends.items())

        self.worker.until(f"{topic} committed to its end", committed)


@pytest.fixture(scope="module")
def running(
    cluster: Cluster, make_settings: Callable[..., dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("worker")
    inputs = {name: cluster.topic(name, partitions=PARTITIONS) for name in TOPICS}
    settings = make_settings(folder, *inputs.values(), partitions=PARTITIONS)
    settings |= {"worker__max_record_bytes": "600KiB", "dead_letters__max_invalid_ratio": "1"}
    with Service(["worker"], settings=settings, folder=folder) as worker:
        yield Running(worker.ready(), cluster, settings, inputs)
        assert worker.stop() == 0, worker.log
        assert "Traceback" not in worker.log


def test_every_record_is_scored_once_in_order_with_its_key_and_partition(running: Running) -> None:
    topic = running.inputs["ordered"]
    for partition in range(PARTITIONS):
        running.cluster.send(topic, records.values(2000, seed=partition), partition=partition)
    running.done(topic)
    scores = running.results("scores", topic)
    expected = [(topic, partition, offset) for partition in range(PARTITIONS) for offset in range(2000)]
    assert [place_of(score_of(record)) for record in scores] == expected
    assert all(record.partition == score_of(record)["source"]["partition"] for record in scores)
    assert all(record.key == b"k%d" % (place_of(score_of(record))[2] % 17) for record in scores)
    assert all(score_of(record)["key"] == record.key.decode() for record in scores)
    assert all(record.headers == [] for record in scores)
    assert {score_of(record)["model"].split("@")[0] for record in scores} == {"default"}
    for score in map(score_of, scores):
        assert score["anomaly"] == (score["score"] > 1)
        assert score["score"] == pytest.approx(score["error"] / score["threshold"])
    assert sum(score_of(record)["anomaly"] for record in scores) < 0.1 * len(scores)


def test_bad_input_of_every_kind_is_a_dead_letter_with_its_reason_and_its_bytes(running: Running) -> None:
    topic = running.inputs["bad"]
    good = json.loads(records.values(1)[0])
    without = {name: value for name, value in good.items() if name != "rate"}
    bad: list[tuple[bytes | None, str]] = [
        (b"{", "bad_json"),
        (b"\xff\xfe", "bad_json"),
        (b"\x00", "bad_json"),
        (b'{"a":' * 50_000, "bad_json"),
        (b"[1,2]", "wrong_shape"),
        (b"7", "wrong_shape"),
        (b"null", "wrong_shape"),
        (json.dumps(without).encode(), "missing_feature"),
        (json.dumps({**good, "cpu": {"user": 1}}).encode(), "missing_feature"),
        (json.dumps({**good, "rate": "twelve"}).encode(), "not_numeric"),
        (json.dumps({**good, "rate": None}).encode(), "not_numeric"),
        (json.dumps({**good, "rate": True}).encode(), "not_numeric"),
        (json.dumps({**good, "rate": float("nan")}).encode(), "not_finite"),
        (json.dumps({**good, "rate": 10**400}).encode(), "not_finite"),
        (b"", "empty"),
        (None, "empty"),
        (b"{" + b" " * 700_000 + b"}", "too_large"),
    ]
    for i, (value, _) in enumerate(bad):
        # a good record before each: one bad record takes nothing from its neighbours
        running.cluster.send(topic, records.values(1, seed=i), partition=1)
        running.cluster.send(topic, [value], keys=[b"bad-%d" % i], partition=1, headers=[("mine", b"\x01\xff")])
    running.done(topic)
    letters = running.results("dead_letters", topic)
    assert [dict(letter.headers)["aestream.dlq.error_type"].decode() for letter in letters] == [why for _, why in bad]
    for i, (letter, (value, _)) in enumerate(zip(letters, bad, strict=True)):
        headers = dict(letter.headers)
        assert letter.value == value
        assert letter.key == b"bad-%d" % i
        assert letter.partition == 1
        assert headers["mine"] == b"\x01\xff"
        assert headers["aestream.dlq.partition"] == b"1"
        assert headers["aestream.dlq.offset"] == str(2 * i + 1).encode()
        assert headers["aestream.dlq.stage"] == b"decode"
        assert headers["aestream.dlq.error"]
        assert headers["ce_id"] == f"{topic}/1/{2 * i + 1}".encode()
    scored = [place_of(score_of(record))[2] for record in running.results("scores", topic)]
    assert scored == [2 * i for i in range(len(bad))]
    assert running.worker.metric('aestream_dead_letters_total{reason="not_numeric"}') == 3


def test_odd_timestamps_do_no_harm(running: Running) -> None:
    topic = running.inputs["odd"]
    stamps = [0, 1, 2**62, 253_402_300_800_000, 1_700_000_000_000]
    for stamp in stamps:
        running.cluster.send(topic, [records.anomaly()], partition=0, timestamp=stamp)
    running.done(topic)
    anomalies = running.results("anomalies", topic)
    assert [score_of(record)["source"]["timestamp"] for record in anomalies] == stamps
    times = [dict(record.headers)["ce_time"].decode() for record in anomalies]
    assert times[0] == "1970-01-01T00:00:00.000Z"
    assert times[2] == times[3] == "9999-12-31T23:59:59.000Z"
    assert times[4] == "2023-11-14T22:13:20.000Z"


def test_keys_of_any_kind_are_kept_or_said_to_be_too_large(running: Running) -> None:
    topic = running.inputs["keys"]
    keys = [None, b"", b"\x00\xff\xfe", "schlüssel".encode(), b"x" * 400_000, b"y" * 1_047_500]
    for key in keys:
        running.cluster.send(topic, [records.anomaly()], keys=[key], partition=2)
    running.done(topic)
    scores = running.results("scores", topic)
    assert [record.key for record in scores] == keys[:-1]
    assert [score_of(record)["key"] for record in scores[:4]] == [None, "", "\x00\ufffd\ufffd", "schlüssel"]
    assert score_of(scores[4])["key"] == "x" * 1024
    (letter,) = running.results("dead_letters", topic)
    assert dict(letter.headers)["aestream.dlq.error_type"] == b"too_large"
    assert letter.value == records.anomaly()
    assert letter.key == keys[-1]


def test_an_oversized_record_is_cut_and_says_so(running: Running) -> None:
    topic = running.inputs["large"]
    most = 1_048_588 - 200  # max.message.bytes of Kafka, less what a batch of one record adds
    value = b"x" * (most - 10)
    running.cluster.send(topic, [value], keys=[b"big"], partition=0)
    running.cluster.send(topic, records.values(1), partition=0)
    running.done(topic)
    (letter,) = running.results("dead_letters", topic)
    headers = dict(letter.headers)
    assert headers["aestream.dlq.error_type"] == b"too_large"
    assert headers["aestream.dlq.truncated"] == str(len(value)).encode()
    assert letter.key == b"big"
    assert 0.99 * len(value) < len(letter.value) < len(value)
    assert len(running.results("scores", topic)) == 1


def test_an_anomaly_says_what_and_carries_its_trace(running: Running) -> None:
    topic = running.inputs["traced"]
    trace = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    running.cluster.send(topic, [records.anomaly()], headers=[("traceparent", trace), ("other", b"x")], partition=0)
    running.cluster.send(topic, [records.anomaly()], headers=[("traceparent", b"x" * 900_000)], partition=0)
    running.done(topic)
    first, second = running.results("anomalies", topic)
    headers, score = dict(first.headers), score_of(first)
    assert headers["traceparent"] == trace
    assert "other" not in headers
    assert "traceparent" not in dict(second.headers)
    assert headers["ce_id"] == f"{topic}/0/0".encode()
    assert headers["ce_type"] == b"io.aestream.score.v1"
    assert headers["content-type"] == b"application/json"
    assert score["anomaly"] is True
    shares = [feature["share"] for feature in score["features"]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    observed = {feature["name"]: feature["observed"] for feature in score["features"]}
    assert observed["temperature"] == -500.0
    assert observed["rate"] == -9000.0
    assert len(running.results("scores", topic)) == 2


def test_the_paths_answer_and_nothing_else_does(running: Running) -> None:
    get = running.worker.get
    assert get("/livez")[0] == get("/readyz")[0] == get("/version")[0] == 200
    assert set(json.loads(get("/version")[1])) >= {"version"}
    assert get("/metrics?x=1")[0] == 200
    assert [get(path)[0] for path in ("/", "/metrics/", "/healthz", "/livez/x")] == [404] * 4
    assert get("/livez", method="HEAD") == (200, "")
    assert get("/livez", method="POST")[0] == 501
    metrics = get("/metrics")[1]
    assert "aestream_model_last_reload_successful 1.0" in metrics
    assert f"aestream_assigned_partitions {len(TOPICS) * PARTITIONS}.0" in metrics
    assert "aestream_ready 1.0" in metrics
    assert "aestream_trainer_" not in metrics


def test_a_broker_that_stands_still_is_waited_for(running: Running, pausable: Broker) -> None:
    # 1. Records are in, more than one batch. 2. The broker freezes for 10 s. 3. The worker is live, not ready.
    # 4. The broker goes on. Result: the same process scores every record, in order; twice at most the batch in hand,
    # if the pause outlasted the group's session.
    topic = running.inputs["paused"]
    before = running.worker.metric("aestream_records_scored_total")
    running.cluster.send(topic, records.values(20_000), partition=0)
    running.worker.until("a start", lambda: running.worker.metric("aestream_records_scored_total") > before)
    pause(pausable)
    try:
        looks = []
        for _ in range(20):
            looks.append(running.worker.get("/livez")[0])
            time.sleep(0.5)  # the time itself is what is tested
        assert running.worker.get("/readyz") == (503, "waiting: an answer from Kafka\n")
    finally:
        resume(pausable)
    assert set(looks) == {200}
    running.done(topic)
    offsets = [place_of(score_of(record))[2] for record in running.results("scores", topic)]
    assert list(dict.fromkeys(offsets)) == list(range(20_000))
    assert len(offsets) - 20_000 <= 5000


def test_a_worker_with_nothing_to_do_is_not_ready_while_its_broker_is_away(running: Running, pausable: Broker) -> None:
    running.worker.ready()
    pause(pausable)
    try:
        running.worker.until("not ready", lambda: "an answer from Kafka" in running.worker.get("/readyz")[1])
        assert running.worker.get("/livez")[0] == 200
    finally:
        resume(pausable)
    running.worker.ready()
    running.worker.logged(r"warning no answer from Kafka: [^\n]*\n(.*\n)*.*info    ready, with \d+ partitions")


def test_the_metrics_add_up(running: Running) -> None:
    worker = running.worker
    running.done(running.inputs["ordered"])

    def total(name: str) -> float:
        lines = [line for line in worker.get("/metrics")[1].splitlines() if line.startswith((f"{name}{{", f"{name} "))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    worker.until("no lag", lambda: total("aestream_consumer_lag_records") == 0)
    consumed = total("aestream_records_consumed_total")
    published = sum(running.cluster.count(running.settings[f"topics__{kind}"]) for kind in ("scores", "dead_letters"))
    assert consumed == published >= sum(running.cluster.count(topic) for topic in running.inputs.values())
    assert consumed == total("aestream_records_scored_total") + total("aestream_dead_letters_total")
    assert total("aestream_anomaly_score_count") == total("aestream_records_scored_total")
    assert total("aestream_anomalies_total") == running.cluster.count(running.settings["topics__anomalies"])
    assert total("aestream_batch_size_records_sum") == consumed
