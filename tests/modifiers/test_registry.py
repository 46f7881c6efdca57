from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lrbench.engine import Training, advance, begin
from lrbench.errors import TaskError
from lrbench.modifiers import (
    EMA,
    LAWA,
    PLP,
    PSWA,
    PSWM,
    PWALKS,
    SWA,
    Bounds,
    Lookahead,
    Memory,
    Modifier,
    Watcher,
    choice,
    count,
    description,
    modifier_named,
    modifiers,
    number,
    parse_modifier,
    register_modifier,
    settings_named,
)
from lrbench.policy.kind import NumberKind, WholeKind
from lrbench.tasks.fingerprint import fingerprint, text_digest
from lrbench.tasks.plugins import load_plugin
from lrbench.tasks.task import Task


def built_in() -> dict[str, type[Watcher]]:
    return {name: method for name, method in modifiers().items() if method.__module__.startswith("lrbench.")}


def value_of(kind: object) -> st.SearchStrategy[object]:
    if isinstance(kind, NumberKind):
        low, high = max(kind.bounds.low, -1e9), min(kind.bounds.high, 1e9)
        return st.floats(low, high, exclude_min=kind.bounds.low_open, exclude_max=kind.bounds.high_open)
    if isinstance(kind, WholeKind):
        return st.integers(int(max(kind.bounds.low, -(10**9))), int(min(kind.bounds.high, 10**9)))
    return st.booleans()


@given(st.data())
def test_every_method_is_read_back_from_its_text(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["PLP", "PSWA", "PWALKS", "PSWM", "SWA", "EMA", "LAWA", "Lookahead"]))
    options = {setting.name: data.draw(value_of(setting.kind)) for setting in settings_named(name)}
    method = modifier_named(name, options)
    assert parse_modifier(str(method)) == method
    assert str(parse_modifier(str(method))) == str(method)


def test_the_text_of_a_method_names_every_setting() -> None:
    text = "PWALKS(period=0.5, p=0.25, tail=1.0, K=3, recompute_bn=True, reset_optimizer=False)"
    assert str(PWALKS(period=0.5, p=0.25, K=3, recompute_bn=True)) == text


def test_equal_settings_are_equal_methods_however_they_are_written() -> None:
    assert PSWA(period=2) == PSWA(period=2.0)
    assert str(PSWA(period=2)) == str(PSWA(period=2.0))
    assert parse_modifier("  PSWA( p = 5e-1,period=2 ) ") == PSWA(period=2, p=0.5)


def test_a_bare_name_has_every_default() -> None:
    assert parse_modifier("PLP") == parse_modifier("PLP()") == PLP()


def test_every_method_says_what_it_does_and_declares_its_settings() -> None:
    assert {"PLP", "PSWA", "PWALKS", "PSWM", "SWA", "EMA", "LAWA", "Lookahead"} <= set(built_in())
    for name in built_in():
        assert description(name).endswith(".")
        assert all(setting.doc and setting.allowed for setting in settings_named(name))


def test_the_patent_is_named_where_users_of_the_method_read() -> None:
    for method in (PSWA, PWALKS, PSWM):
        assert "US 11,922,316 B2" in (method.__doc__ or "")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -0.1, 1.1, True, None, "0.5", [0.5]], ids=repr)
def test_a_probability_outside_0_to_1_is_refused(bad: object) -> None:
    with pytest.raises(TaskError, match=r"^PSWA: p must be a finite number in \[0, 1\], not "):
        PSWA(p=bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("PSWA(period=0)", "period must be a finite number greater than 0, not 0"),
        ("PSWM(period=-1)", "period must be a finite number greater than 0, not -1"),
        ("PWALKS(tail=0)", "tail must be a finite number in (0, 1], not 0"),
        ("PWALKS(tail=1.5)", "tail must be a finite number in (0, 1], not 1.5"),
        ("PWALKS(K=0)", "K must be a whole number of at least 1, not 0"),
        ("PWALKS(K=2.5)", "K must be a whole number of at least 1, not 2.5"),
        ("PWALKS(K=True)", "K must be a whole number of at least 1, not True"),
        ("PSWM(beta=1)", "beta must be a finite number in [0, 1), not 1"),
        ("PSWM(beta=nan)", "beta must be a finite number in [0, 1), not nan"),
        ("PSWA(recompute_bn=1)", "recompute_bn must be True or False, not 1"),
        ("PSWA(reset_optimizer=yes)", "reset_optimizer must be True or False, not yes"),
        ("SWA(start=1)", "start must be a finite number in [0, 1), not 1"),
        ("SWA(every=0)", "every must be a finite number greater than 0, not 0"),
        ("EMA(decay=1)", "decay must be a finite number in [0, 1), not 1"),
        ("EMA(decay=1e999)", "decay must be a finite number in [0, 1), not inf"),
        ("LAWA(K=-3)", "K must be a whole number of at least 1, not -3"),
        ("Lookahead(k=0)", "k must be a whole number of at least 1, not 0"),
        ("Lookahead(alpha=0)", "alpha must be a finite number in (0, 1], not 0"),
        ("Lookahead(alpha=__import__('os'))", "alpha must be a finite number in (0, 1], not __import__('os')"),
    ],
)
def test_a_setting_that_is_not_allowed_is_refused_in_one_sentence(text: str, allowed: str) -> None:
    with pytest.raises(TaskError) as error:
        parse_modifier(text)
    assert str(error.value) == f"{text.partition('(')[0]}: {allowed}"


def test_an_unknown_method_or_setting_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(TaskError, match=r"^there is no modifier named 'PWSA' \(did you mean 'PSWA'\?\)$"):
        modifier_named("PWSA", {})
    with pytest.raises(TaskError, match=r"^there is no modifier named 'dropout'; there are .*EMA"):
        modifier_named("dropout", {})
    with pytest.raises(TaskError, match=r"^SWA has no setting 'strat' \(did you mean 'start'\?\): it takes start, "):
        modifier_named("SWA", {"strat": 0.5})
    with pytest.raises(TaskError, match=r"^PLP has no setting 'k': it takes none$"):
        modifier_named("PLP", {"k": 3})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PSWA(",
        "PSWA)",
        "3",
        "PLP().begin",
        "[PLP()]",
        "(" * 1000,
        "PLP() + PSWA()",
        "lambda: 1",
        "a\x00b",
        "PLP()()",
    ],
)
def test_text_that_describes_no_method_is_refused(text: str) -> None:
    with pytest.raises(TaskError, match=r"^a modifier is written NAME\(setting=value, ...\)"):
        parse_modifier(text)


def test_text_that_is_too_long_or_no_text_is_refused() -> None:
    with pytest.raises(TaskError, match="at most 2000 characters, not 3003"):
        parse_modifier("PLP" + " " * 3000)
    with pytest.raises(TaskError, match="described by text, not 3"):
        parse_modifier(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["PSWA(0.5)", "PSWA(*[1])", "PSWA(**{'p': 1})"])
def test_settings_without_a_name_are_refused(text: str) -> None:
    with pytest.raises(TaskError, match=r"^PSWA: write every setting by its name"):
        parse_modifier(text)


def test_a_setting_given_twice_is_refused() -> None:
    with pytest.raises(TaskError, match=r"^PSWA: p is given twice$"):
        parse_modifier("PSWA(p=0.5, p=0.6)")


def test_nothing_in_a_text_is_executed(tmp_path: Path) -> None:
    victim = tmp_path / "file"
    with pytest.raises(TaskError):
        parse_modifier(f"PSWA(p=open({str(victim)!r}, 'w'))")
    assert not victim.exists()


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        (PSWA(period=5), "a period has 30 iterations, and the budget is 26"),
        (SWA(start=0.99), "takes no weights: every 6 iterations is too rarely for 26 of them"),
        (SWA(every=5), "takes no weights: every 30 iterations is too rarely for 26 of them"),
        (LAWA(every=5), "takes no weights: every 30 iterations is too rarely for 26 of them"),
        (Lookahead(k=27), "steps back after every 27 iterations, and the budget is 26"),
    ],
    ids=str,
)
def test_a_budget_in_which_a_method_would_never_act_is_refused(method: Watcher, reason: str, mlp_task: Task) -> None:
    with pytest.raises(TaskError) as error:
        method.check(mlp_task)
    assert str(error.value).endswith(reason)


def test_every_method_accepts_an_ordinary_task_with_its_defaults(mlp_task: Task) -> None:
    for method in (PLP, PSWA, PWALKS, PSWM, SWA, EMA, LAWA, Lookahead):
        method().check(mlp_task)


def test_a_users_own_modifier_takes_ten_lines(mlp_task: Task) -> None:
    @register_modifier
    @dataclass(frozen=True)
    class Dwindle(Modifier):
        """Multiply every weight by a factor after each iteration."""

        factor: float = number("what it is multiplied by", bounds=Bounds(0.0, 1.0), default=0.999)

        def after_step(self, training: Training, memory: Memory) -> None:
            for weight in training.weights.values():
                weight.mul_(self.factor)

    dwindle = parse_modifier("Dwindle(factor=0.5)")
    assert isinstance(dwindle, Modifier)
    state, _ = advance(mlp_task, begin(mlp_task, 0), np.full(1, 0.05), [dwindle])
    plain, _ = advance(mlp_task, begin(mlp_task, 0), np.full(1, 0.05))
    assert torch.equal(state.model["0.weight"], 0.5 * plain.model["0.weight"])


PLUGIN = '''
from dataclasses import dataclass
from lrbench.modifiers import Bounds, Modifier, number, register_modifier

@register_modifier
@dataclass(frozen=True)
class Clip(Modifier):
    """Keep every weight within a limit of zero."""
    limit: float = number("largest weight", bounds=Bounds(0, low_open=True), default=1.0)
    def after_step(self, training, memory):
        for weight in training.weights.values():
            weight.clamp_(-self.limit, self.limit)
'''


def test_a_plugin_file_adds_a_modifier_by_name(tmp_path: Path, mlp_task: Task) -> None:
    (tmp_path / "clip.py").write_text(PLUGIN)
    load_plugin(tmp_path / "clip.py")
    clip = parse_modifier("Clip(limit=0.01)")
    assert isinstance(clip, Modifier)
    state, _ = advance(mlp_task, begin(mlp_task, 0), np.full(3, 0.05), [clip])
    assert state.model["0.weight"].abs().max() <= 0.01
    with pytest.raises(TaskError, match="Clip: limit must be a finite number greater than 0, not 0"):
        parse_modifier("Clip(limit=0)")


def test_a_required_setting_that_is_missing_is_asked_for() -> None:
    @register_modifier
    @dataclass(frozen=True)
    class Demanding(Watcher):
        """Needs two things."""

        often: int = count("how often", low=1, unit="iterations")
        how: str = choice("in which way", words=("fast", "slow"))

    with pytest.raises(TaskError, match=r"^Demanding needs how \(in which way\): 'fast' or 'slow'$"):
        parse_modifier("Demanding(often=3)")
    with pytest.raises(TaskError, match=r"^Demanding: how must be 'fast' or 'slow', not 'quick'$"):
        parse_modifier("Demanding(often=3, how='quick')")
    demanding = parse_modifier("Demanding(often=3, how='slow')")
    assert parse_modifier(str(demanding)) == demanding


def test_a_class_that_cannot_be_a_modifier_is_refused_when_it_is_registered() -> None:
    class Thawed(Modifier):
        """No dataclass."""

    @dataclass(frozen=True)
    class Silent(Modifier):
        pass

    @dataclass(frozen=True)
    class Undeclared(Modifier):
        """Has a setting that says nothing."""

        factor: float = 0.5

    with pytest.raises(TaskError, match=r"takes a subclass of Modifier or Watcher, not <class 'int'>"):
        register_modifier(int)  # type: ignore[type-var]
    with pytest.raises(TaskError, match=r"^Thawed must be a frozen dataclass: write @dataclass\(frozen=True\)"):
        register_modifier(Thawed)
    with pytest.raises(TaskError, match=r"^Silent must say what it does in a docstring$"):
        register_modifier(Silent)
    with pytest.raises(TaskError, match=r"^Undeclared: declare factor by a specifier, for example `factor: float ="):
        register_modifier(Undeclared)


def test_a_name_that_is_taken_is_refused() -> None:
    @dataclass(frozen=True)
    class Impostor(Modifier):
        """Not the one that is meant."""

    Impostor.__name__ = "PLP"
    with pytest.raises(TaskError, match=r"^the modifier 'PLP' is registered already: choose another name$"):
        register_modifier(Impostor)


HOMES = {
    "averaging": ("SWA", "EMA", "LAWA"),
    "demon": ("DEMON",),
    "frozen_features": ("FrozenFeatures",),
    "learn_and_drop": ("LearnAndDrop", "ForecastDrop"),
    "lookahead": ("Lookahead",),
    "plp": ("PLP", "PLPNoise"),
    "sampling": ("PSWA", "PWALKS", "PSWM", "SWM"),
}


def test_what_a_shipped_modifier_adds_to_the_keys_of_runs_is_its_home_and_its_name() -> None:
    homes = {name: f"lrbench.modifiers.{home}" for home, names in HOMES.items() for name in names}

    assert {name: fingerprint(method) for name, method in built_in().items()} == {
        name: text_digest(f"named:{home}.{name}") for name, home in homes.items()
    }
