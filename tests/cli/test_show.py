import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from lrbench.policy import parse

Command = Callable[..., Result]


def document(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_policy_is_drawn_under_its_text(lrbench: Command) -> None:
    lines = lrbench("show", "TRI(k0=0.01, k1=0.1, l=200)", "--steps", "1000").stdout.splitlines()

    assert lines[0] == "TRI(k0=0.01, k1=0.1, l=200)"
    assert lines[1].startswith("0.1 │")
    assert lines[-1].split() == ["0", "1,000"]


def test_a_catalog_is_drawn_whole_within_a_hundred_columns(lrbench: Command) -> None:
    text = lrbench("show", "lrbench13", "--steps", "1000").stdout

    assert all(name in text for name in ("FIX", "NSTEP", "TRIEXP", "SINEXP", "COS"))
    assert max(map(len, text.splitlines())) <= 100


def test_a_terminal_gets_coloured_curves(lrbench: Command) -> None:
    assert "\x1b[36m" in lrbench("show", "FIX(k0=0.1)", color=True).stdout


def test_the_numbers_are_those_of_the_bound_policy(lrbench: Command) -> None:
    shown = document(lrbench("show", "STEP(k0=0.1, gamma=0.1, l=0.25dur)", "--steps", "40", "--json"))

    policy = parse("STEP(k0=0.1, gamma=0.1, l=10)")
    assert shown["iterations"] == list(range(40))
    assert shown["policies"] == [
        {
            "name": "STEP(k0=0.1, gamma=0.1, l=0.25dur)",
            "policy": "STEP(k0=0.1, gamma=0.1, l=0.25dur)",
            "bound": str(policy),
            "lr": policy.lrs(0, 40).tolist(),
        }
    ]


def test_long_curves_are_given_at_a_thousand_iterations_with_both_ends(lrbench: Command) -> None:
    shown = document(lrbench("show", "LINEAR(k0=0.1, l=1dur)", "--steps", "1000000", "--json"))

    assert (len(shown["iterations"]), shown["iterations"][0], shown["iterations"][-1]) == (1000, 0, 999_999)
    assert len(shown["policies"][0]["lr"]) == 1000


def test_a_policy_that_depends_on_no_budget_needs_none(lrbench: Command) -> None:
    assert document(lrbench("show", "FIX(k0=0.1)", "--json"))["steps"] == 10_000


def test_epochs_are_resolved_by_the_length_that_is_given(lrbench: Command) -> None:
    shown = document(
        lrbench("show", "SIN(k0=0.1, k1=0.2, l=3ep)", "--steps", "100", "--steps-per-epoch", "7", "--json")
    )

    assert shown["policies"][0]["bound"] == "SIN(k0=0.1, k1=0.2, l=21)"


def test_a_task_gives_budget_and_epoch(lrbench: Command) -> None:
    shown = document(lrbench("show", "SIN(k0=0.1, k1=0.2, l=1ep)", "--task", "mnist1d-mlp", "--json"))

    assert shown["steps"] == 1000
    assert shown["policies"][0]["bound"] == "SIN(k0=0.1, k1=0.2, l=62)"


def test_entries_and_texts_can_be_mixed_in_any_order(lrbench: Command) -> None:
    shown = document(lrbench("show", "lrbench13/TRI", "FIX(k0=0.1)", "lrbench13/COS", "--steps", "100", "--json"))

    assert [policy["name"] for policy in shown["policies"]] == ["TRI", "FIX(k0=0.1)", "COS"]


def test_entries_of_the_same_name_are_told_apart_by_their_catalog(lrbench: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[[policy]]\nname = "FIX"\npolicy = "FIX(k0=0.7)"\nsource = "a test"\n')

    shown = document(lrbench("show", "lrbench13/FIX", "mine.toml", "lrbench13/FIX", "--json"))

    assert [policy["name"] for policy in shown["policies"]] == ["FIX", "mine.toml/FIX"]


STUDY = """
task = "mnist-lenet"
[[policies]]
policy = "COSINE(k0=0.1, l=1dur)"
name = "mine"
[[policies]]
function = "FIX"
k0 = [0.1, 0.2]
"""


def test_a_study_file_is_drawn_for_the_budget_of_its_task_without_its_data(lrbench: Command, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY)

    shown = document(lrbench("show", "study.toml", "--json"))

    assert shown["steps"] == 10_000
    assert [policy["name"] for policy in shown["policies"]] == ["mine", "FIX(k0=0.1)", "FIX(k0=0.2)"]


def test_the_budget_that_is_given_goes_before_that_of_a_study(lrbench: Command, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY)

    assert document(lrbench("show", "study.toml", "--steps", "500", "--json"))["steps"] == 500


def test_a_shipped_study_is_drawn_by_its_name_whole_or_in_part(lrbench: Command) -> None:
    whole = document(lrbench("show", "quickstart", "--json"))
    part = document(lrbench("show", "quickstart/COS", "--steps", "100", "--json"))

    assert (whole["steps"], len(whole["policies"])) == (1000, 17)
    assert part["policies"][0]["policy"] == "COS(k0=0.001, k1=0.2, l=2dur)"


def test_tasks_of_different_budgets_leave_the_choice_to_the_user(lrbench: Command, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(
        STUDY.replace('task = "mnist-lenet"', 'tasks = ["mnist-lenet", "mnist1d-mlp"]')
    )

    result = lrbench("show", "study.toml")

    assert result.exit_code == 2
    assert "mine depends on the budget (l=1dur): give it by --steps or --task" in result.stderr


def test_the_figure_of_the_quickstart_has_a_panel_for_each_of_its_policies(lrbench: Command, tmp_path: Path) -> None:
    result = lrbench("show", "quickstart", "--steps", "1000", "-o", "curves.svg")

    svg = (tmp_path / "curves.svg").read_text()
    assert (result.exit_code, result.output) == (0, "")
    assert svg.count('id="axes_') == 17
    assert len(svg) < 300_000


def test_a_catalog_file_of_ones_own_is_shown(lrbench: Command, tmp_path: Path) -> None:
    entry = '[[policy]]\nname = "mine"\npolicy = "FIX(k0=0.2)"\nsource = "a test"\n'
    (tmp_path / "mine.toml").write_text(entry)

    assert document(lrbench("show", "mine.toml", "--json"))["policies"][0]["name"] == "mine"


def test_what_reacts_in_a_catalog_is_left_out_and_said(lrbench: Command, tmp_path: Path) -> None:
    entries = [("flat", "FIX(k0=0.2)"), ("plateau", "REDUCEONPLATEAU(k0=0.1)")]
    text = "".join(f'[[policy]]\nname = "{name}"\npolicy = "{policy}"\nsource = "a test"\n' for name, policy in entries)
    (tmp_path / "mine.toml").write_text(text)

    result = lrbench("show", "mine.toml", "--json")

    assert [policy["name"] for policy in document(result)["policies"]] == ["flat"]
    assert result.stderr.startswith("Left out")
    assert "plateau" in result.stderr


@pytest.mark.parametrize(("name", "start"), [("x.png", b"\x89PNG"), ("x.svg", b"<?xml"), ("X.PNG", b"\x89PNG")])
def test_a_picture_is_written_and_nothing_is_printed(lrbench: Command, tmp_path: Path, name: str, start: bytes) -> None:
    result = lrbench("show", "lrbench13/TRI", "--steps", "100", "-o", name)

    assert (result.exit_code, result.output) == (0, "")
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_plugin_brings_a_function(lrbench: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        '''
import numpy as np
from lrbench.policy import Function, rate, register_function


@register_function
class HALFWAY(Function):
    """Half of k0."""

    group = "mine"
    formula = "k0 / 2"
    source = "a test"
    k0: float = rate("twice the LR")

    def lr(self, t):
        return np.full(t.shape, self.k0 / 2)
'''
    )

    shown = document(lrbench("show", "HALFWAY(k0=0.4)", "--steps", "3", "--plugin", "mine.py", "--json"))

    assert shown["policies"][0]["lr"] == [0.2, 0.2, 0.2]


def test_a_function_is_explained_and_an_example_of_it_drawn(lrbench: Command) -> None:
    lines = lrbench("show", "TRI").stdout.splitlines()

    assert lines[0].startswith("TRI: A triangle wave")
    assert "arcsin(sin(pi*t/(2l)))" in lines[1]
    assert any(re.match(r"l +half a cycle +iterations +.*required$", line) for line in lines)
    assert "TRI(k0=0, k1=1, l=10)(5) = 0.5" in lines
    assert any("arXiv 1908.06477" in line for line in lines)
    assert lines[-14].startswith("TRI(k0=")
    assert lines[-1].split() == ["0", "1,000"]
    assert max(map(len, lines)) <= 100


def test_a_function_that_reacts_is_explained_without_a_drawing(lrbench: Command) -> None:
    shown = lrbench("show", "REDUCEONPLATEAU")

    assert shown.exit_code == 0
    assert "0.1" in next(line for line in shown.stdout.splitlines() if line.startswith("gamma"))
    assert "\u2502" not in shown.stdout


def test_a_function_as_a_document_has_its_declaration_and_its_curve(lrbench: Command) -> None:
    document = json.loads(lrbench("show", "GEOMETRIC", "INVSQRT", "--json").stdout)

    assert [function["name"] for function in document["functions"]] == ["GEOMETRIC", "INVSQRT"]
    assert [parameter["name"] for parameter in document["functions"][0]["parameters"]] == ["k0", "k1", "l"]
    assert [policy["name"] for policy in document["policies"]] == ["GEOMETRIC", "INVSQRT"]


def test_functions_and_policies_are_not_shown_together(lrbench: Command) -> None:
    refused = lrbench("show", "TRI", "FIX(k0=0.1)")

    assert refused.exit_code == 2
    assert "'TRI' is a function and 'FIX(k0=0.1)' is none" in refused.stderr


def test_a_plugins_function_is_explained_by_what_it_declares(lrbench: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from lrbench.policy import Function, rate, register_function\n\n\n@register_function\n"
        'class SAME(Function):\n    """The same for ever. And more.\n\n    >>> SAME(k0=0.5)(3)\n    0.5\n    """\n\n'
        '    group = "mine"\n    formula = "k0"\n    source = "nobody"\n    k0: float = rate("what it is")\n\n'
        "    def lr(self, t):\n        return 0 * t + self.k0\n"
    )

    lines = lrbench("show", "SAME", "--plugin", "mine.py").stdout.splitlines()

    assert lines[0] == "SAME: The same for ever."
    assert "SAME(k0=0.5)(3) = 0.5" in lines
    assert "SAME(k0=0.5)" in lines


def test_a_function_where_a_policy_is_wanted_is_sent_to_what_explains_it(lrbench: Command) -> None:
    refused = lrbench("score", "TRI", "--task", "mnist1d-mlp")

    assert refused.exit_code == 2
    assert "'TRI' is a function, which needs its numbers: `lrbench show TRI` has an example" in refused.stderr
    assert "did you mean 'TRIEXP'" in lrbench("show", "TRIEXPP").stderr


def test_a_study_is_drawn_over_its_own_budget(lrbench: Command, tmp_path: Path) -> None:
    study = tmp_path / "short.toml"
    study.write_text('task = "mnist1d-mlp"\nsteps = 40\npolicies = { w = "WSD(k0=0.1, up=4, down=0.2dur)" }\n')
    assert document(lrbench("show", str(study), "--json"))["steps"] == 40


def test_a_table_that_is_too_short_for_the_budget_is_refused_as_training_refuses_it(lrbench: Command) -> None:
    result = lrbench("show", "TABLE(values=[0.1, 0.2])", "--steps", "10")
    assert result.exit_code != 0
    assert "has LRs for 2 iterations, and the budget has 10" in result.stderr


def test_lengths_in_tokens_are_those_of_the_task(lrbench: Command) -> None:
    shown = lrbench("show", "COSINE(k0=0.01, l=1dur).warmup(12800tok)", "--task", "grammar-gpt", "--json")
    (policy,) = json.loads(shown.stdout)["policies"]
    assert ".warmup(" in policy["bound"]
    assert "tok" not in policy["bound"]
