"""The demo's options, in a separate module so that `aestream --help` needs none of the demo's packages."""

from __future__ import annotations

import argparse
from pathlib import Path

from aestream.settings.values import seconds

PLOT = Path("aestream-demo.png")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the demo's options to its command."""
    add = parser.add_argument
    add(
        "--data",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="use these npz, CSV or Parquet files, an entity each, instead of the bundled recording",
    )
    add("--interval", type=_interval, metavar="DURATION", help="time between the rows of a file (default: 1s)")
    add("--label", metavar="NAME", help="label column of a CSV or Parquet file; 0 is normal")
    add("--bootstrap-servers", metavar="HOST:PORT", help="use this Kafka instead of the embedded broker")
    add("--rate", type=_rate, metavar="N", help="records per second, 0 for no limit (default: 15 s in all)")
    add("--limit", type=_count, metavar="N", help="stream only the first N records of the test part")
    add(
        "--false-alarm-rate",
        type=float,
        metavar="SHARE",
        help="share of normal records that may be flagged (default: the setting)",
    )
    add("--summary", type=Path, metavar="FILE", help="write the summary as JSON")
    add("--plot", type=Path, metavar="FILE", default=PLOT, help=f"write the plot to this file (default: {PLOT})")
    add("--no-live", action="store_true", help="print plain lines instead of the live view, for logs and CI")
    add("--keep", action="store_true", help="keep broker and worker running until Ctrl-C, to look around")


def _rate(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: give records per second, or 0 for no limit")
    return value


def _interval(text: str) -> float:
    value = float(seconds(text))  # type: ignore[arg-type]
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text}: give a duration above 0, such as 1s or 5m")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: give at least 1")
    return value
