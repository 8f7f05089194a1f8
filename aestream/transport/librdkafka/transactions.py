"""A sink whose messages appear with the offsets that belong to them: transactions, over librdkafka."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from aestream.errors import DeliveryError, NoAnswerError, TransactionError, TransportError
from aestream.transport.base import CLOSE_SECONDS
from aestream.transport.librdkafka.errors import COMMIT_REFUSED, DENIED, PASSING, explained, said
from aestream.transport.librdkafka.sink import TOO_LARGE, ConfluentSink
from aestream.transport.places import RefusedError
from aestream.transport.transaction_clock import TransactionClock
from aestream.transport.wording import Connection, not_accepted
from aestream.types import Outgoing

# A producer aborts its transaction as it closes, and warns if it cannot: here, another one has done that already.
warnings.filterwarnings("ignore", "Producer abort_transaction failed during close", RuntimeWarning)

_ANSWER_SECONDS = 1.0
_OFFSETS_SECONDS = 10.0  # two questions, one after the other, which are asked anew after that
_LOOK_SECONDS = 0.1
_ABORT_SECONDS = 2.0
# About a message or this user: another transaction would end in the same way.
_FOR_GOOD = frozenset(
    {
        *DENIED, KafkaError.TOPIC_EXCEPTION, KafkaError.INVALID_RECORD, KafkaError.POLICY_VIOLATION,
        KafkaError.INVALID_TIMESTAMP, KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
    }
)  # fmt: skip
_PURGED = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})


class TransactionalConfluentSink(ConfluentSink):
    """The output topics through a transactional producer. `settings` are those of ConfluentSink.

    A next sink with the same `transactional_id` ends the transaction of the former one, which can send nothing any
    more. A transaction that takes longer than `transaction_timeout_ms` is aborted by the broker.
    """

    def __init__(
        self, *, connection: Connection, transactional_id: str, transaction_timeout_ms: int, **settings: Any
    ) -> None:
        self._clock = TransactionClock(transaction_timeout_ms / 1000)
        self._offering: tuple[Any, Any] | None = None  # the offsets are on their way, for this member
        self._ending = False  # the commit is
        super().__init__(
            connection=connection,
            transactional_id=transactional_id,
            transaction_timeout_ms=transaction_timeout_ms,
            **settings,
        )

    @property
    def ending(self) -> bool:
        """Whether a commit has begun, and is not known to be over."""
        return self._offering is not None or self._ending

    def begin(self) -> None:
        """Begin a transaction. Raises TransactionError."""
        self._clock.start()
        try:
            self._producer.begin_transaction()
        except KafkaException as error:
            raise TransactionError(said(error.args[0])) from error

    def send(self, messages: Outgoing, *, keep: Collection[str] = ()) -> None:
        """Hand the messages to the producer; raises what `flush` raises if the transaction has already failed."""
        try:
            super().send(messages, keep=keep)
        except DeliveryError:
            if self._refused:
                self.flush(0.0)
            raise

    def flush(self, timeout: float) -> bool:
        """Wait as any sink does. Raises TransactionError, too, once the broker has ended the transaction."""
        deadline = time.monotonic() + timeout
        with self._alive():
            while self._producer.flush(min(timeout, _LOOK_SECONDS)):
                if self._refused:  # what waits behind that is not sent any more
                    break
                if time.monotonic() > deadline:
                    self._clock.check()
                    return False
        if self._refused:
            raise self._refusal(self._take_refused())
        return True

    def commit(self, offsets: Any, member: Any) -> None:
        """Commit the messages with offsets, for a member of a group."""
        try:
            if not self.ending:
                self._offering = (offsets, member)
            if self._offering is not None:
                self._producer.send_offsets_to_transaction(*self._offering, _OFFSETS_SECONDS)
                self._offering, self._ending = None, True
            self._producer.commit_transaction(_ANSWER_SECONDS)
        except KafkaException as error:
            raise self._not_committed(error.args[0]) from error
        self._clock.stop()
        self._ending = False

    def abort(self) -> bool:
        """Abort the transaction; False if it is not over soon: `reset` ends it then."""
        if not self._aborted():
            return False
        self._forget()
        return True

    def reset(self) -> None:
        """Abort the transaction, by way of a new producer if need be: that ends it whatever its state."""
        if not self.abort():
            self._replace()

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Abort what is not committed, and close the connections."""
        if not self._closed:
            self._aborted()
        super().close(timeout)

    def _not_committed(self, error: KafkaError) -> Exception:
        """What became of the commit."""
        code = error.code()
        if error.fatal():
            return TransactionError(said(error))
        if code in COMMIT_REFUSED:
            return RefusedError(said(error))
        if code == KafkaError.FENCED_INSTANCE_ID or code in DENIED:
            return explained(error, self._connection)
        if error.retriable() or (code in PASSING and not error.txn_requires_abort()):
            try:
                self._clock.check()
            except TransactionError as late:
                return late
            return NoAnswerError("the broker did not answer the commit of a transaction")
        return TransactionError(said(error))

    def _aborted(self) -> bool:
        """Abort the transaction, if there is one and it is not ending; False if that is not over soon."""
        if not self._clock.running:
            return True
        if self._ending:
            return False
        with contextlib.suppress(KafkaException):
            self._producer.abort_transaction(_ABORT_SECONDS)
            return True
        return False

    def _forget(self) -> None:
        self._refused.clear()
        self._clock.stop()
        self._offering, self._ending = None, False

    def _replace(self) -> None:
        super()._replace()
        self._forget()

    @contextmanager
    def _alive(self) -> Iterator[None]:
        """Turn what ends the producer, such as another one of its name, into the end of the transaction."""
        try:
            yield
        except KafkaException as error:
            raise TransactionError(said(error.args[0])) from error

    def _delivery(self) -> Mapping[str, Any]:
        """A message may take no longer than its transaction."""
        return {"delivery.timeout.ms": int(self._clock.timeout * 1000)}

    def _begin(self, producer: Producer, timeout: float) -> None:
        """Let the broker end the transaction of a former producer of this name."""
        producer.init_transactions(timeout)

    def _refusal(self, refused: Sequence[tuple[Message, KafkaError]]) -> TransportError:
        """The first failure of a transaction ends it, and all that follows in it."""
        told = [(message, error) for message, error in refused if error.code() not in _PURGED] or list(refused)
        for_good = [(message, error) for message, error in told if error.code() in TOO_LARGE | _FOR_GOOD]
        large = [message for message, error in for_good if error.code() in TOO_LARGE]
        smaller = bool(large) and self._smaller_batches(large)
        if large:
            self._replace()
        if for_good and not smaller:
            return super()._refusal(for_good)
        message, error = told[0]
        return TransactionError(not_accepted(message.topic(), said(error)))
