"""PolicyLR: a policy as a real torch scheduler."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import ChainedScheduler, ExponentialLR, LRScheduler

from lrbench.errors import PolicyError
from lrbench.policy import FIX, POLY, REDUCEONPLATEAU, SINEXP, STEP, TRI, Policy, parse
from lrbench.policy.torch_scheduler import PolicyLR

POLICY = SINEXP(k0=0.01, k1=0.3, gamma=0.99, l=7)


def groups(*lrs: float) -> SGD:
    return SGD([{"params": [nn.Parameter(torch.zeros(2))], "lr": lr} for lr in lrs], momentum=0.9)


def advance(optimizer: Optimizer, scheduler: LRScheduler, steps: int) -> list[list[float]]:
    """The LRs of the groups before each of `steps` iterations."""
    seen = []
    for _ in range(steps):
        seen.append([float(group["lr"]) for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return seen


def test_it_is_a_torch_scheduler() -> None:
    assert isinstance(PolicyLR(groups(0.1), POLICY), LRScheduler)


def test_every_iteration_has_the_policys_lr() -> None:
    optimizer = groups(0.1)
    seen = advance(optimizer, PolicyLR(optimizer, POLICY), 50)
    assert [lr for (lr,) in seen] == POLICY.lrs(0, 50).tolist()


def test_groups_keep_their_ratio_to_the_first() -> None:
    optimizer = groups(0.2, 0.1, 0.4)
    seen = advance(optimizer, PolicyLR(optimizer, POLICY), 20)
    for t, lrs in enumerate(seen):
        assert lrs == pytest.approx([POLICY(t), POLICY(t) / 2, 2 * POLICY(t)])


def test_get_last_lr_is_what_the_optimizer_has() -> None:
    optimizer = groups(0.2, 0.1)
    scheduler = PolicyLR(optimizer, POLICY)
    advance(optimizer, scheduler, 3)
    assert scheduler.get_last_lr() == [group["lr"] for group in optimizer.param_groups]
    assert scheduler.last_epoch == 3


def test_a_tensor_lr_is_filled_and_stays_the_same_tensor() -> None:
    lr = torch.tensor(0.1)
    optimizer = AdamW([nn.Parameter(torch.zeros(2))], lr=lr, capturable=False, foreach=False)
    scheduler = PolicyLR(optimizer, POLICY)
    advance(optimizer, scheduler, 3)
    assert optimizer.param_groups[0]["lr"] is lr
    assert float(lr) == pytest.approx(POLICY(3))
    scheduler.load_state_dict({"last_epoch": 5, "base_lrs": [0.1], "history": []})
    assert optimizer.param_groups[0]["lr"] is lr
    assert float(lr) == pytest.approx(POLICY(5))


def test_the_usual_loop_gives_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer = groups(0.1)
        advance(optimizer, PolicyLR(optimizer, POLICY), 3)


def test_an_unbound_policy_is_bound_by_the_budget_it_is_given() -> None:
    optimizer = groups(0.1)
    policy = parse("STEP(k0=0.4, gamma=0.5, l=0.25dur).warmup(1ep)")
    scheduler = PolicyLR(optimizer, policy, steps=40, steps_per_epoch=5)
    assert [lr for (lr,) in advance(optimizer, scheduler, 40)] == policy.bind(40, 5).lrs(0, 40).tolist()


def test_steps_alone_are_enough_for_shares_of_the_budget() -> None:
    optimizer = groups(0.1)
    scheduler = PolicyLR(optimizer, parse("STEP(k0=0.4, gamma=0.5, l=0.25dur)"), steps=40)
    assert scheduler.policy == STEP(k0=0.4, gamma=0.5, l=10)


@pytest.mark.parametrize(
    ("text", "budget", "says"),
    [
        ("STEP(k0=0.4, gamma=0.5, l=0.25dur)", {}, r"PolicyLR needs steps=.* for l=0.25dur"),
        ("STEP(k0=0.4, gamma=0.5, l=2ep)", {"steps": 40}, r"PolicyLR needs steps_per_epoch=.* for l=2ep"),
        ("EXP(k0=0.4, gamma=0.5 per 2ep)", {"steps": 40}, r"PolicyLR needs steps_per_epoch=.* for gamma=0.5 per 2ep"),
        ("STEP(k0=0.4, gamma=0.5, l=0.01dur)", {"steps": 10}, "STEP: l does not fit a budget of 10 iterations"),
        ("STEP(k0=0.4, gamma=0.5, l=0.5dur)", {"steps": 0}, "a budget needs steps to be a whole number"),
    ],
)
def test_a_budget_that_is_missing_or_does_not_fit_is_named(text: str, budget: dict[str, int], says: str) -> None:
    with pytest.raises(PolicyError, match=says):
        PolicyLR(groups(0.1), parse(text), **budget)


def test_what_is_no_policy_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"^5 must be a policy, its text such as "):
        PolicyLR(groups(0.1), 5)  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match=r"a function of the iteration needs a budget: give steps=\.\.\."):
        PolicyLR(groups(0.1), lambda t: 0.1)


def test_a_function_of_the_iteration_and_a_list_of_lrs_are_followed() -> None:
    for policy in (lambda t: 0.1 / (t + 1), [0.1, 0.05, 0.1 / 3]):
        optimizer = groups(1.0, 0.1)
        scheduler = PolicyLR(optimizer, policy, steps=3)
        seen = []
        for _ in range(3):
            seen.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            scheduler.step()
        np.testing.assert_allclose(seen, [[0.1 / (t + 1), 0.01 / (t + 1)] for t in range(3)])
    with pytest.raises(PolicyError, match="has LRs for 2 iterations, and the budget has 3"):
        PolicyLR(groups(1.0), [0.1, 0.2], steps=3)


def test_a_group_has_the_ratio_that_it_notes_whatever_its_lr_and_place() -> None:
    optimizer = groups(0.0, 1.0, 3.0)
    for group, ratio in zip(optimizer.param_groups, (10.0, 1, 0.5), strict=True):
        group["lr_ratio"] = ratio
    scheduler = PolicyLR(optimizer, POLICY)
    advance(optimizer, scheduler, 3)
    expected = [10 * POLICY(3), POLICY(3), POLICY(3) / 2]
    assert [group["lr"] for group in optimizer.param_groups] == expected
    other = groups(0.0, 1.0, 1.0)
    for group, ratio in zip(other.param_groups, (10.0, 1, 0.5), strict=True):
        group["lr_ratio"] = ratio
    PolicyLR(other, POLICY).load_state_dict(scheduler.state_dict())
    assert [group["lr"] for group in other.param_groups] == expected


@pytest.mark.parametrize("ratio", [-1.0, float("nan"), "2", True])
def test_a_noted_ratio_that_is_none_is_refused(ratio: object) -> None:
    optimizer = groups(0.1)
    optimizer.param_groups[0]["lr_ratio"] = ratio
    with pytest.raises(PolicyError, match=r"has lr_ratio = .*, and it must be a number >= 0"):
        PolicyLR(optimizer, POLICY)


def test_groups_without_a_ratio_to_the_first_are_refused() -> None:
    with pytest.raises(PolicyError, match=r"the first group's LR to be above 0, not 0\.0"):
        PolicyLR(groups(0.0, 0.1), POLICY)


def saved(steps: int) -> tuple[bytes, list[list[float]]]:
    """A checkpoint after `steps` iterations, and the LRs of the next 10."""
    optimizer = groups(0.2, 0.1)
    scheduler = PolicyLR(optimizer, POLICY)
    advance(optimizer, scheduler, steps)
    file = io.BytesIO()
    torch.save({"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}, file)
    return file.getvalue(), advance(optimizer, scheduler, 10)


def resume(order: str, checkpoint: dict[str, Any]) -> tuple[Optimizer, PolicyLR]:
    """Builds (o, s) and loads (O, S) optimizer and scheduler in the given order."""
    optimizer = groups(0.2, 0.1)
    scheduler: PolicyLR | None = None
    for act in order:
        if act == "O":
            optimizer.load_state_dict(checkpoint["optimizer"])
        elif act == "s":
            scheduler = PolicyLR(optimizer, POLICY)
        elif act == "S":
            assert scheduler is not None
            scheduler.load_state_dict(checkpoint["scheduler"])
    assert scheduler is not None
    return optimizer, scheduler


@pytest.mark.parametrize("order", ["sOS", "sSO", "OsS", "sS", "sSOS", "sOSO"])
@pytest.mark.parametrize("steps", [0, 1, 13])
def test_a_resumed_run_has_the_lrs_of_an_uninterrupted_one_in_any_order_of_loading(order: str, steps: int) -> None:
    content, expected = saved(steps)
    checkpoint = torch.load(io.BytesIO(content), weights_only=True)
    assert advance(*resume(order, checkpoint), 10) == expected


def test_the_state_is_small_plain_and_loads_with_weights_only(tmp_path: Path) -> None:
    optimizer = groups(0.2, 0.1)
    scheduler = PolicyLR(optimizer, POLICY)
    advance(optimizer, scheduler, 5)
    torch.save(scheduler.state_dict(), tmp_path / "scheduler.pt")
    assert torch.load(tmp_path / "scheduler.pt", weights_only=True) == {
        "last_epoch": 5,
        "base_lrs": [0.2, 0.1],
        "history": [],
    }


def test_ratios_come_from_the_state_when_the_optimizer_was_built_otherwise() -> None:
    optimizer = groups(1.0, 1.0)
    scheduler = PolicyLR(optimizer, POLICY)
    scheduler.load_state_dict({"last_epoch": 3, "base_lrs": [0.2, 0.1], "history": []})
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([POLICY(3), POLICY(3) / 2])


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"last_epoch": -2, "base_lrs": [0.1], "history": []},
        {"last_epoch": 3.5, "base_lrs": [0.1], "history": []},
        {"last_epoch": 3, "base_lrs": [], "history": []},
        {"last_epoch": 3, "base_lrs": [float("nan")], "history": []},
        {"last_epoch": 3, "base_lrs": [0.0], "history": []},
        {"last_epoch": 3, "base_lrs": [0.1], "history": [5]},
        {"last_epoch": 3, "base_lrs": [0.1], "history": [[float("inf"), 0.5]]},
        {"last_epoch": 3, "base_lrs": 0.1, "history": []},
        {"last_epoch": "3", "base_lrs": [0.1], "history": []},
    ],
)
def test_a_foreign_state_is_refused_and_changes_nothing(state: dict[str, Any]) -> None:
    optimizer = groups(0.1)
    scheduler = PolicyLR(optimizer, POLICY)
    with pytest.raises(PolicyError, match="is no state of a PolicyLR"):
        scheduler.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == POLICY(0)
    assert scheduler.last_epoch == 0


def test_a_state_of_other_groups_is_refused() -> None:
    with pytest.raises(PolicyError, match="has 2 parameter groups, the optimizer has 1"):
        PolicyLR(groups(0.1), POLICY).load_state_dict({"last_epoch": 3, "base_lrs": [0.2, 0.1], "history": []})


@pytest.mark.filterwarnings("ignore:The epoch parameter")
def test_stepping_to_an_epoch_goes_there() -> None:
    optimizer = groups(0.1)
    scheduler = PolicyLR(optimizer, POLICY)
    optimizer.step()
    scheduler.step(30)
    assert optimizer.param_groups[0]["lr"] == POLICY(30)


def test_a_reactive_policy_follows_what_it_is_told() -> None:
    policy = REDUCEONPLATEAU(k0=0.1, gamma=0.1, patience=0)
    optimizer = groups(0.1)
    scheduler = PolicyLR(optimizer, policy)
    history, seen = [], []
    for step, value in ((3, 0.5), (6, 0.6), (9, 0.4)):
        seen += advance(optimizer, scheduler, 3)
        scheduler.observe(value)
        history.append((step, value))
    seen += advance(optimizer, scheduler, 3)
    assert [lr for (lr,) in seen] == policy.lrs(0, 12, history).tolist()


def test_a_reactive_policy_resumes_with_what_it_was_told() -> None:
    policy = REDUCEONPLATEAU(k0=0.1, gamma=0.1, patience=0)
    optimizer = groups(0.1)
    scheduler = PolicyLR(optimizer, policy)
    for value in (0.5, 0.4):
        advance(optimizer, scheduler, 3)
        scheduler.observe(value)
    other = groups(0.1)
    resumed = PolicyLR(other, policy)
    resumed.load_state_dict(scheduler.state_dict())
    assert other.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"] == pytest.approx(0.01)


def test_two_values_at_one_iteration_are_refused() -> None:
    optimizer = groups(0.1)
    scheduler = PolicyLR(optimizer, REDUCEONPLATEAU(k0=0.1))
    advance(optimizer, scheduler, 3)
    scheduler.observe(0.5)
    with pytest.raises(PolicyError, match="has a value for iteration 3 already"):
        scheduler.observe(0.6)
    with pytest.raises(PolicyError, match="observes a number, not 'high'"):
        PolicyLR(groups(0.1), REDUCEONPLATEAU(k0=0.1)).observe("high")  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", [FIX(k0=0.05), TRI(k0=0.0, k1=0.1, l=5), STEP(k0=0.1, gamma=0.5, l=10)])
def test_training_with_it_is_training_with_the_lrs_set_by_hand(policy: Policy) -> None:
    def train(by_hand: bool) -> torch.Tensor:
        torch.manual_seed(0)
        model = nn.Linear(4, 3)
        inputs, targets = torch.randn(30, 8, 4), torch.randint(3, (30, 8))
        optimizer = SGD(model.parameters(), lr=1.0, momentum=0.9)
        scheduler = None if by_hand else PolicyLR(optimizer, policy)
        for t in range(30):
            if by_hand:
                optimizer.param_groups[0]["lr"] = policy(t)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs[t]), targets[t]).backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
        return model.weight.detach()

    assert torch.equal(train(by_hand=True), train(by_hand=False))


def test_a_group_that_is_added_later_is_one_sentence() -> None:
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = SGD(weights[:1], lr=0.1)
    scheduler = PolicyLR(optimizer, POLY(k0=0.1, p=1.0, l=10))
    optimizer.add_param_group({"params": weights[1:]})
    optimizer.step()
    said = "PolicyLR was built with 1 parameter groups, and the optimizer has 2 now: add groups before building"
    with pytest.raises(PolicyError, match=said):
        scheduler.step()


def test_in_a_chain_it_overwrites_what_stands_before_it_and_what_stands_after_it_lasts_one_iteration() -> None:
    policy = POLY(k0=0.1, p=1.0, l=10)
    for order, factor in ((("other", "policy"), 1.0), (("policy", "other"), 0.5)):
        optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        known = {"other": ExponentialLR(optimizer, gamma=0.5), "policy": PolicyLR(optimizer, policy)}
        chain = ChainedScheduler([known[name] for name in order])
        for step in range(1, 6):
            optimizer.step()
            chain.step()
            assert optimizer.param_groups[0]["lr"] == pytest.approx(factor * policy(step))
