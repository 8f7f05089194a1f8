"""What can go wrong, as one tree.

    AestreamError
    ├── ConfigurationError     a setting, an option or a command line that cannot be used (exit code 2)
    ├── DataError              a file or a sample of records that cannot be used
    │   └── UnreadableError    a file or a topic of which no record can be read
    ├── ModelError             a model that is missing, damaged or does not fit the records
    ├── InvalidRecordsError    so many dead letters that the worker stops
    ├── StalledError           a worker that does not get on, though it could
    └── TransportError         a broker or a topic that cannot be used
        ├── NoAnswerError      a broker that did not answer in time
        ├── TransactionError   a transaction that was not committed, as far as is known
        └── DeliveryError      results that were not acknowledged; nothing was committed
            └── TooLargeError  a result that is too large for its topic

Every message is one line for a person: what is wrong, where, and how to fix it.
"""


class AestreamError(Exception):
    """The base of all errors that aestream raises on purpose. Exit code 1."""

    exit_code = 1


class ConfigurationError(AestreamError):
    """A setting, an option or a command line that cannot be used."""

    exit_code = 2


class DataError(AestreamError):
    """A file or a sample of records that cannot be used."""


class UnreadableError(DataError):
    """A file or a topic of which no record can be read. Another layout may read them."""


class ModelError(AestreamError):
    """A model that is missing, damaged or does not fit the records."""


class InvalidRecordsError(AestreamError):
    """More dead letters than the limits allow: the worker stops and commits nothing further."""


class StalledError(AestreamError):
    """A worker that scores nothing although records can be read. Its log shows where its threads are."""


class TransportError(AestreamError):
    """A broker or a topic that cannot be reached or used."""


class NoAnswerError(TransportError):
    """A broker that did not answer in time. Asking again may help."""


class TransactionError(TransportError):
    """A transaction that the broker has ended, or of which it is not known how it ended. It may be tried again."""


class DeliveryError(TransportError):
    """Results that the broker did not acknowledge. Their offsets are not committed."""


class TooLargeError(DeliveryError):
    """A message that is larger than its topic accepts. The sink has lowered its limit for the topic."""
