"""What `aestream bench` prints: two tables for people, or one JSON object for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from aestream.bench.arrivals import Arrival, Of
from aestream.bench.capacity import LOAD, Need, need
from aestream.bench.latency import CALM_RATE, Latency
from aestream.bench.sample import Sample
from aestream.bench.scoring import Scoring
from aestream.bench.throughput import Throughput
from aestream.messages.cloudevents import moment

_MIB = 2**20
_CALLED = {
    Of.SAMPLE: "mean of the sample",
    Of.PEAK_MINUTE: "busiest minute",
    Of.NOW: "during the bench",
    Of.ASKED: "asked for (--rate)",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A rate of arrival, and what it needs; None if no worker was measured."""

    arrival: Arrival
    need: Need | None

    @classmethod
    def of(cls, arrival: Arrival, *, takes: float | None, partitions: int, share: float) -> Line:
        """Work out what a rate needs where a worker takes so many records a second."""
        if takes is None:
            return cls(arrival, None)
        return cls(arrival, need(arrival.rate, takes=takes, partitions=partitions, share=share))


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a bench found out. `partitions` are those of the input; latencies are None where not measured."""

    inputs: Sequence[str]
    partitions: int
    model: str
    delivery: str
    sample: Sample
    alone: Scoring
    worker: Throughput | None
    calm: Latency | None
    lone: Latency | None
    lines: Sequence[Line]
    notes: Sequence[str]


def document(found: Findings) -> dict[str, Any]:
    """The findings as JSON has them."""
    worker, (busiest, share) = found.worker, found.sample.busiest
    return {
        "input": list(found.inputs),
        "partitions": found.partitions,
        "busiest_partition": {"topic": busiest.topic, "partition": busiest.partition, "share": share},
        "model": found.model,
        "delivery": found.delivery,
        "sample": {"records": len(found.sample), "bytes_per_record": found.sample.bytes / len(found.sample)},
        "scoring": {"records": found.alone.records, "records_per_second_per_core": found.alone.rate},
        "worker": worker
        and {
            "records": worker.records,
            "seconds": worker.seconds,
            "records_per_second": worker.rate,
            "cpu_us_per_record": worker.cpu_per_record * 1e6,
            "memory_bytes": int(worker.memory),
            "first_score_seconds": worker.start,
        },
        "latency": {"calm": _latency(found.calm), "lone": _latency(found.lone)},
        "load": LOAD,
        "arrivals": [_line(line) for line in found.lines],
        "notes": list(found.notes),
    }


def _latency(found: Latency | None) -> dict[str, float] | None:
    if found is None:
        return None
    milliseconds = {"p50_ms": found.p50 * 1000, "p99_ms": found.p99 * 1000}
    return {"records_per_second": found.rate, "records": found.records, **milliseconds}


def _line(line: Line) -> dict[str, Any]:
    arrival, wanted = line.arrival, line.need
    about = {"of": str(arrival.of), "records_per_second": arrival.rate}
    if arrival.at is not None:
        about["at"] = moment(arrival.at).isoformat()
    if wanted is None:
        return about
    return {
        **about,
        "workers": wanted.workers,
        "partitions": wanted.partitions,
        "partitions_suffice": wanted.enough,
        "uneven": wanted.uneven,
    }


def dump(found: Findings) -> None:
    """Print the findings as JSON."""
    print(json.dumps(document(found), indent=2))  # noqa: T201


def show(found: Findings, console: Console) -> None:
    """Print the tables."""
    about = f"{len(found.sample):,} records of {', '.join(found.inputs)}"
    size = found.sample.bytes / len(found.sample)
    told = f"{about}, {size:,.0f} bytes in the mean; model {found.model}; {found.delivery.replace('_', ' ')}"
    console.print(told, highlight=False, markup=False, soft_wrap=True)
    figures = Table(Column("", no_wrap=True), "", show_header=False, pad_edge=False, box=SIMPLE_HEAD)
    for name, value in _figures(found):
        figures.add_row(name, value)
    console.print(figures, highlight=False)
    console.print(_needs(found), highlight=False)
    if found.worker is not None:
        told = f"workers and partitions are counted at {100 * LOAD:.0f} % of what a worker takes"
        console.print(told, highlight=False, markup=False, soft_wrap=True)
    for note in (*found.notes, *_uneven(found)):
        console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)


def _figures(found: Findings) -> Iterator[tuple[str, str]]:
    worker = found.worker
    if worker is not None:
        yield "one worker", f"{worker.rate:,.0f} records/s, over {worker.seconds:.1f} s"
        yield "its CPU time", f"{worker.cpu_per_record * 1e6:.1f} us a record"
        yield "its memory", f"{worker.memory / _MIB:,.0f} MiB at most"
        yield "from its start to the first scores", f"{worker.start:.1f} s"
    for what, latency in ((f"at {CALM_RATE:.0f} records/s", found.calm), ("of a record alone", found.lone)):
        if latency is not None:
            yield f"latency {what}", f"p50 {latency.p50 * 1000:,.1f} ms, p99 {latency.p99 * 1000:,.1f} ms"
    yield "scoring alone", f"{found.alone.rate:,.0f} records/s a core"


def _needs(found: Findings) -> Table:
    known = found.worker is not None
    more = ("workers", "partitions", f"today's {found.partitions}") if known else ()
    right = [Column(name, justify="right", no_wrap=True) for name in ("records/s", *more[:2])]
    last = [Column(name, no_wrap=True) for name in more[2:]]
    table = Table(Column("arrivals", no_wrap=True), *right, *last, pad_edge=False, box=SIMPLE_HEAD)
    for line in found.lines:
        arrival, wanted = line.arrival, line.need
        at = "" if arrival.at is None else f", {moment(arrival.at):%m-%d %H:%M}"
        cells = [_CALLED[arrival.of] + at, f"{arrival.rate:,.0f}" if arrival.rate >= 1 else f"{arrival.rate:.2g}"]
        if wanted is not None:
            few = "too few" if wanted.partitions > found.partitions else "uneven"
            cells += [f"{wanted.workers:,}", f"{wanted.partitions:,}", "suffice" if wanted.enough else few]
        table.add_row(*cells)
    return table


def _uneven(found: Findings) -> Iterator[str]:
    """What to say where a partition has too many of the records."""
    if any(line.need is not None and line.need.uneven for line in found.lines):
        busiest, share = found.sample.busiest
        yield (
            f"{busiest.topic}/{busiest.partition} alone has {100 * share:.0f} % of the records: more partitions and "
            "workers help only if records are spread more evenly, by other keys"
        )
