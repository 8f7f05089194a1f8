"""Signals end the work, wait for what is being started, and never end the clean-up."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from aestream.app.interrupts import Interrupts


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_first_signal_interrupts_and_the_second_does_not(number: signal.Signals, code: int) -> None:
    cleaned = False
    with Interrupts() as interrupts:
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            signal.raise_signal(number)
            cleaned = True
        assert interrupts.exit_code == code
    assert cleaned


def start(interrupts: Interrupts, started: list[str]) -> None:
    with interrupts.held():
        signal.raise_signal(signal.SIGTERM)
        started.append("broker")
    started.append("worker")


def fail(interrupts: Interrupts) -> None:
    with interrupts.held():
        signal.raise_signal(signal.SIGTERM)
        raise ValueError("broken")


def test_a_start_is_finished_before_the_signal_counts() -> None:
    started: list[str] = []
    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt):
        start(interrupts, started)
    assert started == ["broker"]


def test_an_error_while_held_is_not_hidden_by_the_signal() -> None:
    with Interrupts() as interrupts, pytest.raises(ValueError, match="broken"):
        fail(interrupts)


def test_clean_up_is_left_alone_and_impatience_changes_nothing() -> None:
    with Interrupts() as interrupts:
        interrupts.ignore()
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.exit_code == 143
    signal.raise_signal(signal.SIGINT)
    assert interrupts.exit_code == 143


def test_without_a_signal_the_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_under_nohup_a_closed_terminal_ends_nothing() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGHUP)
        interrupts.check()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
