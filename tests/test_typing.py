"""What the documentation allows, mypy allows in a user's program under --strict; what a type forbids, it refuses."""

import re
from pathlib import Path

import pytest
from mypy import api

BEGINNING = """
import torch
from torch import Tensor, nn

import lrbench


def network() -> nn.Module:
    return nn.Linear(5, 3)


def optimizer(params: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(params, lr=1.0)


def noisy(batch: Tensor, random: torch.Generator) -> Tensor:
    return batch + torch.randn(batch.shape, generator=random)


data = lrbench.Data.from_arrays((torch.zeros(9, 5), torch.arange(9) % 3), (torch.zeros(9, 5), torch.arange(9) % 3))
"""

ALLOWED = """
mine = lrbench.Task(name="mine", model=network, data=data, steps=100, optimizer=optimizer, augment=[noisy])
named = lrbench.Task(
    name="named",
    model={"kind": "mlp", "hidden": [50]},
    data="mnist1d",
    steps=100,
    optimizer="AdamW",
    augment=["HorizontalFlip", lrbench.tasks.RandomCrop(padding=2), {"kind": "RandomCrop", "padding": 2}],
)
lrbench.Task(name="own", model=nn.Identity, data=data, steps=100, optimizer=torch.optim.Adadelta)
lrbench.Task(name="own", model=lambda: nn.Linear(5, 3), data=data, steps=100, optimizer=lrbench.tasks.SGD())

wave = lrbench.policy.TRI(k0=0.01, k1=0.1, l="0.1dur")
lrbench.Study(policies={"flat": "FIX(k0=0.1)", "wave": wave}, task="mnist1d-mlp", seeds=3)
lrbench.Study(policies=["FIX(k0=0.1)", wave, {"catalog": "modern"}], tasks=[mine, "mnist1d-mlp"], seeds=[0, 5, 9])
study = lrbench.Study(
    policies=lrbench.catalog("modern"),
    task={"base": "mnist1d-mlp", "batch_size": 32},
    modifiers=["PLP()", lrbench.modifiers.EMA(decay=0.9), ["PLP()", lrbench.modifiers.EMA()]],
    steps=100,
    base_lr_scales=True,
)
first: lrbench.Policy = study.policies[0].policy
steps: int = study.tasks[0].steps + mine.eval_every
lrbench.compare({"flat": "FIX(k0=0.1)", "wave": wave}, "mnist1d-mlp", seeds=5, workers=2).results.to_json()
lrbench.run(study, store="runs.db")
lrbench.score("FIX(k0=0.1)", named, seeds=range(3))
lrbench.search("hunt", policies=8)
"""

REFUSED = {
    'lrbench.Study(policies=3, task="mnist1d-mlp")': "policies",
    'lrbench.Study(policies=[3], task="mnist1d-mlp")': "List item",
    'lrbench.Study(policies=["FIX(k0=0.1)"], task=3)': "task",
    'lrbench.Study(policies=["FIX(k0=0.1)"], task=mine, seeds=3.5)': "seeds",
    'lrbench.Study(policies=["FIX(k0=0.1)"], task=mine, modifiers=[3])': "List item",
    'lrbench.Study(policies=["FIX(k0=0.1)"], task=mine, polices=1)': "polices",
    'lrbench.Task(name="mine", model=network(), data=data, steps=10, optimizer=3)': "optimizer",
    'lrbench.Task(name="mine", model=network, data=3, steps=10)': "data",
    'lrbench.compare({"flat": 0.1}, mine)': "Dict entry",
    "lrbench.run(3)": "Argument 1",
    "lrbench.tasks.AdamV()": "AdamV",
}


PROGRAM = BEGINNING + ALLOWED
FIRST_REFUSED = PROGRAM.count("\n") + 1


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """What mypy --strict finds in a program of both, by line."""
    file = tmp_path_factory.mktemp("typing") / "program.py"
    file.write_text(PROGRAM + "\n".join(REFUSED))
    found, trouble, _ = api.run(["--strict", f"--cache-dir={Path('.mypy_cache').resolve()}", str(file)])
    assert not trouble
    return {int(line): sentence for line, sentence in re.findall(r"program\.py:(\d+): error: (.*)", found)}


def test_the_forms_that_the_documentation_shows_are_allowed(mistakes: dict[int, str]) -> None:
    assert {line: sentence for line, sentence in mistakes.items() if line < FIRST_REFUSED} == {}


@pytest.mark.parametrize(("place", "word"), list(enumerate(REFUSED.values(), FIRST_REFUSED)), ids=list(REFUSED))
def test_what_a_type_forbids_is_refused_on_its_line(mistakes: dict[int, str], place: int, word: str) -> None:
    assert word in mistakes.get(place, "")
