"""Log lines as machines and people read them."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator

import pytest
from kafka.errors import Cancelled, NodeNotReadyError

from aestream.service import log


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


def test_messages_are_reworded_once_their_arguments_are_filled_in(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup(style="plain", level="info", reworded=lambda message: message.replace("`port`", "PORT"))
    logging.getLogger("aestream").error("100 %% failed: %s", "set `port`")
    assert capsys.readouterr().err.endswith("100 % failed: set PORT\n")


@pytest.mark.parametrize(("level", "traceback"), [("info", False), ("debug", True)])
def test_what_the_kafka_client_stumbles_over_is_one_line_unless_debugging(
    capsys: pytest.CaptureFixture[str], level: str, traceback: bool
) -> None:
    log.setup(style="plain", level=level)
    logging.getLogger("kafka.net.transport").error("not heard before the work has begun, unless debugging")
    log.hear_client("warning")
    with socket.socket() as closed:
        pass
    try:
        closed.recv(1)
    except OSError:
        logging.getLogger("kafka.net.transport").exception("%s: closing %d%%", "socket", 5)
    said = capsys.readouterr().err.splitlines()
    assert ("not heard" in said[0]) is traceback
    said = said[traceback:]
    assert "error   socket: closing 5%" in said[0]
    assert said[-1].endswith(("OSError(9, 'Bad file descriptor')", "OSError: [Errno 9] Bad file descriptor"))
    assert (len(said) > 1) is traceback


def test_what_the_kafka_client_had_under_way_when_it_was_closed_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup(style="plain", level="info")
    log.hear_client("warning")
    logging.getLogger("kafka.cluster").error("Metadata refresh: failed %s", Cancelled())
    logging.getLogger("kafka.cluster").error("Metadata refresh: failed %s", NodeNotReadyError("metadata"))
    (line,) = capsys.readouterr().err.splitlines()
    assert "NodeNotReadyError" in line


@pytest.mark.parametrize(("level", "count"), [("info", 2), ("debug", 300)])
def test_what_the_kafka_client_says_again_and_again_is_said_once_in_a_while(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, level: str, count: int
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    log.setup(style="plain", level=level)
    log.hear_client("warning")
    for second in range(60):
        now = 1000.0 + second
        for port in range(5):
            logging.getLogger("kafka.net.manager").error("Connection %d lost: %s", port, "refused")
            logging.getLogger("kafka.net").error(f"<Connection {port}{second}, 0x7f{second}>: no token")  # noqa: G004
        logging.getLogger("aestream").warning("ours is said each time")
    lines = capsys.readouterr().err.splitlines()
    assert sum("ours" in line for line in lines) == 60
    client = [line for line in lines if "lost" in line]
    assert len(client) == len([line for line in lines if "no token" in line]) == count
    if count == 2:
        assert client[0].endswith("Connection 0 lost: refused")
        assert client[1].endswith("Connection 0 lost: refused (149 more like this one since the last)")


def test_auto_is_json_without_a_terminal_and_setup_twice_says_it_once(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup(style="auto", level="info")
    log.setup(style="auto", level="info")
    logging.getLogger("aestream").info("once")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "once"
