import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import Result

from lrbench.cli.commands.list import Noun
from lrbench.modifiers import modifiers
from lrbench.policy import catalog, catalogs, functions

Command = Callable[..., Result]

NOUNS = get_args(Noun)


def items(lrbench: Command, noun: str, *options: str | Path) -> list[dict[str, Any]]:
    result = lrbench("list", noun, "--json", *options)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)[noun]


@pytest.mark.parametrize("noun", NOUNS)
def test_every_list_is_aligned_plain_text_in_a_pipe(lrbench: Command, noun: str) -> None:
    result = lrbench("list", noun)

    header, *lines = result.stdout.splitlines()
    column = header.index(re.split(r" {2,}", header)[1])
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert lines
    assert all(line[column - 2 : column].strip() == "" for line in lines)


@pytest.mark.parametrize("noun", NOUNS)
def test_every_list_is_coloured_on_a_terminal(lrbench: Command, noun: str) -> None:
    assert "\x1b[1m" in lrbench("list", noun, color=True).stdout


def test_functions_show_what_their_parameters_declare(lrbench: Command) -> None:
    listed = {item["name"]: item for item in items(lrbench, "functions")}

    assert list(listed) == list(functions())
    gamma = next(parameter for parameter in listed["STEP"]["parameters"] if parameter["name"] == "gamma")
    assert (gamma["role"], gamma["unit"], gamma["required"]) == ("value", "factor", True)
    assert gamma["allowed"] == "a finite number in (0, 1]"
    floor = next(parameter for parameter in listed["STEP"]["parameters"] if parameter["name"] == "k1")
    assert (floor["default"], floor["required"]) == (0.0, False)


@pytest.mark.parametrize("noun", NOUNS)
def test_no_list_is_wider_than_a_hundred_columns(lrbench: Command, noun: str) -> None:
    assert max(map(len, lrbench("list", noun).stdout.splitlines())) <= 100


def test_functions_are_shown_with_formula_and_one_sentence(lrbench: Command) -> None:
    lines = lrbench("list", "functions").stdout.splitlines()

    assert re.split(" {2,}", lines[1]) == ["FIX", "k0", "A constant LR."]
    assert [line.split()[0] for line in lines[1:] if not line.startswith(" ")] == list(functions())


def test_policies_are_all_entries_of_all_catalogs(lrbench: Command) -> None:
    listed = [item["name"] for item in items(lrbench, "policies")]

    assert listed == [f"{name}/{entry}" for name in catalogs() for entry in catalog(name)]


def test_tasks_say_what_is_trained_and_for_how_long(lrbench: Command) -> None:
    listed = {item["name"]: item for item in items(lrbench, "tasks")}

    assert listed["mnist1d-mlp"]["steps"] == 1000
    assert listed["mnist1d-mlp"]["dataset"] == "mnist1d"
    assert "mlp" in listed["mnist1d-mlp"]["model"]
    assert listed["mnist1d-mlp"]["description"]


def test_models_and_datasets_say_their_options(lrbench: Command) -> None:
    models = {item["name"]: item for item in items(lrbench, "models")}
    datasets = {item["name"]: item for item in items(lrbench, "datasets")}

    assert "hidden" in models["mlp"]["options"]
    assert "path" in datasets["image_folder"]["options"]


def test_optimizers_augmentations_and_metrics_say_what_they_are(lrbench: Command) -> None:
    optimizers, augmentations, metrics = (
        {item["name"]: item for item in items(lrbench, noun)} for noun in ("optimizers", "augmentations", "metrics")
    )

    assert optimizers["AdamW"]["options"]["weight_decay"] == 0.01
    assert augmentations["RandomCrop"]["options"] == {"padding": 4}
    assert (metrics["ece"]["better"], metrics["ece"]["bounds"]) == ("lower", [0.0, 1.0])
    assert all(one["description"] for listed in (optimizers, augmentations, metrics) for one in listed.values())


def test_optimizers_of_libraries_are_listed_with_their_settings(lrbench: Command) -> None:
    listed = {item["name"]: item for item in items(lrbench, "optimizers")}
    lines = lrbench("list", "optimizers").stdout.splitlines()

    assert listed["NAdam"]["options"]["betas"] == [0.9, 0.999]
    assert listed["Prodigy"]["description"].endswith("[prodigyopt]")
    assert {"Adagrad", "NAdam", "SGDScheduleFree", "Lion"} <= set(listed)
    assert not {"LBFGS", "SparseAdam", "SAM", "Optimizer"} & set(listed)
    assert {"NAdam", "Prodigy", "pytorch_optimizer"} <= {line.split(" ")[0] for line in lines}


def test_keys_are_those_that_study_and_search_files_are_checked_by(lrbench: Command) -> None:
    listed = {(item["table"], item["name"]): item for item in items(lrbench, "keys")}

    margin = listed["The keys of a study", "margin"]
    assert (margin["default"], margin["allowed"]) == ("", "a finite number from 0 on")
    assert listed["Policies from a catalog", "except"]["help"] == "take all but these"
    assert listed["The [task] table", "model"]["default"] == "required without a `base`"
    assert listed["The keys of a search", "confirm"]["help"] != listed["The keys of a study", "confirm"]["help"]
    assert all(item["help"] for item in listed.values())


def test_modifiers_say_whether_they_change_training_and_what_their_settings_may_be(lrbench: Command) -> None:
    listed = {item["name"]: item for item in items(lrbench, "modifiers")}

    assert list(listed) == list(modifiers())
    assert (listed["PLP"]["kind"], listed["PLP"]["settings"]) == ("changes training", [])
    assert listed["EMA"]["kind"] == "only watches"
    decay = listed["EMA"]["settings"][0]
    assert (decay["name"], decay["allowed"], decay["default"]) == ("decay", "a finite number in [0, 1)", 0.999)
    assert all(item["description"] for item in listed.values())


def test_a_plugins_modifier_is_listed(lrbench: Command, own_modifier: Path) -> None:
    (mine,) = [item for item in items(lrbench, "modifiers", "--plugin", own_modifier) if item["name"] == "SHRINK"]

    assert (mine["kind"], mine["description"]) == ("changes training", "Every iteration, shrink all weights.")
    assert [setting["name"] for setting in mine["settings"]] == ["share"]


def test_a_plugins_task_is_listed(lrbench: Command, tmp_path: Path) -> None:
    (tmp_path / "listed_task.py").write_text(
        "from lrbench.tasks import Choice, TaskSettings, register_task\n\n\n"
        '@register_task("listed-task")\ndef listed_task():\n    """A task of my own."""\n'
        '    return TaskSettings(name="listed-task", dataset=Choice("mnist1d"), model=Choice("mlp"), steps=10)\n'
    )

    (mine,) = [item for item in items(lrbench, "tasks", "--plugin", "listed_task.py") if item["name"] == "listed-task"]

    assert (mine["steps"], mine["description"]) == (10, "A task of my own.")


def test_a_registered_task_that_is_no_settings_is_one_sentence(lrbench: Command, tmp_path: Path) -> None:
    (tmp_path / "no_settings.py").write_text(
        "from lrbench.tasks import register_task\n\n\n"
        '@register_task("no-settings")\ndef no_settings():\n    """A task of my own."""\n    return 3\n'
    )

    for arguments in (("list", "tasks"), ("score", "FIX(k0=0.1)", "--task", "no-settings")):
        result = lrbench(*arguments, "--plugin", "no_settings.py")
        assert result.exit_code == 2
        sentence = "the function that is registered as task 'no-settings' returns int, no Task"
        assert result.stderr.strip() == f"Error: {sentence}"


def test_studies_are_those_that_ship_and_those_of_the_store(lrbench: Command, tiny_study: Path) -> None:
    before = {item["name"]: item for item in items(lrbench, "studies")}
    lrbench("run", tiny_study, "--steps", "5", "--seeds", "1")
    after = {item["name"]: item for item in items(lrbench, "studies")}

    assert (before["quickstart"]["shipped"], before["quickstart"]["stored"]) == (True, False)
    assert "tiny" not in before
    assert (after["tiny"]["shipped"], after["tiny"]["stored"]) == (False, True)


def test_the_parts_of_a_search_are_listed_below_it_where_they_are_asked_for(lrbench: Command, tmp_path: Path) -> None:
    stores = Path(__file__).parents[1] / "store" / "stores"
    (tmp_path / "old.db").write_bytes(gzip.decompress((stores / "schema_3.db.gz").read_bytes()))

    def listed(*options: str) -> list[tuple[str, str]]:
        document = json.loads(lrbench("list", "studies", "--store", "old.db", "--json", *options).stdout)
        return [(item["name"], item["kind"]) for item in document["studies"] if item["stored"]]

    parts = [("hunt", "rung"), ("hunt at 20 iterations", "rung"), ("hunt: confirmed", "confirmation")]
    whole, alone = listed("--all"), listed()
    assert [item for item in whole if item not in parts] == alone
    place = whole.index(("hunt", "search"))
    assert whole[place + 1 : place + 4] == parts
    assert {kind for _, kind in alone} == {"study", "search", "range_test", "score", "verify"}


def test_asking_for_studies_makes_no_store(lrbench: Command, tmp_path: Path) -> None:
    lrbench("list", "studies")

    assert not list(tmp_path.iterdir())
