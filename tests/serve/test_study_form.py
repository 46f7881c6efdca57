"""The form of a study, and its study file."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from lrbench.errors import LRBenchError
from lrbench.modifiers import modifiers
from lrbench.serve.study_form import (
    FIELDS,
    FIXED,
    OF_TASKS,
    described_study,
    file_of,
    placed,
    study_file,
    study_form,
    value_of,
)
from lrbench.store import PolicyRecord, StudyRecord
from lrbench.study.file import StudyFile, load_study
from lrbench.study.limits import StudySettings
from lrbench.tasks.registry import tasks
from lrbench.tasks.settings import TaskSettings
from lrbench.training.plan import plan as plan_of
from lrbench.training.runner import record_of
from tests.serve.conftest import WIDTHS

Open = Callable[..., Page]

ASKED: dict[str, Any] = {"name": "fine", "tasks": ["mnist1d-mlp"], "policies": {"a": "FIX(k0=0.1)"}}


def test_the_form_has_every_key_of_a_study_file_and_all_that_is_registered() -> None:
    rows = {"by", "axes", "until_decided"}
    assert {*FIELDS, *rows} == set(StudySettings.model_fields)
    assert set(StudyFile.model_fields) - set(StudySettings.model_fields) == {
        *("description", "task", "tasks", "policies", "modifiers")
    }
    assert {*OF_TASKS, *FIXED} == {one.name for one in fields(TaskSettings)}
    offered = described_study()
    assert [one["name"] for one in offered["tasks"]] == list(tasks)
    assert [one["name"] for one in offered["modifiers"]] == list(modifiers())


def test_a_study_of_the_form_is_a_study_file_of_registered_names() -> None:
    asked: dict[str, Any] = {
        "name": "a b",
        "tasks": ["mnist1d-mlp"],
        "seeds": "5..40",
        "steps": "300",
        "margin": "0.02",
        "target": " ",
    }
    asked |= {"policies": {'quo"te\\': "FIX(k0=0.10)"}, "by": [["top1", ""], ["seconds", "5%"]], "budget": "200 runs"}
    asked |= {"modifiers": ["PLP()", ["PLP()", "EMA(decay=0.99)"]], "base_lr_scales": "0.5, 2"}
    asked |= {"axes": [["weight_decay", "0.0, 1e-4"], ["optimizer", "'AdamW', {kind = 'SGD', momentum = 0.5}"]]}
    settings = [["weight_decay", "0.1"], ["optimizer", "AdamW"], ["batch_size", "32"], ["compile", "true"]]

    name, text = study_file(asked | {"settings": settings})

    assert name == "a b"
    assert tomllib.loads(text) == {
        "task": {
            "base": "mnist1d-mlp",
            "optimizer": {"kind": "AdamW", "weight_decay": 0.1},
            "batch_size": 32,
            "compile": True,
        },
        "seeds": "5..40",
        "steps": 300,
        "margin": 0.02,
        "budget": "200 runs",
        "base_lr_scales": [0.5, 2],
        "by": ["top1", "seconds:5%"],
        "modifiers": ["PLP()", ["PLP()", "EMA(decay=0.99)"]],
        "axes": {"weight_decay": [0.0, 1e-4], "optimizer": ["AdamW", {"kind": "SGD", "momentum": 0.5}]},
        "policies": {'quo"te\\': "FIX(k0=0.1)"},
    }


def test_a_study_with_all_that_the_form_has_can_be_trained(tmp_path: Path) -> None:
    asked: dict[str, Any] = {
        "tasks": ["mnist1d-mlp", "mnist1d-conv"],
        "seeds": "2",
        "steps": "40",
        "target": "0.5",
        "margin": "0.01",
    }
    asked |= {"by": [["steps_to_target", "50"]], "modifiers": ["EMA()"], "axes": [["batch_size", "32, 128"]]}
    asked |= {"settings": [["momentum", "0.5"]], "base_lr_scales": "true", "confirm": "1"}
    _, text = study_file(ASKED | asked)
    (tmp_path / "fine.toml").write_text(text)

    study = load_study(tmp_path / "fine.toml")

    assert [task.name for task in study.tasks] == ["mnist1d-mlp", "mnist1d-conv"]
    assert [variant.name for variant in study.modifiers] == [
        "EMA(decay=0.999, recompute_bn=False)",
        "batch_size=32",
        "batch_size=128",
    ]
    assert study.by == ("steps_to_target:50",)


@pytest.mark.parametrize(
    ("change", "place", "sentence"),
    [
        ({"name": "../../etc/cron"}, "name", "the name"),
        ({"name": ".hidden"}, "name", "the name"),
        ({"tasks": []}, "tasks", "no task yet"),
        ({"tasks": ["/tmp/mine.py"]}, "tasks", "must be one of mnist1d-mlp"),
        ({"tasks": [{"model": "evil"}]}, "tasks", "must be one of mnist1d-mlp"),
        ({"settings": [["dataset", "{kind = 'image_folder', path = '/'}"]]}, "tasks", "must be one of theirs"),
        ({"settings": [["momentum", "1"], ["momentum", "2"]]}, "tasks", "once"),
        ({"policies": {}}, "policies", "no policy yet"),
        ({"policies": {"a": {"table": "/etc/passwd"}}}, "policies", "a policy is described by text"),
        ({"policies": {"a": "import os"}}, "policies", "there is no"),
        ({"seeds": "many"}, "seeds", "^seeds = "),
        ({"seeds": "40..5"}, "seeds", "seeds = "),
        ({"steps": "0"}, "steps", "^steps = 0 must be"),
        ({"margin": "-1"}, "margin", "^margin = -1 must be"),
        ({"target": "nan"}, "target", "^target = nan must be"),
        ({"confirm": "1.5"}, "confirm", "^confirm = 1.5 must be"),
        ({"budget": "plenty"}, "budget", '^budget = "plenty" must be'),
        ({"tolerated_divergence": "1"}, "tolerated_divergence", "must be a share"),
        ({"base_lr_scales": "0, 1"}, "base_lr_scales", "^base_lr_scales = "),
        ({"by": [["beauty", ""]]}, "by", 'no goal "beauty"'),
        ({"by": [["top1", "wide"]]}, "by", "the margin of"),
        ({"modifiers": ["EVIL()"]}, "modifiers", "modifier 1: there is no modifier named 'EVIL'"),
        ({"modifiers": ["SWA(start=2)"]}, "modifiers", "start must be"),
        ({"modifiers": [["PLP()", "Lookahead()"]]}, "modifiers", "modifier 1"),
        ({"axes": [["weight_decay", ""]]}, "axes", "at least one value"),
        ({"axes": [["", "1"]]}, "axes", "must be a setting"),
    ],
)
def test_what_cannot_be_used_is_a_sentence_at_its_field(change: dict[str, object], place: str, sentence: str) -> None:
    form = study_form(ASKED | change)
    assert form.errors.keys() == {place}
    with pytest.raises(LRBenchError, match=sentence):
        study_file(ASKED | change)


@pytest.mark.parametrize("junk", [None, 7, "x", [1], {"a": 1}, [["a"]], [[["a"], {}]], {"name": ["x"]}])
def test_a_request_of_another_form_is_passed_over_or_refused_in_a_sentence(junk: object) -> None:
    for key in ("name", "tasks", "policies", "seeds", "by", "modifiers", "axes", "settings"):
        with suppress(LRBenchError):
            study_file(ASKED | {key: junk})


def test_a_sentence_of_the_whole_study_stands_at_its_field() -> None:
    assert placed("axes: momentum=7: no") == {"axes": "axes: momentum=7: no"}
    assert set(placed("study 'a': until_decided = 9 must be")) == {""}
    assert set(placed("study 'a': modifier 'SWA' is given 2 times")) == {"modifiers"}
    assert set(placed("dataset 'cifar10': there is no such folder")) == {""}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("true", True), ("AdamW", "AdamW"), ("'a'", "a"), ("[1, 2]", [1, 2]), ("1\nb = 2", "1\nb = 2")],
)
def test_values_are_those_of_a_study_file_and_a_text_needs_no_quotes(text: str, value: object) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize("budget", [{"steps": "40"}, {"horizons": "25%, 100"}])
def test_the_study_file_of_a_stored_study_asks_for_its_runs_again(budget: dict[str, Any], tmp_path: Path) -> None:
    asked: dict[str, Any] = {
        **budget,
        "seeds": "2..4",
        "modifiers": ["PLP()", "EMA()"],
        "base_lr_scales": "0.5, 1",
    }
    first, second = tmp_path / "fine.toml", tmp_path / "again" / "fine.toml"
    first.write_text(study_file(ASKED | asked | {"by": [["top1", "0.02"]], "tolerated_divergence": "0.1"})[1])
    second.parent.mkdir()
    plan = plan_of(load_study(first))

    second.write_text(file_of(record_of(plan.study, plan)))

    again = plan_of(load_study(second))
    assert [run.key for run in again.runs] == [run.key for run in plan.runs]
    assert record_of(again.study, again) == record_of(plan.study, plan)


def test_the_study_file_of_a_stored_study_names_what_it_lacks() -> None:
    policies = (PolicyRecord(name="a", policy="FIX(k0=0.1)"),)
    text = file_of(StudyRecord(policies=policies, seeds=(0, 1), variants=("", "weight_decay=0.1")))
    assert text.startswith('# The store does not know the settings of "weight_decay=0.1".')


def test_what_is_wrong_stands_at_its_field_as_one_types(opened: Open, writing: str) -> None:
    page = opened(writing, WIDTHS[1])
    page.get_by_role("link", name="Compose").click()
    page.get_by_label("Seeds", exact=True).fill("many")
    expect(page.locator("#e-seeds")).to_contain_text('seeds = "many" must be')
    expect(page.locator("#e-name")).to_be_hidden()
    page.get_by_label("Seeds", exact=True).fill("2")
    expect(page.locator("#e-seeds")).to_be_hidden()

    page.get_by_role("button", name="+ axis").click()
    page.get_by_label("Axis 1", exact=True).fill("momentum")
    expect(page.locator("#e-axes")).to_contain_text("at least one value")
    page.get_by_role("button", name="+ modifier").click()
    page.get_by_label("Modifier 1").select_option("SWA")
    page.get_by_label("start budgets").fill("2")
    expect(page.locator("#e-modifiers")).to_contain_text("start must be a finite number in [0, 1)")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_label("Name of the policy above")).to_be_focused()
    expect(page.locator("#e-name")).to_contain_text("the name")
    expect(page.locator("#e-policies")).to_contain_text("no policy yet")
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[1]
