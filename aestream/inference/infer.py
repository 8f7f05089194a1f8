"""Which fields of a record are features, and of which kind, inferred from a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np

from aestream.artefact import FieldNote
from aestream.errors import DataError
from aestream.features.schema import FeatureSchema
from aestream.features.series import NOT_EPOCH, epoch_scale
from aestream.inference import entities
from aestream.inference.documents import Documents
from aestream.inference.fields import Field, gather
from aestream.inference.judgement import Cause, Finding, Judge
from aestream.inference.kinds import RecordKind, record_kinds
from aestream.inference.order import Order
from aestream.inference.review import Review, review
from aestream.inference.selection import Selection
from aestream.types import Places, Stamps, Vector

# With fewer records per entity than this on average, a key identifies records, not entities.
MIN_RECORDS_PER_ENTITY = 2.0
# Seconds since the epoch beyond which no calendar goes.
LATEST = 2.5e11
# A field whose times rise in this share of so many steps tells when the records of a file are from.
IN_ORDER, STEPS = 0.9, 100


@dataclass(frozen=True, slots=True)
class Inference:
    """What a sample shows about its records: every field, and how much a model of them could see.

    `key` are the fields that were found to tell entities apart, if none were given. `times` (n,) are the times of the
    records in seconds since the epoch, empty if they are unknown.
    """

    findings: Sequence[Finding] = ()
    review: Review = field(default_factory=Review)
    key: Sequence[str] = ()
    times: Vector = field(default_factory=lambda: np.empty(0))

    @property
    def stamps(self) -> Stamps:
        """The times in milliseconds since the epoch, sorted, without those that are unknown; empty if all are."""
        known = self.times[np.abs(self.times) < LATEST]
        return np.sort(np.rint(known * 1000).astype(np.int64))

    @property
    def notes(self) -> Sequence[FieldNote]:
        """What the manifest says about the fields, the features first."""
        return sorted((found.note for found in self.findings), key=lambda note: not note.used)

    def schema(self) -> FeatureSchema:
        """The features, in the order of the sample. Raises DataError if there are none."""
        chosen = [(found.name, found.path, found.column) for found in self.findings if found.column is not None]
        if not chosen:
            told = "; ".join(f"{found.name}: {found.reason}" for found in self.findings[:10]) or "no fields at all"
            raise DataError(f"no field of the records can be a feature ({told}): name some in `include`")
        names, paths, columns = zip(*chosen, strict=True)
        return FeatureSchema(names, paths, columns)


def infer(documents: Documents, selection: Selection | None = None) -> Inference:
    """Judge every field of a sample's records, in the order of their times.

    Numbers, booleans and texts with few different values are features if nearly every record has them, or if the others
    may be imputed. Identifiers, free text, timestamps and what only moves one way are not, nor is what the selection
    rules out.

    Raises DataError when there are no records, or when a field that is given by name is absent or cannot be used.
    """
    if not documents.records:
        raise DataError("the sample has no records: there is nothing to infer features from")
    wanted = selection or Selection()
    sample = _Sample.of(documents, wanted)
    if sample.scattered and not wanted.key:
        wanted = replace(wanted, rates=False)
    key = () if wanted.key else sample.proposed_key()
    judge = Judge(len(documents), Order.of(sample.entities(wanted.key or key), sample.times), wanted, key)
    findings = [judge.finding(found) for found in sample.fields.values()]
    findings += [judge.twice(found) for found in sample.namesakes]
    for finding in findings:
        option = wanted.named.get(finding.name, "")
        read = option == "units" and finding.kind == "numeric"  # and left out for another reason
        if finding.column is None and option in {"include", "timestamps", "units"} and not read:
            raise DataError(f"the field {finding.name!r} is named in `{option}`, but cannot be used: {finding.reason}")
    return Inference(findings, review(findings, sample.kinds(), key), key, sample.clock(findings, wanted.time))


@dataclass(frozen=True)
class _Sample:
    """Records and their fields by name, in the order of time; `namesakes` have the name of one of the fields.

    `times` (n,) in seconds since the epoch, or since whenever, None where they are unknown.
    """

    documents: Documents
    fields: Mapping[str, Field]
    namesakes: Sequence[Field]
    times: Vector | None

    @classmethod
    def of(cls, documents: Documents, wanted: Selection) -> Self:
        """Gather the fields. Raises DataError when one is absent that was given by name, or is no time."""
        fields, namesakes = _by_name(documents)
        for name, option in wanted.named.items():
            if name not in fields:
                raise DataError(f"the field {name!r} is named in `{option}`, but no record of the sample has it")
        stamps = documents.timestamps
        if wanted.time is None:
            return cls(documents, fields, namesakes, stamps / 1000.0 if stamps.any() else None)
        times = fields[wanted.time].moments(len(documents))
        if times is None:
            told = "neither ISO 8601 text nor a number of seconds, ms, us or ns since 1970"
            raise DataError(f"the field {wanted.time!r} is named in `time`, but is {told}: name another, or none")
        rows = np.argsort(times, kind="stable")
        if np.any(np.diff(rows) != 1):
            documents = documents.at(rows)
            fields, namesakes = _by_name(documents)
        return cls(documents, fields, namesakes, times[rows])

    def proposed_key(self) -> Sequence[str]:
        """The fields that tell entities apart; none if nothing does, or if the records' keys do."""
        numbers = {name: found.numbers(len(self.documents)) for name, found in self._of_kind("numeric")}
        labels = self._texts | {name: self._text(name) for name, values in numbers.items() if _whole(values)}
        return entities.propose(labels, numbers, self.times, self.documents.keys if self._keyed else None)

    def entities(self, key: Sequence[str]) -> Places | None:
        """The entity of each record as a number, (n,), by fields or by the records' keys; None if there is only one."""
        if key:
            return entities.codes([self._text(name) for name in key])
        return entities.codes([self.documents.keys]) if self._keyed else None

    def kinds(self) -> Sequence[RecordKind]:
        """The kinds of record; none if all are of one kind."""
        rows = {name: found.present_rows for name, found in self.fields.items()}
        return record_kinds(rows, self._texts, len(self.documents))

    def clock(self, findings: Sequence[Finding], time: str | None) -> Vector:
        """The times (n,), or those in the first field that tells the time in order; empty where there is none.

        The field `time` may hold numbers that count from another start than 1970: these are no dates either.
        """
        if self.times is not None:
            dates = time is None or self.fields[time].kind != "numeric" or epoch_scale(self.times) != NOT_EPOCH
            return self.times if dates else np.empty(0)
        for finding in findings:
            if finding.cause is Cause.TIMESTAMP and len(self.documents) > 1:
                times = self.fields[finding.name].moments(len(self.documents))
                if times is not None and np.mean(np.diff(times[:: len(times) // STEPS + 1]) >= 0) >= IN_ORDER:
                    return times
        return np.empty(0)

    @property
    def scattered(self) -> bool:
        """Whether the records have keys that tell records apart, not entities: nothing follows a record of its key."""
        return any(self.documents.keys) and not self._keyed

    @property
    def _keyed(self) -> bool:
        """Whether the records have keys, and a key has several records."""
        keys = self.documents.keys
        return any(keys) and len(set(keys)) * MIN_RECORDS_PER_ENTITY <= len(keys)

    def _of_kind(self, kind: str) -> list[tuple[str, Field]]:
        return [(name, found) for name, found in self.fields.items() if found.kind == kind]

    @cached_property
    def _texts(self) -> dict[str, Sequence[str | None]]:
        return {name: self._text(name) for name, _ in self._of_kind("text")}

    def _text(self, name: str) -> Sequence[str | None]:
        return self.fields[name].texts(len(self.documents))


def _by_name(documents: Documents) -> tuple[Mapping[str, Field], Sequence[Field]]:
    """The fields of records by name, and those whose name another one has: a key with a dot beside a path."""
    fields: dict[str, Field] = {}
    namesakes = [found for found in gather(documents.records) if fields.setdefault(found.name, found) is not found]
    return fields, namesakes


def _whole(numbers: Vector) -> bool:
    return bool(np.all((numbers == np.floor(numbers)) | np.isnan(numbers)))
