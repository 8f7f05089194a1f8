"""The table of faults: a row for each test, shown at the end of a run, and written down where that is asked for.

AESTREAM_TEST_CHAOS_PAGE names the file to write the table into, between two marks.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_BEGIN, _END = "<!-- faults: begin -->\n", "<!-- faults: end -->\n"
_PROPERTY = "chaos"
_HEADER = ("fault", "delivery", "times", "records", "lost", "duplicated", "out of order", "back after", "the log says")


@dataclass(frozen=True, slots=True)
class Row:
    """One fault and what came of it. `recovery` is in seconds, the longest of all times; None where nothing stopped."""

    fault: str
    delivery: str
    times: str
    records: int
    lost: int
    duplicated: int
    out_of_order: int
    recovery: float | None
    said: str

    def cells(self) -> list[str]:
        """As the table shows them."""
        recovery = "" if self.recovery is None else f"{self.recovery:.1f} s"
        counts = [f"{count:,}" for count in (self.records, self.lost, self.duplicated, self.out_of_order)]
        said = self.said.replace("|", "\\|")
        return [self.fault, self.delivery.replace("_", "-"), self.times, *counts, recovery, said and f"`` {said} ``"]


def keep(row: Row, record_property: Any) -> None:
    """Leave a row with the report of a test, which reaches the end of the run from any process."""
    record_property(_PROPERTY, json.dumps(asdict(row)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table, if there is one."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    kept = [value for report in reports for name, value in report.user_properties if name == _PROPERTY]
    rows = [Row(**json.loads(value)) for value in kept]
    if not rows:
        return
    lines = ["| " + " | ".join(cells) + " |" for cells in (_HEADER, ["---"] * len(_HEADER), *(r.cells() for r in rows))]
    terminalreporter.section("faults")
    terminalreporter.write("\n".join([*lines, ""]))
    page = os.environ.get("AESTREAM_TEST_CHAOS_PAGE")
    if page:
        _write(Path(page), "\n".join([*lines, ""]))


def _write(page: Path, table: str) -> None:
    before, _, rest = page.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    page.write_text(f"{before}{_BEGIN}\n{table}\n{_END}{after}")


def plain(line: str) -> str:
    """A line of the log without its time, and without what is different in each run."""
    line = re.sub(r"^\S+ +\S+ +", "", line.strip())
    line = re.sub(r"-[0-9a-f]{10}\b", "", line)
    line = re.sub(r"\d{8}T\d{6}Z", "VERSION", line)
    line = re.sub(r"127\.0\.0\.1:\d+", "HOST:PORT", line)
    line = re.sub(r"\.staging-\w+", "FOLDER", line)
    return re.sub(r"/\S*/(?=models\b)", "", line)
