"""Levels, and levels that run away."""

import numpy as np

from aestream.inference.movement import Motion
from tests.bench.movement.cases import (
    Made,
    N,
    Random,
    ar,
    case,
    clock,
    turns,
)

COUNTER, FALLING, LEVEL, RISING = Motion.COUNTER, Motion.FALLING, Motion.LEVEL, Motion.RISING


@case(LEVEL)
def white_noise(random: Random) -> Made:
    return random.normal(50, 10, N), None, clock()


@case(LEVEL)
def white_noise_of_3_hosts(random: Random) -> Made:
    host = turns(3)
    return random.normal(50, 10, N) + 100 * host, host if random.random() < 0.5 else None, clock()


@case(LEVEL)
def white_noise_2_records_each(random: Random) -> Made:
    return random.normal(50, 10, 1000), np.arange(500).repeat(2), None


@case(LEVEL)
def autoregressive(random: Random) -> Made:
    return ar(random, 0.95), None, None


@case(LEVEL, RISING, FALLING)
def autoregressive_slow(random: Random) -> Made:
    return ar(random, 0.998), None, None


@case(LEVEL, RISING, FALLING)
def random_walk(random: Random) -> Made:
    return np.cumsum(random.normal(size=N)), None, clock()


@case(LEVEL, tolerated=0.15)
def random_walk_left_out(random: Random) -> Made:
    return random_walk(random)


@case(LEVEL)
def sine_without_noise(random: Random) -> Made:
    return np.sin(np.linspace(0, 2 * np.pi * random.uniform(1.5, 8), N) + random.uniform(0, 7)), None, None


@case(LEVEL)
def sine_one_cycle(random: Random) -> Made:
    return np.sin(np.linspace(0, 2 * np.pi, N) + random.uniform(0, 7)) + random.normal(0, 0.05, N), None, clock()


@case(LEVEL)
def sines_of_4_hosts(random: Random) -> Made:
    host = turns(4)
    level = 10 * host + np.sin(np.linspace(0, 2 * np.pi * random.uniform(1.5, 5), N) + host)
    return level.astype(np.float64), host if random.random() < 0.5 else None, None


@case(LEVEL)
def level_shift(random: Random) -> Made:
    at = random.integers(N // 10, N * 9 // 10)
    return random.normal(0, 1, N) + 10 * (np.arange(N) > at), None, None


@case(LEVEL)
def level_shift_without_noise(random: Random) -> Made:
    return np.where(np.arange(N) > random.integers(N // 10, N * 9 // 10), 7.0, 5.0), None, None


@case(LEVEL)
def sawtooth(random: Random) -> Made:
    return (np.arange(N) * random.uniform(4.2, 40) / N % 1) * 80 + 10, None, None


@case(LEVEL)
def sawtooth_noisy(random: Random) -> Made:
    return (np.arange(N) * random.uniform(5, 20) / N % 1) * 80 + random.normal(0, 1, N), None, clock()


@case(LEVEL)
def sawtooth_of_3_hosts_unnamed(random: Random) -> Made:
    phase = np.arange(N) * random.uniform(7, 20, 3)[turns(3)] / N + random.random(3)[turns(3)]
    return phase % 1 * 80 + 10, None, None


@case(LEVEL)
def buffer_that_is_flushed(random: Random) -> Made:
    lengths = random.integers(5, 60, N)
    return np.concatenate([np.arange(length) for length in lengths])[:N].astype(float), None, None


@case(LEVEL)
def sawtooth_uneven(random: Random) -> Made:
    """Ramps of any height and length, and one far higher than the others."""
    lengths = random.integers(10, 150, N)
    ramps = [random.exponential(1) * np.linspace(0, 1, length) for length in lengths]
    ramps[random.integers(0, 5)] *= 20
    return np.concatenate(ramps)[:N], None, None


@case(LEVEL)
def setting_that_changes(random: Random) -> Made:
    """A level of few values that stays for a while, and differs between the halves of the sample."""
    stays = random.integers(2, 15, N)
    values = random.integers(0, 40, N) + 15 * (np.cumsum(stays) > N // 2)
    return values.repeat(stays)[:N].astype(float), None, None


@case(LEVEL)
def queue_length(random: Random) -> Made:
    return random.poisson(random.uniform(1, 20), N).astype(float), None, clock()


@case(LEVEL)
def queue_length_slow(random: Random) -> Made:
    return np.maximum(np.round(3 * ar(random, 0.98)), 0), None, None


@case(LEVEL)
def boolean_rare(random: Random) -> Made:
    return (random.random(N) < random.uniform(0.002, 0.5)).astype(float), None, None


@case(LEVEL)
def boolean_one_incident(random: Random) -> Made:
    start = random.integers(N // 30, N * 5 // 6)
    return ((np.arange(N) > start) & (np.arange(N) < start + N // 15)).astype(float), None, None


@case(LEVEL)
def bursts(random: Random) -> Made:
    return np.where(random.random(N) < 0.05, random.exponential(100, N), 0).round(), None, None


@case(LEVEL)
def latency(random: Random) -> Made:
    return random.lognormal(3, 1, N), turns(3) if random.random() < 0.5 else None, None


@case(LEVEL)
def daily_cycles(random: Random) -> Made:
    days = random.uniform(2, 10)
    day = 1 + np.sin(np.linspace(0, 2 * np.pi * days, N) + random.uniform(0, 7))
    return random.poisson(30 * day).astype(float), None, clock()


@case(LEVEL)
def disk_of_20_hosts(random: Random) -> Made:
    host = turns(20)
    return random.uniform(10, 90, 20)[host] + random.normal(0, 0.01, N), host if random.random() < 0.5 else None, None


@case(LEVEL)
def setting_per_host(random: Random) -> Made:
    return random.integers(1, 9, 6)[turns(6)].astype(float), None, None


@case(LEVEL)
def gauge_in_a_third_of_the_records(random: Random) -> Made:
    return np.where(random.integers(0, 3, N) == 0, random.normal(50, 10, N), np.nan), turns(3), clock()


@case(LEVEL)
def memory_in_bytes(random: Random) -> Made:
    times = clock() if random.random() < 0.5 else None
    return random.integers(1_200_000_000, 3_000_000_000, N).astype(float), None, times


@case(LEVEL)
def memory_in_bytes_slow(random: Random) -> Made:
    return (2e9 + 1e8 * ar(random, 0.95)).round(), None, clock()


@case(LEVEL)
def memory_below_now(random: Random) -> Made:
    return (
        np.clip(random.normal(1.3e9, 0.08e9, N), 1e9, 1.65e9).round(),
        None,
        clock() if random.random() < 0.5 else None,
    )


@case(LEVEL)
def grows_a_little(random: Random) -> Made:
    return random.normal(50, 10, N) + np.linspace(0, random.uniform(0, 40), N), None, None


@case(LEVEL, warned=True)
def grows_by_4_sigma(random: Random) -> Made:
    return random.normal(50, 10, N) + np.linspace(0, 40, N), None, clock()


@case(RISING)
def eighth_of_a_cycle(random: Random) -> Made:
    return 150 + 90 * np.sin(np.linspace(0, np.pi / 4, N)) + random.normal(size=N), None, clock()


@case(RISING)
def grows_by_10_sigma(random: Random) -> Made:
    return random.normal(50, 1, N) + np.linspace(0, 10, N), None, clock()


@case(RISING, COUNTER)
def grows_by_20_sigma(random: Random) -> Made:
    return random.normal(50, 1, N) + np.linspace(0, 20, N), None, clock()


@case(RISING, COUNTER)
def grows_by_40_sigma(random: Random) -> Made:
    return random.normal(50, 1, N) + np.linspace(0, 40, N), None, clock()


@case(COUNTER, RISING)
def disk_that_fills(random: Random) -> Made:
    host = turns(4)
    return 20 + 10 * host + np.linspace(0, 9, N) + random.normal(0, 0.2, N), host, clock()


@case(FALLING)
def disk_free(random: Random) -> Made:
    return 2e12 - np.linspace(0, 1e12, N) + random.normal(0, 2e10, N), None, clock()
