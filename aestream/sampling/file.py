"""A sample of the records of a file."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from aestream.codecs.base import Codec
from aestream.errors import DataError
from aestream.features.roles import NO_ROLES, Roles
from aestream.files.rows import documents, read_rows
from aestream.inference import coverage
from aestream.inference.documents import Documents
from aestream.inference.infer import infer
from aestream.sampling.sample import Choose, Progress, Sample
from aestream.types import Key


@dataclass(frozen=True, slots=True)
class FileSampler:
    """The first `records` records of a file, assumed to be in time order. `choose` infers the features from some.

    `lines` reads the lines of a JSON lines file. `encoding` is that of a text file; None finds it out. `roles` name the
    fields that tell entities and times; with `until`, in seconds, the sample is the last `records` before that time.
    """

    path: Path
    lines: Codec
    records: int
    choose: Choose = infer
    encoding: str | None = None
    roles: Roles = NO_ROLES
    until: float | None = None

    def sample(self, *, progress: Progress) -> Sample:
        """Infer the features from records all over the file, then read it."""
        found = self.choose(self.documents())
        schema = found.schema()
        parts = [np.empty((0, len(schema)))]
        keys: list[Key] = []
        times = [np.empty(0)]
        unusable = seen = 0
        first = ""
        for rows in read_rows(self.path, schema, self.lines, self.encoding, self.roles):
            kept = rows if self.until is None else rows.between(-np.inf, self.until)
            parts.append(kept.matrix)
            keys += kept.marks.keys or ()
            times += [] if kept.marks.times is None else [kept.marks.times]
            if rows.problems and not unusable:
                place, problem = rows.problems[0]
                first = f"the first (row {seen + place}) because {problem}"
            unusable += len(rows.problems)
            seen += rows.count
            progress(min(seen, self.records), self.records)
            if seen > self.records and self.until is None:  # at one more, it is known that there are more
                break
        invalid = {"unusable": unusable} if unusable else {}
        chosen = slice(self.records) if self.until is None else slice(-self.records, None)
        matrix, keys = np.concatenate(parts)[chosen], keys[chosen]
        when = None if self.roles.time is None else np.concatenate(times)[chosen]
        # which cycles the values follow is looked for in topics only
        warnings = coverage.warnings(
            found.stamps,
            (),
            records=min(seen, self.records),
            wanted=self.records,
            more=seen > self.records,
            file=True,
        )
        if unusable:
            warnings.append(f"{unusable} of the {seen} records cannot be used, {first}")
        origin = {"file": self.path.name}
        return Sample(
            matrix,
            schema,
            found,
            invalid,
            origin,
            keys,
            warnings=warnings,
            times=when,
            roles=self.roles,
            remedy="raise `sample_records`" if seen > self.records else "use a file that holds more of each",
        )

    def documents(self) -> Documents:
        """Read records that are spread over the sample, to infer the features from.

        Raises DataError when there are none.
        """
        if self.until is None:
            return Documents(documents(self.path, self.lines, records=self.records, encoding=self.encoding))
        found = self._all()
        return Documents(list(compress(found, (self.roles.moments(found) < self.until).tolist())))

    def middle(self) -> float:
        """The time that about half of the file's records lie before, in seconds.

        Raises DataError when the times do not tell.
        """
        moments = self.roles.moments(self._all())
        known = moments[np.isfinite(moments)]
        middle = float(np.median(known)) if len(known) else math.nan
        if not np.any(known < middle):
            told = f"cannot be cut in halves by {self.roles.time!r}, which `time` names"
            raise DataError(f"{self.path} {told}: its times are unknown, or most are the same: name another field")
        return middle

    def _all(self) -> list[Mapping[str, Any]]:
        return documents(self.path, self.lines, records=sys.maxsize, encoding=self.encoding)
