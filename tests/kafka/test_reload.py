"""A model arrives, is replaced under load, is damaged, is rolled back: the stream goes on through all of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

from aestream.registry.local import LocalRegistry
from tests.kafka import records
from tests.kafka.cluster import Cluster, place_of, score_of, wait_for
from tests.kafka.service import Service, run


def test_a_new_model_takes_over_between_two_batches(  # noqa: PLR0915 - one scenario
    cluster: Cluster, make_settings: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    # 1. No model: the worker is live and waits, without a partition. 2. `aestream train`: it is ready.
    # 3. A new version under load. 4. A damaged version. 5. A rollback to the version in use.
    # Result: every record has one score, in order; the versions follow one another; the damaged one is never used.
    topic = cluster.topic()
    settings = make_settings(tmp_path, topic, model=False) | {"worker__max_batch_records": "100"}
    store = tmp_path / "models"
    cluster.send(topic, records.values(2000))
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.until("live", lambda: worker.get("/livez")[0] == 200)
        status, why = worker.get("/readyz")
        assert (status, "aestream train" in why) == (503, True)
        assert cluster.committed(settings["kafka__group_id"], topic) == {}

        made = run("train", settings=settings | {"trainer__sample_records": "1500"}, folder=tmp_path)
        assert made.returncode == 0, made.stderr
        first = LocalRegistry(store, "default").current()
        assert f"default@{first}: 1500 records, 5 features" in made.stdout
        assert "left out host: constant" in made.stderr
        worker.ready()

        done = threading.Event()
        sent = [2000]

        def load() -> None:
            while not done.is_set():
                cluster.send(topic, records.values(100, seed=sent[0]))
                sent[0] += 100
                done.wait(0.2)

        stream = threading.Thread(target=load)
        stream.start()
        try:
            second = records.train(store, seed=1)
            worker.logged(f"scoring with model default@{second}")
            good = worker.metric("aestream_records_scored_total")
            worker.until("scores by it", lambda: worker.metric("aestream_records_scored_total") > good)

            damaged = LocalRegistry(store, "default").publish(lambda folder: _damaged(store, second, folder))
            worker.logged("cannot be used")
            worker.until("the metric", lambda: worker.metric("aestream_model_last_reload_successful") == 0)
            assert worker.get("/readyz")[0] == 200
            failures = worker.metric('aestream_model_reloads_total{status="failed"}')
            assert failures >= 1

            back = run("model", "rollback", settings=settings, folder=tmp_path)
            assert back.returncode == 0, back.stderr
            assert f"default@{second}" in back.stdout
            worker.until("well again", lambda: worker.metric("aestream_model_last_reload_successful") == 1)
        finally:
            done.set()
            stream.join()
        ends = cluster.ends(topic)
        group = settings["kafka__group_id"]
        worker.until("all committed", lambda: cluster.committed(group, topic) == ends)
        assert worker.metric("aestream_assigned_partitions") == 1
        assert worker.stop() == 0, worker.log
        assert "Traceback" not in worker.log

    scores = [score_of(record) for record in cluster.read(settings["topics__scores"])]
    assert [place_of(score)[2] for score in scores] == list(range(ends[0]))
    versions = [score["model"] for score in scores]
    assert set(versions) == {f"default@{first}", f"default@{second}"}
    assert versions == sorted(versions)
    assert f"default@{damaged}" not in versions


def _damaged(store: Path, version: str, folder: Path) -> None:
    """A copy of a version with a byte turned, as a disk would."""
    for path in (store / "default" / version).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)


def test_no_damage_to_the_store_ends_the_worker(
    cluster: Cluster, make_settings: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    # 1. A worker that scores. 2. One broken version after the other. Result: each is reported, none is used or ends it.
    topic = cluster.topic()
    settings = make_settings(tmp_path, topic)
    registry = LocalRegistry(tmp_path / "models", "default")
    sound = registry.current()
    assert sound is not None
    manifest = json.loads((registry.open(sound) / "manifest.json").read_text())
    weights = (registry.open(sound) / "model.safetensors").read_bytes()
    broken: list[tuple[bytes, bytes]] = [
        (b"{", weights),
        (b"[]", weights),
        (b"{}", weights),
        (json.dumps(manifest).encode(), weights[: len(weights) // 2]),
        (json.dumps({**manifest, "created": None}).encode(), weights),
        (json.dumps({**manifest, "schema": {"names": ["a"], "paths": [["a"]]}}).encode(), weights),
    ]
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.ready()
        for text, blob in broken:
            failed = worker.metric('aestream_model_reloads_total{status="failed"}')

            def write(folder: Path, text: bytes = text, blob: bytes = blob) -> None:
                (folder / "manifest.json").write_bytes(text)
                (folder / "model.safetensors").write_bytes(blob)

            registry.publish(write)
            worker.until(
                f"the failure of {text[:20]!r}",
                lambda failed=failed: worker.metric('aestream_model_reloads_total{status="failed"}') > failed,
            )
        (tmp_path / "models/default/current").write_bytes(b"\xff\xfe\n")
        worker.logged("current cannot be read")
        cluster.send(topic, records.values(10))
        wait_for("ten scores", lambda: cluster.count(settings["topics__scores"]) == 10, context=lambda: worker.log)
        assert worker.stop() == 0, worker.log
        assert "Traceback" not in worker.log
    assert {score_of(record)["model"] for record in cluster.read(settings["topics__scores"])} == {f"default@{sound}"}
