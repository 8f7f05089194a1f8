"""The verdict of the demo: the results compared with the labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from aestream.demo.feed import Case, Feed
from aestream.demo.measures import auroc, average_precision
from aestream.demo.results import Results
from aestream.types import Flags, Level, Vector


@dataclass(frozen=True, slots=True)
class Finding:
    """An incident, and its first flagged record by entity: none if it was missed.

    `worst` is the entity with the highest score in it, and `feature` the top feature of that.
    """

    case: Case
    first_flagged: Mapping[int, int]
    worst: int | None = None
    feature: str | None = None

    @property
    def found(self) -> bool:
        """Whether a record of it was flagged."""
        return len(self.first_flagged) > 0

    @property
    def delay(self) -> int | None:
        """How many records of the entity came before the first flagged one; None if the incident was missed."""
        return min(self.first_flagged.values()) - self.case.incident.start if self.found else None

    @property
    def named_a_cause(self) -> bool | None:
        """Whether the top feature is among the causes; None if either is unknown."""
        causes = () if self.worst is None else self.case.causes[self.worst]
        return self.feature in causes if self.feature and causes else None


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of a run. Shares are between 0 and 1; None if there is nothing to divide by.

    `false_alarm_rate` is the share of unlabelled records that were flagged, `precision` the share of flagged records
    that are labelled; `auroc` and `auprc` rank the records of an entity by their raw error, in the mean over entities.
    `seconds` is the whole demo so far. `delay_p50_records` is how many records of an incident come before the first
    flagged one. `episodes_outside` are those without a labelled record. `entities_moved` are those whose level has
    moved for good at some time, `entities_held` those whose threshold was held above another level at the end.
    """

    records_in: int
    scores_out: int
    dead_letters: int
    incidents_total: int
    incidents_found: int
    false_alarm_rate: float | None
    precision: float | None
    auroc: float | None
    auprc: float | None
    records_per_second: float | None
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    seconds: float
    entities: int
    delay_p50_records: float | None
    episodes: int
    episodes_outside: int
    episodes_per_day: float | None
    entities_moved: int
    entities_held: int

    @property
    def lost(self) -> int:
        """The number of records without an answer."""
        return self.records_in - self.scores_out - self.dead_letters


def judge(feed: Feed, results: Results, *, sent: int, seconds: float) -> tuple[Summary, list[Finding]]:
    """Compare the results of the first `sent` records with the labels."""
    label, flagged, scored = feed.label, results.flagged, results.scored
    findings = [_find(case, feed, results) for case in feed.cases]
    latency = results.latency[scored] * 1000
    span = (results.last_scored_ms - (results.first_sent_ms or 0)) / 1000
    delays = [finding.delay for finding in findings if finding.delay is not None]
    episodes = list(results.episodes.values())
    summary = Summary(
        records_in=sent,
        scores_out=int(scored.sum()),
        dead_letters=int((results.dead & ~scored).sum()),
        incidents_total=len(findings),
        incidents_found=len(delays),
        false_alarm_rate=_share(flagged[~label]),
        precision=_share(label[flagged]),
        auroc=_ranking(auroc, feed, results),
        auprc=_ranking(average_precision, feed, results),
        records_per_second=float(scored.sum()) / span if span > 0 else None,
        latency_p50_ms=float(np.quantile(latency, 0.5)) if len(latency) else None,
        latency_p99_ms=float(np.quantile(latency, 0.99)) if len(latency) else None,
        seconds=seconds,
        entities=len(feed.entities),
        delay_p50_records=float(np.median(delays)) if delays else None,
        episodes=len(episodes),
        episodes_outside=sum(not label[episode.rows].any() for episode in episodes),
        episodes_per_day=len(episodes) / feed.days if feed.days else None,
        entities_moved=len(np.unique(feed.test.owner[results.level == Level.MOVED])),
        entities_held=sum(int(results.level[last]) == Level.HELD for last in _last_rows(feed, results)),
    )
    return summary, findings


def _ranking(measure: Callable[[Flags, Vector], float | None], feed: Feed, results: Results) -> float | None:
    """How well the errors rank the records of each entity, as a mean: errors of two entities cannot be compared."""
    entities = [results.scored & (feed.test.owner == entity) for entity in range(len(feed.entities))]
    found = [measure(feed.label[rows], results.error[rows]) for rows in entities]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None


def _last_rows(feed: Feed, results: Results) -> list[int]:
    """The last scored row of each entity that has one."""
    places = np.flatnonzero(results.scored)
    return [int(places[feed.test.owner[places] == entity][-1]) for entity in np.unique(feed.test.owner[places])]


def _find(case: Case, feed: Feed, results: Results) -> Finding:
    of_case = np.flatnonzero(feed.rows_of(case) & results.flagged)
    if not len(of_case):
        return Finding(case, {})
    owner, number = feed.test.owner[of_case], feed.test.number[of_case]
    first = {entity: int(number[owner == entity].min()) for entity in np.unique(owner).tolist()}
    highest = int(of_case[np.argmax(results.score[of_case])])
    told = results.anomalies.get(highest)
    features = told.features if told is not None else None
    return Finding(case, first, int(feed.test.owner[highest]), features[0].name if features else None)


def _share(flags: Flags) -> float | None:
    return float(np.mean(flags)) if len(flags) else None
