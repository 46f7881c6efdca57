import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lrbench.policy import parse
from lrbench.report.plots.family_tree import Branch, family_tree_figure, prefix_tree


def curves(*texts: str, steps: int = 100) -> dict[str, np.ndarray]:
    return {text: parse(text).bind(steps, 10).lrs(0, steps) for text in texts}


def test_policies_share_what_comes_before_they_differ() -> None:
    early, late, other = "STEP(k0=0.1, gamma=0.1, l=40)", "STEP(k0=0.1, gamma=0.1, l=70)", "FIX(k0=0.2)"

    shared, own = prefix_tree(curves(early, late, other))

    assert shared == Branch((early, late), 0, 40, (Branch((early,), 40, 100), Branch((late,), 40, 100)))
    assert own == Branch((other,), 0, 100)
    assert shared.trained + own.trained == 40 + 60 + 60 + 100


def test_equal_policies_are_one_leaf() -> None:
    (leaf,) = prefix_tree(curves("FIX(k0=0.1)", "STEP(k0=0.1, gamma=1.0, l=10)"))

    assert (leaf.trained, leaf.children) == (100, ())


@given(st.lists(st.lists(st.sampled_from([0.1, 0.2]), min_size=6, max_size=6), min_size=1, max_size=8))
def test_every_different_beginning_is_trained_once(rates: list[list[float]]) -> None:
    named = {f"policy {number}": np.array(lrs) for number, lrs in enumerate(rates)}

    trees = prefix_tree(named)

    beginnings = {tuple(lrs[:length]) for lrs in rates for length in range(1, 7)}
    assert sum(tree.trained for tree in trees) == len(beginnings)
    assert sorted(name for tree in trees for leaf in tree.leaves() for name in leaf.names) == sorted(named)


def test_the_picture_says_what_is_saved() -> None:
    figure = family_tree_figure(curves("STEP(k0=0.1, gamma=0.1, l=50)", "FIX(k0=0.1)"))

    (legend,) = figure.legends
    assert legend.get_title().get_text() == "These policies have 150 different iterations of 200: a seed takes 25% less"
