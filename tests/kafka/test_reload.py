"""A model arrives, is replaced under load, is damaged, is rolled back: the stream goes on through all of it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from aestream.registry.local import LocalRegistry
from tests import keys
from tests.kafka import records
from tests.kafka.cluster import Cluster, place_of, score_of, wait_for
from tests.kafka.service import Service
from tests.stores import put

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_a_new_model_takes_over_between_two_batches(  # noqa: PLR0915 - one scenario
    cluster: Cluster, make_settings: Callable[..., dict[str, str]], tmp_path: Path, command: Command
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

        made = command("train", settings=settings | {"trainer__sample_records": "1500"})
        assert made.returncode == 0, made.stderr
        first = LocalRegistry(store, "default").current()
        assert f"default@{first}: 1500 records, 5 features" in made.stdout
        assert re.search(r" host +left out +constant", made.stdout)
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

            damaged = put(LocalRegistry(store, "default"), lambda folder: _damaged(store, second, folder))
            worker.logged("cannot be used")
            worker.until("the metric", lambda: worker.metric("aestream_model_last_reload_successful") == 0)
            assert worker.get("/readyz")[0] == 200
            failures = worker.metric('aestream_model_reloads_total{status="failed"}')
            assert failures >= 1

            back = command("model", "rollback", settings=settings)
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

            put(registry, write)
            worker.until(
                f"the failure of {text[:20]!r}",
                lambda failed=failed: worker.metric('aestream_model_reloads_total{status="failed"}') > failed,
            )
        (tmp_path / "models/default/current").write_bytes(b"\xff\xfe\n")
        worker.logged("the current model is not known, .* stays in use: .*current names .*, which is not a version")
        cluster.send(topic, records.values(10))
        wait_for("ten scores", lambda: cluster.count(settings["topics__scores"]) == 10, context=lambda: worker.log)
        assert worker.stop() == 0, worker.log
        assert "Traceback" not in worker.log
    assert {score_of(record)["model"] for record in cluster.read(settings["topics__scores"])} == {f"default@{sound}"}


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _half_a_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:200])


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (_cut, "is damaged"),
    "another sha256": (lambda folder: _turn_a_byte(folder / "model.safetensors"), "is damaged"),
    "a file missing": (lambda folder: (folder / "model.safetensors").unlink(), "No such file"),
    "half a manifest": (_half_a_manifest, "not JSON"),
    "all gone": (shutil.rmtree, "has no version"),
}


def _turn_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(("damage", "why"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_current_version_does_not_stop_a_restart(
    cluster: Cluster,
    make_settings: Callable[..., dict[str, str]],
    tmp_path: Path,
    damage: Callable[[Path], None],
    why: str,
    command: Command,
) -> None:
    # 1. Three versions; the newest was rolled back from, and the current one is damaged. 2. A worker starts.
    # Result: it scores with the oldest, says so in one line, and counts each failed look. 3. The pointer moves on to
    # the newest. Result: that one scores, and all is well.
    topic = cluster.topic()
    settings = make_settings(tmp_path, topic)
    registry = LocalRegistry(tmp_path / "models", "default")
    oldest, current, newest = registry.current(), *(records.train(tmp_path / "models", seed=seed) for seed in (1, 2))
    registry.rollback()
    assert registry.current() == current
    damage(registry.open(current))
    cluster.send(topic, records.values(10))
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.ready()
        wait_for("scores", lambda: cluster.count(settings["topics__scores"]) == 10, context=lambda: worker.log)
        failed = 'aestream_model_reloads_total{status="failed"}'
        worker.until("more looks", lambda: worker.metric(failed) >= 3)
        assert worker.metric("aestream_model_last_reload_successful") == 0
        assert worker.metric('aestream_model_reloads_total{status="success"}') == 0
        (line,) = [line for line in worker.log.splitlines() if " error " in line]
        assert f"the current model default@{current} cannot be used, default@{oldest} is used instead" in line
        assert f"`aestream train` or `aestream model rollback {oldest}`" in line
        assert why in line

        assert command("model", "rollback", newest, settings=settings).returncode == 0
        worker.logged(f"scoring with model default@{newest}")
        worker.until("well again", lambda: worker.metric("aestream_model_last_reload_successful") == 1)
        assert worker.stop() == 0, worker.log
        assert "Traceback" not in worker.log
    assert {score_of(record)["model"] for record in cluster.read(settings["topics__scores"])} == {f"default@{oldest}"}


def test_without_any_version_that_loads_it_waits_and_says_why(
    cluster: Cluster, make_settings: Callable[..., dict[str, str]], tmp_path: Path, command: Command
) -> None:
    # 1. One version, damaged. 2. A worker, and the commands. Result: the worker is live, not ready, and says why; the
    # commands end with the same reason. 3. `aestream train`. Result: the worker scores.
    topic = cluster.topic()
    settings = make_settings(tmp_path, topic)
    registry = LocalRegistry(tmp_path / "models", "default")
    current = registry.current()
    assert current is not None
    _cut(registry.open(current))
    cluster.send(topic, records.values(1000))
    (tmp_path / "some.jsonl").write_text("\n".join(records.lines(3)))
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.logged(f"the current model default@{current} cannot be used, nor can an older one; nothing is scored")
        worker.until("readyz says so", lambda: "model.safetensors is damaged" in worker.get("/readyz")[1])
        assert worker.get("/readyz")[0] == 503
        assert worker.get("/livez")[0] == 200
        checked = command("validate", settings=settings)
        assert checked.returncode == 1
        assert "failed   model: " in checked.stdout
        assert "model.safetensors is damaged" in checked.stdout
        scored = command("score", "some.jsonl", settings=settings)
        assert (scored.returncode, scored.stdout) == (1, "")
        assert f"default@{current} cannot be used, nor can an older one: " in scored.stderr

        made = command("train", settings=settings)
        assert made.returncode == 0, made.stderr
        worker.ready()
        assert worker.metric("aestream_model_last_reload_successful") == 1
        assert worker.stop() == 0, worker.log
        assert len([line for line in worker.log.splitlines() if " error " in line]) == 1

    # 4. The new version is damaged, the old one restored. Result: the commands name the one to go back to.
    good, damaged = records.train(tmp_path / "models"), records.train(tmp_path / "models")
    _cut(registry.open(damaged))
    checked = command("validate", settings=settings)
    assert f"until then a worker serves with default@{good}" in checked.stdout
    scored = command("score", "some.jsonl", settings=settings)
    assert (scored.returncode, scored.stdout) == (1, "")
    assert f"`aestream model rollback {good}` goes back to one that can" in scored.stderr


def test_a_reload_looks_at_the_store_and_says_what_it_found(
    cluster: Cluster, make_settings: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    # 1. A worker that looks by itself once an hour. 2. SIGHUP. Result: a line that nothing is new. 3. The version in
    # use is damaged in the store; SIGHUP, twice. Result: an error line and a count each time, and it goes on scoring.
    # 4. A new version, SIGHUP. Result: it is taken.
    topic = cluster.topic()
    settings = make_settings(tmp_path, topic) | {"model__poll_interval": "1h"}
    registry = LocalRegistry(tmp_path / "models", "default")
    current = registry.current()
    assert current is not None
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.ready()
        worker.signal(signal.SIGHUP)
        worker.logged(f"default@{current} is the current model and already in use")
        _cut(registry.open(current))
        told = f"error .*default@{current} can no longer be loaded; this worker still has it.*is damaged"
        for times in (1, 2):
            worker.signal(signal.SIGHUP)
            worker.until("the error", lambda times=times: len(re.findall(told, worker.log)) == times)
            assert worker.metric('aestream_model_reloads_total{status="failed"}') == times
            assert worker.metric("aestream_model_last_reload_successful") == 0
        cluster.send(topic, records.values(10))
        wait_for("scores", lambda: cluster.count(settings["topics__scores"]) == 10, context=lambda: worker.log)
        newer = records.train(tmp_path / "models", seed=1)
        worker.signal(signal.SIGHUP)
        worker.logged(f"scoring with model default@{newer}")
        assert worker.metric("aestream_model_last_reload_successful") == 1
        assert worker.stop() == 0, worker.log


def test_only_what_was_signed_serves(
    cluster: Cluster, make_settings: Callable[..., dict[str, str]], tmp_path: Path, command: Command
) -> None:
    # 1. A signed model: it serves. 2. One that is not signed. Result: the worker says so, and goes on with the first.
    # 3. A restart. Result: the first serves again. 4. The first is altered. Result: nothing serves.
    topic = cluster.topic()
    cluster.send(topic, records.values(600))
    private, public = keys.make(tmp_path)
    settings = make_settings(tmp_path, topic, model=False) | {"model__verify_keyfile": public}
    store = LocalRegistry(tmp_path / "models", "default")
    trained = command("train", settings=settings | {"model__signing_keyfile": private})
    assert trained.returncode == 0, trained.stderr
    first = store.current()
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.ready()
        second = records.train(tmp_path / "models", seed=1)
        worker.logged(f"default@{second} cannot be used, default@{first} is used instead.*{second} is not signed")
        assert worker.metric('aestream_model_reloads_total{status="failed"}') >= 1
        assert worker.get("/readyz")[0] == 200
        assert worker.stop() == 0
    with Service(["worker"], settings=settings, folder=tmp_path) as worker:
        worker.ready()
        worker.logged(f"scoring with model default@{first}")
        assert worker.stop() == 0
    validated = command("validate", settings=settings)
    assert "AESTREAM_MODEL__VERIFY_KEYFILE is set: train again" in validated.stdout
    assert f"until then a worker serves with default@{first}" in validated.stdout
    store.promote(str(first))
    (store.open(str(first)) / "model.safetensors").write_bytes(b"altered")
    altered = command("validate", settings=settings)
    assert altered.returncode == 1
    assert "model.safetensors is not what was signed: train again" in altered.stdout
    assert "until then a worker waits" in altered.stdout
    (tmp_path / "records.jsonl").write_text("\n".join(records.lines(10)))
    scored = command("score", str(tmp_path / "records.jsonl"), settings=settings)
    assert scored.returncode == 1
    (line,) = scored.stderr.splitlines()
    assert "model.safetensors is not what was signed" in line
