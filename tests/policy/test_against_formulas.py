"""Every function gives what its published formula gives, written out here in plain Python for one iteration."""

from collections.abc import Callable
from math import asin, cos, exp, floor, pi, sin, sqrt

import numpy as np
import pytest

from lrbench.policy import functions, parse

K0, K1, GAMMA, L, P = 0.02, 0.3, 0.98, 13, 1.6


def wave(g: Callable[[int], float]) -> Callable[[int], float]:
    return lambda t: (K1 - K0) * g(t) + K0


def tri(t: float) -> float:
    return (2 / pi) * abs(asin(sin(pi * t / (2 * L))))


def arch(t: float) -> float:
    return abs(sin(pi * t / (2 * L)))


def falling_cosine(t: float) -> float:
    return (1 + cos(pi * t / L)) / 2


def rising_cosine(t: float) -> float:
    return (1 + cos(pi * (t / L + 1))) / 2


def saw(t: float) -> float:
    return 1 - (t / L - floor(t / L))


def sine_saw(t: float) -> float:
    return sin(pi * saw(t) / 2)


def cosine_saw(t: float) -> float:
    return (1 - cos(pi * saw(t))) / 2


def cycles(t: float) -> float:
    return 2.0 ** floor(t / (2 * L))


def restarts(t: float) -> float:
    return 2.0 ** floor(t / L)


def smith(scale: Callable[[int, int], float]) -> Callable[[int], float]:
    """Smith's CLR as in arXiv 1506.01186, with stepsize L."""

    def lr(t: int) -> float:
        cycle = floor(1 + t / (2 * L))
        x = abs(t / L - 2 * cycle + 1)
        return K0 + (K1 - K0) * max(0.0, 1 - x) * scale(t, cycle)

    return lr


WAVE = f"k0={K0}, k1={K1}, l={L}"
WAVE_EXP = f"k0={K0}, k1={K1}, gamma={GAMMA}, l={L}"

FORMULAS: dict[str, Callable[[int], float]] = {
    f"FIX(k0={K1})": lambda t: K1,
    f"STEP(k0={K1}, gamma={GAMMA}, l={L})": lambda t: K1 * GAMMA ** floor(t / L),
    f"STEP(k0={K1}, k1={K0}, gamma={GAMMA}, l={L})": wave(lambda t: GAMMA ** floor(t / L)),
    f"NSTEP(k0={K1}, gamma={GAMMA}, l=[5, 6, 40])": lambda t: K1 * GAMMA ** sum(t >= s for s in (5, 6, 40)),
    f"EXP(k0={K1}, gamma={GAMMA})": lambda t: K1 * GAMMA**t,
    f"INV(k0={K1}, gamma={GAMMA}, p={P})": lambda t: K1 * (1 + GAMMA * t) ** -P,
    f"POLY(k0={K1}, p={P}, l=50)": lambda t: K1 * (1 - t / 50) ** P if t < 50 else 0.0,
    f"POLY(k0={K1}, k1={K0}, p={P}, l=50)": wave(lambda t: (1 - t / 50) ** P if t < 50 else 0.0),
    f"TRI({WAVE})": smith(lambda t, cycle: 1.0),
    f"TRI2({WAVE})": smith(lambda t, cycle: 1 / 2 ** (cycle - 1)),
    f"TRIEXP({WAVE_EXP})": smith(lambda t, cycle: GAMMA**t),
    f"SIN({WAVE})": wave(arch),
    f"SIN2({WAVE})": wave(lambda t: arch(t) / cycles(t)),
    f"SINEXP({WAVE_EXP})": wave(lambda t: GAMMA**t * arch(t)),
    f"COS({WAVE})": wave(lambda t: (1 + cos(2 * pi * t / L)) / 2),
    f"SIG(k0={K1}, gamma=-0.2, l=40)": lambda t: K1 / (1 + exp(0.2 * (t - 40))),
    f"SIG(k0={K1}, gamma=0.2, l=40)": lambda t: K1 / (1 + exp(-0.2 * (t - 40))),
    f"DTRI({WAVE})": wave(lambda t: tri(t + L)),
    f"DTRI2({WAVE})": wave(lambda t: tri(t + L) / cycles(t + L)),
    f"DTRIEXP({WAVE_EXP})": wave(lambda t: GAMMA**t * tri(t + L)),
    f"DSIN({WAVE})": wave(lambda t: arch(t + L)),
    f"DSIN2({WAVE})": wave(lambda t: arch(t + L) / cycles(t + L)),
    f"DSINEXP({WAVE_EXP})": wave(lambda t: GAMMA**t * arch(t + L)),
    f"COS2({WAVE})": wave(lambda t: falling_cosine(t) / cycles(t + L)),
    f"COSEXP({WAVE_EXP})": wave(lambda t: GAMMA**t * falling_cosine(t)),
    f"UPCOS({WAVE})": wave(rising_cosine),
    f"UPCOS2({WAVE})": wave(lambda t: rising_cosine(t) / cycles(t)),
    f"UPCOSEXP({WAVE_EXP})": wave(lambda t: GAMMA**t * rising_cosine(t)),
    f"RSW({WAVE})": wave(saw),
    f"RSW2({WAVE})": wave(lambda t: saw(t) / restarts(t)),
    f"RSWEXP({WAVE_EXP})": wave(lambda t: GAMMA**t * saw(t)),
    f"SINRSW({WAVE})": wave(sine_saw),
    f"SINRSW2({WAVE})": wave(lambda t: sine_saw(t) / restarts(t)),
    f"SINRSWEXP({WAVE_EXP})": wave(lambda t: GAMMA**t * sine_saw(t)),
    f"COSRSW({WAVE})": wave(cosine_saw),
    f"COSRSW2({WAVE})": wave(lambda t: cosine_saw(t) / restarts(t)),
    f"COSRSWEXP({WAVE_EXP})": wave(lambda t: GAMMA**t * cosine_saw(t)),
    f"LINEAR(k0={K1}, k1={K0}, l=50)": wave(lambda t: 1 - min(t / 50, 1)),
    f"GEOMETRIC(k0={K0}, k1={K1}, l=50)": lambda t: K0 * (K1 / K0) ** min(t / 50, 1),
    f"COSINE(k0={K1}, k1={K0}, l=50)": wave(lambda t: (1 + cos(pi * min(t / 50, 1))) / 2),
    f"SGDR(k0={K1}, k1={K0}, l=20, mult=2)": wave(
        # cycles of 20, 40, 80 iterations start at 0, 20, 60
        lambda t: (1 + cos(pi * (t / 20 if t < 20 else (t - 20) / 40 if t < 60 else (t - 60) / 80))) / 2
    ),
    f"ONECYCLE(k0={K0}, k1={K1}, up=30, down=60)": lambda t: (
        K0 + (K1 - K0) * (1 - cos(pi * t / 30)) / 2 if t < 30 else K1 * (1 + cos(pi * min((t - 30) / 60, 1))) / 2
    ),
    f"WSD(k0={K1}, k1={K0}, up=10, stable=50, down=30)": wave(lambda t: min(t / 10, 1, max(0, 1 - (t - 60) / 30))),
    f"WSDSQRT(k0={K1}, k1={K0}, up=10, stable=50, down=30)": wave(
        lambda t: t / 10 if t < 10 else 1 - sqrt(min(max(t - 60, 0) / 30, 1))
    ),
    "TABLE(values=[0.5, 0.25, 0.125])": lambda t: 0.5 ** (min(t, 2) + 1),
    "POLYLINE(values=[0, 1, 0.4], l=60)": lambda t: t / 30 if t < 30 else 1 - 0.6 * (min(t, 60) - 30) / 30,
    f"INVSQRT(k0={K1}, l=20)": lambda t: K1 * sqrt(20) / sqrt(max(t, 20)),
    f"REX(k0={K1}, k1={K0}, l=50)": wave(lambda t: (1 - min(t / 50, 1)) / (1 / 2 + 1 / 2 * (1 - min(t / 50, 1)))),
}


@pytest.mark.parametrize("text", FORMULAS)
def test_gives_what_its_formula_gives(text: str) -> None:
    expected = [FORMULAS[text](t) for t in range(120)]
    np.testing.assert_allclose(parse(text).lrs(0, 120), expected, rtol=1e-11, atol=1e-15)


def test_every_closed_form_function_has_a_formula_here() -> None:
    here = {text.partition("(")[0] for text in FORMULAS}
    assert here == {name for name, function in functions().items() if function.group != "reactive"}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("STEP(k0=0.8, gamma=0.5, l=2)", {0: 0.8, 1: 0.8, 2: 0.4, 3: 0.4, 4: 0.2, 5: 0.2, 6: 0.1}),
        ("NSTEP(k0=0.8, gamma=0.5, l=[1, 4])", {0: 0.8, 1: 0.4, 3: 0.4, 4: 0.2, 100: 0.2}),
        ("EXP(k0=0.8, gamma=0.5)", {0: 0.8, 1: 0.4, 2: 0.2, 3: 0.1}),
        ("INV(k0=0.8, gamma=1, p=2)", {0: 0.8, 1: 0.2, 3: 0.05}),
        ("POLY(k0=0.8, p=2, l=4)", {0: 0.8, 1: 0.45, 2: 0.2, 3: 0.05, 4: 0.0, 400: 0.0}),
        ("TRI(k0=0.1, k1=0.5, l=2)", {0: 0.1, 1: 0.3, 2: 0.5, 3: 0.3, 4: 0.1}),
        ("TRI2(k0=0.1, k1=0.5, l=2)", {2: 0.5, 4: 0.1, 6: 0.3, 10: 0.2}),
        ("TRIEXP(k0=0, k1=0.8, gamma=0.5, l=1)", {0: 0.0, 1: 0.4, 3: 0.1}),
        ("SIN(k0=0.1, k1=0.5, l=3)", {0: 0.1, 1: 0.3, 3: 0.5, 5: 0.3, 6: 0.1}),
        ("SIN2(k0=0.1, k1=0.5, l=3)", {3: 0.5, 9: 0.3, 15: 0.2}),
        ("SINEXP(k0=0, k1=0.8, gamma=0.5, l=1)", {0: 0.0, 1: 0.4, 3: 0.1}),
        ("COS(k0=0.1, k1=0.5, l=4)", {0: 0.5, 1: 0.3, 2: 0.1, 3: 0.3, 4: 0.5}),
        ("SIG(k0=0.4, gamma=-3, l=7)", {7: 0.2}),
        ("COS2(k0=0.1, k1=0.5, l=2)", {0: 0.5, 1: 0.3, 2: 0.1, 4: 0.3}),
        ("UPCOS(k0=0.1, k1=0.5, l=2)", {0: 0.1, 1: 0.3, 2: 0.5, 3: 0.3, 4: 0.1}),
        ("DTRI2(k0=0.1, k1=0.5, l=2)", {0: 0.5, 2: 0.1, 4: 0.3, 8: 0.2}),
        ("RSW(k0=0.1, k1=0.5, l=4)", {0: 0.5, 1: 0.4, 3: 0.2, 4: 0.5}),
        ("WSD(k0=0.4, up=2, stable=3, down=4)", {0: 0.0, 1: 0.2, 2: 0.4, 5: 0.4, 6: 0.3, 8: 0.1, 9: 0.0, 99: 0.0}),
        ("WSDSQRT(k0=0.4, up=2, stable=3, down=4)", {1: 0.2, 5: 0.4, 6: 0.2, 9: 0.0}),
        ("REX(k0=0.3, l=2)", {0: 0.3, 1: 0.2, 2: 0.0}),
        ("INVSQRT(k0=0.4, l=4)", {0: 0.4, 4: 0.4, 16: 0.2, 64: 0.1}),
        ("FIX(k0=0.4).warmup(4, start=0.2)", {0: 0.2, 1: 0.25, 2: 0.3, 4: 0.4, 9: 0.4}),
        ("STEP(k0=0.4, gamma=0.5, l=2).repeated(every=3)", {0: 0.4, 2: 0.2, 3: 0.4, 5: 0.2}),
        ("FIX(k0=0.4).then(EXP(k0=0.2, gamma=0.5), at=3)", {2: 0.4, 3: 0.2, 4: 0.1}),
    ],
)
def test_values_worked_by_hand(text: str, values: dict[int, float]) -> None:
    policy = parse(text)
    assert {t: policy(t) for t in values} == pytest.approx(values, abs=1e-15)


def test_a_waves_peak_and_trough_are_exactly_k1_and_k0() -> None:
    policy = parse("UPCOS(k0=0.01, k1=0.06, l=1000)")
    assert (policy(0), policy(1000), policy(2000)) == (0.01, 0.06, 0.01)


def test_every_cycle_of_a_plain_wave_has_the_same_bits() -> None:
    policy = parse("SIN(k0=0.01, k1=0.06, l=977)")
    far = 10**9 * 2 * 977
    assert policy.lrs(far, far + 2 * 977).tobytes() == policy.lrs(0, 2 * 977).tobytes()
