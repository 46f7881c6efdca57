"""Groups: parts of a network by name, with a learning rate and optimizer settings of their own."""

import pickle
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lrbench.errors import TaskError
from lrbench.policy import parse
from lrbench.tasks import SGD, Adam, AdamW, Data, Groups, Task, load_task, settings_from_dict
from lrbench.tasks.optimizers import OPTIMIZERS, optimizer_named

RNG = np.random.default_rng(0)
DATA = Data.from_arrays(*[(RNG.normal(size=(60, 6)), np.arange(60) % 3) for _ in range(2)])


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 4))
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.head(self.body(x).relu())
        return outputs


NAMES = [name for name, _ in Network().named_parameters()]


def make(groups: Any, **changes: Any) -> Task:
    return Task(
        **{"name": "mine", "model": Network, "data": DATA, "batch_size": 16, "steps": 20, "groups": groups, **changes}
    )


def of(groups: Any, **changes: Any) -> dict[str, dict[str, Any]]:
    """The parameter group of each trained parameter of a task, by its name."""
    task = make(groups, **changes)
    network = task.network()
    names = {weight: name for name, weight in network.named_parameters()}
    weights = {name: weight for weight, name in names.items() if weight.requires_grad}
    built = task.new_optimizer(network, weights).param_groups
    return {names[weight]: group for group in built for weight in group["params"]}


def test_groups_have_their_ratios_and_the_options_of_the_optimizer_and_all_else_as_it_is_built() -> None:
    groups = of({"head.*": 10.0, "*.bias": {"weight_decay": 0}}, optimizer=AdamW(weight_decay=0.1))
    assert {name: group["lr_ratio"] for name, group in groups.items()} == {
        name: 10.0 if name.startswith("head") else 1.0 for name in NAMES
    }
    assert {name for name, group in groups.items() if group["weight_decay"] == 0} == {n for n in NAMES if "bias" in n}
    assert {group["weight_decay"] for group in groups.values()} == {0.0, 0.1}
    assert len({id(group) for group in groups.values()}) == 4


patterns = st.sampled_from(["*", "head.*", "body.*", "*.bias", "*.weight", "body.?.weight", "head.bias", "body.[01].*"])
tables = st.fixed_dictionaries({}, optional={"ratio": st.floats(0.01, 10), "weight_decay": st.floats(0, 1)})


@given(rules=st.dictionaries(patterns, tables, max_size=5))
def test_each_setting_of_a_parameter_is_that_of_the_last_rule_that_matches_and_has_it(
    rules: dict[str, dict[str, float]],
) -> None:
    found = Groups.of(rules).settings(Network())
    for name in NAMES:
        expected: dict[str, float] = {}
        for pattern, settings in rules.items():
            if fnmatchcase(name, pattern):
                expected.update(settings)
        assert dict(found[name]) == expected


def test_weight_decay_on_matrices_only_is_a_rule_over_the_number_of_dimensions() -> None:
    groups = of({"ndim<2": {"weight_decay": 0}}, optimizer=AdamW(weight_decay=0.1))
    decayed = {name for name, group in groups.items() if group["weight_decay"]}
    assert decayed == {"body.0.weight", "body.3.weight", "head.weight"}
    matrices = of({"*": {"weight_decay": 0}, "ndim >= 2": {"weight_decay": 0.1}}, optimizer=AdamW())
    assert {name for name, group in matrices.items() if group["weight_decay"]} == decayed


def test_layer_decay_multiplies_the_ratio_of_each_layer_from_the_last_one_down() -> None:
    groups = of({"layer_decay": 0.5, "head.*": 10.0, "body.0.bias": 3.0})
    ratios = {name: group["lr_ratio"] for name, group in groups.items()}
    assert ratios["head.weight"] == ratios["head.bias"] == 10.0
    assert ratios["body.3.weight"] == 0.5
    assert ratios["body.1.weight"] == ratios["body.0.weight"] == 0.25
    assert ratios["body.0.bias"] == 0.75


@pytest.mark.parametrize("frozen", [0, "frozen", {"ratio": 0.0}, {"ratio": "frozen"}])
def test_a_frozen_part_is_not_trained(frozen: object) -> None:
    task = make({"body.*": frozen})
    trained = [name for name, weight in task.network().named_parameters() if weight.requires_grad]
    assert trained == ["head.weight", "head.bias"]
    assert set(of({"body.*": frozen})) == set(trained)


def test_a_rule_trains_nothing_that_the_model_froze() -> None:
    def model() -> nn.Module:
        network = Network()
        network.body.requires_grad_(False)
        return network

    assert set(of({"body.*": 0.5}, model=model)) == {"head.weight", "head.bias"}


def test_a_group_notes_its_own_policy_and_until_when_it_is_frozen_bound_to_the_budget() -> None:
    groups = of({"head.*": {"policy": "COSINE(k0=0.1, l=1dur)", "ratio": 0.5}, "body.*": {"frozen_until": "0.25dur"}})
    assert groups["body.0.bias"]["frozen_until"] == 5
    assert groups["head.bias"]["lr_policy"] == parse("COSINE(k0=0.1, l=20)")
    assert groups["head.bias"]["lr_ratio"] == 0.5
    assert "lr_policy" not in groups["body.0.bias"]


@pytest.mark.parametrize("name", [*OPTIMIZERS, "NAdam", "Adagrad", "AdamWScheduleFree", "Lion"])
def test_every_optimizer_has_its_weight_decay_by_group(name: str) -> None:
    rules = {"ndim<2": 0.5, "head.*": {"weight_decay": 0.25}, "*.bias": 0.1}
    groups = of(rules, optimizer=optimizer_named(name, {}))
    assert {n for n, group in groups.items() if group["weight_decay"] == 0.25} == {"head.weight", "head.bias"}


def test_options_with_other_names_than_torchs_reach_the_groups() -> None:
    groups = of({"head.*": {"beta2": 0.5}}, optimizer=Adam())
    assert groups["head.weight"]["betas"] == (0.9, 0.5)
    assert groups["body.0.weight"]["betas"] == (0.9, 0.999)


def test_an_optimizer_function_gets_the_groups_and_keeps_its_own_settings() -> None:
    groups = of({"head.*": 10.0}, optimizer=lambda params: torch.optim.SGD(params, lr=0.2, momentum=0.5))
    assert groups["head.bias"]["lr_ratio"] == 10.0
    assert {group["momentum"] for group in groups.values()} == {0.5}


def test_the_key_is_that_of_the_task_without_groups_where_there_are_none() -> None:
    plain = Task(name="mine", model=Network, data=DATA, batch_size=16, steps=20)
    assert make({}).key == plain.key
    assert make(Groups()).key == plain.key
    keys = {make(groups).key for groups in ({"head.*": 10.0}, {"head.*": 2.0}, {"layer_decay": 0.5})}
    assert len(keys | {plain.key}) == 4
    assert make({"head.*": 10}).key == make({"head.*": {"ratio": 10.0}}).key


def test_groups_are_one_value_however_they_are_written() -> None:
    one = Groups.of({"head.*": 10, "*.bias": {"weight_decay": 0, "policy": "FIX(k0=0.1)"}, "layer_decay": 0.5})
    other = Groups.of(
        {"head.*": 10.0, "*.bias": {"policy": parse("FIX(k0=0.1)"), "weight_decay": 0.0}, "layer_decay": 0.5}
    )
    assert one == other
    assert hash(one) == hash(other)
    assert str(one) == "head.*: 10, *.bias: (policy=FIX(k0=0.1), weight_decay=0), layer_decay=0.5"
    assert pickle.loads(pickle.dumps(one)) == one


def test_a_task_shows_its_groups_and_a_study_file_has_them() -> None:
    table = {"base": "mnist1d-mlp", "steps": 20, "groups": {"*.bias": 2.0, "0.*": "frozen"}}
    assert settings_from_dict(table).groups == Groups.of(table["groups"])
    assert "; head.*: 10" in str(make({"head.*": 10.0}))


def test_a_study_file_with_options_of_another_optimizer_is_refused_before_data_is_loaded() -> None:
    with pytest.raises(TaskError, match="has no option 'beta1'"):
        settings_from_dict({"base": "mnist1d-mlp", "groups": {"*.bias": {"beta1": 0.5}}})


def test_a_task_at_other_settings_keeps_its_groups_and_groups_are_a_setting() -> None:
    task = make({"head.*": 10.0})
    assert task.at_settings({"weight_decay": 0.1}).groups == task.groups
    assert make({}).at_settings({"groups": {"head.*": 10.0}}).key == task.key


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        ({"haed.*": 2}, r"no parameter of the model has a name like 'haed.\*' \(did you mean 'head.\*'\?\)"),
        ({"zzz": 2}, "no parameter of the model has a name like 'zzz'; there are body.0.weight, body.0.bias"),
        ({"head.*": -1}, r"""head.\* = -1 must be a ratio of at least 0, "frozen", or a table of ratio"""),
        ({"head.*": True}, "must be a ratio"),
        ({"head.*": float("nan")}, "must be a ratio"),
        ({"head.*": "cold"}, "must be a ratio"),
        ({"head.*": {"lr": 0.1}}, "the learning rate of a group is the policy's times its ratio"),
        ({"head.*": {"weight_decya": 0}}, r"head.\*: optimizer 'SGD' has no option 'weight_decya' \(did you mean"),
        ({"head.*": {"weight_decay": -1}}, r"head.\*: optimizer SGD: weight_decay = -1 must be a finite number >= 0"),
        ({"head.*": {"policy": "COSIN(k0=1)"}}, r"head.\* = .*did you mean 'COSINE'"),
        ({"head.*": {"policy": 3}}, "policy must be a policy, or its text"),
        ({"head.*": {"policy": "TABLE(values=[0.1, 0.2])"}}, r"head.\*: the policy TABLE.* has LRs for 2 iterations"),
        ({"head.*": {"policy": "REDUCEONPLATEAU(k0=0.1)"}}, "the policy of a group cannot react to evaluations"),
        ({"head.*": {"frozen_until": "2 weeks"}}, "frozen_until must be iterations, at least 1, or a length such as"),
        ({"head.*": {"frozen_until": "0.001dur"}}, r"head.\*: 0.001dur comes to 0.02 iterations"),
        ({"*": {"frozen_until": 5}}, "all parts are frozen at first, and one must be trained from the start"),
        ({"layer_decay": 0}, "layer_decay = 0 must be a number above 0 and at most 1"),
        ({"*": "frozen"}, "the model has no parameters to train"),
        (3, "groups = 3 must be a table of settings by the names of parameters"),
    ],
)
def test_groups_that_cannot_be_trained_are_refused_in_a_sentence(groups: Any, sentence: str) -> None:
    with pytest.raises(TaskError, match=sentence):
        make(groups)


def test_an_optimizer_that_cannot_have_the_groups_is_refused_in_a_sentence() -> None:
    def own_groups(params: list[Any]) -> torch.optim.Optimizer:
        return torch.optim.SGD([{"params": [weight]} for part in params for weight in part["params"]], lr=1.0)

    def function(params: list[Any]) -> torch.optim.Optimizer:
        return torch.optim.SGD(params, lr=1.0)

    with pytest.raises(TaskError, match="own_groups makes parameter groups of its own: leave out the task's groups"):
        make({"head.*": 2.0}, optimizer=own_groups)
    with pytest.raises(TaskError, match="the optimizer function function has no options; name an optimizer instead"):
        make({"head.*": {"momentum": 0.5}}, optimizer=function)
    with pytest.raises(TaskError, match=r"without lr_ratio needs the first group's LR to be above 0, not 0\.0"):
        make({}, optimizer=lambda params: torch.optim.SGD(params, lr=0.0))
    with pytest.raises(TaskError, match="different lr values"):
        make({"head.*": 2.0}, optimizer=optimizer_named("Prodigy", {}))
    with pytest.raises(TaskError, match="has one pre_norm for all parameters"):
        make({"head.*": {"pre_norm": True, "weight_decay": 0.1}}, optimizer="Lamb")


def test_groups_of_a_lazy_model_are_found_by_dimensions() -> None:
    def lazy() -> nn.Module:
        return nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(3))

    groups = of({"ndim<2": {"weight_decay": 0}, "2.*": 10}, model=lazy, optimizer=SGD(weight_decay=0.1))
    assert [groups[name]["weight_decay"] for name in ("0.weight", "0.bias", "2.bias")] == [0.1, 0, 0]
    assert groups["2.weight"]["lr_ratio"] == 10


def test_a_registered_task_takes_groups_by_an_argument() -> None:
    assert load_task("mnist1d-mlp", groups={"*.bias": 2.0}).groups == Groups.of({"*.bias": 2.0})
