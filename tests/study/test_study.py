from collections.abc import Callable

from lrbench.modifiers import EMA
from lrbench.study.study import Study
from lrbench.study.variant import Variant


def test_a_study_prints_its_policies_and_what_is_asked_of_them(study: Callable[..., Study]) -> None:
    made = study("FIX(k0=0.1)", "TRI(k0=0, k1=1, l=10)", modifiers=(Variant.of([EMA()], "averaged"),), target=0.5)

    assert str(made).splitlines() == [
        "small: 2 policies on thirds, 2 seeds",
        "name                   policy",
        "FIX(k0=0.1)            FIX(k0=0.1)",
        "TRI(k0=0, k1=1, l=10)  TRI(k0=0.0, k1=1.0, l=10)",
        "each also with averaged",
        "margin 0.01, target 0.5",
    ]
    assert repr(made) == "<Study: small: 2 policies on thirds, 2 seeds>"


def test_of_a_study_of_many_policies_the_first_are_listed(study: Callable[..., Study]) -> None:
    made = study(*(f"FIX(k0={place / 100})" for place in range(100)))

    lines = str(made).splitlines()
    assert (lines[31].split()[0], lines[32]) == ("FIX(k0=0.29)", "and 70 more")
