"""One test for each known defect of the LRBench code and of torch's schedulers, named after it: none is ours."""

import numpy as np
import pytest
import torch
from torch.optim import SGD

from lrbench.errors import PolicyError
from lrbench.policy import COSINE, EXP, FIX, NSTEP, POLY, RSW, STEP, from_lrbench
from lrbench.policy.torch_scheduler import PolicyLR


def optimizer(lr: float = 1.0) -> SGD:
    return SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def test_lrbench_nstep_keeps_its_step_in_a_function_attribute_so_two_instances_corrupt_each_other() -> None:
    one, other = NSTEP(k0=1.0, gamma=0.1, l=[2, 4]), NSTEP(k0=1.0, gamma=0.1, l=[3])
    interleaved = [(one(t), other(t)) for t in range(6)]
    assert interleaved == list(zip(one.lrs(0, 6).tolist(), other.lrs(0, 6).tolist(), strict=True))
    assert [lr for lr, _ in interleaved] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_lrbench_nstep_gives_wrong_values_when_it_is_rewound_or_skips() -> None:
    policy = NSTEP(k0=1.0, gamma=0.1, l=[2, 4])
    assert [policy(t) for t in (5, 0, 100, 3)] == pytest.approx([0.01, 1.0, 0.01, 0.1])


def test_lrbench_piecewise_cannot_rewind() -> None:
    policy = from_lrbench([{"lrPolicy": "FIX", "k0": 0.1}, {"lrPolicy": "FIX", "k0": 0.2}], [10])
    assert [policy(t) for t in (15, 5, 10, 9)] == [0.2, 0.1, 0.2, 0.1]


def test_lrbench_poly_past_l_returns_a_complex_number() -> None:
    assert POLY(k0=0.1, p=1.5, l=100).lrs(99, 300)[1:].tolist() == [0.0] * 200


def test_lrbench_poly_without_k1_is_a_type_error() -> None:
    policy = from_lrbench({"lrPolicy": "POLY", "k0": 0.1, "p": 1, "l": 100})
    assert policy(50) == pytest.approx(0.05)


def test_lrbench_validates_no_parameter() -> None:
    for bad in ({"k0": -1.0}, {"k0": float("nan")}, {"gamma": float("nan")}, {"l": 0}, {"l": -5}, {"gamma": 0}):
        with pytest.raises(PolicyError):
            from_lrbench({"lrPolicy": "STEP", "k0": 0.1, "gamma": 0.5, "l": 10} | bad)


def test_lrbench_sawtooth_gives_k0_instead_of_k1_at_a_restart() -> None:
    assert RSW(k0=0.1, k1=0.5, l=4).lrs(0, 9)[[0, 4, 8]].tolist() == [0.5, 0.5, 0.5]


def test_torch_sequential_lr_restarts_wrongly_from_last_epoch_4() -> None:
    policy = FIX(k0=0.1).then(EXP(k0=1.0, gamma=0.5), at=3)
    resumed = optimizer()
    resumed.param_groups[0]["initial_lr"] = 1.0
    scheduler = PolicyLR(resumed, policy, last_epoch=4)
    seen = [resumed.param_groups[0]["lr"]]
    for _ in range(3):
        resumed.step()
        scheduler.step()
        seen.append(resumed.param_groups[0]["lr"])
    # As torch counts, a scheduler made with last_epoch=4 stands at iteration 5.
    assert seen == policy.lrs(5, 9).tolist() == [0.25, 0.125, 0.0625, 0.03125]


def test_torch_accepts_a_nan_lr_in_silence() -> None:
    with pytest.raises(PolicyError, match="FIX: k0 must be a finite number of at least 0, not nan"):
        FIX(k0=float("nan"))


def test_torch_accepts_a_t_max_of_0_in_silence() -> None:
    with pytest.raises(PolicyError, match=r"COSINE: l must be iterations .* not 0"):
        COSINE(k0=0.1, l=0)


def test_torch_accepts_a_step_size_of_minus_1_in_silence() -> None:
    with pytest.raises(PolicyError, match=r"STEP: l must be iterations .* not -1"):
        STEP(k0=0.1, gamma=0.5, l=-1)


def test_torch_accepts_a_nan_gamma_in_silence() -> None:
    with pytest.raises(PolicyError, match=r"EXP: gamma must be a finite number .* not nan"):
        EXP(k0=0.1, gamma=float("nan"))


def test_torch_does_not_set_the_lr_when_a_schedulers_state_is_loaded() -> None:
    policy = STEP(k0=0.1, gamma=0.1, l=10)
    resumed = optimizer()
    scheduler = PolicyLR(resumed, policy)
    scheduler.load_state_dict({"last_epoch": 25, "base_lrs": [1.0], "history": []})
    assert resumed.param_groups[0]["lr"] == pytest.approx(0.001)
    assert np.isclose(scheduler.get_last_lr()[0], 0.001)
