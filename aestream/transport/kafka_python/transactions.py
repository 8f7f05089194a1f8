"""A sink whose messages appear with the offsets that belong to them: transactions, over kafka-python 3.

The client's own methods wait without an end for a broker that is away. Here, each wait ends after a while.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from typing import Any

from kafka import errors as kafka_errors

from aestream.errors import AestreamError, DeliveryError, NoAnswerError, TransactionError, TransportError
from aestream.transport.base import CLOSE_SECONDS
from aestream.transport.kafka_python.errors import broker_errors, said
from aestream.transport.kafka_python.member import COMMIT_REFUSED
from aestream.transport.kafka_python.sink import TOO_LARGE, KafkaSink
from aestream.transport.places import RefusedError
from aestream.transport.transaction_clock import TransactionClock
from aestream.transport.wording import Connection, not_accepted
from aestream.types import Outgoing

_ANSWER_SECONDS = 1.0
_ABORT_SECONDS = 2.0
_RETRY_MS = 10  # the next transaction begins while the markers of the last one are written: the broker says when it may
# About a message or this user: another transaction would end in the same way.
_FOR_GOOD = (
    kafka_errors.AuthorizationError,
    kafka_errors.InvalidTopicError,
    kafka_errors.InvalidRecordError,
    kafka_errors.PolicyViolationError,
    kafka_errors.InvalidTimestampError,
    kafka_errors.UnsupportedForMessageFormatError,
)
_TOLD_BY_THE_SOURCE = (kafka_errors.FencedInstanceIdError, kafka_errors.AuthorizationError)


class TransactionalKafkaSink(KafkaSink):
    """The output topics through a transactional producer. `settings` are those of KafkaSink.

    A next sink with the same `transactional_id` ends the transaction of the former one, which can send nothing any
    more. A transaction that takes longer than `transaction_timeout_ms` is aborted by the broker.
    """

    def __init__(
        self, *, connection: Connection, transactional_id: str, transaction_timeout_ms: int, **settings: Any
    ) -> None:
        self._clock = TransactionClock(transaction_timeout_ms / 1000)
        self._epoch: Any = None  # the broker's name for this producer, as of the beginning
        self._offering: Any = None  # the offsets are on their way
        self._ending: Any = None  # the commit is
        super().__init__(
            connection=connection,
            transactional_id=transactional_id,
            transaction_timeout_ms=transaction_timeout_ms,
            retry_backoff_ms=_RETRY_MS,
            **settings,
        )

    @property
    def ending(self) -> bool:
        """Whether a commit has begun, and is not known to be over."""
        return self._offering is not None or self._ending is not None

    def begin(self) -> None:
        """Begin a transaction. Raises TransactionError."""
        self._clock.start()
        self._epoch = self._manager.producer_id_and_epoch
        try:
            self._producer.begin_transaction()
        except kafka_errors.KafkaError as error:
            raise TransactionError(said(error)) from error
        # The client (3.0.12) keeps refused offsets, and would commit them with this transaction.
        self._manager._pending_txn_offset_commits.clear()  # noqa: SLF001

    def send(self, messages: Outgoing, *, keep: Collection[str] = ()) -> None:
        """Hand the messages to the producer; raises what `flush` raises if the transaction has already failed."""
        try:
            super().send(messages, keep=keep)
        except DeliveryError:
            self._need_transaction()
            error = self._manager.last_error
            if error is None:
                raise
            failed = [(messages, place, error) for place in range(len(messages))]
            raise self._refusal(failed) from error

    def flush(self, timeout: float) -> bool:
        """Wait as any sink does. Raises TransactionError, too, once the broker has ended the transaction."""
        done = super().flush(timeout)
        if not done:
            self._need_transaction()
        return done

    def commit(self, offsets: Any, member: Any) -> None:
        """Commit the messages with offsets, by partition, for a member of a group."""
        try:
            if not self.ending:
                self._offering = self._manager.send_offsets_to_transaction(offsets, member)
            if self._offering is not None:
                self._wait(self._offering)
                self._ending = self._manager.begin_commit()
                self._offering = None
            self._wait(self._ending)
        except COMMIT_REFUSED as error:
            raise RefusedError(said(error)) from error
        except _TOLD_BY_THE_SOURCE:
            raise
        except kafka_errors.KafkaError as error:
            raise TransactionError(said(error)) from error
        self._clock.stop()
        self._ending = None

    def abort(self) -> bool:
        """Abort the transaction; False if it is not over soon: `reset` ends it then."""
        if not self._aborted():
            return False
        self._forget()
        return True

    def reset(self) -> None:
        """Abort the transaction, by way of a new producer if need be: that ends it whatever its state."""
        if not self.abort():
            self._give_up()
            self._replace()
            self._forget()

    def _forget(self) -> None:
        self._sent.clear()
        self._clock.stop()
        self._offering, self._ending = None, None

    def _renew(self) -> None:
        """A refused message ends its transaction."""
        self.reset()

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Abort what is not committed, and close the connections."""
        self._aborted()
        super().close(timeout)

    @property
    def _manager(self) -> Any:
        return self._producer._transaction_manager  # noqa: SLF001 - the producer's own methods wait for ever

    def _need_transaction(self) -> None:
        """Raise TransactionError if the client has left the transaction by itself.

        It does (3.0.12) when it hears from a partition that the broker has ended that: it takes a new epoch, and what
        waits to be sent is neither sent nor refused any more.
        """
        manager = self._manager
        if self._clock.running and (manager.is_bumping_epoch() or manager.producer_id_and_epoch != self._epoch):
            raise TransactionError("the broker has ended the transaction")
        # The client may also wait without an end for a coordinator that is gone; another producer finds the next one.
        self._clock.check()

    def _wait(self, result: Any) -> None:
        self._producer._sender.wakeup()  # noqa: SLF001 - it may be waiting for messages
        if not result.wait(_ANSWER_SECONDS * 1000):
            self._clock.check()
            raise NoAnswerError("the broker did not answer the commit of a transaction")

    def _aborted(self) -> bool:
        """Abort the transaction, if there is one and it is not ending; False if that is not over soon."""
        if not self._clock.running:
            return not self._manager.has_error()
        if self._ending is not None:
            return False
        with contextlib.suppress(kafka_errors.KafkaError, NoAnswerError):
            result = self._manager.begin_abort()
            self._producer._sender.wakeup()  # noqa: SLF001
            return bool(result.wait(_ABORT_SECONDS * 1000))
        return False

    def _opened(self) -> Any:
        """A producer for which the broker has ended the transaction of a former one."""
        producer = super()._opened()
        try:
            with broker_errors(self._connection):
                producer.init_transactions()
        except AestreamError:
            producer.close(timeout=0)
            raise
        return producer

    def _refusal(self, refused: Sequence[tuple[Outgoing, int, Exception]]) -> TransportError:
        """The first failure of a transaction makes all that follows fail as well."""
        error = next((e for *_, e in refused if isinstance(e, TOO_LARGE + _FOR_GOOD)), refused[0][2])
        if isinstance(error, TOO_LARGE + _FOR_GOOD):
            return super()._refusal([(messages, place, error) for messages, place, _ in refused])
        return TransactionError(not_accepted(refused[0][0].topic, said(error)))
