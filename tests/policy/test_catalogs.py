"""The catalogs that come with lrbench, and the user's own."""

from pathlib import Path

import pytest

from lrbench.errors import PolicyError
from lrbench.policy import FIX, catalog, catalogs, functions, load_catalog

THE_13 = ["FIX", "STEP", "NSTEP", "EXP", "INV", "POLY", "TRI", "TRI2", "TRIEXP", "SIN", "SIN2", "SINEXP", "COS"]


def test_four_catalogs_come_with_lrbench() -> None:
    assert catalogs() == ("caffe", "lrbench13", "lrbench_family", "modern")


def test_lrbench13_has_the_13_functions_once_each_in_the_papers_order() -> None:
    entries = catalog("lrbench13")
    assert list(entries) == THE_13
    assert [type(entry.policy).__name__ for entry in entries.values()] == THE_13


def test_lrbench_family_has_the_21_others_once_each() -> None:
    entries = catalog("lrbench_family")
    assert len(entries) == 21
    assert [type(entry.policy).__name__ for entry in entries.values()] == list(entries) == list(functions())[13:34]


@pytest.mark.parametrize("name", ["caffe", "lrbench13", "lrbench_family", "modern"])
@pytest.mark.parametrize(("steps", "steps_per_epoch"), [(200, 10), (4000, 100), (70_000, 500)])
def test_every_entry_fits_budgets_from_small_to_large(name: str, steps: int, steps_per_epoch: int) -> None:
    for entry in catalog(name).values():
        lrs = entry.policy.bind(steps, steps_per_epoch).lrs(0, steps)
        assert 0 < lrs.max() < 1


@pytest.mark.parametrize("name", ["caffe", "lrbench13", "lrbench_family", "modern"])
def test_every_entry_says_where_it_comes_from(name: str) -> None:
    entries = catalog(name)
    assert entries.title
    assert all(entry.source for entry in entries.values())


@pytest.mark.parametrize(
    ("entry", "budget", "bound"),
    [
        ("lenet-inv", 10_000, "INV(k0=0.01, gamma=0.0001, p=0.75)"),
        ("lenet-multistep", 10_000, "NSTEP(k0=0.01, gamma=0.9, l=[5000, 7000, 8000, 9000, 9500])"),
        ("lenet-nstep", 10_000, "NSTEP(k0=0.001, gamma=0.1, l=[8571, 9286])"),
        ("lenet-exp", 10_000, "EXP(k0=0.01, gamma=0.99994)"),
        ("cifar10-full", 70_000, "NSTEP(k0=0.001, gamma=0.1, l=[60000, 65000])"),
        ("cifar10-clr", 25_000, "TRI(k0=0.0025, k1=0.01, l=2000)"),
        ("caffenet-step", 450_000, "STEP(k0=0.01, gamma=0.1, l=100000)"),
        ("googlenet-quick-poly", 2_400_000, "POLY(k0=0.01, p=0.5, l=2400000)"),
        ("googlenet-step", 10_000_000, "STEP(k0=0.01, gamma=0.96, l=320000)"),
    ],
)
def test_caffes_settings_are_the_published_ones_at_their_own_budget(entry: str, budget: int, bound: str) -> None:
    assert str(catalog("caffe")[entry].policy.bind(budget, 600)) == bound


def test_an_unknown_catalog_is_named_with_the_nearest() -> None:
    with pytest.raises(PolicyError, match=r"no catalog named 'lrbench31' \(did you mean 'lrbench13'\?\)"):
        catalog("lrbench31")


def test_an_entry_that_a_catalog_lacks_is_a_key_error() -> None:
    assert "FIXED" not in catalog("lrbench13")
    with pytest.raises(KeyError):
        catalog("lrbench13")["FIXED"]


GOOD = '[[policy]]\nname = "mine"\npolicy = "FIX(k0=0.1)"\nsource = "me"\n'


def test_the_users_own_catalog_is_read_from_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, encoding="utf-8")
    own = load_catalog(path)
    assert (own.name, own.title, own["mine"].policy, own["mine"].source) == ("mine", "mine", FIX(k0=0.1), "me")
    assert load_catalog(str(path)) == own


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "policy is missing"),
        (b"title = 5\n" + GOOD.encode(), "title must be text, not 5"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"this is no toml", "is not valid TOML"),
        (b"a = " + b"[" * 5000, "is not valid TOML"),
        (b"policy = 5", r"policy must be a list of tables, each under \[\[policy\]\]"),
        (b"policy = []", r"policy must be a list of tables, each under \[\[policy\]\]"),
        (b"polcy = []", r"unknown key 'polcy' \(did you mean 'policy'\?\)"),
        (b'[[policy]]\nname = "a"\nsource = "b"\n', "entry 1: policy is missing"),
        (b'[[policy]]\nname = "a"\npolicy = "FIX(k0=1)"\n', "entry 1: source is missing"),
        (GOOD.replace("source", "sauce").encode(), r"entry 1: unknown key 'sauce' \(did you mean 'source'\?\)"),
        (GOOD.replace('"mine"', "5").encode(), "entry 1: name must be text that is not empty, not 5"),
        (GOOD.replace('"mine"', '" "').encode(), "entry 1: name must be text that is not empty, not ' '"),
        (
            GOOD.replace("0.1", "-1").encode(),
            r"entry 1 \(mine\): FIX: k0 must be a finite number .* not -1",
        ),
        (GOOD.replace("FIX", "FX").encode(), r"entry 1 \(mine\): there is no LR function named 'FX' \(did you mean"),
        ((GOOD + GOOD).encode(), "the name 'mine' is given to two policies"),
    ],
)
def test_a_bad_catalog_is_refused_by_its_path(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(PolicyError, match=rf"^catalog .*mine\.toml.*{says}"):
        load_catalog(path)


def test_a_catalog_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"catalog .*nowhere\.toml cannot be read as a TOML file: No such file"):
        load_catalog(tmp_path / "nowhere.toml")
    with pytest.raises(PolicyError, match=r"cannot be read as a TOML file: it is a folder"):
        load_catalog(tmp_path)
