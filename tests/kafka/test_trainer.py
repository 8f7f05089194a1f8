"""`aestream train` and `aestream trainer` on a real topic."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aestream.registry.local import LocalRegistry
from tests.kafka import records
from tests.kafka.cluster import Cluster
from tests.kafka.service import Service

Make = Callable[..., dict[str, str]]
Command = Callable[..., subprocess.CompletedProcess[str]]


def test_the_sample_is_bounded_by_count_and_by_time(
    cluster: Cluster, make_settings: Make, tmp_path: Path, command: Command
) -> None:
    topic = cluster.topic(partitions=2)
    settings = make_settings(tmp_path, topic, model=False)
    now = int(time.time() * 1000)
    for partition in range(2):
        cluster.send(topic, records.values(600), partition=partition, timestamp=now - 7_200_000)
        cluster.send(topic, [*records.values(400, seed=1), b"{"], partition=partition, timestamp=now - 60_000)
    by_time = command("train", settings=settings | {"trainer__sample_period": "1h"})
    assert by_time.returncode == 0, by_time.stderr
    by_count = command("train", settings=settings | {"trainer__sample_records": "1000"})
    assert by_count.returncode == 0, by_count.stderr
    store = LocalRegistry(tmp_path / "models", "default")
    manifests = [version.manifest for version in store.versions()]
    first, second = (manifest.metadata for manifest in manifests)
    assert (first["records"], first["invalid"]) == (800, {"bad_json": 2})
    assert first["offsets"] == {f"{topic}/{p}": [600, 1000] for p in range(2)}
    assert second["records"] == 998
    assert second["offsets"] == {f"{topic}/{p}": [501, 1000] for p in range(2)}
    assert [note.name for note in manifests[1].fields if not note.used] == ["host"]
    assert "skipped 2 records: bad_json" in by_time.stdout

    too_few = command("train", settings=settings | {"trainer__sample_records": "100"})
    assert too_few.returncode == 1
    (line,) = [line for line in too_few.stderr.splitlines() if line.startswith("aestream train: ")]
    assert "AESTREAM_TRAINER__MIN_RECORDS" in line
    assert "Traceback" not in too_few.stderr
    assert cluster.committed(settings["kafka__group_id"], topic) == {}


def test_the_service_survives_a_failure_trains_and_stops(cluster: Cluster, make_settings: Make, tmp_path: Path) -> None:
    # 1. An empty topic and no model: the first run fails and is counted; the service stays. 2. SIGTERM. Result: exit 0.
    # 3. Records, and the service again: it trains at once. 4. SIGTERM. Result: exit 0; the model is there.
    topic = cluster.topic()
    settings = make_settings(tmp_path, topic, model=False) | {"trainer__schedule": "every 6h"}
    with Service(["trainer"], settings=settings, folder=tmp_path) as trainer:
        trainer.logged("training failed, there is still no model: the input topic has no records")
        assert trainer.metric('aestream_trainer_runs_total{outcome="failed"}') == 1
        assert trainer.get("/livez")[0] == trainer.get("/readyz")[0] == 200
        assert trainer.metric("aestream_ready") == 1
        assert trainer.get("/nothing")[0] == 404
        metrics = trainer.get("/metrics")[1]
        assert not [name for name in ("aestream_score_threshold", "aestream_assigned_partitions") if name in metrics]
        assert trainer.stop() == 0, trainer.log
    cluster.send(topic, records.values(1000))
    with Service(["trainer"], settings=settings, folder=tmp_path) as trainer:
        trainer.logged(r"model default@\w+ trained on 1000 records")
        trainer.logged("next training at .*T")
        assert trainer.metric('aestream_trainer_runs_total{outcome="success"}') == 1
        assert trainer.stop() == 0, trainer.log
        assert "Traceback" not in trainer.log
    (version,) = LocalRegistry(tmp_path / "models", "default").versions()
    assert version.manifest.records == version.manifest.metadata["records"] == 1000


def test_a_reload_trains_now(cluster: Cluster, make_settings: Make, tmp_path: Path) -> None:
    # 1. The service with its schedule off. 2. SIGHUP. Result: it trains at once. 3. SIGHUP three times while it trains.
    # Result: it says that one more run follows, and exactly one does. 4. SIGTERM. Result: exit 0.
    topic = cluster.topic()
    cluster.send(topic, records.values(5000))
    settings = make_settings(tmp_path, topic, model=False) | {"trainer__schedule": "off"}
    succeeded = 'aestream_trainer_runs_total{outcome="success"}'
    with Service(["trainer"], settings=settings, folder=tmp_path) as trainer:
        trainer.logged("next training only when asked for")
        trainer.signal(signal.SIGHUP)
        trainer.logged("training now because a reload asked for it")
        trainer.logged("5 features")
        for _ in range(3):
            trainer.signal(signal.SIGHUP)
        trainer.logged("a reload asked for training during a training run: another run follows")
        trainer.until("both runs", lambda: len(re.findall("trained on 5000 records", trainer.log)) == 2)
        trainer.until("idle", lambda: trainer.log.strip().endswith("the schedule is off"))
        assert trainer.metric(succeeded) == 2
        trainer.signal(signal.SIGHUP)
        trainer.until("a third run", lambda: trainer.metric(succeeded) == 3)
        assert trainer.stop() == 0, trainer.log
        assert "Traceback" not in trainer.log
    assert len(LocalRegistry(tmp_path / "models", "default").versions()) == 3


@pytest.mark.parametrize("pointer", [b"../../etc\n", b"20200101T000000Z\n", b""])
def test_the_service_mends_a_store_without_a_usable_pointer(
    cluster: Cluster, make_settings: Make, tmp_path: Path, pointer: bytes
) -> None:
    # 1. A store whose pointer names no version. 2. The service, whose schedule says tomorrow, and no records yet.
    # Result: one run, which fails in one line. 3. Records, SIGHUP. Result: a new current model.
    topic = cluster.topic()
    settings = make_settings(tmp_path, topic) | {"trainer__schedule": "every 24h"}
    (tmp_path / "models/default/current").write_bytes(pointer)
    with Service(["trainer"], settings=settings, folder=tmp_path) as trainer:
        trainer.logged("training failed, .*: the input topic has no records")
        cluster.send(topic, records.values(1000))
        trainer.signal(signal.SIGHUP)
        version = trainer.logged(r"model default@(\w+) trained on 1000 records")[1]
        assert trainer.stop() == 0, trainer.log
        assert "Traceback" not in trainer.log
    assert LocalRegistry(tmp_path / "models", "default").current() == version
