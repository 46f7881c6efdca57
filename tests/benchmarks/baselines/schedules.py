"""The 13 schedules of studies/quickstart.toml in plain Python: the learning rate of iteration t of 1,000, from 0 on."""

from __future__ import annotations

from collections.abc import Callable
from math import asin, cos, pi, sin

STEPS = 1000
HALF_CYCLE = 250

Schedule = Callable[[int], float]


def between(low: float, high: float, wave: Schedule) -> Schedule:
    return lambda t: low + (high - low) * wave(t)


def triangle(t: int) -> float:
    return 2 / pi * abs(asin(sin(pi * t / (2 * HALF_CYCLE))))


def sine(t: int) -> float:
    return abs(sin(pi * t / (2 * HALF_CYCLE)))


def halved(t: int) -> float:
    return 0.5 ** (t // (2 * HALF_CYCLE))


def falling(t: int) -> float:
    return 0.1 ** (t / STEPS)


SCHEDULES: dict[str, Schedule] = {
    "FIX": lambda t: 0.3,
    "STEP": lambda t: 0.2 * 0.1 ** (t // 400),
    "NSTEP": lambda t: 0.2 * 0.1 ** ((t >= 700) + (t >= 900)),
    "EXP": lambda t: 0.1 * 0.000001 ** (t / STEPS),
    "INV": lambda t: 0.1 * (1 + 100 * t / STEPS) ** -0.75,
    "POLY": lambda t: 0.2 * (1 - t / STEPS) ** 1.2,
    "TRI": between(0.001, 0.2, triangle),
    "TRI2": between(0.001, 0.2, lambda t: halved(t) * triangle(t)),
    "TRIEXP": between(0.001, 0.2, lambda t: falling(t) * triangle(t)),
    "SIN": between(0.001, 0.2, sine),
    "SIN2": between(0.001, 0.2, lambda t: halved(t) * sine(t)),
    "SINEXP": between(0.001, 0.2, lambda t: falling(t) * sine(t)),
    "COS": between(0.001, 0.5, lambda t: (1 + cos(2 * pi * t / 100)) / 2),
}
