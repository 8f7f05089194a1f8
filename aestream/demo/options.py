"""The demo's options, apart from the demo itself so that `aestream --help` needs none of its packages."""

from __future__ import annotations

import argparse
from pathlib import Path

PLOT = Path("aestream-demo.png")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the demo's options to its command."""
    add = parser.add_argument
    add("--data", type=Path, metavar="FILE", help="npz, CSV or Parquet instead of the bundled recording")
    add("--label", metavar="NAME", help="the label's column in a CSV or Parquet file: 0 is normal")
    add("--bootstrap-servers", metavar="HOST:PORT", help="use this Kafka instead of an embedded one")
    add("--rate", type=_rate, metavar="N", help="records a second, 0 for as fast as it goes; default: 20 s in all")
    add("--limit", type=_count, metavar="N", help="stream only the first N records of the test part")
    add(
        "--false-alarm-rate",
        type=float,
        metavar="SHARE",
        help="of normal records that may be flagged; default: as set",
    )
    add("--summary", type=Path, metavar="FILE", help="write the summary as JSON")
    add("--plot", type=Path, metavar="FILE", default=PLOT, help=f"write the picture there (default ./{PLOT})")
    add("--no-live", action="store_true", help="plain lines instead of the live view, for logs and CI")
    add("--keep", action="store_true", help="leave broker and worker running until Ctrl-C, to look around")


def _rate(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: give records a second, or 0 for as fast as it goes")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: give at least 1")
    return value
