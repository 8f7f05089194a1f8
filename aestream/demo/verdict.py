"""The verdict of the demo: the results compared with the labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aestream.demo.dataset import Recording
from aestream.demo.incidents import Incident
from aestream.demo.measures import auroc, average_precision
from aestream.demo.results import Results
from aestream.types import Flags


@dataclass(frozen=True, slots=True)
class Finding:
    """An incident, the first flagged row in it (None: missed), and the top feature of its highest score."""

    incident: Incident
    first_flagged: int | None
    feature: str | None

    @property
    def named_a_cause(self) -> bool | None:
        """Whether the top feature is among the causes; None if either is unknown."""
        return self.feature in self.incident.causes if self.feature and self.incident.causes else None


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of a run. Shares are between 0 and 1; None if there is nothing to divide by.

    `false_alarm_rate` is the share of unlabelled records that were flagged, `precision` the share of flagged records
    that are labelled; `auroc` and `auprc` rank the records by their raw error. `seconds` is the whole demo so far.
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

    @property
    def lost(self) -> int:
        """The number of records without an answer."""
        return self.records_in - self.scores_out - self.dead_letters


def judge(recording: Recording, results: Results, *, sent: int, seconds: float) -> tuple[Summary, list[Finding]]:
    """Compare the results of the first `sent` records with the labels."""
    label, flagged, scored = recording.label, results.flagged, results.scored
    findings = [_find(incident, results) for incident in recording.incidents]
    latency = results.latency[scored] * 1000
    span = (results.last_scored_ms - (results.first_sent_ms or 0)) / 1000
    summary = Summary(
        records_in=sent,
        scores_out=int(scored.sum()),
        dead_letters=int((results.dead & ~scored).sum()),
        incidents_total=len(findings),
        incidents_found=sum(finding.first_flagged is not None for finding in findings),
        false_alarm_rate=_share(flagged[~label]),
        precision=_share(label[flagged]),
        auroc=auroc(label[scored], results.error[scored]),
        auprc=average_precision(label[scored], results.error[scored]),
        records_per_second=float(scored.sum()) / span if span > 0 else None,
        latency_p50_ms=float(np.quantile(latency, 0.5)) if len(latency) else None,
        latency_p99_ms=float(np.quantile(latency, 0.99)) if len(latency) else None,
        seconds=seconds,
    )
    return summary, findings


def _find(incident: Incident, results: Results) -> Finding:
    rows = np.flatnonzero(results.flagged[incident.rows]) + incident.start
    if not len(rows):
        return Finding(incident, None, None)
    told = results.anomalies.get(int(rows[np.argmax(results.score[rows])]))
    features = told.features if told is not None else None
    return Finding(incident, int(rows[0]), features[0].name if features else None)


def _share(flags: Flags) -> float | None:
    return float(np.mean(flags)) if len(flags) else None
