import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import lrbench.training.runner
from lrbench.engine import Memory, Modifier, Training, Watcher, advance, begin
from lrbench.errors import StudyError, TaskError
from lrbench.modifiers import EMA, LAWA, PLP, PSWA, PSWM, ForecastDrop, LearnAndDrop, PLPNoise, parse_modifier
from lrbench.store import Store, StoredRun, open_store
from lrbench.study.export import export
from lrbench.study.file import load_study
from lrbench.study.results import results
from lrbench.study.study import Study
from lrbench.study.variant import Variant
from lrbench.tasks import Task
from lrbench.tasks.fingerprint import fingerprint
from lrbench.training.listener import NullListener
from lrbench.training.plan import plan
from lrbench.training.runner import run as run_study

Make = Callable[..., Study]

run = partial(run_study, engine="serial")
ALL = (Variant.of([PLP()]), Variant.of([PSWA(p=0.5)]), Variant.of([EMA(decay=0.9)]), Variant.of([LAWA()]))


def numbers(study: Study, store: Store) -> dict[str, StoredRun]:
    runs = store.study_runs(study.name)
    blank = {"seconds": 0.0, "evaluating": 0.0, "provenance": {}, "checkpoint": None}
    return {key: StoredRun(**{**vars(one), **blank}) for key, one in runs.items()}


class Stop(NullListener):
    """Ends the process's work when a run has come to a step, as Ctrl-C would."""

    def __init__(self, at: int) -> None:
        self.at = at

    def advanced(self, run: object, step: int, score: float | None) -> None:
        if step == self.at:
            raise KeyboardInterrupt


def test_every_policy_is_trained_as_it_is_and_by_every_variant(study: Make, store: Store) -> None:
    asked = study("FIX(k0=0.1)", "FIX(k0=0.05)", modifiers=ALL)
    tally = run(asked, store)
    trained = 1 + len(ALL) + 2  # as it is, the variants, and the controls of PLP
    assert tally.total == 2 * 2 * trained
    assert tally.failed == 0
    cards = results("small", store).to_json()["policies"]
    assert {entry["modifier"] for entry in cards} == {
        None,
        *("PLP()", "plp_control", "plp_noise", str(PSWA(p=0.5)), str(EMA(decay=0.9)), str(LAWA())),
    }


def test_what_only_watches_costs_no_iteration(study: Make, store: Store) -> None:
    asked = study("FIX(k0=0.1)", modifiers=(Variant.of([EMA(decay=0.9)]), Variant.of([LAWA()])))
    tally = run(asked, store)
    assert (tally.trained, tally.steps_nominal, tally.steps_trained) == (6, 240, 80)


def test_the_watched_run_has_the_numbers_that_it_has_alone(study: Make, store: Store, tmp_path: Path) -> None:
    run(study("FIX(k0=0.1)", modifiers=ALL), store)
    with open_store(tmp_path / "alone.db") as alone:
        run(study("FIX(k0=0.1)"), alone)
        unmodified = numbers(study("FIX(k0=0.1)"), alone)
    watched = numbers(study("FIX(k0=0.1)"), store)
    assert {key: watched[key] for key in unmodified} == unmodified


def test_a_watcher_asked_for_later_finds_the_same_numbers(study: Make, store: Store, tmp_path: Path) -> None:
    variants = (Variant.of([EMA(decay=0.9)]),)
    run(study("FIX(k0=0.1)"), store)
    assert run(study("FIX(k0=0.1)", modifiers=variants), store).steps_trained == 80
    with open_store(tmp_path / "together.db") as together:
        run(study("FIX(k0=0.1)", modifiers=variants), together)
        assert numbers(study("FIX(k0=0.1)"), together) == numbers(study("FIX(k0=0.1)"), store)


def test_the_controls_of_plp_are_the_policy_at_seven_sixths_and_noise(study: Make) -> None:
    asked = study("FIX(k0=0.6)", seeds=(0,), modifiers=(Variant.of([PLP(), PSWA(p=0.5)]),))
    _, _, control, noise = plan(asked).runs
    assert control.variant.name == f"plp_control + {PSWA(p=0.5)}"
    assert control.variant.modifiers == (PSWA(p=0.5),)
    assert control.policy.lrs(0, 3).tolist() == pytest.approx([0.7] * 3)
    assert noise.variant.name == f"plp_noise + {PSWA(p=0.5)}"
    assert noise.variant.modifiers == (PLPNoise(), PSWA(p=0.5))
    assert noise.policy.lrs(0, 3).tolist() == pytest.approx([0.6] * 3)


def test_modifiers_change_the_numbers_and_have_runs_of_their_own(study: Make, store: Store) -> None:
    asked = study("FIX(k0=0.1)", seeds=(0,), modifiers=ALL)
    run(asked, store)
    curves = [tuple(one.scores) for one in numbers(asked, store).values()]
    assert len(set(curves)) == len(curves) == 7


def test_a_modified_study_cut_off_anywhere_ends_with_the_same_numbers(
    study: Make, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variants = (*ALL, Variant.of([PLP(), PSWM(p=0.5), EMA(decay=0.9)]))
    asked = study("TRI(k0=0.01, k1=0.2, l=5)", seeds=(0,), modifiers=variants)
    run(asked, store)
    monkeypatch.setattr(lrbench.training.runner, "SECONDS_AT_RISK", 0.0)
    with open_store(tmp_path / "cut.db") as cut:
        for at in (5, 10, 25, 35):
            with pytest.raises(KeyboardInterrupt):
                run(asked, cut, listener=Stop(at))
        run(asked, cut)
        assert numbers(asked, cut) == numbers(asked, store)
        assert list(cut.checkpoints.path.iterdir()) == []


def test_an_effect_is_the_paired_difference_between_the_stored_runs(study: Make, store: Store) -> None:
    variants = (Variant.of([PSWA(p=0.5)]),)
    asked = study("FIX(k0=0.1)", "FIX(k0=0.02)", seeds=(0, 1, 2), modifiers=variants, by=("top1", "curve_mean", "ac"))
    run(asked, store)
    table = export("small", store).pivot(index="seed", columns=["name", "modifier"], values="test_top1")
    expected = table["FIX(k0=0.1)", str(PSWA(p=0.5))] - table["FIX(k0=0.1)", ""]
    (answer,) = results("small", store).tasks
    found = answer.effects[0].differences["test_top1"]
    assert (found.mean, found.sd, found.n) == pytest.approx((expected.mean(), expected.std(), 3))
    also = {"test_loss", "seconds", "flops", "forward_flops", "val_top1", "curve_mean", "ac"}
    assert also <= answer.effects[0].differences.keys()
    assert {"top1", "curve_mean", "ac"} == answer.effects[0].by_goal.keys()
    (interaction,) = answer.interactions
    assert (interaction.modifier, interaction.policies, interaction.seeds) == (str(PSWA(p=0.5)), 2, 3)
    json.dumps(answer.to_json(), allow_nan=False)


STUDY = """
task = "mnist1d-mlp"
seeds = 2
[[policies]]
policy = "FIX(k0=0.1)"
"""


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ('modifier = "PLQ()"', r"1: .*'PLQ' \(did you mean 'PLP'\?\)"),
        ('modifier = "PSWA"\np = 1.5', r"1: PSWA.* p .*1\.5"),
        ('modifier = "PSWA"\nperiod = 0', r"1: PSWA.* period .*0"),
        ('modifier = "PSWA"\nq = 1', r"1: PSWA has no setting 'q'"),
        ('modifier = ["PSWA()", "PSWM()"]', r"1: .*cannot be combined"),
        ('modifier = ["EMA()", "SWA()"]', r"both only watch"),
        ('modifier = "PLP()"\np = 1', r'1: modifier = "PLP\(\)" must be the name of a modifier'),
        ('name = "x"', r"1: modifier is missing, it must be a modifier as text"),
        ("modifier = 3", r"1: modifier = 3 must be a modifier as text"),
        ("modifier = []", r"1: modifier = \[\] must be"),
        ('modifier = "PSWA"\np = []', r"1: p = \[\] must be a value or a list"),
        ('name = "both"\nmodifier = "PSWA"\np = [0.1, 0.2]', r'1: name = "both" cannot stand for the 2 modifiers'),
        ("modifier = \"__import__('os')\"", r"1: "),
    ],
)
def test_a_modifiers_table_that_says_something_wrong_is_one_sentence(table: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(f"{STUDY}\n[[modifiers]]\n{table}\n")
    with pytest.raises(StudyError, match=sentence) as caught:
        load_study(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_grids_and_combinations_of_modifiers_come_from_the_study_file(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    grid = '[[modifiers]]\nmodifier = "PSWA"\np = [0.1, 0.5]\nperiod = [1.0, 2.0]\n'
    path.write_text(f'{STUDY}\n{grid}\n[[modifiers]]\nname = "both"\nmodifier = ["EMA()", "PLP()"]\n')
    variants = load_study(path).modifiers
    assert [variant.parts for variant in variants] == [
        *((PSWA(p=p, period=period),) for p in (0.1, 0.5) for period in (1.0, 2.0)),
        (PLP(), EMA()),
    ]
    assert variants[-1].name == "both"


def test_the_same_modifier_twice_is_refused(study: Make) -> None:
    with pytest.raises(StudyError, match=r"modifier 'PLP\(\)' is given 2 times"):
        study("FIX(k0=0.1)", modifiers=(Variant.of([PLP()]), Variant.of([PLP()])))


def test_two_modifiers_of_one_family_are_refused() -> None:
    with pytest.raises(TaskError, match="cannot be combined"):
        Variant.of([PSWA(), PSWM()])


class Overflow(Watcher):
    """Watches with a network whose outputs are infinite from the third evaluation on."""

    def evaluated(self, training: Training, memory: Memory, module: nn.Module) -> nn.Module:
        return module if training.step <= 10 else nn.Sequential(module, Infinite())


class Infinite(nn.Module):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs * torch.inf


def test_a_watchers_own_divergence_does_not_touch_the_run_that_it_watches(study: Make, store: Store) -> None:
    asked = study("FIX(k0=0.1)", seeds=(0,), modifiers=(Variant.of([Overflow()]),))
    assert run(asked, store).diverged == 1
    watched, watching = (numbers(asked, store)[one.key] for one in plan(asked).runs)
    assert (watched.status, len(watched.scores)) == ("finished", 8)
    assert (watching.status, len(watching.scores), watching.diverged_at) == ("diverged", 2, 40)


class Clumsy(Watcher):
    """Fails in the second epoch, which begins after iteration 7."""

    def after_step(self, training: Training, memory: Memory) -> None:
        if training.step == 12:
            raise IndexError("out of weights")


@pytest.mark.parametrize("policy", ["FIX(k0=0.1)", "REDUCEONPLATEAU(k0=0.1, gamma=0.5, patience=1)"])
def test_a_watcher_that_raises_fails_its_own_run_and_not_what_it_watches(
    policy: str, study: Make, store: Store, tmp_path: Path
) -> None:
    others = (Variant.of([EMA(decay=0.9)]), Variant.of([PSWA(p=0.5)]))
    asked = study(policy, seeds=(0,), modifiers=(Variant.of([Clumsy()]), *others))
    counts = run(asked, store)
    assert (counts.trained, counts.failed) == (3, 1)
    failed = next(one for one in store.study_runs("small").values() if one.status == "failed")
    assert failed.error is not None
    assert failed.error.endswith("IndexError: out of weights\n")
    with open_store(tmp_path / "alone.db") as alone:
        without = study(policy, seeds=(0,), modifiers=others)
        run(without, alone)
        found = numbers(asked, store)
        assert {key: found[key] for key in (one.key for one in plan(without).runs)} == numbers(without, alone)


def test_a_changed_modifier_of_the_users_own_is_trained_again(study: Make, store: Store) -> None:
    def keys(factor: float) -> set[str]:
        class Shrink(Modifier):
            """Makes every weight smaller after each iteration."""

            def after_step(self, training: Training, memory: Memory) -> None:
                for weight in training.weights.values():
                    weight.mul_(factor)

        return {one.key for one in plan(study("FIX(k0=0.1)", modifiers=(Variant.of([Shrink()]),))).runs}

    assert keys(0.9) == keys(0.9)
    assert keys(0.9) & keys(0.8) == {one.key for one in plan(study("FIX(k0=0.1)")).runs}


class Slow(Watcher):
    """Watches at leisure."""

    def after_step(self, training: Training, memory: Memory) -> None:
        time.sleep(0.01)


def test_the_time_that_watching_takes_is_that_of_the_watching_run_alone(study: Make, store: Store) -> None:
    asked = study("FIX(k0=0.1)", seeds=(0,), modifiers=(Variant.of([Slow()]), Variant.of([EMA()])))
    run(asked, store)
    runs = store.study_runs("small")
    unwatched, slow, averaged = (runs[one.key].seconds for one in plan(asked).runs)
    assert slow > unwatched + 40 * 0.01
    assert averaged < unwatched + 40 * 0.01


class SlowToEvaluate(nn.Module):
    """Takes its time in eval mode."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if not self.training:
            time.sleep(0.05)
        outputs: torch.Tensor = self.network(inputs)
        return outputs


def test_the_time_of_evaluations_is_kept_apart_from_that_of_training(study: Make, store: Store, task: Task) -> None:
    slow = task.with_(model=lambda: SlowToEvaluate(nn.Linear(8, 3)))
    asked = study("FIX(k0=0.1)", tasks=(slow,), seeds=(0,), modifiers=(Variant.of([EMA()]),))
    run(asked, store)
    runs = store.study_runs("small")
    evaluated = 9 * 0.05  # eight evaluations of one batch or more, and that of the initial weights
    for one in plan(asked).runs:
        assert (runs[one.key].evaluating or 0.0) > evaluated > runs[one.key].seconds


def test_plp_has_controls_for_each_combination_that_it_is_in(study: Make) -> None:
    asked = study("FIX(k0=0.1)", modifiers=(Variant.of([PLP()]), Variant.of([PLP(), EMA(decay=0.9)])))
    names = [variant.name for variant in asked.variants]
    watched = [f"{name} + {EMA(decay=0.9)}" for name in ("PLP()", "plp_control", "plp_noise")]
    assert names == ["", "PLP()", "plp_control", "plp_noise", *watched]


def test_a_name_that_a_control_needs_is_refused(study: Make) -> None:
    with pytest.raises(StudyError, match="modifier 'plp_control' is given 2 times"):
        study("FIX(k0=0.1)", modifiers=(Variant.of([PLP()]), Variant.of([PSWA()], "plp_control")))


def test_what_learn_and_drop_dropped_is_stored_and_exported(study: Make, store: Store, task: Task) -> None:
    eager = LearnAndDrop(tau=1.0, delta=100.0, window=2, patience=1, warmup=0)
    deep = task.with_(model=lambda: nn.Sequential(*(nn.Linear(8, 8) for _ in range(3)), nn.Linear(8, 3)))
    run(study("FIX(k0=0.01)", tasks=(deep,), seeds=(0,), modifiers=(Variant.of([eager]),)), store)
    rows = export("small", store).set_index("modifier").to_dict("index")
    assert rows[str(eager)]["dropped_units"] >= 1
    assert "dropped, outputs stored as float32" in rows[str(eager)]["drops"]
    assert rows[str(eager)]["forward_flops"] < rows[""]["forward_flops"]


def test_the_steps_that_float16_skipped_are_stored_and_exported(study: Make, store: Store, task: Task) -> None:
    half = task.with_(precision="float16", loss=lambda outputs, targets: 1000 * cross_entropy(outputs, targets))
    run(study("FIX(k0=1e-6)", tasks=(half,), seeds=(0,)), store)
    run(study("FIX(k0=1e-6)", tasks=(task,), seeds=(0,), name="full"), store)
    assert export("small", store)["skipped_steps"].tolist()[0] > 0
    assert "skipped_steps" not in export("full", store)


def test_a_modifier_that_looks_ahead_sees_the_rates_of_its_own_policy(study: Make, store: Store, task: Task) -> None:
    ahead = ForecastDrop(rest=0.6, window=1, warmup=0)
    deep = task.with_(model=lambda: nn.Sequential(*(nn.Linear(8, 8) for _ in range(3)), nn.Linear(8, 3)))
    policies = ("NSTEP(k0=0.1, gamma=1.0, l=[20])", "NSTEP(k0=0.1, gamma=0.001, l=[20])")
    asked = study(*policies, tasks=(deep,), seeds=(0,), modifiers=(Variant.of([ahead]),))
    run(asked, store)
    stored = {
        one.policy: (one.final or {})["drops"]
        for one in store.study_runs("small").values()
        if "drops" in (one.final or {})
    }
    assert len(set(stored.values())) == 2
    for one in plan(asked).runs:
        if one.variant.modifiers:
            state, _ = advance(deep, begin(deep, 0), one.lrs, [ahead])
            assert stored[str(one.policy)] == "; ".join(map(str, ahead.drops(state)))


def test_what_each_modifier_did_is_counted_and_shown(study: Make, store: Store) -> None:
    asked = study("FIX(k0=0.1)", modifiers=(Variant.of([PLP(), EMA(decay=0.9)]), Variant.of([PSWA(p=1.0)])))
    run(asked, store)
    (answer,) = results("small", store).tasks
    assert answer.did[f"PLP() + {EMA(decay=0.9)}"] == {"moves": (13, 13), "averaged": (40, 40)}
    assert answer.did["plp_noise + " + str(EMA(decay=0.9))]["moves"] == (13, 13)
    sampled = answer.did[str(PSWA(p=1.0))]
    assert sampled["samples"] == (40, 40)
    assert f"PSWA(p=1.0): means {sampled['means'][0]}, samples 40." in str(results("small", store))


class Opaque(nn.Module):
    """Has layers, and does not say in what order they are applied."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.third(self.second(self.first(inputs)))


def test_a_model_that_a_modifier_cannot_be_used_on_is_refused_before_anything_is_trained(
    study: Make, task: Task
) -> None:
    with pytest.raises(TaskError, match="the model Opaque declares no units"):
        study("FIX(k0=0.1)", tasks=(task.with_(model=Opaque),), modifiers=(Variant.of([LearnAndDrop()]),))


@pytest.mark.parametrize(
    ("text", "code"),
    {
        "SWA": "27fd26dba52e2762e390bb015d641328",
        "EMA": "dcfbf23da074d28acade0723d4445d66",
        "LAWA": "39a1a34b5097aee5c1d8c576d4dd8160",
        "LearnAndDrop": "eba24f3eb6f044a1c3ddf640b2cb9aa1",
        "Lookahead": "2db7afd9ba6e5fcc82576667b862199b",
        "PLP": "9988747b89d8e11e4745d11aa042298b",
        "PSWA": "e8ac098801cb5038c567ea5c39683d82",
        "PWALKS": "8f8e97a3d8fbc07b0edc250999cc22ce",
        "PSWM": "613bdaa57850b8e2c7e11c4f2d22390a",
    }.items(),
)
def test_a_modifier_of_ours_is_in_keys_what_it_was_when_stored_runs_were_trained(text: str, code: str) -> None:
    assert fingerprint(type(parse_modifier(text))) == code
