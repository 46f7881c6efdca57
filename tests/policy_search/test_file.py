from pathlib import Path

import pytest

from lrbench.errors import StudyError
from lrbench.policy_search import Between, OneOf, load_search
from lrbench.study.file import load_study

WHOLE = """
description = "everything that can be said"
task = { base = "mnist1d-mlp", steps = 400 }
seeds = [3, 4]
margin = 0.02
target = 0.5
confirm = 3

[search]
sampler = "tpe"
objectives = ["accuracy", "steps"]
policies = 30
steps = 50_000
batch = 6
rungs = 1
seed = 7

[space]
functions = ["lrbench13", "COSINE"]
lr = [0.01, 0.5]
stages = [1, 2]
warmup = [0.02, 0.1]

[space.STEP]
k0 = { low = 0.05, high = 0.2 }
gamma = [0.1, 0.5]
l = { low = "0.1dur", high = "0.5dur" }

[space.NSTEP]
l = [["0.5dur", "0.75dur"], ["0.9dur"]]

[space.EXP]
gamma = { low = "0.001 per 1dur", high = "0.5 per 1dur" }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "hunt.toml"


def test_seeds_and_budget_can_be_given_in_place_of_the_file_s_own(file: Path) -> None:
    file.write_text(WHOLE)

    search = load_search(file, steps=40, seeds=3)

    assert (search.task.steps, search.seeds) == (40, (0, 1, 2))


def test_a_search_file_says_all_that_a_search_can_be_asked(file: Path) -> None:
    file.write_text(WHOLE)

    search = load_search(file)

    assert (search.name, search.seeds, search.policies, search.steps) == ("hunt", (3, 4), 30, 50_000)
    assert (search.objectives, search.budgets, search.confirm) == (("accuracy", "steps"), (400,), 3)
    space = search.space
    assert (len(space.functions), space.stages, space.lr) == (14, (1, 2), Between(0.01, 0.5, log=True))
    assert space.narrowed["STEP"]["k0"] == Between(0.05, 0.2, log=True)
    assert space.narrowed["STEP"]["l"] == Between(0.1, 0.5)
    assert space.narrowed["NSTEP"]["l"] == OneOf((("0.5dur", "0.75dur"), ("0.9dur",)))
    assert space.narrowed["EXP"]["gamma"] == Between(0.001, 0.5, log=True)


def test_a_space_has_axes_of_lists_and_ranges(file: Path) -> None:
    low = "weight_decay = { low = 1e-5, high = 0.1, log = true }"
    file.write_text(
        f'task = "mnist1d-mlp"\n[space.axes]\n{low}\nbatch_size = {{ low = 16, high = 64 }}\nmomentum = [0.0, 0.9]\n'
    )

    assert load_search(file).space.axes == {
        "weight_decay": Between(1e-5, 0.1, log=True),
        "batch_size": Between(16, 64, whole=True),
        "momentum": OneOf((0.0, 0.9)),
    }


def test_a_task_alone_is_a_search_of_the_13_functions_over_three_budgets(file: Path) -> None:
    file.write_text('task = "mnist1d-mlp"')

    search = load_search(file, policies=5)

    assert (len(search.space.functions), search.space.lr, search.policies) == (13, None, 5)
    assert search.budgets == (111, 333, 1000)
    assert [rung.task.eval_every for rung in search.ladder] == [6, 17, 50]
    assert [rung.seeds for rung in search.ladder] == [(0,), (0,), (0, 1)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "task is missing"),
        ('task = "mnist1d-mpl"', "did you mean 'mnist1d-mlp'"),
        ("seeds = 0", "seeds = 0 must be a number of seeds from 1 on"),
        ("target = 2.0", "target = 2.0 must be from 0 to 1"),
        ("[serach]", r"unknown key 'serach' \(did you mean 'search'\?\)"),
        ('[search]\nsampler = "tpee"', r"no sampler named 'tpee' \(did you mean 'tpe'\?\)"),
        ("[search]\npolicies = 0", "policies = 0 must be how many policies are tried"),
        ('[search]\nobjectives = ["acuracy"]', "did you mean 'accuracy'"),
        ('[search]\nobjectives = ["steps"]', "'steps' needs a target"),
        ('target = 0.5\n[search]\nobjectives = ["steps"]\nrungs = 2', "shorter budgets say nothing of steps"),
        ('[search]\nsampler = "gp"\nrungs = 2', "'gp' cannot learn from shorter budgets"),
        ('[search]\nsampler = "grid"', "'grid' needs a finite space"),
        ('[search]\nsampler = "cmaes"\nobjectives = ["accuracy", "robustness"]', "follows one objective alone"),
        ("confirm = 1000000000", "confirm = 1000000000 must be a number of fresh seeds"),
        ("[search]\nrungs = 9", "9 rungs with reduction 3 leave 0 iterations"),
        ("[search]\nsteps = 10", "steps = 10 must be at least the task's 1000"),
        ('[space]\nfunctions = ["FOX"]', r"named 'FOX' \(did you mean 'FIX'\?\)"),
        ("[space]\nfunctions = []", r"functions = \[\] must be a list of functions"),
        ("[space]\nlr = [0.5, 0.1]", "not from 0.5 to 0.1"),
        ("[space]\nlr = 0.1", 'lr = 0.1 must be "auto", or a list'),
        ("[space]\nlr = [-0.1, 0.5]", "the lowest and the highest, both positive"),
        ("[space]\nwarmup = [0.5, 1.5]", "fraction of the budget, from 0 to 1"),
        ("[space]\nFIX = 3", r"FIX = 3 must be a table of its parameters, as \[space.FIX\]"),
        ("[space]\nstages = 7", "stages must be numbers from 1 to 3"),
        ("[space]\nlevel = 3", r"unknown key 'level' \(did you mean 'levels'\?\)"),
        ("[space.FOX]\nk0 = 1", r"unknown key 'FOX' \(did you mean 'FIX'\?\)"),
        (
            "[space]\naxes = { momentum = 0.9 }",
            r"axes: momentum = 0.9 must be a list of at least one value, or a table",
        ),
        (
            "[space.axes.momentum]\nlow = 0.9\nhigh = 0.1",
            "axes: momentum must go from a low number from 0 on to a higher",
        ),
        ("[space.axes.weight_decay]\nlow = 0\nhigh = 0.1\nlog = true", "a low number above 0, where log = true"),
        ("[space.COSINE]\nk1 = 0.0", "narrows COSINE, which is not among its functions"),
        ("[space.STEP]\nk9 = 1", "STEP has no parameter 'k9'"),
        ("[space.STEP]\ngamma = 2.0", r"\[space\]: STEP: gamma must be a finite number in"),
        ("[space.STEP]\ngamma = []", r"gamma = \[\] must be a value, a list"),
        ("[space.STEP]\ngamma = { low = 0.5, high = 0.1 }", "from a low to a higher value, not 0.5 to 0.1"),
        ("[space.STEP]\ngamma = { low = 0.5 }", "high is missing, it must be a number"),
        ('[space.STEP]\nl = "0.001dur"', "l must be at least 0.01dur, not 0.001dur"),
        ('[space.STEP]\nl = { low = "0.001dur", high = "1dur" }', "l must be at least 0.01dur, not 0.001dur"),
        ("[space.STEP]\nl = 200", "l must be a fraction of the budget, such as '0.25dur'"),
        ('[space.STEP]\nl = { low = "1ep", high = "3ep" }', "the ends of l must be fractions of the budget"),
        ('[space.NSTEP]\nl = { low = "0.1dur", high = "1dur" }', "give it as a list of such lists"),
        ("[space.EXP]\ngamma = 0.999", "gamma must be a rate over the budget"),
        ("[space.EXP]\ngamma = { low = 0.9, high = 1.0 }", "the ends of gamma must be rates over the budget"),
        ("[space.POLY]\np = { low = -1.0, high = 1.0 }", "p must be a finite number greater than 0"),
    ],
)
def test_a_bad_file_is_one_sentence_that_names_it(text: str, sentence: str, file: Path) -> None:
    named = text == "" or text.startswith("task")
    file.write_text(text if named else f'task = "mnist1d-mlp"\n{text}')

    with pytest.raises(StudyError, match=sentence) as caught:
        load_search(file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_studies_and_searches_say_which_command_is_theirs(file: Path) -> None:
    file.write_text('task = "mnist1d-mlp"\n[search]\n')
    with pytest.raises(StudyError, match="describes a search: call `lrbench search"):
        load_study(file)
    file.write_text('task = "mnist1d-mlp"\n[[policies]]\npolicy = "FIX(k0=0.1)"\n')
    with pytest.raises(StudyError, match="a study of given policies: call `lrbench run"):
        load_search(file)
