"""Logging: JSON lines for machines, plain lines for a terminal, on standard error."""

from __future__ import annotations

import functools
import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Literal

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
    its log on with `hear_client`. The client's tracebacks appear at `level` debug only.
    """
    plain = style == "plain" or (style == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter() if plain else JsonFormatter())
    root = logging.getLogger()
    if level != "debug":
        handler.addFilter(_no_farewell)
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
