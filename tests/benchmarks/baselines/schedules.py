"""The 17 schedules of studies/quickstart.toml in plain Python: the learning rate of iteration t of 1,000, from 0 on."""

from __future__ import annotations

from collections.abc import Callable
from math import asin, cos, pi, sin

STEPS = 1000

Schedule = Callable[[int], float]


def between(low: float, high: float, wave: Schedule) -> Schedule:
    return lambda t: low + (high - low) * wave(t)


def triangle(t: int, half_cycle: int = 500) -> float:
    return 2 / pi * abs(asin(sin(pi * t / (2 * half_cycle))))


def sine(t: int, half_cycle: int = 500) -> float:
    return abs(sin(pi * t / (2 * half_cycle)))


SCHEDULES: dict[str, Schedule] = {
    "FIX": lambda t: 0.1,
    "STEP": lambda t: 0.2 * 0.1 ** (t // 600),
    "NSTEP": lambda t: 0.2 * 0.3 ** ((t >= 600) + (t >= 750) + (t >= 900)),
    "EXP": lambda t: 0.2 * 0.2 ** (t / STEPS),
    "INV": lambda t: 0.2 / (1 + 5 * t / STEPS),
    "POLY": lambda t: 0.2 * (1 - t / STEPS) ** 1.2,
    "TRI": between(0.001, 0.2, triangle),
    "TRI2": between(0.001, 0.2, lambda t: 0.5 ** (t // 500) * triangle(t, 250)),
    "TRIEXP": between(0.001, 0.2, lambda t: 0.5 ** (t / STEPS) * triangle(t)),
    "SIN": between(0.001, 0.2, sine),
    "SIN2": between(0.001, 0.2, lambda t: 0.5 ** (t // 500) * sine(t, 250)),
    "SINEXP": between(0.001, 0.2, lambda t: 0.3 ** (t / STEPS) * sine(t)),
    "COS": between(0.001, 0.2, lambda t: (1 + cos(pi * t / STEPS)) / 2),
    "FIX, too high": lambda t: 0.3,
    "EXP, too fast": lambda t: 0.1 * 0.000001 ** (t / STEPS),
    "INV, too fast": lambda t: 0.1 * (1 + 100 * t / STEPS) ** -0.75,
    "COS, ends high": between(0.001, 0.5, lambda t: (1 + cos(2 * pi * t / 100)) / 2),
}
