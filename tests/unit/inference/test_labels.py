from collections.abc import Callable, Sequence

import numpy as np
import pytest

from aestream.inference.labels import has_commas, is_date_text, is_padded, turnover

N = 3000
SEEDS = range(20)
Random = np.random.Generator
Maker = Callable[[Random], list[str]]

DATES = """
2026-11-20 | 2026/11/20 | 2026.11.20 | 2026-Nov-20 | 2026-11-20T10:15:30Z | 2026-11-20 10:15:30,123 | 2026-11-20T10:15Z
2026-11-20T10:15:30.123456+01:00 | 2026-11-20T10:15:30+01:00[Europe/Berlin] | 2026-W47-5 | 2026-324
20261120 | 20261120T101530Z | 20261120101530 | 11/20/2026 | 11/20/2026 10:15 PM | 11/20/26
20.11.2026 | 20.11.2026 10:15 | 1.2.2026 | 20-Nov-2026 | 20 Nov 2026 | 20/Nov/2026:10:15:30 +0000
Nov 20 2026 | Nov 20, 2026 | November 20, 2026 10:15 | Friday, November 20, 2026 | Nov 20 10:15:30
Fri, 20 Nov 2026 10:15:30 +0000 | Fri, 20 Nov 2026 10:15:30 GMT | Fri Nov 20 10:15:30 2026
10:15 | 10:15:30 | 10:15:30.123 | 9:05 am | 2026-11-20
"""
OTHERS = """
1.2.3 | 1.20.3 | 20.5.1 | 2026 | hello | 10 | 10.5 | 12:3 | 192.168.1.1 | 00:1a:2b:3c:4d:5e | abc-20261120 | 99999999
12345678 | 2026-13-01 | 2026-99 | web-1 | on | May | 1/2 | 10:15:30:44:12 | 3:2 ratio | 31-31-2026
"""


def forms(table: str) -> list[str]:
    return [form.strip() for line in table.strip().splitlines() for form in line.split("|")]


@pytest.mark.parametrize("text", forms(DATES))
def test_dates_in_common_forms_are_dates(text: str) -> None:
    assert is_date_text([text, f" {text} "])


@pytest.mark.parametrize("text", ["", *forms(OTHERS)])
def test_other_texts_are_no_dates(text: str) -> None:
    assert not is_date_text([text])


def test_nothing_is_no_date() -> None:
    assert not is_date_text([])


def test_one_odd_text_among_many_dates_is_forgiven() -> None:
    dates = [f"10:{minute:02d}:{second:02d}" for minute in range(60) for second in range(60)]
    assert is_date_text([*dates, "unknown"])
    assert not is_date_text([*dates[:50], "unknown"])


def test_numbers_that_begin_with_zero_are_labels() -> None:
    assert is_padded(["12345", " 00123 "])
    assert is_padded(["007"])
    assert not is_padded(["0", "0.5", "-0.25", "100", "0e3", ""])


@pytest.mark.parametrize("texts", [["12,5", "-0,25"], ["1,234", "12,345.60"], ["1.234.567,8"], ["12 345"], ["1'000"]])
def test_numbers_with_commas_or_separators(texts: list[str]) -> None:
    assert has_commas(texts)


@pytest.mark.parametrize("texts", [[], ["12.5"], ["1,2,3"], ["10.0.1.200"], ["a,b"], ["1,234", "x"]])
def test_other_texts_are_no_numbers_with_commas(texts: list[str]) -> None:
    assert not has_commas(texts)


def pods(random: Random) -> list[str]:
    cuts = np.sort(random.integers(200, 2800, 2))
    return [f"web-{np.searchsorted(cuts, row)}-{random.integers(0, 4)}" for row in range(N)]


def version(random: Random) -> list[str]:
    return np.repeat(["1.4.2", "1.4.3"], [cut := int(random.integers(300, 2700)), N - cut]).tolist()


def rolling(random: Random) -> list[str]:
    return [f"{'old' if row < 1000 or (row < 1400 and random.random() < 0.5) else 'new'}{row % 3}" for row in range(N)]


def jobs(random: Random) -> list[str]:
    return [f"job-{row // 200}" if random.random() < 0.4 else "idle" for row in range(N)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("make", [pods, version, rolling, jobs])
def test_labels_that_come_and_go(make: Maker, seed: int) -> None:
    assert said(make(np.random.default_rng(seed))).startswith("labels that come and go: of ")


def independent(random: Random) -> list[str]:
    return list(random.choice(list("abcdefgh"), N, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.03, 0.015, 0.005]))


def many(random: Random) -> list[str]:
    return list(map(str, random.integers(0, 32, N)))


def few_records(random: Random) -> list[str]:
    return list(random.choice(list("abc"), 40))


def states(random: Random) -> list[str]:
    number, dwell = random.integers(2, 7), random.choice([3, 30, 100])
    texts: list[str] = []
    state = 0
    while len(texts) < N:
        texts += [str(state)] * int(random.geometric(1 / dwell))
        state = int(state + random.integers(1, number)) % int(number)
    return texts[:N]


def maintenance(random: Random) -> list[str]:
    start = random.integers(100, 2800)
    return ["maintenance" if start < row < start + 150 else "ok" for row in range(N)]


def errors_in_bursts(random: Random) -> list[str]:
    texts = ["ok"] * N
    for error in range(5):
        start = random.integers(0, N - 50)
        texts[start : start + 50] = [f"E{error}"] * 50
    return texts


def in_turn(_: Random) -> list[str]:
    return [f"host-{row % 20}" for row in range(N)]


def times_of_day(_: Random) -> list[str]:
    return [("night", "morning", "day", "evening")[row // 230 % 4] for row in range(N)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "make", [independent, many, few_records, states, maintenance, errors_in_bursts, in_turn, times_of_day]
)
def test_states_do_not_come_and_go(make: Maker, seed: int) -> None:
    assert said(make(np.random.default_rng(seed))) == ""


def said(texts: Sequence[str]) -> str:
    return turnover(texts, np.arange(len(texts)), len(texts))


def test_the_verdict_counts_what_came_and_went() -> None:
    texts = [f"{'old' if row < 1200 else 'new'}-{row % 6}" for row in range(N)]
    assert said(texts) == (
        "labels that come and go: of 12 values, 6 first appear late in the sample and 6 are gone before its end"
    )


def test_places_are_those_of_the_whole_sample() -> None:
    texts = [f"pod-{row % 3}" for row in range(300)]
    rows = np.arange(300)
    assert turnover(texts, rows, 300) == ""
    assert turnover(texts, rows, 900) == "labels that come and go: of 3 values, 3 are gone before its end"


@pytest.mark.parametrize("texts", [[], ["a"], ["a"] * 100])
def test_one_value_does_not_come_and_go(texts: list[str]) -> None:
    assert said(texts) == ""
