"""Dead letters: the envelope of a record that cannot be scored, and the limits that halt the worker."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from aestream.errors import InvalidRecordsError
from aestream.messages.cloudevents import event
from aestream.transport.size import headers_bytes, message_bytes
from aestream.types import Batch, Headers, Invalid, Outgoing, Partition, Reason

EVENT_TYPE = "io.aestream.dead-letter.v1"
PREFIX = "aestream.dlq."
_EVENT = "ce_"
_STAGE = b"decode"
_ERROR_BYTES = 1000
_WINDOW_RECORDS = 10_000
_JUDGED_FROM_RECORDS = 1_000


def dead_letters(topic: str, batch: Batch, invalid: Sequence[Invalid], *, max_bytes: int) -> Outgoing:
    """Wrap the invalid records of a batch: original key, headers and bytes, with the reason as headers.

    A record that does not fit into `max_bytes` with its envelope is cut; the header `aestream.dlq.truncated` then holds
    the original length in bytes. If `max_bytes` is small, the error's message is cut as well.
    """
    values, keys, headers = [], [], []
    everywhere = batch.sources
    sources = [everywhere[problem.row] for problem in invalid]
    for partition, problem in zip(sources, invalid, strict=True):
        value, key = batch.values[problem.row], batch.keys[problem.row]
        if key is None:
            value = value or b""  # a client sends no message with neither
        # if it was a dead letter before, what counts is why it is one now
        original = own_headers(batch.headers[problem.row] or ())
        envelope = _envelope(partition, batch.offsets[problem.row], batch.timestamps[problem.row], problem)
        if message_bytes(value, key, (*original, *envelope)) > max_bytes:
            value = value or b""
            truncated = (f"{PREFIX}truncated", str(len(value)).encode())
            envelope = (*_shortened(envelope, max_bytes // 8), truncated)
            room = max(0, max_bytes - message_bytes(b"", None, envelope))
            if len(key or b"") + headers_bytes(original) > room // 2:
                key, original = None, ()
            value = value[: room - len(key or b"") - headers_bytes(original)]
        values.append(value)
        keys.append(key)
        event_already = any(name.startswith(_EVENT) for name, _ in original)  # it stays the event that it was
        headers.append((*original, *(pair for pair in envelope if not (event_already and pair[0].startswith(_EVENT)))))
    return Outgoing(topic, values, keys, sources, headers)


def own_headers(headers: Headers) -> Headers:
    """The headers of a record without those that a dead letter adds."""
    ours = any(name == "ce_type" and content == EVENT_TYPE.encode() for name, content in headers)
    return tuple(
        (name, content or b"")
        for name, content in headers
        if not name.startswith(PREFIX) and not (ours and name.startswith(_EVENT))
    )


def _envelope(partition: Partition, offset: int, timestamp: int, problem: Invalid) -> Headers:
    place = f"{partition.topic}/{partition.partition}/{offset}"
    about = event(EVENT_TYPE, source="aestream", place=place, timestamp=timestamp)
    fields = {
        "stage": _STAGE,
        "error_type": problem.reason.encode(),
        "error": problem.message.encode(errors="replace")[:_ERROR_BYTES],
        "topic": partition.topic.encode(),
        "partition": str(partition.partition).encode(),
        "offset": str(offset).encode(),
        "timestamp": str(timestamp).encode(),
    }
    return (*about, *((PREFIX + name, content) for name, content in fields.items()))


def _shortened(envelope: Headers, most: int) -> Headers:
    """The envelope with at most `most` bytes of the error's message."""
    return tuple((name, content[:most] if name == f"{PREFIX}error" else content) for name, content in envelope)


_TRAIN = "once enough records of the new form are in the topic, `aestream train` makes a model that fits"
_REMEDIES = {
    Reason.EMPTY: "records without a value, such as the tombstones of a compacted topic, need a topic of their own; "
    "`layout`=debezium passes them over",
    Reason.TOO_LARGE: "raise `max_record_bytes` if such records are intended; if it is the result that is too large, "
    "raise the max.message.bytes of its topic",
    Reason.BAD_JSON: "do the producers write JSON, and does `topics` name the right topic?",
    Reason.WRONG_SHAPE: "the producers must send one JSON object per message, unless `layout` or `unpack` says how "
    "records are found in it",
    Reason.MISSING_FEATURE: f"was it renamed or dropped? {_TRAIN}; if it may be missing, train with `missing=impute`",
    Reason.NOT_NUMERIC: f"has it changed for good? {_TRAIN}; if it may be null, train with `missing=impute`",
    Reason.WRONG_TYPE: f"has it changed for good? {_TRAIN}",
    Reason.NOT_FINITE: "train with `missing=impute`, or name the field in `exclude` and train again",
}
_Why = tuple[Reason, str]


class InvalidLimits:
    """Stops the worker before a broken producer silently turns a whole topic into dead letters.

    `max_ratio` is the highest share of invalid records among about the last 10,000, checked once there are 1,000;
    `max_consecutive` is how many invalid records without a valid one between them stop the worker.
    """

    def __init__(self, *, max_ratio: float, max_consecutive: int) -> None:
        self._max_ratio = max_ratio
        self._max_consecutive = max_consecutive
        self._run: Counter[_Why] = Counter()  # the invalid records since the last valid one
        self._recent: deque[tuple[int, Counter[_Why]]] = deque()  # of each batch: (records, the invalid ones)

    def check(self, records: int, invalid: Sequence[Invalid]) -> None:
        """Count a batch. Raises InvalidRecordsError when it breaks a limit; then nothing of it may be committed."""
        if not records:
            return
        self._recent.append((records, Counter((problem.reason, problem.message) for problem in invalid)))
        while len(self._recent) > 1 and sum(n for n, _ in self._recent) - self._recent[0][0] >= _WINDOW_RECORDS:
            self._recent.popleft()
        longest = self._longest_run(records, invalid)
        if (bad := longest.total()) >= self._max_consecutive:
            self._halt(f"{bad} records in a row", longest, "max_consecutive")
        seen = sum(n for n, _ in self._recent)
        bad = sum(reasons.total() for _, reasons in self._recent)
        if seen >= _JUDGED_FROM_RECORDS and bad / seen > self._max_ratio:
            reasons = sum((reasons for _, reasons in self._recent), Counter[_Why]())
            self._halt(f"{bad} of the last {seen} records", reasons, "max_ratio")

    def _longest_run(self, records: int, invalid: Sequence[Invalid]) -> Counter[_Why]:
        """Count the reasons of the longest run of invalid rows; keep the one that is still open at the end."""
        runs, expected = [self._run], 0
        for problem in invalid:
            if problem.row != expected:
                runs.append(Counter())
            runs[-1][problem.reason, problem.message] += 1
            expected = problem.row + 1
        self._run = runs[-1] if expected == records else Counter()
        return max(runs, key=Counter.total) if invalid else Counter()

    def _halt(self, what: str, reasons: Counter[_Why], option: str) -> None:
        """Raise InvalidRecordsError with the most frequent reason, its most frequent form, and its likeliest fix."""
        by_reason: Counter[Reason] = Counter()
        for (reason, _), count in reasons.items():
            by_reason[reason] += count
        worst, count = by_reason.most_common(1)[0]
        forms = Counter({message: n for (reason, message), n in reasons.items() if reason is worst})
        share = "all" if count == reasons.total() else f"{count} of them"
        raise InvalidRecordsError(
            f"{what} cannot be scored, {share} for the reason {worst} ({forms.most_common(1)[0][0]}): "
            f"{_REMEDIES[worst]}; or fix the producer, or raise `{option}`; nothing of this "
            "batch is committed"
        )
