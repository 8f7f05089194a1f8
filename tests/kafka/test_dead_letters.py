"""Dead letters on a real broker: what `aestream dlq` shows of them, and how it sends them back, each once."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from aestream.messages.dead_letters import dead_letters
from aestream.types import Batch, Headers, Invalid, Partition, Reason, Span
from tests.kafka import records
from tests.kafka.cluster import Cluster, place_of, score_of, wait_for
from tests.kafka.conftest import Command
from tests.kafka.secured import User
from tests.kafka.service import Service

Make = Callable[..., dict[str, str]]
STAMP = 1_700_000_000_000
KILLS = int(os.environ.get("AESTREAM_TEST_REPLAY_KILLS", "5"))
PAGE = Path(__file__).parents[2] / "docs/dead-letters.md"
TRACE = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")


def write(
    cluster: Cluster,
    settings: dict[str, str],
    topic: str,
    values: Sequence[bytes | None],
    reason: Reason,
    *,
    headers: Headers = (TRACE,),
    max_bytes: int = 900_000,
    partitions: int = 2,
) -> None:
    """Letters about records of a topic, as a worker writes them: by turns of one partition and the next."""
    for partition in range(partitions):
        some = values[partition::partitions]
        n = len(some)
        keys = [b"k%d" % (i % 3) for i in range(n)]
        stamps = [STAMP + i for i in range(n)]
        batch = Batch([Span(Partition(topic, partition), 0, n)], range(70, 70 + n), stamps, keys, some, [headers] * n)
        problems = [Invalid(row, reason, f"problem {row}") for row in range(n)]
        found = dead_letters("dead", batch, problems, max_bytes=max_bytes)
        for key, value, told in zip(found.keys, found.values, found.headers, strict=True):
            cluster.post(settings["topics__dead_letters"], value, key=key, headers=list(told), partition=partition)
    cluster.flush()


def committed(cluster: Cluster, topic: str) -> list[Any]:
    """What readers of committed messages see of a topic."""
    parts = [TopicPartition(topic, number) for number in cluster.ends(topic)]
    consumer = KafkaConsumer(bootstrap_servers=cluster.bootstrap, isolation_level="read_committed")
    try:
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        ends = consumer.end_offsets(parts)
        found: list[Any] = []
        while any(consumer.position(part) < ends[part] for part in parts):
            for some in consumer.poll(timeout_ms=500).values():
                found += some
    finally:
        consumer.close()
    return sorted(found, key=lambda record: (record.partition, record.offset))


def test_letters_go_back_as_they_were_once_and_reason_by_reason(
    cluster: Cluster, make_settings: Make, tmp_path: Path, command: Command
) -> None:
    # 1. Letters of three kinds, a cut one, one of a topic that is gone, a foreign message. 2. `show`, a rehearsal.
    # 3. `replay` of one reason, then of all, then again. Result: each record once, with its bytes, key, headers,
    # timestamp and partition; what cannot be sent is named with its place, once.
    topic = cluster.topic(partitions=2)
    settings = make_settings(tmp_path, topic, partitions=2)
    dead = settings["topics__dead_letters"]
    odd = [b"\xff\x00" * 10, b'{"a": 1}', None, b""]
    write(cluster, settings, topic, odd, Reason.BAD_JSON)
    write(cluster, settings, topic, [b"{}"] * 6, Reason.MISSING_FEATURE)
    write(cluster, settings, topic, [b"x" * 5000], Reason.TOO_LARGE, max_bytes=2000, partitions=1)
    write(cluster, settings, "gone", [b"{}"], Reason.NOT_NUMERIC, partitions=1)
    cluster.send(dead, [b"\x00\xff not ours"], partition=1, headers=[("aestream.dlq.topic", b"no/such topic")])
    crafted = {"topic": dead.encode(), "partition": b"0", "offset": b"1", "error_type": b"\x1b[31m", "error": b"\xff"}
    told = [(f"aestream.dlq.{name}", content) for name, content in crafted.items()]
    cluster.send(dead, [b"{}"], partition=1, headers=told)

    shown = command("dlq", "show", "--last", "3", settings=settings)
    assert shown.returncode == 0, shown.stderr
    rows = {words[0]: words[1] for line in shown.stdout.splitlines() if len(words := line.split()) > 5}
    assert {rows[name] for name in ("bad_json", "missing_feature")} == {"4", "6"}
    assert (rows["too_large"], rows["foreign"]) == ("1", "1")
    assert "\x1b[31m" not in shown.stdout
    assert f"{dead}/1/5 " in shown.stdout
    assert r"\x00\xff not ours" in shown.stdout
    dumped = command("dlq", "show", "--json", "--reason", "bad_json", settings=settings)
    documents = [json.loads(line) for line in dumped.stdout.splitlines()]
    assert [document["reason"] for document in documents] == ["bad_json"] * 4
    assert documents[0]["source"] == {"topic": topic, "partition": 0, "offset": 70, "timestamp": STAMP}
    assert sum("value_base64" in document for document in documents) == 1
    assert {document.get("value", "bytes") for document in documents} == {"bytes", '{"a": 1}', None, ""}

    would = command("dlq", "replay", "--dry-run", settings=settings)
    assert f"would send 6 of missing_feature to {topic}" in would.stdout
    assert "would send 10 letters, 4 would be refused" in would.stdout
    assert cluster.count(topic) == 0

    first = command("dlq", "replay", "--reason", "missing_feature", settings=settings)
    assert (first.returncode, first.stdout.splitlines()[-1]) == (0, "sent 6 letters"), first.stderr
    second = command("dlq", "replay", settings=settings)
    assert second.returncode == 0, second.stderr
    assert "sent 4 letters, 4 refused" in second.stdout
    assert f"cut (5000 bytes at first): the record is at {topic}/0/70" in second.stdout
    assert "topic gone does not exist any more; its record was at gone/0/70" in second.stdout
    assert f"refused {dead}/1/5: it does not say where" in second.stdout
    assert "names the dead-letter topic itself" in second.stdout
    third = command("dlq", "replay", settings=settings)
    assert (third.returncode, third.stdout) == (0, "sent 0 letters\n"), third.stderr

    found = committed(cluster, topic)
    assert [record.value for record in found] == [b"{}"] * 3 + odd[0::2] + [b"{}"] * 3 + odd[1::2]
    assert [record.key for record in found] == [b"k0", b"k1", b"k2", b"k0", b"k1"] * 2
    assert {record.timestamp for record in found} == {STAMP, STAMP + 1, STAMP + 2}
    assert all(record.headers == [TRACE] for record in found)

    write(cluster, settings, topic, [b"new"], Reason.BAD_JSON, partitions=1)
    assert command("dlq", "replay", settings=settings).stdout.endswith("sent 1 letter\n")


def test_kills_in_the_middle_leave_neither_a_gap_nor_a_duplicate(
    cluster: Cluster, make_settings: Make, tmp_path: Path
) -> None:
    # Many times: 1. 6,000 more letters. 2. `replay` starts. 3. kill -9 at a random moment. At last it runs to its end,
    # and a worker scores.
    # Result: each record is in the input once, in the order of its partition, and has a score.
    rng = random.Random(1)
    topic = cluster.topic(partitions=2)
    settings = make_settings(tmp_path, topic, partitions=2)
    values = records.values(6_000 * KILLS)
    kills = 0
    for turn in range(KILLS):
        write(cluster, settings, topic, values[6_000 * turn : 6_000 * (turn + 1)], Reason.NOT_NUMERIC)
        before = cluster.count(topic)
        with Service(["dlq", "replay"], settings=settings, folder=tmp_path) as replay:
            ended = replay.process.poll
            wait_for("something is sent", lambda: cluster.count(topic) > before or ended() is not None)  # noqa: B023
            time.sleep(rng.uniform(0, 0.1))
            kills += ended() is None
            replay.kill()
    assert kills >= KILLS // 2, "all was sent before it was killed: this proves nothing"
    with Service(["dlq", "replay"], settings=settings, folder=tmp_path) as replay:
        assert replay.ended() == 0, replay.log
    found = committed(cluster, topic)
    for partition in range(2):
        sent = [record.value for record in found if record.partition == partition]
        assert len(sent) == 3_000 * KILLS
        assert sent == values[partition::2]
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        group, last = settings["kafka__group_id"], {record.partition: record.offset + 1 for record in found}
        worker.until("all committed", lambda: cluster.committed(group, topic) == last)
        assert worker.stop() == 0
    scored = Counter(place_of(score_of(record)) for record in cluster.read(settings["topics__scores"]))
    assert scored == Counter((topic, record.partition, record.offset) for record in found)


def test_a_second_replay_ends_the_first_one_and_none_is_sent_twice(
    cluster: Cluster, make_settings: Make, tmp_path: Path
) -> None:
    topic = cluster.topic(partitions=2)
    settings = make_settings(tmp_path, topic, partitions=2)
    values = records.values(10_000)
    write(cluster, settings, topic, values, Reason.NOT_NUMERIC)
    with (
        Service(["dlq", "replay"], settings=settings, folder=tmp_path) as first,
        Service(["dlq", "replay"], settings=settings, folder=tmp_path) as second,
    ):
        codes = sorted([first.ended(), second.ended()])
    assert codes[0] == 0
    if codes[1]:
        assert "unless the same command runs elsewhere" in first.log + second.log
        assert len([line for line in (first.log + second.log).splitlines() if "aestream dlq:" in line]) == 1
    found = committed(cluster, topic)
    assert [record.value for record in found] == values[0::2] + values[1::2]


def test_what_fails_again_comes_back_as_a_letter_and_waits_for_the_next_run(
    cluster: Cluster, make_settings: Make, tmp_path: Path, command: Command
) -> None:
    topic = cluster.topic()
    settings = make_settings(tmp_path, topic)
    dead = settings["topics__dead_letters"]
    cluster.send(topic, [b"{", *records.values(3)])
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.until("a letter", lambda: cluster.count(dead) == 1)
        for turn in (2, 3):
            replayed = command("dlq", "replay", settings=settings)
            assert replayed.stdout.endswith("sent 1 letter\n"), replayed.stderr
            worker.until("the letter is back", lambda turn=turn: len(committed(cluster, dead)) == turn)
    letters = [dict(letter.headers) for letter in committed(cluster, dead)]
    assert [letter["aestream.dlq.offset"] for letter in letters[:1]] == [b"0"]
    assert len({letter["ce_id"] for letter in letters}) == 3
    assert {letter["aestream.dlq.timestamp"] for letter in letters} == {letters[0]["aestream.dlq.timestamp"]}
    assert all(len(letter) == len(letters[0]) for letter in letters)


def squeezed(row: str) -> str:
    """A line whatever the widths of its columns are."""
    return " ".join(row.split())


def test_the_example_on_the_page_is_what_happens(
    cluster: Cluster, make_settings: Make, tmp_path: Path, command: Command
) -> None:
    # 1. A producer no longer sends a field; one record is no JSON at all. 2. The commands of the page, in their order.
    # Result: they print what the page says, and what was a dead letter has a score.
    topic = cluster.topic("t")
    settings = make_settings(tmp_path, topic)
    dead, scores = settings["topics__dead_letters"], settings["topics__scores"]
    cluster.send(topic, records.values(600), keys=[b"web-1"] * 600)
    without = [
        json.dumps({"host": "web-1", "cpu": {"user": 40.5, "system": 12.0}, "queue": 3.1, "temperature": 46.0}).encode()
    ]
    cluster.send(topic, [*without * 3, b"<metrics/>"], keys=[b"web-1"] * 4)
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.until("the letters", lambda: cluster.count(dead) == 4)
        assert worker.stop() == 0
    for line, expected in re.findall(r"^\$ aestream (.*)\n((?:(?!\$ |```).*\n)*)", PAGE.read_text(), re.MULTILINE):
        done = command(*shlex.split(line.replace("aestream.dead-letters", dead)), settings=settings)
        assert done.returncode == 0, done.stderr
        said = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "2026-11-27 09:15", done.stdout)
        said = re.sub(r"(\d\d:\d\d):\d\d", r"\1:07", said.replace(dead, "aestream.dead-letters"))
        said = said.replace(topic, "telemetry")
        if line.startswith("dlq"):
            assert [row for row in map(squeezed, said.splitlines()) if "─" not in row] == [
                row for row in map(squeezed, expected.splitlines()) if "─" not in row
            ]
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.until("the scores", lambda: cluster.count(scores) == 603)
        assert worker.stop() == 0
    assert cluster.count(dead) == 4


def test_each_permission_that_the_page_names_is_needed_and_no_other(
    secured_cluster: Cluster, secured_settings: Make, user: User, tmp_path: Path, command: Command
) -> None:
    topic = secured_cluster.topic(partitions=2)
    settings = secured_settings(tmp_path, topic, partitions=2)
    dead = settings["topics__dead_letters"]
    write(secured_cluster, settings, topic, [b"a", b"b"], Reason.BAD_JSON)
    group = f"aestream-replay-{dead}"
    for kind, name, operation in (
        ("transactional_id", group, "write"),
        ("topic", dead, "read"),
        ("group", group, "read"),
        ("topic", topic, "write"),
    ):
        done = command("dlq", "replay", settings=settings | user.settings)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("aestream dlq: ")
        assert operation.upper() in line
        user.grant((kind, name, operation))
        if name == dead:
            assert "bad_json" in command("dlq", "show", settings=settings | user.settings).stdout
    done = command("dlq", "replay", settings=settings | user.settings)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "sent 2 letters"), done.stderr


@pytest.mark.parametrize("action", ["show", "replay"])
def test_without_a_topic_one_line_says_so(
    cluster: Cluster, make_settings: Make, tmp_path: Path, command: Command, action: str
) -> None:
    settings = make_settings(tmp_path, "x") | {"topics__dead_letters": cluster.name("none")}
    done: subprocess.CompletedProcess[str] = command("dlq", action, settings=settings)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("aestream dlq: ")
    assert "does not exist: create it with `aestream topics create`" in line
