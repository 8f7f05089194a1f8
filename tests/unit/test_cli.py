"""Commands without a broker: what they print, and their exit codes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aestream import signature
from aestream.cli import main
from aestream.registry.local import LocalRegistry
from tests import keys, manifests
from tests.kafka import records


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("store")
    records.train(made)
    return made


def written(path: Path, *extra: str, count: int = 30) -> Path:
    path.write_text("\n".join([*records.lines(count), *extra]) + "\n")
    return path


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["score"], ["topics"], ["topics", "delete"], ["worker", "extra"], ["tail", "--last", "x"]],
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: aestream" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["worker"], "AESTREAM_TOPICS__INPUT is not set"),
        (["train"], "AESTREAM_TOPICS__INPUT is not set"),
        (["validate"], "AESTREAM_TOPICS__INPUT is not set"),
        (["topics", "create"], "AESTREAM_TOPICS__INPUT is not set"),
        (["config", "--set", "http.prot=1"], "aestream config"),
        (["config", "--config", "none.yaml"], "there is no configuration file none.yaml"),
        (["trainer", "--set", "trainer.schedule=daily", "--set", "topics.input=x"], "AESTREAM_TRAINER__SCHEDULE"),
        (["train", "x.xlsx"], "has an unknown format"),
        (["tail", "--set", "kafka.bootstrap_servers=kafka:9o92"], "'kafka:9o92' is not an address"),
        (["tail", "--set", "kafka.bootstrap_servers=,"], "'' is not an address: write host:port"),
        (["topics", "create", "--set", "topics.input=a/b"], "AESTREAM_TOPICS__INPUT: 'a/b' is not a name"),
    ],
)
def test_wrong_configuration_is_2_and_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"aestream {arguments[0]}: ")
    assert words in line


@pytest.mark.parametrize("service", ["worker", "trainer"])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "AESTREAM_TOPICS__INPUT is not set"),
        (["model.store=s3://models"], "AESTREAM_MODEL__STORE"),
        (["trainer.schedule=daily"], "AESTREAM_TRAINER__SCHEDULE"),
        (["kafka.bootstrap_servers=kafka:9092,[::1"], "'[::1' is not an address: write host:port"),
        (["topics.scores=a b"], "AESTREAM_TOPICS__SCORES: 'a b' is not a name for Kafka"),
        (["kafka.group_instance_id=a/b"], "AESTREAM_KAFKA__GROUP_INSTANCE_ID: 'a/b' is not a name for Kafka"),
        (["kafka.heartbeat_interval_ms=45000"], "below AESTREAM_KAFKA__SESSION_TIMEOUT_MS (45000)"),
        (["kafka.security_protocol=SASL_SSL"], "AESTREAM_KAFKA__SASL_MECHANISM is not set: SASL_SSL needs one"),
        (["kafka.sasl_mechanism=PLAIN"], "AESTREAM_KAFKA__SECURITY_PROTOCOL is PLAINTEXT, which does not log in"),
        (
            ["kafka.security_protocol=SASL_SSL", "kafka.sasl_mechanism=PLAIN", "kafka.sasl_plain_username=u"],
            "AESTREAM_KAFKA__SASL_PLAIN_PASSWORD is not set: PLAIN needs it",
        ),
        (["kafka.security_protocol=SSL", "kafka.ssl_cafile=ca.pem"], "ca.pem cannot be read (No such file"),
        (["http.username=u"], "AESTREAM_HTTP__USERNAME is set and AESTREAM_HTTP__PASSWORD is not: set both"),
        (["http.password=p"], "AESTREAM_HTTP__PASSWORD is set and AESTREAM_HTTP__USERNAME is not: set both"),
        (["http.tls_keyfile=x"], "AESTREAM_HTTP__TLS_KEYFILE is set and AESTREAM_HTTP__TLS_CERTFILE is not"),
        (["http.tls_certfile=none.pem"], "AESTREAM_HTTP__TLS_KEYFILE: none.pem cannot be used (No such file"),
        (["model.verify_keyfile=none.pem"], "AESTREAM_MODEL__VERIFY_KEYFILE: none.pem cannot be used (No such file"),
    ],
)
def test_a_service_refuses_a_wrong_configuration_before_it_begins(
    service: str, given: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [*(["topics.input=x"] if given else []), "http.port=0", *given]
    assert main([service, *(f"--set={setting}" for setting in settings)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"aestream {service}: ")
    assert words in line


def test_a_trainer_refuses_a_key_that_it_cannot_sign_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trainer", "--set=topics.input=x", "--set=http.port=0", "--set=model.signing_keyfile=none.pem"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "AESTREAM_MODEL__SIGNING_KEYFILE: none.pem cannot be used (No such file" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["score", "a.jsonl"], "`aestream train` makes one"),
        (["train", "a.jsonl"], "there is no file a.jsonl"),
        (["model", "rollback"], "nothing to roll back to"),
        (["model", "show", "20200101T000000Z"], "aestream model list"),
    ],
)
def test_what_fails_while_running_is_1_and_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_config_prints_what_is_in_force(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AESTREAM_KAFKA__SASL_PLAIN_PASSWORD", "hunter2")
    assert main(["config", "--set", "http.port=7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "AESTREAM_HTTP__PORT=7" in lines
    assert "hunter2" not in "\n".join(lines)


def test_train_score_encode_and_denoise_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path / "a.jsonl", count=600)
    assert main(["train", str(file), "--set", "trainer.sample_records=550"]) == 0
    assert "550 records, 5 features" in capsys.readouterr().out
    written(tmp_path / "b.jsonl", "{", records.anomaly().decode())
    assert main(["score", "b.jsonl", "-o", "scores.jsonl"]) == 0
    scores = [json.loads(line) for line in Path("scores.jsonl").read_text().splitlines()]
    assert [row["row"] for row in scores] == list(range(32))
    assert scores[31]["anomaly"] is True
    assert "not JSON" in scores[30]["problem"]
    assert sum(row.get("anomaly", False) for row in scores[:30]) < 5
    assert main(["encode", "b.jsonl", "-o", "latent.csv"]) == 0
    assert "latent_0" in Path("latent.csv").read_text().splitlines()[0]
    assert main(["denoise", "b.jsonl", "--format", "jsonl", "-o", "rebuilt.txt"]) == 0
    rebuilt = json.loads(Path("rebuilt.txt").read_text().splitlines()[0])
    assert set(rebuilt) == {"row", "cpu.user", "cpu.system", "queue", "rate", "temperature"}
    assert main(["score", "b.jsonl", "-o", "nowhere/x.csv"]) == 2


def header(file: str) -> str:
    return Path(file).read_text().splitlines()[0].replace('"', "")


def test_latent_size_and_noise_are_options_of_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "a.jsonl", count=600)
    assert main(["train", "a.jsonl", "--latent-size", "2", "--noise", "0.5"]) == 0
    assert main(["encode", "a.jsonl", "--latent-size", "2", "-o", "latent.csv"]) == 0
    assert header("latent.csv") == "row,latent_0,latent_1,problem"
    assert main(["denoise", "a.jsonl", "--noise", "0.5", "-o", "clean.csv"]) == 0
    capsys.readouterr()
    assert main(["denoise", "a.jsonl", "--noise", "0.7", "-o", "clean.csv"]) == 2
    said = capsys.readouterr().err
    assert "noise 0.7 was asked for" in said
    assert "trained with 0.5" in said
    assert "`aestream train --noise 0.7`" in said
    assert main(["score", "a.jsonl", "--set", "model.noise=0.7", "-o", "scores.csv"]) == 0
    assert main(["denoise", "a.jsonl", "--noise", "much"]) == 2


def test_a_file_can_be_learnt_from_without_a_store(tmp_path: Path) -> None:
    written(tmp_path / "a.jsonl", count=600)
    assert main(["encode", "a.jsonl", "--fit", "a.jsonl", "--latent-size", "3", "-o", "latent.csv"]) == 0
    assert header("latent.csv") == "row,latent_0,latent_1,latent_2,problem"
    assert main(["denoise", "a.jsonl", "--fit", "missing.csv", "--noise", "0.3"]) == 1
    assert not Path("models").exists()


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path, store: Path) -> None:
    file = written(tmp_path / "a.jsonl", count=20_000)
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "aestream", "score", str(file), "--set", f"model.store={store}"]
    with subprocess.Popen(
        command, cwd=tmp_path, env={"PYTHONPATH": str(root)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "score" in process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(60) == 0, said
    assert said == ""


@pytest.mark.parametrize(
    "change",
    [
        {"schema": []},
        {"schema_hash": "0"},
        {"options": {"colour": "red"}},
        {"threshold": None},
        {"model": {"kind": "dense", "config": {}}},
        {"model": {"kind": "dense", "config": {"features": 9, "latent_size": 3, "hidden": 2, "members": 1, "seed": 0}}},
        {"representation": 7},
        {"files": {"model.safetensors": 7}},
    ],
    ids=str,
)
def test_a_damaged_manifest_is_one_line(
    tmp_path: Path, store: Path, change: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path / "a.jsonl", count=3)
    shutil.copytree(store, "models")
    (manifest,) = Path("models").glob("default/*/manifest.json")
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **change}))
    assert main(["score", str(file)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"aestream score: the current model default@{manifest.parent.name} cannot be used")
    assert re.search("train (the model )?again", line)


def test_a_version_is_promoted_by_name(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(store, "models")
    registry = LocalRegistry(Path("models"), "default")
    current = registry.current()
    new = registry.publish(manifests.write)
    assert main(["model", "promote"]) == 2
    assert "promote needs a version" in capsys.readouterr().err
    assert main(["model", "list"]) == 0
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if "Z " in line]
    states = {row[1].strip(): row[2].strip() for row in rows}
    assert states == {current: "current", new: "not promoted"}
    assert main(["model", "promote", new]) == 0
    assert f"the current version is now default@{new}" in capsys.readouterr().out
    assert registry.current() == new
    assert main(["model", "promote", "20200101T000000Z"]) == 1
    assert registry.current() == new


def test_only_a_signed_version_is_promoted_where_there_is_a_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private, public = keys.make(tmp_path)
    registry = LocalRegistry(Path("models"), "default")

    def write(folder: Path) -> None:
        manifests.write(folder)
        signature.sign(folder, signature.private_key(private), "default")

    signed, unsigned = registry.publish(write), registry.publish(manifests.write)
    key = f"--set=model.verify_keyfile={public}"
    assert main(["model", "promote", unsigned, key]) == 1
    assert f"{unsigned} is not signed" in capsys.readouterr().err
    assert registry.current() is None
    assert main(["model", "promote", signed, key]) == 0
    assert registry.current() == signed


def test_a_pointer_to_nothing_is_told_beside_what_there_is(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(store, "models")
    pointer = Path("models/default/current")
    good = pointer.read_text().strip()
    pointer.write_text("../../etc")
    for command in (["model", "list"], ["model", "show"], ["model", "rollback"], ["score", "a.jsonl"]):
        assert main(command) == 1
        said = capsys.readouterr()
        assert (good in said.out) == (command[1] == "list")
        (line,) = said.err.splitlines()
        assert "current names '../../etc', which is not a version: `aestream model rollback VERSION` fixes it" in line
    assert main(["model", "rollback", good]) == 0
    pointer.write_text("20990101T000000Z")
    capsys.readouterr()
    assert main(["model", "list"]) == 0
    assert "cannot be read" in capsys.readouterr().out
    assert main(["model", "rollback"]) == 0
    assert pointer.read_text().strip() == good
