"""The worker's answers: scores, anomalies, episodes and dead letters, read from their topics as they arrive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np

from aestream.messages.dead_letters import PREFIX
from aestream.messages.scores import Score
from aestream.types import Batch, Level, Places


class News(NamedTuple):
    """What an answer to `row` says that a person should know.

    `what`: `opened`, `ongoing` or `closed`, of the episode in `score`; `anomaly`, where records are judged alone; and
    `held`, `moved` or `usual`, of the level of the row's entity from now on.
    """

    what: str
    row: int
    score: Score


@dataclass(slots=True)
class Episode:
    """An episode as the anomalies topic tells of it: its anomalies' rows, the worst message, the row that closed it."""

    rows: list[int]
    worst: Score
    closed: int | None = None


@dataclass(slots=True)
class _Level:
    """Where the errors of an entity lie, and whether it was said already that they moved for good."""

    now: str = "usual"
    told: set[str] = field(default_factory=set)


class Results:
    """The answers to the records of entities `owner` (rows,), the first at offset `first` in the only partition.

    Columns (rows,): `score`, `error` and `latency` (s), NaN if there is none; `flagged`, `scored` and `dead` (a dead
    letter); `level`, codes of `Level`. `anomalies` holds the explained messages by row, `episodes` all that was told of
    one by its id. A record that is answered twice counts once.
    """

    def __init__(self, owner: Places, *, first: int, topics: dict[str, str]) -> None:
        rows = len(owner)
        self._first = first
        self._owner = owner.tolist()
        self._levels: dict[int, _Level] = {}
        self._roles = {name: role for role, name in topics.items()}
        self._decode = msgspec.json.Decoder(Score).decode
        self.score = np.full(rows, np.nan)
        self.error = np.full(rows, np.nan)
        self.latency = np.full(rows, np.nan)
        self.flagged = np.zeros(rows, bool)
        self.scored = np.zeros(rows, bool)
        self.dead = np.zeros(rows, bool)
        self.level = np.zeros(rows, np.uint8)
        self.anomalies: dict[int, Score] = {}
        self.episodes: dict[str, Episode] = {}
        self.first_sent_ms: int | None = None
        self.last_scored_ms = 0

    @property
    def answered(self) -> int:
        """The number of records with a score or a dead letter."""
        return int((self.scored | self.dead).sum())

    def add(self, batch: Batch) -> list[News]:
        """Add a batch from any of the topics; return what is new in it."""
        new: list[News] = []
        for (topic, _), start, stop in batch.spans:
            role = self._roles[topic]
            if role == "scores":
                new += self._add_scores(batch, start, stop)
            elif role == "anomalies":
                new += self._add_anomalies(batch, start, stop)
            else:
                self._add_dead_letters(batch, start, stop)
        return new

    def _add_scores(self, batch: Batch, start: int, stop: int) -> Iterator[News]:
        for place in range(start, stop):
            score = self._decode(batch.values[place] or b"")
            row = score.source.offset - self._first
            if not 0 <= row < len(self.scored) or self.scored[row]:
                continue
            self.scored[row] = True
            self.score[row] = score.score
            self.error[row] = score.error
            self.flagged[row] = score.anomaly
            self.latency[row] = (batch.timestamps[place] - score.source.timestamp) / 1000
            self.last_scored_ms = max(self.last_scored_ms, batch.timestamps[place])
            self.first_sent_ms = min(self.first_sent_ms or score.source.timestamp, score.source.timestamp)
            if self._changes(row, score.level or "usual"):
                yield News(score.level or "usual", row, score)

    def _changes(self, row: int, name: str) -> bool:
        """Note the level of a row; return whether that is news. Until the usual level returns, each is told once."""
        self.level[row] = Level[name.upper()]
        level = self._levels.setdefault(self._owner[row], _Level())
        if name == level.now:
            return False
        level.now = name
        if name == "usual":
            level.told.clear()
            return True
        if name in level.told:
            return False
        level.told.add(name)
        return True

    def _add_anomalies(self, batch: Batch, start: int, stop: int) -> Iterator[News]:
        for value in batch.values[start:stop]:
            try:
                score = self._decode(value or b"")
            except msgspec.ValidationError:
                continue  # the end of an episode, without a record
            row = score.source.offset - self._first
            if not 0 <= row < len(self.scored) or row in self.anomalies:
                continue
            if score.anomaly:
                self.anomalies[row] = score
            state = self._in_episode(row, score)
            if score.anomaly or state:
                yield News(state or "anomaly", row, score)

    def _in_episode(self, row: int, score: Score) -> str | None:
        """Add a message to its episode; return the state of that, None if the message has none or came before."""
        if score.episode is None:
            return None
        episode = self.episodes.get(score.episode.id)
        if not score.anomaly:
            if episode is None or episode.closed is not None:
                return None
            episode.closed = row
        elif episode is None:
            self.episodes[score.episode.id] = Episode([row], score)
        else:
            episode.rows.append(row)
            episode.worst = max(episode.worst, score, key=lambda told: told.score)
        return score.episode.state

    def _add_dead_letters(self, batch: Batch, start: int, stop: int) -> None:
        for headers in batch.headers[start:stop]:
            row = int(dict(headers)[f"{PREFIX}offset"]) - self._first
            if 0 <= row < len(self.dead):
                self.dead[row] = True
