"""Log lines as machines and people read them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from aestream import log


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("aestream")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup(style="json", level="info")
    logger = logging.getLogger("aestream.worker")
    logger.info("two\nlines %s", "é", extra={"partition": 3, "odd": object})
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logger.exception("failed")
    logger.debug("too quiet")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["message"] == "two\nlines é"
    assert (first["level"], first["logger"], first["partition"]) == ("info", "aestream.worker", 3)
    assert first["time"].endswith("Z")
    assert second["exception"].endswith("ZeroDivisionError: division by zero")


def test_plain_is_a_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup(style="plain", level="warning")
    logging.getLogger("aestream").info("too quiet")
    logging.getLogger("kafka.client").info("too quiet")
    logging.getLogger("aestream").warning("mind the gap", extra={"n": 2})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("warning mind the gap n=2")


def test_auto_is_json_without_a_terminal_and_setup_twice_says_it_once(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup(style="auto", level="info")
    log.setup(style="auto", level="info")
    logging.getLogger("aestream").info("once")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "once"
