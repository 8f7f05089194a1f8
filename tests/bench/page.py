"""docs/benchmarks.md: each benchmark writes its table between its own two marks, and leaves the rest alone."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.brokers.jars import KAFKA_VERSION

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; numbers, in all columns but the first, to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def show(part: str, text: str, *, into_page: bool) -> None:
    """Print a table, and put it into the page where that was asked for."""
    print(text)
    if into_page:
        write(part, text)


def write(part: str, text: str, page: Path = PAGE) -> None:
    """Put a table between the marks of a part, and what it was measured on. Raises ValueError if there are none."""
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    found = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    new, count = found.subn(lambda _: f"{begin}\n\n{text}\n\n{machine()}\n\n{end}", page.read_text())
    if count != 1:
        raise ValueError(f"{page} has {count} places for {part}: it needs one, between {begin} and {end}")
    page.write_text(new)


def machine() -> str:
    """What the figures were measured on, in a sentence."""
    names = [
        line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "name" in line
    ]
    packages = ", ".join(f"{name} {version(name)}" for name in ("kafka-python", "confluent-kafka", "numpy", "torch"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} with {os.cpu_count()} cores ({names[0]}) and "
        f"{memory:.0f} GiB: Python {platform.python_version()}, Apache Kafka {KAFKA_VERSION}, {packages}."
    )
