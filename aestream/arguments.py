"""The options that several commands share, and those of larger commands, named like the settings."""

from __future__ import annotations

import argparse
from pathlib import Path

from aestream.types import Reason


def add_uses(command: argparse.ArgumentParser) -> None:
    """Add the options for what a model does besides detection, named like the settings."""
    command.add_argument("--latent-size", metavar="N", help="length of the latent vectors that `encode` writes")
    command.add_argument("--noise", metavar="S", help="noise that `denoise` removes, in standard deviations")


def add_backtest(command: argparse.ArgumentParser) -> None:
    """Add the options that say what is judged, and with what."""
    add = command.add_argument
    add(
        "source", nargs="?", metavar="FILE|TOPIC", help="CSV, JSON lines, Parquet or a topic (default: the input topic)"
    )
    add_entities(command)
    add_encoding(command)
    add("--label", metavar="FIELD", help="the field that marks what was wrong, a number or flag; not for training")
    add("--from", dest="start", metavar="TIME", help="judge records from this time on, in ISO 8601 or seconds")
    add("--to", dest="end", metavar="TIME", help="judge records before this time")
    add("--fit", type=Path, metavar="FILE", help="fit on this file; on the first half, if it is the file to judge")
    second = command.add_mutually_exclusive_group()
    second.add_argument("--against", metavar="VERSION", help="compare with this version of the model")
    second.add_argument("--against-set", metavar="NAME=VALUE", help="compare with a model fitted with this setting")
    add("--plot", type=Path, metavar="FILE", help="draw the scores of the worst entities as PNG")
    add_output(command, "write the episodes")


def add_bench(command: argparse.ArgumentParser) -> None:
    """Add the options that say what is measured, and for which rate."""
    add = command.add_argument
    add("--records", type=int, default=50_000, metavar="N", help="measure with the newest N records (default: 50000)")
    add("--rate", type=float, metavar="R", help="say what R records a second would need, too")
    add("--scoring-only", action="store_true", help="no topics, no worker: measure only scoring, in this process")
    add("--json", action="store_true", help="print one JSON object and no tables")


def add_topics(command: argparse.ArgumentParser) -> None:
    """Add the options that say which topics are created, and how."""
    add = command.add_argument
    add("action", choices=("create",), help="create the missing result topics")
    add("--partitions", type=int, metavar="N", help="number of partitions (default: as many as the input topic has)")
    add("--replication", type=int, default=-1, metavar="N", help="replication factor (default: the broker's)")
    add("--with-input", action="store_true", help="create the input topic as well")


def add_dead_letters(command: argparse.ArgumentParser) -> None:
    """Add the options that say which dead letters are meant, and what to do with them."""
    add = command.add_argument
    add("action", choices=("show", "replay"), help="show what lies in the topic; send it back to where it came from")
    add("--reason", choices=[*Reason], metavar="REASON", help="only letters of this reason, such as not_numeric")
    add("--last", type=int, default=10, metavar="N", help="show: the last N letters one by one (default: 10)")
    add("--json", action="store_true", help="show: these letters as JSON, one on each line, and no table")
    add("--dry-run", action="store_true", help="replay: say what would be sent, and send nothing")


def add_output(command: argparse.ArgumentParser, write: str) -> None:
    """Add the options for results in a file."""
    command.add_argument(
        "--output", "-o", type=Path, metavar="FILE", help=f"{write} to this file; its suffix sets the format"
    )
    command.add_argument("--format", choices=("csv", "jsonl", "parquet"), help="format of the output")


def add_entities(command: argparse.ArgumentParser) -> None:
    """Add the options that say which records belong together, named like the settings."""
    command.add_argument("--key", metavar="FIELD", help="fields that tell entities apart, comma-separated")
    command.add_argument("--time", metavar="FIELD", help="the field that orders an entity's records")


def add_encoding(command: argparse.ArgumentParser) -> None:
    """Add the option for files that are not in UTF-8, named like the setting."""
    command.add_argument("--encoding", metavar="NAME", help="encoding of a text file, such as cp1252 or utf-16")
