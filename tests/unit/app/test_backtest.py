"""`aestream backtest` on files: with a stored model, with one fitted on the way, and with two side by side."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from aestream.cli import main
from tests import telemetry


def write(path: Path, *, by_host: bool = False) -> str:
    with path.open("w") as file:
        telemetry.write(file, by_host=by_host)
    return str(path)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


def figures(text: str) -> dict[str, str]:
    """The table of figures: the first cell of each line, and the rest of it."""
    lines = (line.strip().split("  ", 1) for line in text.splitlines())
    return {line[0]: line[1].strip() for line in lines if len(line) == 2}


@pytest.mark.parametrize("by_host", [False, True])
def test_a_stranger_with_one_file_sees_what_would_have_been_flagged(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, *, by_host: bool
) -> None:
    file = write(tmp_path / "telemetry.csv", by_host=by_host)
    arguments = ["backtest", file, "--key", "host", "--time", "ts", "--label", "fault", "-o", "episodes.csv"]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert "the second half of telemetry.csv, 2026-11-02 09:" in told
    assert "fitted on the first half" in told
    assert not (tmp_path / "models").exists()
    found = figures(told)
    assert found["entities"] == "3"
    assert found["incidents found"] == "3 of 3"
    assert found["median delay"] == "60 s"
    with Path("episodes.csv").open(newline="") as episodes:
        rows = list(csv.DictReader(episodes))
    faulty = [row for row in rows if row["labelled"] == "true"]
    assert {row["entity"] for row in faulty} == {"web-1", "web-3"}
    assert all(row["features"].startswith("disk ") for row in faulty)
    first = next(row for row in faulty if row["entity"] == "web-3")
    assert first["since"] == "2026-11-03T13:41:00Z"
    assert float(first["worst"]) > 1
    assert len(rows) == int(found["episodes"])


def test_a_stored_model_judges_a_stretch_between_two_times_and_is_compared_with_another(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = write(tmp_path / "telemetry.csv")
    entity = ["--key", "host", "--time", "ts", "--set", "features.exclude=fault"]
    for rate in ("0.01", "0.1"):
        assert main(["train", file, *entity, "--set", f"threshold.false_alarm_rate={rate}"]) == 0
    first, second = sorted(path.name for path in (tmp_path / "models" / "default").iterdir() if path.is_dir())
    capsys.readouterr()
    span = ["--from", "2026-11-03T00:00:00Z", "--to", "2026-11-03T04:00:00"]
    assert main(["backtest", file, *entity, *span, "--against", first]) == 0
    told = capsys.readouterr().out
    assert f"default@{second}" in told
    assert f"default@{first}" in told
    found = figures(told)
    assert found["records"].split() == ["720", "720"]
    many, few = map(int, found["episodes"].split())
    assert many > few
    assert "10 % asked" in found["flagged records"]


def test_halves_are_cut_by_times_from_any_start(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    # 0 is in the middle
    rows = [[str(20 * row - 89_990), *values[1:]] for row, values in enumerate(telemetry.rows()[:9000])]
    with (tmp_path / "relative.csv").open("w", newline="") as file:
        csv.writer(file).writerows([telemetry.HEADER, *rows])
    assert main(["backtest", "relative.csv", "--time", "ts", "--label", "fault", "--set", "features.window=1"]) == 0
    assert figures(capsys.readouterr().out)["records"] == "4,500"


def test_two_settings_are_compared_on_the_same_halves(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = write(tmp_path / "telemetry.csv")
    arguments = ["backtest", file, "--label", "fault", "--set", "threshold.false_alarm_rate=0.01"]
    assert main([*arguments, "--against-set", "threshold.false_alarm_rate=0.1"]) == 0
    told = capsys.readouterr().out
    assert "threshold.false_alarm_rate=0.1" in told
    found = figures(told)
    assert found["records"].split() == ["6,000", "6,000"]
    few, many = map(int, found["episodes"].split())
    assert few < many
    assert "in 10,000 records" in found
    assert main(["backtest", "telemetry", "--against-set", "threshold.false_alarm_rate=0.1"]) == 2
    assert "--fit" in capsys.readouterr().err


def test_a_level_that_moves_for_good_is_told_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = write(tmp_path / "telemetry.csv")
    given = ["--set", "features.window=10", "--set", "threshold.false_alarm_rate=0.01"]
    arguments = ["backtest", file, "--key", "host", "--time", "ts", "--label", "fault", *given]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert "web-2: moved for good since 2026-11-03 02:0" in told
    assert figures(told)["entities moved for good"] == "1"
    assert figures(told)["incidents found"] == "3 of 3"
    assert int(figures(told)["flagged records"].split()[0]) < 250
    assert "fit with another AESTREAM_THRESHOLD__FALSE_ALARM_RATE" in told


def test_a_plot_shows_the_entities(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install '.[demo]'")
    file = write(tmp_path / "telemetry.csv")
    for more in ([], ["--key", "host", "--time", "ts"]):
        assert main(["backtest", file, "--label", "fault", "--plot", "new/scores.png", *more]) == 0
        assert Path("new/scores.png").read_bytes().startswith(b"\x89PNG")
    assert main(["backtest", file, "--plot", "."]) == 1
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["missing.csv"], "there is no file missing.csv", 1),
        (["telemetry.csv", "--from", "yesterday"], "--from and --to are times", 2),
        (["telemetry.csv", "--from", "2026-11-01"], "name their field with --time", 2),
        (["telemetry.csv", "--key", "hots"], "'hots' is named in AESTREAM_FEATURES__KEY", 1),
        (["telemetry.csv", "--time", "fault"], "telemetry.csv cannot be cut in halves by 'fault', which AESTREAM", 1),
        (["telemetry.csv", "--label", "host"], "the label 'host' holds 'web-1'", 1),
        (["telemetry.csv", "--time", "ts", "--from", "2027-01-01"], "there are no records in the stretch", 1),
    ],
)
def test_what_cannot_be_judged_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], words: str, code: int
) -> None:
    write(tmp_path / "telemetry.csv")
    assert main(["backtest", *arguments]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
