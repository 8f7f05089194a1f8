"""The brokers start for real, take and give records, and leave nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from aestream.demo import brokers
from aestream.demo.brokers import EmbeddedKafka
from aestream.errors import TransportError
from tests.brokers.apache import ApacheKafka, pause, resume
from tests.brokers.jars import kafka_jars
from tests.kafka.cluster import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aestream.demo.brokers import Broker


@pytest.fixture(params=[EmbeddedKafka, ApacheKafka])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    missing = [program for program in ("java", "mvn") if shutil.which(program) is None]
    if request.param is ApacheKafka and missing and not os.environ.get("CI"):
        pytest.skip(f"Apache Kafka needs {' and '.join(missing)}")
    with request.param() as running:
        yield running


def create_topic(broker: Broker, name: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    admin.create_topics([NewTopic(name, 1, 1)])
    admin.close()


def round_trip(broker: Broker, topic: str, value: bytes) -> bytes:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
    offset = producer.send(topic, value, partition=0).get(timeout=20).offset
    producer.close()
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, enable_auto_commit=False)
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek(partition, offset)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for record in consumer.poll(timeout_ms=500).get(partition, []):
            consumer.close()
            return bytes(record.value)
    consumer.close()
    raise AssertionError("no record came back in 20 s")


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def wait_until_gone(pid: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


def test_a_record_comes_back_and_stop_leaves_no_process_and_no_folder(broker: Broker) -> None:
    pid, folder = broker.pid, broker.folder
    create_topic(broker, "here-and-back")
    assert round_trip(broker, "here-and-back", b"forty-two") == b"forty-two"
    broker.stop()
    assert not alive(pid)
    assert folder is not None
    assert not folder.exists()
    with pytest.raises(TransportError, match="not running"):
        _ = broker.pid


def test_a_paused_broker_goes_on_where_it_was() -> None:
    with EmbeddedKafka() as broker:
        create_topic(broker, "paused")
        pause(broker)
        frozen = psutil.Process(broker.pid)
        wait_for("the process is stopped", lambda: frozen.status() == psutil.STATUS_STOPPED)
        resume(broker)
        assert round_trip(broker, "paused", b"after") == b"after"


def test_a_paused_broker_stops_too() -> None:
    with EmbeddedKafka() as broker:
        pid = broker.pid
        pause(broker)
    assert not alive(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_a_killed_program_leaves_no_broker() -> None:
    code = (
        "import time\n"
        "from aestream.demo.brokers import EmbeddedKafka\n"
        "with EmbeddedKafka() as broker:\n"
        "    print(broker.pid, broker.folder, flush=True)\n"
        "    time.sleep(600)\n"
    )
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    pid, folder = program.stdout.readline().split()
    assert alive(int(pid))
    program.send_signal(signal.SIGKILL)
    program.wait()
    program.stdout.close()
    assert wait_until_gone(int(pid))
    shutil.rmtree(Path(folder))


def test_a_broker_that_ends_while_starting_says_why_and_leaves_no_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = tmp_path / "noida-db"
    program.write_text("#!/bin/sh\necho the disk is on fire\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(brokers, "_noida_db", lambda: str(program))
    broker = EmbeddedKafka()
    with pytest.raises(TransportError, match="the disk is on fire"):
        broker.start()
    assert broker.folder is None


def test_what_is_missing_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("AESTREAM_CACHE", str(tmp_path))
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(brokers, "_noida_db", lambda: None)
    with pytest.raises(TransportError, match=r"pip install '\.\[demo\]' in your clone"):
        EmbeddedKafka().start()
    with pytest.raises(TransportError, match="Java is missing: install"):
        ApacheKafka().start()
    with pytest.raises(TransportError, match="Maven is missing, it fetches Kafka: install it"):
        kafka_jars()
    assert list(tmp_path.iterdir()) == []


def test_a_kafka_home_without_kafka_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    with pytest.raises(TransportError, match="or unset it"):
        kafka_jars()
