"""What a bench prints, for people and for programs."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from aestream.bench import report
from aestream.bench.arrivals import Arrival, Of
from aestream.bench.latency import Latency
from aestream.bench.report import Findings, Line
from aestream.bench.sample import Sample
from aestream.bench.scoring import Scoring
from aestream.bench.throughput import Throughput
from aestream.types import Batch, Partition, Span

RATES = (
    Arrival(Of.SAMPLE, 812.3),
    Arrival(Of.PEAK_MINUTE, 20_000.0, 1_790_000_000_000),
    Arrival(Of.NOW, 0.04),
    Arrival(Of.ASKED, 1e6),
)


def findings(share: int = 2) -> Findings:
    """Ten records, of which the first of three partitions has `share`; a worker that takes 10,000 a second."""
    spans = [Span(Partition("in", 0), 0, share), Span(Partition("in", 1), share, 10)]
    rows = range(10)
    batch = Batch(spans, rows, rows, [None] * 10, [b"123"] * 10, [()] * 10)
    return Findings(
        inputs=["in"],
        partitions=3,
        model="default@7",
        delivery="exactly_once",
        sample=Sample(batch),
        alone=Scoring(1_000, 0.005),
        worker=Throughput(40_000, 4.0, 1.2, 300 * 2**20, 5.25),
        calm=Latency(50.0, 300, 0.0123, 0.0456),
        lone=None,
        lines=[Line.of(rate, takes=10_000.0, partitions=3, share=0.4) for rate in RATES],
        notes=["so be it"],
    )


def shown(found: Findings) -> list[str]:
    """The lines that are printed on a terminal of 80 characters."""
    out = io.StringIO()
    report.show(found, Console(file=out, width=80))
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_people_read_tables() -> None:
    lines = shown(findings())
    assert lines[0] == "10 records of in, 3 bytes in the mean; model default@7; exactly once"
    for expected in (
        "one worker 10,000 records/s, over 4.0 s",
        "its CPU time 30.0 us a record",
        "its memory 300 MiB at most",
        "from its start to the first scores 5.2 s",
        "latency at 50 records/s p50 12.3 ms, p99 45.6 ms",
        "scoring alone 200,000 records/s a core",
        "arrivals records/s workers partitions today's 3",
        "mean of the sample 812 1 1 suffice",
        "busiest minute, 09-21 14:13 20,000 4 4 too few",
        "during the bench 0.04 1 1 suffice",
        "asked for (--rate) 1,000,000 143 143 too few",
        "workers and partitions are counted at 70 % of what a worker takes",
        "note: so be it",
    ):
        assert expected in lines
    assert not any("alone has" in line for line in lines)


def test_a_partition_with_too_many_records_is_named() -> None:
    lines = [Line.of(RATES[1], takes=20_000.0, partitions=3, share=0.8)]
    told = shown(replace(findings(8), lines=lines))
    assert "busiest minute, 09-21 14:13 20,000 2 2 uneven" in told
    assert any(line.startswith("note: in/0 alone has 80 % of the records: more partitions") for line in told)


def test_without_a_worker_there_is_only_what_is_known() -> None:
    lines = [Line.of(rate, takes=None, partitions=3, share=0.4) for rate in RATES]
    found = replace(findings(), worker=None, calm=None, lines=lines)
    told = shown(found)
    assert "mean of the sample 812" in told
    assert not any("worker" in line or "latency" in line for line in told)
    assert report.document(found)["worker"] is None


def test_programs_read_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    report.dump(findings())
    found = json.loads(capsys.readouterr().out)
    assert found["worker"]["cpu_us_per_record"] == pytest.approx(30)
    assert found["latency"]["lone"] is None
    assert found["arrivals"][1] == {
        "of": "peak_minute",
        "records_per_second": 20_000.0,
        "at": "2026-09-21T14:13:20+00:00",
        "workers": 4,
        "partitions": 4,
        "partitions_suffice": False,
        "uneven": False,
    }
