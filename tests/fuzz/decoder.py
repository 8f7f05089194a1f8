"""The decoder in C beside msgspec, on records made of good and odd pieces: what it reads, msgspec reads alike.

python -m tests.fuzz.decoder --library aestream_speedups.abi3.so [--inputs 1000000] [--seed 0]
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import struct
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from aestream.codecs.flat import FlatRows
from aestream.codecs.typed import TypedRows
from aestream.columns import Column, Kind
from tests.fuzz.inputs import _OF_BYTES, ODD, TOKENS, WHOLE, written
from tests.speedups import load

LIMIT = 20_000
BATCH = 2_000
NAMES = ("load", "é", "up", "cpu.user", "maybe", "at", "a", "sure")
COLUMNS = (
    Column(),
    Column(),
    Column(Kind.BOOLEAN),
    Column(),
    Column(imputed=True),
    Column(Kind.TIMESTAMP, unit="ms"),
    Column(imputed=True),
    Column(Kind.BOOLEAN, imputed=True),
)
_POOL = 4_000  # pieces of each kind, made anew for every batch of batches
_SPACES = (b"", b"", b"", b"", b" ", b"\n", b"\t ", b"\r\n")


def compare(decoder: ModuleType, inputs: int, seed: int) -> Counter[str]:
    """Read so many values in both ways -> how many there were of each outcome. Raises AssertionError."""
    counts: Counter[str] = Counter()
    paths = [(name,) for name in NAMES]
    typed = TypedRows.of(paths, COLUMNS, (), max_record_bytes=LIMIT)
    assert typed is not None
    flat = FlatRows(decoder, NAMES, COLUMNS, max_record_bytes=LIMIT)
    for batch in range(-(-inputs // BATCH)):
        values = values_of(random.Random(f"{seed} {batch}"))
        try:
            same(flat, typed, values, counts)
        except AssertionError as error:
            error.add_note(f"seed {seed}, batch {batch}")
            raise
    return counts


def same(flat: FlatRows, typed: TypedRows, values: Sequence[bytes | None], counts: Counter[str]) -> None:
    """Check that of these values the first reads none otherwise than the second."""
    ours, left = flat.read(values, range(len(values)))
    theirs, others = typed.read(values, range(len(values)))
    assert sorted([*ours.rows.tolist(), *left]) == list(range(len(values)))
    strange = set(ours.rows.tolist()) & set(others)
    assert not strange, [values[row] for row in strange]
    both = theirs.matrix[np.isin(theirs.rows, ours.rows)]
    unlike = np.flatnonzero(
        (ours.matrix.view(np.int64) != both.view(np.int64)) & ~(np.isnan(ours.matrix) & np.isnan(both))
    )
    assert not len(unlike), [
        (values[ours.rows[at // len(NAMES)]], ours.matrix.flat[at], both.flat[at]) for at in unlike
    ]
    counts["read by both"] += len(ours.rows)
    counts["by msgspec alone"] += len(theirs.rows) - len(ours.rows)
    counts["by neither"] += len(others)


def number(rng: random.Random) -> bytes:
    """A JSON number, mostly of those that the decoder is sure of."""
    return rng.choice(_RARE if rng.random() < 0.08 else _USUAL)(rng)


def _halfway(rng: random.Random) -> bytes:
    """A number half way between two doubles, cut to some digits, or next to it."""
    power = rng.randint(-60, 12)
    exact = str((2 * (rng.getrandbits(53) | 2**52) + 1) * 2 ** max(power, 0) * 5 ** max(-power, 0))
    digits = exact[: rng.choice((17, 18, 19, 19, 20, len(exact)))]
    exponent = len(exact) - len(digits) + min(power, 0) + rng.choice((0, 0, -5, 5))
    return f"{rng.choice(('', '-'))}{int(digits) + rng.choice((0, 0, 1, -1))}e{exponent}".encode()


def _digits(rng: random.Random, most: int) -> str:
    return "".join(rng.choices("0123456789", k=rng.randint(1, most)))


_USUAL = (
    lambda rng: b"%d" % rng.randint(-1000, 1000),
    lambda rng: b"%d" % (rng.getrandbits(rng.randint(1, 63)) * rng.choice((1, -1))),
    lambda rng: b"%.*f" % (rng.randint(0, 10), rng.gauss(0, 10 ** rng.randint(-5, 8))),
    lambda rng: b"%.*e" % (rng.randint(0, 17), rng.gauss(0, 1) * 10.0 ** rng.randint(-9, 25)),
    lambda rng: repr(rng.gauss(0, 10 ** rng.randint(-3, 12))).encode(),
    lambda rng: repr(rng.gauss(0, 1)).encode(),
    lambda rng: f"{rng.randint(1, 9)}.{_digits(rng, 18)}e{rng.randint(-9, 27)}".encode(),
    lambda rng: b"%d.%d" % (2**53 // 10 ** (cut := rng.randint(0, 4)), rng.randrange(10**cut)),
    lambda rng: rng.choice((b"0", b"-0.0", b"0e5", b"-0e-5", b"0.0", b"0e999", b"1E3", b"1e+3", b"-0.0e99")),
)
_RARE = (
    _halfway,
    _halfway,
    lambda rng: b"%d" % (rng.getrandbits(rng.randint(60, 70)) * rng.choice((1, -1))),
    lambda rng: b"%.*f" % (rng.randint(0, 20), rng.gauss(0, 10 ** rng.randint(-5, 8))),
    lambda rng: b"%.*e" % (rng.randint(0, 20), rng.gauss(0, 1) * 10.0 ** rng.randint(-330, 300)),
    lambda rng: repr(struct.unpack("d", rng.randbytes(8))[0]).encode(),
    lambda rng: f"{_digits(rng, 1)}.{_digits(rng, 25)}0e{rng.randint(-30, 30)}".encode(),
    lambda rng: b"0." + b"0" * rng.randint(0, 30) + b"%d" % rng.getrandbits(rng.randint(1, 64)),
    lambda rng: b"0." + b"0" * rng.randint(0, 1200) + b"1e%d" % rng.randint(0, 1300),
    lambda _rng: b"-0",
)


def _pools(rng: random.Random) -> tuple[list[bytes], list[bytes]]:
    """Members of the fields that are asked for, and of others."""
    names = [json.dumps(name, ensure_ascii=False).encode() for name in NAMES]
    good: list[bytes] = []
    for name, column in itertools.islice(itertools.cycle(zip(names, COLUMNS, strict=True)), _POOL):
        value = rng.choice((b"true", b"false")) if column.kind is Kind.BOOLEAN else number(rng)
        if rng.random() < 0.03:
            value = rng.choice((b"null", b"true", number(rng), written(rng.choice(ODD))))
        good.append(name + rng.choice(_SPACES) + b":" + rng.choice(_SPACES) + value)
    other = [
        (
            written(f"x{rng.randrange(9)}")
            if rng.random() < 0.95
            else written(rng.choice(TOKENS).decode(errors="replace"))
        )
        + b":"
        + (written(rng.choice(ODD)) if rng.random() < 0.2 else rng.choice(_OTHER)(rng))
        for _ in range(_POOL // 4)
    ]
    return good, other


_OTHER = (
    number,
    lambda rng: rng.choice((b"true", b"false", b"null", b"[]", b"{}", b'""')),
    lambda rng: written("".join(rng.choices('ab "\\/\n\té😀\x7f', k=rng.randint(0, 12)))),
    lambda rng: json.dumps("".join(rng.choices('ab "\\/\n\té😀\x00', k=rng.randint(0, 12)))).encode(),
    lambda rng: written([{"a": [1, 2.5, None], "load": rng.random()}] * rng.randint(0, 3)),
    lambda rng: b"[" * (deep := rng.randint(1, 20)) + b"]" * deep,
)


def values_of(rng: random.Random) -> list[bytes | None]:
    """A batch of values, most of them records, a third of them damaged."""
    good, other = _pools(rng)
    width, values = len(NAMES), list[bytes | None]()
    for _ in range(BATCH):
        members = [good[rng.randrange(_POOL // width) * width + place] for place in range(width)]
        kind = rng.random()
        if kind < 0.5:
            rng.shuffle(members)
        if kind < 0.3:
            members.insert(rng.randrange(width + 1), rng.choice(other))
        elif kind < 0.4:
            del members[rng.randrange(width)]
        elif kind < 0.42:
            members.append(rng.choice(good))
        value = b"{" + rng.choice((b",", b",", b" , ", b",\n")).join(members) + b"}"
        if kind > 0.99:
            values.append(rng.choice(WHOLE)(b'{"load":1,"maybe":2.5}', rng))
            continue
        while rng.random() < 0.25:
            value = rng.choice(_OF_BYTES)(value, rng)
        values.append(value)
    return values


def main() -> None:
    """Compare, and say what was compared."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.perf_counter()
    counts = compare(load(options.library), options.inputs, options.seed)
    print(f"{counts.total():,} inputs in {time.perf_counter() - began:.0f} s: {dict(counts)}")  # noqa: T201


if __name__ == "__main__":
    main()
