"""Logging: JSON lines for machines, plain lines for a terminal, on standard error."""

from __future__ import annotations

import functools
import json
import logging
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Literal

_SPARING_SECONDS = 30.0
_MOST_KINDS = 1000  # of lines that the client is known to repeat; it has a few dozen
_NUMBER = re.compile(r"\b(0x)?[0-9a-f]*\d[0-9a-f]*\b")  # the client writes some into what else is the same line
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and whatever was passed as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Render the record; an exception becomes the field `exception`."""
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(_extra(record))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class PlainFormatter(logging.Formatter):
    """A line for people: time, level, message, then `key=value` for each extra."""

    def format(self, record: logging.LogRecord) -> str:
        """Render the record; an exception follows on its own lines."""
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        extra = "".join(f" {key}={value}" for key, value in _extra(record).items())
        line = f"{moment} {record.levelname.lower():7} {record.getMessage()}{extra}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def setup(*, style: Literal["auto", "json", "plain"], level: str, reworded: Callable[[str], str] | None = None) -> None:
    """Send all logging to standard error. `auto` is JSON unless standard error is a terminal.

    Each message is logged as `reworded` returns it: the commands let it name variables in place of options.
    The Kafka client does not log: its errors are raised, and reported in one line. A service whose work has begun turns
    its log on with `hear_client`. The client's tracebacks, and what it repeats again and again, appear at `level` debug
    only.
    """
    plain = style == "plain" or (style == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter() if plain else JsonFormatter())
    root = logging.getLogger()
    if level != "debug":
        handler.addFilter(_no_farewell)
        handler.addFilter(_Sparing())
        handler.addFilter(_in_one_line)
    if reworded is not None:
        handler.addFilter(functools.partial(_reword, reworded))
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("aestream").setLevel(level.upper())
    hear_client("warning" if level == "debug" else "critical")


def hear_client(level: str) -> None:
    """Log what the Kafka client reports at this level or above."""
    logging.getLogger("kafka").setLevel(level.upper())
    logging.getLogger("kafka.net.selector").setLevel(max(logging.ERROR, logging.getLogger("kafka").level))


class _Sparing:
    """Logs each kind of line of the Kafka client twice a minute at most, with the number of those left out.

    During an outage the client tries again and again, up to hundreds of times a second, and says so each time.
    """

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], float] = {}
        self._left_out: Counter[tuple[str, str]] = Counter()

    def __call__(self, record: logging.LogRecord) -> bool:
        kind, now = (record.name, _NUMBER.sub("", str(record.msg))), time.monotonic()
        if not record.name.startswith("kafka."):
            return True
        if now - self._said.get(kind, -_SPARING_SECONDS) < _SPARING_SECONDS:
            self._left_out[kind] += 1
            return False
        if len(self._said) == _MOST_KINDS:
            self._said.clear()
        self._said[kind] = now
        left_out = self._left_out.pop(kind, 0)
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} more like this one since the last)", ()
        return True


def _no_farewell(record: logging.LogRecord) -> bool:
    """Leave out the tasks that the Kafka client was running when we closed it: it logs their end as an error."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    return not (record.name.startswith("kafka.") and any(type(one).__name__ == "Cancelled" for one in arguments))


def _in_one_line(record: logging.LogRecord) -> bool:
    """Log the Kafka client's errors, such as a socket that has just closed, without their tracebacks."""
    if record.exc_info and record.name.startswith("kafka."):
        record.msg, record.args = f"{record.getMessage()}: {record.exc_info[1]!r}", ()
        record.exc_info = None
    return True


def _reword(reworded: Callable[[str], str], record: logging.LogRecord) -> bool:
    record.msg, record.args = reworded(record.getMessage()), ()
    return True


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _OWN}
