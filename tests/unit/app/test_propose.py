"""`aestream init`: what it proposes for a file, and that the proposal is a configuration that works."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from aestream.app.propose import propose
from aestream.cli import main
from aestream.columns import Column, Kind
from aestream.inference.infer import Inference
from aestream.inference.judgement import Finding
from aestream.registry.local import LocalRegistry
from aestream.settings import settings


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(path: Path, count: int = 700) -> Path:
    rng = random.Random(0)
    lines = []
    for i in range(count):
        record = {
            "id": i,
            "time": f"2026-01-{i // 24 + 1:02}T{i % 24:02}:00:00Z",
            "sensor": {"load": rng.random(), "zone": rng.choice(["north, upper", "south"])},
            "heating": rng.random() < 0.3,
            "wind": rng.gauss(5, 1) if rng.random() < 0.9 else None,
            "note": f"reading {i}",
        }
        lines.append(json.dumps(record))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_proposal_names_kinds_reasons_and_policies_and_trains_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    written(Path("a.jsonl"))
    assert main(["init", "--file", "a.jsonl", "--out", ".env"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("wrote .env\nnote: id: left out, because it only moves one way")
    text = Path(".env").read_text()
    words = [line.split() for line in text.splitlines()]
    assert ["#", "sensor.load", "numeric"] in [line[:3] for line in words]
    assert ["#", "sensor.zone", "categorical"] in [line[:3] for line in words]
    assert ["#", "heating", "boolean"] in [line[:3] for line in words]
    assert "#   id    a counter: only rises" in text
    assert "#   note  free text or names: 700 different values in 700 records" in text
    assert "# AESTREAM_FEATURES__TIMESTAMPS=time\n" in text
    assert "# AESTREAM_TOPICS__INPUT=\n" in text
    features = settings.load().features
    assert features.include == ["sensor.load", "sensor.zone", "heating", "wind"]
    assert features.missing == ["dead_letter", "wind=impute"]

    use = text.replace("# AESTREAM_FEATURES__TIMESTAMPS", "AESTREAM_FEATURES__TIMESTAMPS")
    Path(".env").write_text(use)
    assert main(["train", "a.jsonl"]) == 0
    assert "700 records, 5 features" in capsys.readouterr().out
    store = LocalRegistry(Path("models"), "default")
    manifest = json.loads((store.open(str(store.current())) / "manifest.json").read_text())
    told = dict(zip(manifest["schema"]["names"], manifest["schema"]["columns"], strict=True))
    assert told["wind"] == {"kind": "numeric", "missing": "impute"}
    assert told["sensor.zone"]["categories"] == ["north, upper", "south"]
    assert told["time"] == {"kind": "timestamp", "missing": "dead_letter", "unit": "text"}
    assert main(["score", "a.jsonl", "-o", "scores.jsonl"]) == 0
    assert all("score" in json.loads(line) for line in Path("scores.jsonl").read_text().splitlines())


def test_it_prints_unless_told_where_and_overwrites_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    written(Path("a.jsonl"))
    assert main(["init", "--file", "a.jsonl", "--set", "topics.input=plant"]) == 0
    assert "\nAESTREAM_TOPICS__INPUT=plant\n" in capsys.readouterr().out
    Path("mine").write_text("x")
    assert main(["init", "--file", "a.jsonl", "--out", "mine"]) == 2
    assert "mine already exists" in capsys.readouterr().err
    assert Path("mine").read_text() == "x"
    assert main(["init"]) == 2
    assert "AESTREAM_TOPICS__INPUT is not set" in capsys.readouterr().err
    assert main(["init", "--file", "b.jsonl"]) == 1
    assert "there is no file b.jsonl" in capsys.readouterr().err


def test_names_that_a_list_cannot_hold_are_written_as_patterns() -> None:
    findings = [
        Finding("a,b", ("a,b",), "numeric", Column(), "1 to 2", 0.0),
        Finding('say "hi"', ('say "hi"',), "true/false", Column(Kind.BOOLEAN, imputed=True), "true in 5 %", 0.5),
        Finding("line\nbreak", ("line\nbreak",), "text", None, "constant: always 1", 0.0),
    ]
    text = propose(Inference(findings), source="topic t", records=9, connection={"AESTREAM_KAFKA__GROUP_ID": "a b"})
    assert 'AESTREAM_KAFKA__GROUP_ID="a b"' in text
    assert "'line\\nbreak'" in text
    Path(".env").write_text(text)
    loaded = settings.load()
    assert loaded.features.include == ["a?b", 'say "hi"']
    assert loaded.features.missing == ["dead_letter", 'say "hi"=impute']
    assert loaded.kafka.group_id == "a b"


def test_how_the_records_are_found_in_a_message_is_part_of_the_proposal(capsys: pytest.CaptureFixture[str]) -> None:
    records = [json.loads(line) for line in written(Path("a.jsonl")).read_text().splitlines()]
    Path("b.jsonl").write_text("\n".join(json.dumps({"plant": 'a "b"', "items": [record]}) for record in records))
    options = ["--set", "records.unpack=items", "--set", 'records.where=plant=a "b"']
    assert main(["init", "--file", "b.jsonl", "--out", ".env", *options]) == 0
    assert {"sensor.load", "sensor.zone", "heating", "wind"} <= set(settings.load().features.include)
    found = settings.load().records
    assert (found.layout, found.unpack, found.where) == ("plain", "items", {"plant": 'a "b"'})
    assert main(["train", "b.jsonl"]) == 0
    assert "700 records" in capsys.readouterr().out


METRICS = {
    "cpu": ["usage_user", "usage_system", "usage_iowait"],
    "mem": ["used_percent", "cached", "dirty"],
    "swap": ["free", "in", "out"],
    "nginx": ["active", "reading", "writing"],
    "redis": ["clients", "keyspace_hits", "evicted"],
}


def telegraf(path: Path, names: list[str]) -> None:
    rng = random.Random(0)
    lines = []
    for i in range(400):
        for host in ("a", "b"):
            for name in names:
                fields = {field: rng.gauss(50, 9) for field in METRICS[name]}
                metric = {"fields": fields, "name": name, "tags": {"host": host}, "timestamp": 1_760_000_000 + 10 * i}
                lines.append(json.dumps(metric))
    path.write_text("\n".join(lines))


def test_the_layout_of_the_records_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    telegraf(Path("a.jsonl"), ["cpu"])
    assert main(["init", "--file", "a.jsonl", "--out", ".env"]) == 0
    assert settings.load().records.layout == "telegraf"
    assert settings.load().features.include == ["host", "usage_user", "usage_system", "usage_iowait"]
    assert main(["train", "a.jsonl"]) == 0
    row = '{"schema": null, "payload": {"op": "c", "before": null, "after": {"a": %d}, "source": {}}}'
    Path("b.jsonl").write_text("\n".join(row % (i * i % 97) for i in range(200)))
    Path(".env").unlink()
    capsys.readouterr()
    assert main(["init", "--file", "b.jsonl"]) == 0
    assert "\nAESTREAM_RECORDS__LAYOUT=debezium\n" in capsys.readouterr().out


def test_a_proposal_for_several_kinds_of_record_does_not_hide_them(capsys: pytest.CaptureFixture[str]) -> None:
    telegraf(Path("a.jsonl"), list(METRICS))
    assert main(["init", "--file", "a.jsonl", "--out", ".env"]) == 0
    wrote, *notes = capsys.readouterr().out.splitlines()
    assert wrote == "wrote .env"
    assert any("5 kinds of record" in note and "AESTREAM_RECORDS__WHERE=name=" in note for note in notes)
    assert not any("entities apart" in note for note in notes)
    assert settings.load().features.include == []
    assert main(["train", "a.jsonl"]) == 1
    assert "5 kinds of record" in capsys.readouterr().err
    assert main(["train", "a.jsonl", "--set", "records.where=name=mem"]) == 0


def test_what_no_layout_reads_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.jsonl").write_text("[1]\n[2]\n")
    assert main(["init", "--file", "a.jsonl"]) == 1
    assert "an array of 1 record: set AESTREAM_RECORDS__UNPACK=." in capsys.readouterr().err


def test_what_tells_entities_apart_is_proposed_for_use() -> None:
    rows = [{"host": f"web-{i % 3}", "rx": (i // 3) * 7 + 1000 * (i % 3), "load": i * 37 % 101} for i in range(900)]
    Path("a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["init", "--file", "a.jsonl", "--out", ".env"]) == 0
    assert settings.load().features.key == ["host"]
