"""The dead-letter topic as a whole: which letters lie in it, and sending them back to where they came from."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from aestream.app import clients
from aestream.app.topics import RESULT_REMEDY
from aestream.messages.letters import Letter, letters
from aestream.service.redelivery import Outcome, Redelivery, plan
from aestream.settings.settings import Settings

_ALL = 2**62

Progress = Callable[[int, int], None]  # (letters done, letters in all)


@dataclass(slots=True)
class Pile:
    """The letters of one reason from one topic: how many, the first and the last one, by the times of the letters."""

    count: int
    first: Letter
    last: Letter

    def add(self, letter: Letter) -> None:
        """Count one more."""
        self.count += 1
        self.first = min(self.first, letter, key=_age)
        self.last = max(self.last, letter, key=_age)


@dataclass(slots=True)
class Found:
    """What lies in the topic: piles by reason and topic, the largest first; and the newest letters, oldest first."""

    piles: dict[tuple[str, str], Pile] = field(default_factory=dict)
    newest: list[Letter] = field(default_factory=list)


def look(settings: Settings, *, reason: str | None, last: int, progress: Progress) -> Found:
    """Read the whole topic, outside of any group. Without `reason`, letters of all reasons count.

    Raises TransportError when the topic cannot be read.
    """
    found, last = Found(), max(last, 0)
    newest: dict[int, deque[Letter]] = {}
    for done, letter in enumerate(_read(settings), 1):
        progress(done, done)
        if reason is not None and letter.reason != reason:
            continue
        name = letter.reason, "" if letter.source is None else letter.source.topic
        if name in found.piles:
            found.piles[name].add(letter)
        else:
            found.piles[name] = Pile(1, letter, letter)
        newest.setdefault(letter.partition.partition, deque(maxlen=last)).append(letter)
    found.piles = dict(sorted(found.piles.items(), key=lambda pair: -pair[1].count))
    everywhere = sorted((letter for some in newest.values() for letter in some), key=_age)
    found.newest = everywhere[len(everywhere) - min(last, len(everywhere)) :]
    return found


def _read(settings: Settings) -> Iterator[Letter]:
    history = clients.history(settings, [settings.topics.dead_letters], RESULT_REMEDY)
    for batch in history.read(records=_ALL, period=None):
        yield from letters(batch)


def _age(letter: Letter) -> tuple[int, int]:
    return letter.time, letter.place


def replay(
    settings: Settings,
    *,
    reason: str | None,
    dry_run: bool,
    refused: Callable[[Letter, str], None],
    progress: Progress,
) -> Outcome:
    """Send the letters back that have not been sent yet, or find out what would be sent.

    What arrives in the meantime, such as letters that fail again, waits for the next run. Raises TransportError when
    something cannot be read or written; what was sent until then stays so.
    """
    topic = settings.topics.dead_letters
    topics, history = clients.topics(settings), clients.history(settings, [topic], RESULT_REMEDY)
    # The sink first: it ends the transaction of a run that was killed, and only then it is known how far that got.
    sink, marks = (None, clients.replay_marks(settings)) if dry_run else clients.replayer(settings)
    try:
        left = plan(topic, topics, history, marks, reason, RESULT_REMEDY)
        work = Redelivery(
            left,
            history,
            topics,
            max_bytes=settings.kafka.max_request_size,
            refused=refused,
            progress=lambda done: progress(done, left.count),
        )
        return work.rehearse() if sink is None else work.send(sink, marks)
    finally:
        if sink is not None:
            sink.close()
