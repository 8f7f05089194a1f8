"""What `aestream dlq` prints: a table of reasons, single letters as lines or JSON, and what became of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from aestream.app import dead_letters
from aestream.app.dead_letters import Found
from aestream.app.terminal import console
from aestream.messages.cloudevents import moment
from aestream.messages.letters import Letter
from aestream.service.redelivery import Outcome

_SHOWN = 120  # characters of a value


@contextmanager
def working(what: str) -> Iterator[dead_letters.Progress]:
    """Show how many letters are done, if there is a terminal; a bar if it is known how many there are."""
    shown = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn(what), BarColumn(), TextColumn("{task.completed:,} letters")
    with Progress(*columns, TimeRemainingColumn(), console=shown, transient=True, disable=not shown.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of if of > done else None)


def show(found: Found) -> None:
    """Print the table of reasons, and the newest letters."""
    if not found.piles:
        _say("no dead letters")
        return
    table = Table(
        Column("reason", no_wrap=True),
        Column("letters", justify="right"),
        Column("of topic", overflow="fold"),
        Column("first", no_wrap=True),
        Column("last", no_wrap=True),
        pad_edge=False,
        box=SIMPLE_HEAD,
    )
    for (reason, topic), pile in found.piles.items():
        times = (f"{moment(letter.time):%Y-%m-%d %H:%M}" for letter in (pile.first, pile.last))
        table.add_row(escape(_plain(reason)), f"{pile.count:,}", escape(_plain(topic)), *times)
    console.print(table, highlight=False)
    _say("the last of each:")
    for pile in found.piles.values():
        _line(pile.last)
    if found.newest:
        _say(f"\nthe last {len(found.newest)}:")
    for letter in found.newest:
        _line(letter)
        _say(f"    {beginning(letter.value)}")


def dump(found: Found) -> None:
    """Print the newest letters as JSON, one on each line."""
    for letter in found.newest:
        print(json.dumps(document(letter), ensure_ascii=False))  # noqa: T201


def document(letter: Letter) -> dict[str, object]:
    """A letter as JSON has it. Bytes that are no text are in base64, under a name that says so."""
    source = letter.source
    return {
        "letter": {"partition": letter.partition.partition, "offset": letter.place, "timestamp": letter.time},
        "reason": letter.reason,
        "error": letter.error,
        "source": source
        and {
            "topic": source.topic,
            "partition": source.partition,
            "offset": letter.offset,
            "timestamp": letter.stamp,
        },
        "truncated": letter.cut,
        **_content("key", letter.key),
        **_content("value", letter.value),
        "headers": [{"name": name, **_content("value", content)} for name, content in letter.headers],
    }


def _content(name: str, content: bytes | None) -> dict[str, str | None]:
    if content is None:
        return {name: None}
    try:
        return {name: content.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(content).decode()}


def _line(letter: Letter) -> None:
    """Print when a letter came, where it is, what it is about and why."""
    key = "" if letter.key is None else f" key {beginning(letter.key)}"
    origin = f" of {_plain(letter.origin)}" if letter.source else ""
    when = f"{moment(letter.time):%Y-%m-%d %H:%M:%S}"
    _say(f"{when} {letter.name}{origin}{key}, {_plain(letter.reason)}: {_plain(letter.error or letter.refusal or '')}")


def refused(letter: Letter, why: str) -> None:
    """Say that a letter is not sent back."""
    _say(f"refused {letter.name}: {_plain(why)}")


def replayed(outcome: Outcome, *, dry_run: bool) -> None:
    """Say what became of the letters."""
    verb = "would send" if dry_run else "sent"
    for (topic, reason), count in sorted(outcome.sent.items()):
        _say(f"{verb} {count:,} of {reason} to {topic}")
    total = outcome.sent.total()
    more = f", {outcome.refused:,} {'would be ' if dry_run else ''}refused" if outcome.refused else ""
    _say(f"{verb} {total:,} {'letter' if total == 1 else 'letters'}{more}")


def beginning(value: bytes | None) -> str:
    """The beginning of a record on one line, whatever its bytes are."""
    if value is None:
        return "(no value)"
    if not value:
        return "(an empty value)"
    text = value[: 4 * _SHOWN].decode(errors="backslashreplace")
    more = f"... ({len(value):,} bytes)" if len(text) > _SHOWN or len(value) > 4 * _SHOWN else ""
    return _plain(text[:_SHOWN]) + more


def _plain(text: str) -> str:
    """A text that can do nothing to a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _say(text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
