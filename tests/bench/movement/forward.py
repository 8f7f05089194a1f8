"""Counters and clocks: fields that only move forward."""

import numpy as np

from aestream.inference.movement import Motion
from tests.bench.movement.cases import (
    START,
    Made,
    N,
    Random,
    case,
    clock,
    counts,
    hosts,
    mixed,
    restarted,
    side_by_side,
    turns,
)

CLOCK, COUNTER, FALLING, LEVEL, RISING = Motion.CLOCK, Motion.COUNTER, Motion.FALLING, Motion.LEVEL, Motion.RISING


@case(COUNTER, RISING)
def counter(random: Random) -> Made:
    return counts(random), None, clock()


@case(COUNTER)
def counter_fractional(random: Random) -> Made:
    return np.cumsum(random.exponential(0.3, N)), None, None


@case(COUNTER)
def counter_of_3_hosts(random: Random) -> Made:
    values, host = hosts(random, 3)
    return values, host, clock()


@case(COUNTER)
def counter_of_3_hosts_unnamed(random: Random) -> Made:
    return hosts(random, 3)[0], None, clock()


@case(COUNTER, RISING)
def counter_of_3_hosts_drawn_at_random(random: Random) -> Made:
    host = random.integers(0, 3, N)
    values = np.zeros(N)
    for one in range(3):
        values[host == one] = counts(random, int((host == one).sum())) + 2e6 * one
    return values, None, None


@case(COUNTER, RISING)
def counter_of_10_hosts_far_apart_unnamed(random: Random) -> Made:
    return hosts(random, 10, 1e9)[0], None, None


@case(COUNTER, RISING, tolerated=0.3)
def counter_of_20_hosts_unnamed(random: Random) -> Made:
    return hosts(random, 20, random.uniform(0, 5e6))[0], None, None


@case(COUNTER, RISING)
def counter_of_3_hosts_one_restarts_unnamed(random: Random) -> Made:
    values, host = hosts(random, 3)
    values[host == 1] = restarted(random, values[host == 1], 1)
    return values, None, None


@case(COUNTER)
def counter_of_50_hosts_2_restarts(random: Random) -> Made:
    values, host = hosts(random, 50)
    for one in (4, 9):
        values[host == one] = restarted(random, values[host == one], 1)
    return values, host, clock()


@case(COUNTER)
def counter_partitions_side_by_side(random: Random) -> Made:
    values, host = hosts(random, 2)
    rows = side_by_side()
    return values[rows], host[rows], clock()[rows]


@case(COUNTER, RISING)
def counter_partitions_side_by_side_unnamed(random: Random) -> Made:
    return hosts(random, 2)[0][side_by_side()], None, None


@case(COUNTER)
def counter_equal_times(random: Random) -> Made:
    values, host = hosts(random, 3)
    return values, host, START + np.floor(np.arange(N) / 12)


@case(COUNTER)
def counter_restarts_once(random: Random) -> Made:
    return restarted(random, counts(random), 1), None, clock()


@case(COUNTER, tolerated=0.1)
def counter_restarts_4_times(random: Random) -> Made:
    return restarted(random, counts(random), 4), None, None


@case(COUNTER)
def counter_of_32_bits_wraps_once(random: Random) -> Made:
    return (counts(random) + 2**32 - random.integers(2_000_000, 12_000_000)) % 2**32, None, None


@case(COUNTER)
def counter_of_32_bits_wraps_often(random: Random) -> Made:
    return np.cumsum(random.uniform(2**26, 2**28, N)).round() % 2.0**32, None, None


@case(COUNTER)
def counter_two_swapped(random: Random) -> Made:
    values = counts(random)
    values[[N // 4, N // 4 + 1]] = values[[N // 4 + 1, N // 4]]
    return values, None, None


@case(COUNTER, RISING)
def counter_jittered(random: Random) -> Made:
    return counts(random)[mixed(random, 8)], None, None


@case(COUNTER, RISING)
def counter_jittered_restarts_once(random: Random) -> Made:
    return restarted(random, counts(random), 1)[mixed(random, 8)], None, None


@case(COUNTER)
def counter_long_plateaus(random: Random) -> Made:
    return np.cumsum((random.random(N) < 0.02) * random.integers(1, 5, N)).astype(float) + 40, None, None


@case(COUNTER)
def counter_few_rises(random: Random) -> Made:
    rises = random.choice(N - 1, random.integers(3, 11), replace=False) + 1
    return np.searchsorted(np.sort(rises), np.arange(N), side="right").astype(float), None, None


@case(COUNTER)
def counter_few_rises_of_3_hosts_unnamed(random: Random) -> Made:
    values = np.stack([counter_few_rises(random)[0] + 100 * host for host in range(3)])
    return values[turns(3), np.arange(N)], None, None


@case(COUNTER)
def counter_2_records_each(random: Random) -> Made:
    return (
        random.integers(0, 10**9, 500).repeat(2) + np.tile([0, 1], 500) * random.integers(1, 9000, 1000),
        np.arange(500).repeat(2),
        None,
    )


@case(COUNTER)
def counter_in_a_third_of_the_records(random: Random) -> Made:
    values, host = hosts(random, 3)
    return np.where(random.integers(0, 3, N) == 0, values, np.nan), host, clock()


@case(FALLING)
def countdown(random: Random) -> Made:
    return 1e9 - counts(random), None, None


@case(CLOCK)
def clock_last_seen(random: Random) -> Made:
    return clock() - random.integers(0, 120, N), None, clock()


@case(CLOCK)
def clock_last_seen_untimed(random: Random) -> Made:
    return clock() - random.integers(0, 120, N), None, None


@case(CLOCK)
def clock_ms_untimed(random: Random) -> Made:
    return (clock() - random.integers(0, 120, N)) * 1000, None, None


@case(CLOCK)
def clock_ns_within_an_hour(random: Random) -> Made:
    times = START + np.arange(float(N))
    return (times + random.random(N)) * 1e9, None, times


@case(CLOCK)
def clock_hours_late(random: Random) -> Made:
    return clock() - random.integers(0, 20_000, N), None, clock()


@case(CLOCK)
def clock_of_3_hosts(random: Random) -> Made:
    return clock() - random.integers(0, 9000, 3)[turns(3)], turns(3), None


@case(CLOCK)
def created_in_the_past(random: Random) -> Made:
    return clock() - random.integers(60, 300 * 86_400, N), None, clock()


@case(LEVEL, warned=True)
def created_in_the_past_untimed(random: Random) -> Made:
    return (clock() - random.integers(60, 300 * 86_400, N)) * 1000, None, None


@case(CLOCK)
def boot_time_of_5_hosts(random: Random) -> Made:
    boots = START - random.integers(86_400, 200 * 86_400, 5)
    return boots[turns(5)].astype(float), turns(5), clock()


@case(CLOCK)
def clock_replayed(random: Random) -> Made:
    return clock() - random.integers(30, 3000) * 86_400, None, START + np.arange(N) / 100
