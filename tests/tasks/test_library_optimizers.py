"""Optimizers of torch and of installed libraries by their names."""

import pickle
from typing import Any

import pytest
import torch
from prodigyopt import Prodigy
from torch import nn

from lrbench.engine.stacked.optimizers import STACKED
from lrbench.errors import TaskError
from lrbench.tasks import Data, Task
from lrbench.tasks.fingerprint import fingerprint
from lrbench.tasks.library_optimizers import LIBRARIES, library_optimizer, library_optimizers
from lrbench.tasks.optimizers import optimizer_named, optimizer_with
from lrbench.tasks.table import optimizer_of


def weights_after(optimizer: torch.optim.Optimizer, weight: nn.Parameter) -> torch.Tensor:
    for step in range(3):
        optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
        weight.grad = torch.linspace(-1, 1 + step, 4).reshape(2, 2)
        optimizer.step()
    return weight.detach()


@pytest.mark.parametrize(
    ("name", "settings", "theirs"),
    [
        ("NAdam", {"betas": (0.8, 0.9), "weight_decay": 1}, torch.optim.NAdam),
        ("torch.optim.Adam", {"amsgrad": True}, torch.optim.Adam),
        ("Adafactor", {"d": 2}, torch.optim.Adafactor),
        ("prodigyopt.Prodigy", {"d_coef": 0.5, "safeguard_warmup": True}, Prodigy),
    ],
)
def test_a_named_optimizer_is_the_librarys_own_with_these_settings(
    name: str, settings: dict[str, Any], theirs: Any
) -> None:
    ours, reference = (nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    expected = weights_after(theirs([reference], lr=1.0, **settings), reference)
    assert torch.equal(weights_after(optimizer_named(name, settings).build([ours]), ours), expected)


def test_a_setting_at_its_default_is_the_same_optimizer_and_any_other_is_not() -> None:
    plain = optimizer_named("NAdam", {})
    same = optimizer_named("torch.optim.NAdam", {"weight_decay": 0.0, "betas": (0.9, 0.999)})
    other = optimizer_with(plain, {"weight_decay": 0.5})
    assert (plain, fingerprint(plain), str(plain)) == (same, fingerprint(same), "torch.optim.NAdam()")
    assert str(other) == "torch.optim.NAdam(weight_decay=0.5)"
    assert fingerprint(other) != fingerprint(plain) != fingerprint(optimizer_named("RAdam", {}))
    assert optimizer_of({"eps": 1e-6}, other) == optimizer_named("NAdam", {"eps": 1e-6, "weight_decay": 0.5})
    assert pickle.loads(pickle.dumps(other)) == other


def test_a_bare_name_means_the_specification_of_lrbench_first_then_torchs() -> None:
    assert type(optimizer_named("Adam", {})) in STACKED
    assert type(optimizer_named("torch.optim.Adam", {})) not in STACKED
    assert str(optimizer_named("pytorch_optimizer.NAdam", {})) == "pytorch_optimizer.NAdam()"
    assert {library for _, library, _ in library_optimizers()} == set(LIBRARIES)


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("LBFGS", {}, "optimizer 'LBFGS' cannot be used: each of its steps needs a closure"),
        ("SparseAdam", {}, r"torch.optim.SparseAdam\(\) cannot be used: SparseAdam does not support dense gradients"),
        ("Rprop", {}, r"Rprop\(\) cannot be used: no step but the first follows the learning rate"),
        ("pytorch_optimizer.AdaFactor", {}, "no step but the first follows the learning rate"),
        ("SAM", {}, "optimizer 'SAM' cannot be used: it needs base_optimizer"),
        ("NAdm", {}, r"there is no optimizer named 'NAdm' \(did you mean 'NAdam'\?\)"),
        ("os.system", {}, "there is no optimizer named 'os.system': there are SGD, .* and those of torch.optim"),
        ("torch.optim.Optimizer", {}, "there is no optimizer named 'torch.optim.Optimizer'"),
        ("NAdam", {"bata": 1}, r"'NAdam' has no option 'bata' \(did you mean 'betas'\?\); its options are betas, eps"),
        ("NAdam", {"lr": 1}, "'NAdam' has no option 'lr'"),
        ("NAdam", {"fused": True}, "'NAdam' has no option 'fused'"),
        (
            "NAdam",
            {"betas": (1.5, 0.9)},
            r"NAdam\(betas=\(1.5, 0.9\)\) cannot be used: Invalid beta parameter",
        ),
        ("NAdam", {"betas": 0.9}, "optimizer 'NAdam': betas = 0.9 must be a list"),
        ("NAdam", {"weight_decay": True}, "weight_decay = True must be a finite number"),
        ("NAdam", {"decoupled_weight_decay": 1}, "decoupled_weight_decay = 1 must be true or false"),
        ("Lion", {"weight_decay": float("nan")}, "weight_decay = nan must be a finite number"),
        ("SPlus", {"max_dim": "high"}, "max_dim = 'high' must be a finite number"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(name: str, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(TaskError, match=says) as raised:
        optimizer_named(name, settings)
    assert "\n" not in str(raised.value)


def test_what_an_optimizer_prints_while_it_is_tried_out_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    optimizer_named("AdamWScheduleFreeReference", {})
    assert capfd.readouterr() == ("", "")


def test_another_library_has_no_names() -> None:
    assert library_optimizer("torch.nn.Linear", {}) is None


@pytest.fixture(scope="module")
def task() -> Task:
    inputs = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    data = Data.from_arrays((inputs[:30], torch.arange(30) % 2), (inputs[30:], torch.arange(10) % 2))
    return Task(name="tiny", model=lambda: nn.Linear(4, 2), data=data, steps=10, batch_size=8)


@pytest.mark.parametrize("name", ["NAdam", "AdamWScheduleFree", "Lion"])
def test_a_task_takes_the_name_of_an_optimizer(name: str, task: Task) -> None:
    named = task.with_(optimizer=optimizer_named(name, {}))
    assert named.key != task.key
    assert named.key == task.with_(optimizer=optimizer_named(name, {})).key


def test_an_optimizer_that_cannot_train_the_network_is_refused_with_the_task(task: Task) -> None:
    with pytest.raises(TaskError, match="Muon only supports 2D parameters"):
        task.with_(optimizer=optimizer_named("Muon", {}))
