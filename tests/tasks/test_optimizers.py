"""Optimizers as values, and Caffe's SGD against a calculation by hand."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lrbench.errors import TaskError
from lrbench.policy.budget import Budget
from lrbench.tasks import SGD, Adam, AdamW, CaffeSGD, RMSprop
from lrbench.tasks.groups import Groups
from lrbench.tasks.optimizers import OPTIMIZERS, MuonWithAdamW, OptimizerSpec, optimizer_named


def weights_after(spec: OptimizerSpec, steps: list[tuple[float, float]], start: float = 1.0) -> list[float]:
    """The weight after each (lr, gradient)."""
    weight = nn.Parameter(torch.tensor([start], dtype=torch.float64))
    optimizer = spec.build([weight])
    seen = []
    for lr, gradient in steps:
        optimizer.param_groups[0]["lr"] = lr
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        seen.append(weight.item())
    return seen


def test_caffes_velocity_remembers_the_lr_it_was_made_with() -> None:
    # V1 = .1*1 = .1; w = .9.  V2 = .9*.1 + .01*1 = .1; w = .8.  V3 = .9*.1 + .01*2 = .11; w = .69
    assert weights_after(CaffeSGD(0.9), [(0.1, 1), (0.01, 1), (0.01, 2)]) == pytest.approx([0.9, 0.8, 0.69], abs=1e-12)


def test_pytorchs_velocity_does_not() -> None:
    # V1 = 1; w = .9.  V2 = 1.9; w = .9 - .01*1.9 = .881
    assert weights_after(SGD(0.9), [(0.1, 1), (0.01, 1)]) == pytest.approx([0.9, 0.881], abs=1e-12)


def test_caffes_weight_decay_enters_the_velocity_with_the_lr() -> None:
    # V1 = .1*(1 + .5*1) = .15; w = .85.  V2 = .9*.15 + .2*(0 + .5*.85) = .22; w = .63
    spec = CaffeSGD(momentum=0.9, weight_decay=0.5)
    assert weights_after(spec, [(0.1, 1), (0.2, 0)]) == pytest.approx([0.85, 0.63], abs=1e-12)


def test_under_a_constant_lr_the_two_momenta_agree() -> None:
    steps = [(0.05, float(g)) for g in (1, -2, 3, 0.5)]
    caffe, torchs = weights_after(CaffeSGD(0.9, 0.1), steps), weights_after(SGD(0.9, weight_decay=0.1), steps)
    assert caffe == pytest.approx(torchs, abs=1e-12)


def test_caffes_sgd_resumes_from_its_state() -> None:
    def step(optimizer: torch.optim.Optimizer, weight: Tensor) -> None:
        weight.grad = torch.ones_like(weight)
        optimizer.step()

    weight = nn.Parameter(torch.ones(3))
    optimizer = CaffeSGD(0.9).build([weight])
    step(optimizer, weight)
    copy = nn.Parameter(weight.detach().clone())
    resumed = CaffeSGD(0.9).build([copy])
    resumed.load_state_dict(deepcopy(optimizer.state_dict()))
    step(optimizer, weight)
    step(resumed, copy)
    assert torch.equal(weight, copy)


def test_caffes_sgd_skips_parameters_without_a_gradient_and_runs_a_closure() -> None:
    used, unused = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimizer = CaffeSGD(0.9).build([used, unused])

    def closure() -> float:
        optimizer.zero_grad()
        loss = used.sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 1.0
    assert (used.item(), unused.item()) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("spec", "reference"),
    [
        (
            SGD(0.8, nesterov=True, weight_decay=0.01),
            ("SGD", {"momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
        ),
        (SGD(0), ("SGD", {})),
        (Adam(0.8, 0.99, 1e-6, 0.1), ("Adam", {"betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.1})),
        (AdamW(0.8, 0.99, 1e-6, 0.1), ("AdamW", {"betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.1})),
        (RMSprop(0.9, 0.5, 1e-6, 0.1), ("RMSprop", {"alpha": 0.9, "momentum": 0.5, "eps": 1e-6, "weight_decay": 0.1})),
    ],
)
def test_each_optimizer_is_torchs_own(spec: OptimizerSpec, reference: tuple[str, dict[str, Any]]) -> None:
    name, options = reference
    weight = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    expected = getattr(torch.optim, name)([weight], lr=0.1, foreach=False, **options)
    ours = nn.Parameter(weight.detach().clone())
    optimizer = spec.build([ours])
    for gradient in ([0.5, 0.1], [-1.0, 2.0], [0.3, 0.0]):
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        ours.grad = weight.grad.clone()
        optimizer.param_groups[0]["lr"] = 0.1
        optimizer.step()
        expected.step()
    torch.testing.assert_close(ours, weight, rtol=1e-10, atol=1e-12)


def test_muon_with_adamw_steps_as_torchs_muon_and_torchs_adamw() -> None:
    torch.manual_seed(0)
    starts = torch.randn(24, 40), torch.randn(40, 24), torch.randn(24)
    ours, expected = ([nn.Parameter(start.clone()) for start in starts] for _ in range(2))
    wide, embedding, bias = expected
    optimizer = MuonWithAdamW().build(
        [
            {"params": [ours[0]]},
            {"params": [ours[1]], **MuonWithAdamW(use_muon=False).settings([ours[1]])},
            {"params": [ours[2]]},
        ]
    )
    torchs = (
        torch.optim.Muon([wide], lr=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW([embedding, bias], lr=0.01, betas=(0.9, 0.95), weight_decay=0.1),
    )
    for _ in range(3):
        for mine, its in zip(ours, expected, strict=True):
            its.grad = torch.randn_like(its)
            mine.grad = its.grad.clone()
        for group in optimizer.param_groups:
            group["lr"] = 0.01
        for one in (optimizer, *torchs):
            one.step()

    torch.testing.assert_close(ours[1:], expected[1:])
    moved, should = ours[0] - starts[0], wide - starts[0]
    assert (moved - should).norm() < 0.02 * should.norm(), "both orthogonalise in bfloat16"


def test_muon_parts_matrices_from_vectors_itself_and_takes_no_group_of_both() -> None:
    weight, bias = nn.Linear(3, 2).parameters()
    alone = MuonWithAdamW().build([bias, weight])

    assert [(group["params"], group["use_muon"]) for group in alone.param_groups] == [([weight], True), ([bias], False)]
    for options in ({}, {"weight_decay": 0.0}):
        with pytest.raises(
            TaskError, match="no weights of one dimension in a group with matrices: part them by the gr"
        ):
            Groups.of({"*": {"ratio": 2.0, **options}}).optimizer(
                MuonWithAdamW(),
                {"w": weight, "b": bias},
                dict.fromkeys("wb", (("ratio", 2.0), *options.items())),
                Budget(9, 3),
            )


@pytest.mark.parametrize("spec", [SGD(), Adam(), AdamW()])
def test_the_fused_kernel_is_used_where_torch_has_one(spec: OptimizerSpec) -> None:
    assert spec.build([nn.Parameter(torch.ones(1))]).defaults["fused"] is True


def test_specifications_are_values_with_a_text_form() -> None:
    assert SGD(momentum=0, weight_decay=1) == SGD(momentum=0.0, weight_decay=1.0)
    assert str(SGD()) == "SGD(momentum=0.9, nesterov=False, weight_decay=0.0)"
    assert {name: optimizer_named(name, {}) for name in OPTIMIZERS} == {
        "SGD": SGD(),
        "CaffeSGD": CaffeSGD(),
        "Adam": Adam(),
        "AdamW": AdamW(),
        "RMSprop": RMSprop(),
        "MuonWithAdamW": MuonWithAdamW(),
    }


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("SDG", {}, "there is no optimizer named 'SDG' \\(did you mean 'SGD'\\?\\)"),
        ("leon", {}, "there are SGD, CaffeSGD, Adam, AdamW, RMSprop, MuonWithAdamW and those of torch.optim"),
        ("SGD", {"momentun": 0.9}, "no option 'momentun' \\(did you mean 'momentum'\\?\\)"),
        ("SGD", {"lr": 0.1}, "'SGD' has no option 'lr'"),
        ("SGD", {"momentum": 1.0}, "SGD: momentum = 1.0 must be in \\[0, 1\\)"),
        ("SGD", {"momentum": -0.1}, "momentum = -0.1"),
        ("SGD", {"momentum": 10**400}, "momentum = 1000.* must be in \\[0, 1\\)"),
        ("SGD", {"momentum": "0.9"}, "momentum = '0.9' must be a number"),
        ("SGD", {"momentum": True}, "momentum = True must be a number"),
        ("SGD", {"weight_decay": float("nan")}, "weight_decay = nan must be a finite number >= 0"),
        ("SGD", {"momentum": 0.0, "nesterov": True}, "nesterov needs a momentum above 0"),
        ("SGD", {"nesterov": 1}, "nesterov = 1 must be true or false"),
        ("Adam", {"beta2": 1}, "Adam: beta2 = 1 must be in \\[0, 1\\)"),
        ("AdamW", {"eps": float("inf")}, "AdamW: eps = inf"),
    ],
)
def test_bad_settings_are_refused_when_the_specification_is_built(
    kind: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        optimizer_named(kind, options)
