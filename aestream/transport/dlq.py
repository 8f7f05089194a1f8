"""Dead letters: the envelope of a record that cannot be scored, and the limits that halt the worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from aestream.cloudevents import event
from aestream.errors import InvalidRecordsError
from aestream.types import Batch, Headers, Invalid, Outgoing, Partition

EVENT_TYPE = "io.aestream.dead-letter.v1"
PREFIX = "aestream.dlq."
_STAGE = b"decode"
_FRAMING_BYTES = 512  # what the client and the protocol add to a message, generously
_WINDOW_RECORDS = 10_000
_JUDGED_FROM_RECORDS = 1_000


def dead_letters(
    topic: str,
    batch: Batch,
    invalid: Sequence[Invalid],
    *,
    max_bytes: int,
    same_partitions: Callable[[str, str], bool],
) -> Outgoing:
    """Wrap the invalid records of a batch: original key, headers and bytes, with the reason as headers.

    `same_partitions(input, output)` tells whether a dead letter keeps its record's partition number.

    A record that does not fit into `max_bytes` with its envelope is cut, and says so in `aestream.dlq.truncated`
    (the original length in bytes).
    """
    values, keys, headers = [], [], []
    places = _partitions_of(batch, invalid)
    same = {name: same_partitions(name, topic) for name in {place.topic for place in places}}
    for partition, problem in zip(places, invalid, strict=True):
        value, key = batch.values[problem.row] or b"", batch.keys[problem.row]
        original = tuple(
            (name, content or b"")
            for name, content in batch.headers[problem.row] or ()
            if not name.startswith(PREFIX)  # it was a dead letter before: what counts is why it is one now
        )
        envelope = _envelope(partition, batch.offsets[problem.row], batch.timestamps[problem.row], problem)
        room = max_bytes - _FRAMING_BYTES - _size(envelope)
        if len(value) + len(key or b"") + _size(original) > room:
            envelope = (*envelope, (f"{PREFIX}truncated", str(len(value)).encode()))
            if len(key or b"") + _size(original) > room // 2:
                key, original = None, ()
            value = value[: room - len(key or b"") - _size(original)]
        values.append(value)
        keys.append(key)
        known = {name for name, _ in original}  # a CloudEvent stays the event that it was
        headers.append((*original, *(pair for pair in envelope if pair[0] not in known)))
    kept = [place.partition if same[place.topic] else None for place in places]
    return Outgoing(topic, values, keys, kept, headers)


def _envelope(partition: Partition, offset: int, timestamp: int, problem: Invalid) -> Headers:
    about = event(EVENT_TYPE, source="aestream", partition=partition, offset=offset, timestamp=timestamp)
    fields = {
        "stage": _STAGE,
        "error_type": problem.reason.encode(),
        "error": problem.message.encode(errors="replace")[:1000],
        "topic": partition.topic.encode(),
        "partition": str(partition.partition).encode(),
        "offset": str(offset).encode(),
        "attempts": b"1",
    }
    return (*about, *((PREFIX + name, content) for name, content in fields.items()))


def _partitions_of(batch: Batch, invalid: Sequence[Invalid]) -> list[Partition]:
    """The partition of each invalid row; both run in ascending order."""
    found = []
    spans = iter(batch.spans)
    span = next(spans, None)
    for problem in invalid:
        while span is not None and problem.row >= span.stop:
            span = next(spans, None)
        assert span is not None  # noqa: S101 - rows come from the batch
        found.append(span.partition)
    return found


def _size(headers: Headers) -> int:
    return sum(len(name) + len(content) + 8 for name, content in headers)


class InvalidLimits:
    """Stops the worker before a broken producer turns a whole topic into dead letters in silence.

    `max_ratio` is judged over about the last 10,000 records, once there are 1,000; `max_consecutive` counts invalid
    records without one valid record between them.
    """

    def __init__(self, *, max_ratio: float, max_consecutive: int) -> None:
        self._max_ratio = max_ratio
        self._max_consecutive = max_consecutive
        self._consecutive = 0
        self._recent: deque[tuple[int, int]] = deque()  # (records, invalid) a batch

    def check(self, records: int, invalid: Sequence[Invalid]) -> None:
        """Count a batch. Raises InvalidRecordsError when it breaks a limit; nothing of it may be committed then."""
        if not records:
            return
        self._recent.append((records, len(invalid)))
        while len(self._recent) > 1 and sum(n for n, _ in self._recent) - self._recent[0][0] >= _WINDOW_RECORDS:
            self._recent.popleft()
        longest = self._run(records, invalid)
        if longest >= self._max_consecutive:
            self._halt(f"{longest} records in a row", invalid, "MAX_CONSECUTIVE_COUNT")
        seen, bad = (sum(column) for column in zip(*self._recent, strict=True))
        if seen >= _JUDGED_FROM_RECORDS and bad / seen > self._max_ratio:
            self._halt(f"{bad} of the last {seen} records", invalid, "MAX_INVALID_RATIO")

    def _run(self, records: int, invalid: Sequence[Invalid]) -> int:
        """The longest run of invalid rows up to here; keeps the one that is still open at the end."""
        longest, run, expected = self._consecutive, self._consecutive, 0
        for problem in invalid:
            run = run + 1 if problem.row == expected else 1
            longest, expected = max(longest, run), problem.row + 1
        self._consecutive = run if expected == records else 0
        return longest if invalid else 0

    def _halt(self, what: str, invalid: Sequence[Invalid], setting: str) -> None:
        example = invalid[-1].message if invalid else "see the dead letters"
        raise InvalidRecordsError(
            f"{what} cannot be scored (last: {example}): mend the producer or the features, or raise "
            f"AESTREAM_DEAD_LETTERS__{setting}; nothing of this batch is committed"
        )
