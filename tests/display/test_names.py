from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrbench.display.names import paragraph, short_names, shortened, unbroken, wrapped
from lrbench.policy import parse

GRID = [f"STEP(k0={k0}, gamma=0.1, l={length}dur)" for k0, length in product((0.1, 0.2), (0.25, 0.5))]


def test_names_that_fit_are_left_as_they_are() -> None:
    names = ["FIX", "STEP(k0=0.1, gamma=0.1)", "STEP(k0=0.2, gamma=0.1)"]

    short = short_names(names, 23)

    assert (list(short.shown.values()), short.patterns) == (names, ())


def test_the_policies_of_a_grid_show_what_differs_and_say_once_what_does_not() -> None:
    short = short_names(GRID, 22)

    assert list(short.shown) == GRID
    assert list(short.shown.values()) == [
        "STEP(k0=0.1, l=0.25dur)",
        "STEP(k0=0.1, l=0.5dur)",
        "STEP(k0=0.2, l=0.25dur)",
        "STEP(k0=0.2, l=0.5dur)",
    ]
    assert short.patterns == ("STEP(k0=…, gamma=0.1, l=…)",)


def test_what_a_grid_shows_is_what_is_left_of_each_policy() -> None:
    short = short_names(["FIX(k0=0.123456789).warmup(10)", "FIX(k0=0.12345678).warmup(10)"], 10)

    assert list(short.shown.values()) == ["FIX(k0=0.123456789).warmup(10)", "FIX(k0=0.12345678).warmup(10)"]


def test_a_name_that_is_alone_of_its_shape_is_left_whole() -> None:
    names = ["SINEXP(k0=0.001, k1=0.2, gamma=0.1 per 1dur, l=0.25dur)", "a long name that somebody gave (the 1st)"]

    assert short_names(names, 10).shown == dict(zip(names, names, strict=True))


def test_lists_and_parts_of_composites_are_told_apart_where_they_stand() -> None:
    composites = [f"FIX(k0=0.1).then(TRI(k0=0.01, k1={k1}, l=50), at=200)" for k1 in (0.1, 0.2)]
    stepped = [f"NSTEP(k0=0.1, gamma=0.1, l=[{first}, 0.9dur])" for first in (100, 200)]

    short = short_names([*composites, *stepped], 10)

    assert list(short.shown.values()) == [
        "FIX.then(TRI(k1=0.1))",
        "FIX.then(TRI(k1=0.2))",
        "NSTEP(l=[100, 0.9dur])",
        "NSTEP(l=[200, 0.9dur])",
    ]
    assert short.patterns == (
        "FIX(k0=0.1).then(TRI(k0=0.01, k1=…, l=50), at=200)",
        "NSTEP(k0=0.1, gamma=0.1, l=…)",
    )


def test_an_argument_that_only_some_have_is_shown() -> None:
    short = short_names(["STEP(k0=0.1, gamma=0.123456)", "STEP(k0=0.1, gamma=0.123456, k1=0.01)"], 10)

    assert set(short.shown.values()) == {"STEP", "STEP(k1=0.01)"}
    assert short.patterns == ("STEP(k0=0.1, gamma=0.123456, k1=…)",)


def test_no_policy_is_called_like_another_that_somebody_named_so() -> None:
    names = ["STEP(k0=0.1, gamma=0.123456)", "STEP(k0=0.1, gamma=0.123456, k1=0.01)", "STEP"]

    short = short_names(names, 10)

    assert short.shown == {names[0]: names[0], names[1]: "STEP(k1=0.01)", "STEP": "STEP"}


@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.25]), st.sampled_from([0.5, 0.9]), st.integers(1, 3)), min_size=1),
    st.integers(1, 60),
)
def test_no_two_names_are_ever_shown_alike(settings: list[tuple[float, float, int]], longest: int) -> None:
    names = {f"STEP(k0={k0}, gamma={gamma}, l={length})" for k0, gamma, length in settings} | {"STEP", "FIX(k0=0.1)"}
    names |= {str(parse(name).warmup(5)) for name in names if "(" in name}

    shown = short_names(sorted(names), longest).shown

    assert shown.keys() == names
    assert len(set(shown.values())) == len(names)


@pytest.mark.parametrize(("longest", "cut"), [(9, "abcdefghi"), (8, "abcdefg…")])
def test_a_name_is_cut_with_an_ellipsis(longest: int, cut: str) -> None:
    assert shortened("abcdefghi", longest) == cut


@given(st.text(alphabet="ab(,= ", max_size=200), st.integers(8, 60))
def test_a_wrapped_name_loses_nothing_and_fits(name: str, width: int) -> None:
    lines = wrapped(name, width).split("\n")

    assert "".join(wrapped(name, width).split()) == "".join(name.split())
    assert max(map(len, lines)) <= width


def test_a_paragraph_breaks_between_names_rather_than_in_them() -> None:
    names = ", ".join(map(unbroken, ["STEP(k0=0.1, l=10) 5", "STEP(k0=0.2, l=10) 12"]))

    assert paragraph(f"undecided: {names}", 40) == "undecided: STEP(k0=0.1, l=10) 5,\n  STEP(k0=0.2, l=10) 12"


def test_a_name_that_no_line_holds_is_broken_all_the_same() -> None:
    text = paragraph(f"undecided: {unbroken('a name of many words ' * 4)}", 40)

    assert max(map(len, text.split("\n"))) <= 40
    assert text.split() == ["undecided:", *["a", "name", "of", "many", "words"] * 4]
