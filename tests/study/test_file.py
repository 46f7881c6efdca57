"""Study files: what each key means. What is refused, and in which words, is in tests/cli/test_bad_input.py."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from lrbench.errors import StudyError
from lrbench.metrics import BASE_LR_SCALES
from lrbench.policy import FIX, NSTEP, SIN, STEP, TABLE, from_lrbench, parse
from lrbench.study.file import StudyFile, find_study, load_study, study_names
from lrbench.study.file_policies import KINDS
from lrbench.study.validation import validated
from lrbench.training.plan import plan

TASK = 'task = "mnist1d-mlp"\n'
POLICY = '[[policies]]\npolicy = "FIX(k0=0.1)"\n'
CATALOG = """
[[policy]]
name = "constant"
policy = "FIX(k0=0.1)"
source = "a test"

[[policy]]
name = "stepped"
policy = "STEP(k0=0.1, gamma=0.1, l=0.25dur)"
source = "a test"

[[policy]]
name = "wave"
policy = "SIN(k0=0.01, k1=0.1, l=3ep)"
source = "a test"
"""

Writer = Callable[..., Path]


@pytest.fixture
def written(tmp_path: Path) -> Writer:
    def write(text: str, name: str = "mine.toml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_the_least_study_has_five_seeds_and_a_margin_of_one_percent(written: Writer) -> None:
    study = load_study(written(TASK + POLICY))

    assert (study.name, [task.name for task in study.tasks]) == ("mine", ["mnist1d-mlp"])
    assert [(entry.name, entry.policy) for entry in study.policies] == [("FIX(k0=0.1)", FIX(k0=0.1))]
    assert (study.seeds, study.margin, study.target) == ((0, 1, 2, 3, 4), 0.01, None)
    assert (study.confirm, study.base_lr_scales) == (0, ())


def test_every_key_can_be_said(written: Writer) -> None:
    text = "seeds = [7, 3]\nmargin = 0\ntarget = 0.9\nconfirm = 4\nbase_lr_scales = [0.5, 1, 2.0]\n"

    study = load_study(written('description = "mine"\n' + TASK + text + POLICY))

    assert (study.seeds, study.margin, study.target, study.confirm) == ((7, 3), 0, 0.9, 4)
    assert study.base_lr_scales == (0.5, 1, 2.0)


def test_base_lr_scales_can_be_lrbenchs_own(written: Writer) -> None:
    assert load_study(written(TASK + "base_lr_scales = true\n" + POLICY)).base_lr_scales == BASE_LR_SCALES


def test_a_task_table_changes_what_a_registered_task_says(written: Writer) -> None:
    table = '[task]\nbase = "mnist1d-mlp"\nname = "small"\nsteps = 60\nmodel = {hidden = [10]}\n'

    (task,) = load_study(written(POLICY + table)).tasks

    assert (task.name, task.steps) == ("small", 60)


def test_several_tasks_are_named_or_described(written: Writer) -> None:
    described = load_study(written(POLICY + '[[tasks]]\nbase = "mnist1d-mlp"\nname = "a"\nsteps = 60\n'))
    named = load_study(written('tasks = ["mnist1d-mlp", "mnist1d-conv"]\n' + POLICY))

    assert [task.name for task in described.tasks] == ["a"]
    assert [task.name for task in named.tasks] == ["mnist1d-mlp", "mnist1d-conv"]


def test_a_budget_of_its_own_keeps_twenty_evaluations(written: Writer) -> None:
    (task,) = load_study(written(TASK + POLICY), steps=200).tasks

    assert (task.steps, task.eval_every) == (200, 10)


@pytest.mark.parametrize(("table", "steps"), [('steps = "2ep"', 124), ('steps = "0.05dur"', 50), ("steps = 70", 70)])
def test_a_budget_is_iterations_or_a_length_of_the_task(written: Writer, table: str, steps: int) -> None:
    (task,) = load_study(written(f"{table}\n{TASK}{POLICY}")).tasks
    (asked,) = load_study(written(TASK + POLICY), steps="2ep").tasks

    assert (task.steps, asked.steps) == (steps, 124)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ('steps = "2epochs"', "steps = .2epochs. must be a number of iterations from 1 on, or a length such as"),
        (
            'steps = "2e6tok"',
            "task 'mnist1d-mlp': steps: the length 2000000tok is in tokens, which a task on a text has",
        ),
        ("steps = 0", "steps = 0 must be a number of iterations from 1 on"),
    ],
)
def test_a_budget_that_no_task_has_is_refused(written: Writer, table: str, reason: str) -> None:
    with pytest.raises(StudyError, match=reason):
        load_study(written(f"{table}\n{TASK}{POLICY}"))


def test_a_budget_of_its_own_keeps_the_number_of_evaluations_that_the_file_chose(written: Writer) -> None:
    table = '[task]\nbase = "mnist1d-mlp"\neval_every = 500\n'

    (task,) = load_study(written(POLICY + table), steps=40).tasks

    assert (task.steps, task.eval_every) == (40, 20)


def test_a_number_of_seeds_replaces_the_studys_own(written: Writer) -> None:
    assert load_study(written(TASK + "seeds = [8, 9]\n" + POLICY), seeds=3).seeds == (0, 1, 2)


def test_a_policy_is_called_by_its_canonical_text_unless_it_has_a_name(written: Writer) -> None:
    policies = '[[policies]]\npolicy = "FIX( k0 = 1e-1 )"\n[[policies]]\npolicy = "FIX(k0=0.2)"\nname = "twice"\n'

    assert [entry.name for entry in load_study(written(TASK + policies)).policies] == ["FIX(k0=0.1)", "twice"]


def test_a_catalog_beside_the_study_brings_all_its_entries_in_order(written: Writer) -> None:
    written(CATALOG, "house.toml")

    entries = load_study(written(TASK + '[[policies]]\ncatalog = "house.toml"\n')).policies

    assert [entry.name for entry in entries] == ["constant", "stepped", "wave"]
    assert entries[2].policy == parse("SIN(k0=0.01, k1=0.1, l=3ep)")


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ('only = ["wave", "constant"]', ["constant", "wave"]),
        ('except = ["constant"]', ["stepped", "wave"]),
        ('only = ["wave", "constant"]\nexcept = ["wave"]', ["constant"]),
    ],
)
def test_only_and_except_choose_among_a_catalogs_entries(written: Writer, choice: str, names: list[str]) -> None:
    written(CATALOG, "house.toml")

    entries = load_study(written(TASK + f'[[policies]]\ncatalog = "house.toml"\n{choice}\n')).policies

    assert [entry.name for entry in entries] == names


def test_the_peak_of_every_kind_of_policy_can_be_left_to_a_range_test(written: Writer) -> None:
    tables = [
        'catalog = "lrbench13"\nonly = ["TRI"]',
        'policy = "FIX(k0=0.1)"',
        'function = "POLY"\nk0 = [0.1, 0.2]\np = 1\nl = "1dur"',
        'lrbench = { lrPolicy = "FIX", k0 = 0.01 }',
    ]
    written_tables = "".join(f'[[policies]]\n{table}\npeak = "auto"\n' for table in tables)

    study = load_study(written(TASK + written_tables + '[[policies]]\npolicy = "FIX(k0=0.3)"\n'))

    assert [entry.auto_peak for entry in study.policies] == [True] * 5 + [False]
    assert study.auto_peaks == tuple(entry.name for entry in study.policies[:5])
    with pytest.raises(StudyError, match="study 'mine': the peak of 'TRI' comes from a range test"):
        plan(study)


def test_a_table_of_lrs_is_a_csv_file_beside_the_study(written: Writer) -> None:
    written("step,lr\n" + "".join(f"{step},{0.1 / (step + 1)}\n" for step in range(30)), "warm.csv")
    tables = '[[policies]]\ntable = "warm.csv"\n[[policies]]\ntable = "warm.csv"\nl = "1dur"\nname = "stretched"\n'
    inline = '[[policies]]\npolicy = [0.1, 0.05]\nname = "inline"\n'

    exact, stretched = load_study(written(f"steps = 30\n{TASK}{tables}")).policies

    assert (exact.name, stretched.name) == ("warm", "stretched")
    assert exact.policy(29) == 0.1 / 30
    assert stretched.policy.bind(58, 10).lrs(0, 59)[::2] == pytest.approx(exact.policy.lrs(0, 30))
    assert load_study(written(f"steps = 2\n{TASK}{inline}")).policies[0].policy == TABLE(values=[0.1, 0.05])
    with pytest.raises(StudyError, match=r"mine.toml: study 'mine': policy 'warm' on task 'mnist1d-mlp': .* has LRs"):
        load_study(written(f"steps = 31\n{TASK}{tables}"))
    with pytest.raises(StudyError, match=r"mine.toml: \[\[policies\]\] 1: .*none.csv cannot be read as a CSV file"):
        load_study(written(f'{TASK}[[policies]]\ntable = "none.csv"\n'))


def test_every_list_of_a_function_is_an_axis_of_a_grid(written: Writer) -> None:
    grid = '[[policies]]\nfunction = "STEP"\nk0 = [0.1, 0.01]\ngamma = 0.1\nl = ["0.25dur", "0.5dur"]\n'

    policies = [entry.policy for entry in load_study(written(TASK + grid)).policies]

    assert policies == [
        STEP(k0=0.1, gamma=0.1, l="0.25dur"),
        STEP(k0=0.1, gamma=0.1, l="0.5dur"),
        STEP(k0=0.01, gamma=0.1, l="0.25dur"),
        STEP(k0=0.01, gamma=0.1, l="0.5dur"),
    ]


def test_a_list_is_one_value_of_a_parameter_that_takes_lists(written: Writer) -> None:
    grid = '[[policies]]\nfunction = "NSTEP"\nk0 = 0.1\ngamma = 0.1\nl = [100, 200]\n'

    (entry,) = load_study(written(TASK + grid)).policies

    assert entry.policy == NSTEP(k0=0.1, gamma=0.1, l=(100, 200))


def test_a_list_of_lists_is_an_axis_of_a_parameter_that_takes_lists(written: Writer) -> None:
    grid = '[[policies]]\nfunction = "NSTEP"\nk0 = 0.1\ngamma = 0.1\nl = [[100, 200], [300]]\n'

    policies = [entry.policy for entry in load_study(written(TASK + grid)).policies]

    assert policies == [NSTEP(k0=0.1, gamma=0.1, l=(100, 200)), NSTEP(k0=0.1, gamma=0.1, l=(300,))]


def test_a_function_without_lists_is_one_policy_and_may_have_a_name(written: Writer) -> None:
    (entry,) = load_study(written(TASK + '[[policies]]\nfunction = "FIX"\nk0 = 0.1\nname = "flat"\n')).policies

    assert (entry.name, entry.policy) == ("flat", FIX(k0=0.1))


def test_lrbenchs_strings_tables_and_pieces_are_policies(written: Writer) -> None:
    policies = """
[[policies]]
lrbench = "k1_0.006+k0_0.001+lrPolicy_UPCOS+l_2000"
name = "string"
[[policies]]
lrbench = {lrPolicy = "SIN", k0 = 0.01, k1 = 0.06, l = 200}
name = "table"
[[policies]]
lrbench = [{lrPolicy = "FIX", k0 = 0.1}, {lrPolicy = "FIX", k0 = 0.01}]
boundaries = [500]
name = "pieces"
"""
    entries = load_study(written(TASK + policies)).policies

    assert entries[0].policy == from_lrbench("k1_0.006+k0_0.001+lrPolicy_UPCOS+l_2000")
    assert entries[1].policy == SIN(k0=0.01, k1=0.06, l=200)
    assert [entries[2].policy(t) for t in (0, 499, 500, 999)] == [0.1, 0.1, 0.01, 0.01]


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xef\xbb\xbf" + (TASK + POLICY).encode())

    assert load_study(tmp_path / "mine.toml").name == "mine"


def test_a_policy_that_does_not_fit_the_budget_is_refused_before_training(written: Writer) -> None:
    policy = '[[policies]]\npolicy = "STEP(k0=0.1, gamma=0.1, l=0.0001dur)"\nname = "hasty"\n'

    with pytest.raises(
        StudyError, match=r"mine\.toml: study 'mine': policy 'hasty' on task 'mnist1d-mlp': .*l .*0\.0001dur"
    ):
        load_study(written(TASK + policy))


WHOLE_STUDY = """description = "a study"
seeds = [0, 1]
margin = 0.01
task = "mnist1d-mlp"
[[policies]]
function = "STEP"
k0 = [0.1, 0.01]
gamma = 0.5
l = "0.25dur"
"""


def refusal_of(call: Callable[[], object]) -> str | None:
    try:
        call()
    except StudyError as error:
        return str(error)
    return None


@pytest.mark.parametrize("size", range(len(WHOLE_STUDY)))
def test_a_study_that_was_cut_off_is_a_smaller_study_or_one_sentence(written: Writer, size: int) -> None:
    path = written(WHOLE_STUDY[:size])

    refusal = refusal_of(lambda: load_study(path, steps=10))

    assert refusal is None or (str(path) in refusal and "\n" not in refusal)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


@pytest.mark.parametrize("form", [StudyFile, *KINDS.values()])
@settings(deadline=None)
@given(data=st.data())
def test_any_value_of_any_key_is_taken_or_refused_in_one_sentence(form: type[BaseModel], data: st.DataObject) -> None:
    keys = [field.alias or name for name, field in form.model_fields.items()]
    table = data.draw(st.dictionaries(st.sampled_from(keys) | st.text(max_size=5), VALUES, max_size=4))

    refusal = refusal_of(lambda: validated(form, table, "mine.toml"))

    assert refusal is None or (refusal.startswith("mine.toml: ") and "\n" not in refusal)


def test_the_studies_that_ship_are_found_by_name_and_described() -> None:
    described = study_names()

    assert "quickstart" in described
    assert all(described.values())
    assert find_study("quickstart").name == "quickstart.toml"


def test_a_file_in_the_working_directory_comes_before_a_study_that_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "quickstart").write_text("")
    monkeypatch.chdir(tmp_path)

    assert find_study("quickstart") == Path("quickstart")


def test_the_quickstart_scores_the_papers_functions_with_five_seeds() -> None:
    study = load_study("quickstart")

    assert (study.name, len(study.policies), len(study.seeds)) == ("quickstart", 17, 5)
