"""Weights that networks begin with: from files and state dicts, whole and by parts."""

import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lrbench
from lrbench.engine import advance, begin
from lrbench.errors import DataError, LRBenchError, TaskError
from lrbench.tasks import Task, load_task, pretrained
from lrbench.tasks.data import Data

TABLE: dict[str, Any] = {"base": "mnist1d-mlp", "model": {"kind": "mlp", "hidden": [6]}, "steps": 20}


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))


@pytest.fixture
def weights() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return network().state_dict()


def data() -> Data:
    inputs, labels = torch.randn(40, 4, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3
    return Data.from_arrays((inputs, labels), (inputs[:10], labels[:10]))


def saved(folder: Path, weights: object) -> Path:
    torch.save(weights, folder / "weights.pt")
    return folder / "weights.pt"


@pytest.mark.parametrize("kept", ["bare", "state_dict", "model"])
@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod."])
def test_every_seed_begins_with_the_weights_of_a_file(
    kept: str, wrapper: str, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    named = {f"{wrapper}{name}": weight for name, weight in weights.items()}
    file = saved(tmp_path, named if kept == "bare" else {kept: named, "epoch": 3})
    task = Task(name="tuned", model=pretrained(network, file), data=data(), steps=4, batch_size=8)
    for seed in (0, 1):
        model = begin(task, seed).model
        assert all(torch.equal(model[name], weight) for name, weight in weights.items())


def test_what_is_new_keeps_the_initial_weights_of_its_seed(weights: dict[str, Tensor]) -> None:
    model = pretrained(network, {**weights, "2.weight": torch.zeros(9, 5)}, new=["2.*"])
    plain, task = (Task(name="t", model=each, data=data(), steps=4, batch_size=8) for each in (network, model))
    for seed in (0, 1):
        begun, initial = begin(task, seed).model, begin(plain, seed).model
        assert torch.equal(begun["2.weight"], initial["2.weight"])
        assert torch.equal(begun["0.weight"], weights["0.weight"])


def test_training_does_not_change_the_weights_that_the_next_run_begins_with(weights: dict[str, Tensor]) -> None:
    before = {name: weight.clone() for name, weight in weights.items()}
    task = Task(name="tuned", model=pretrained(network, weights), data=data(), steps=4, batch_size=8)
    advance(task, begin(task, 0), np.full(4, 0.5))
    assert all(torch.equal(begin(task, 1).model[name], weight) for name, weight in before.items())


def test_a_task_is_known_by_the_weights_in_its_file_and_not_by_where_they_lie(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    def key(found: Mapping[str, Tensor] | Path, *new: str) -> str:
        return Task(name="t", model=pretrained(network, found, new=new), data=data(), steps=4, batch_size=8).key

    moved = {name: weight + (name == "0.bias") for name, weight in weights.items()}
    assert key(weights) == key(saved(tmp_path, weights))
    assert len({key(weights), key(moved), key(weights, "2.*")}) == 3
    again = cloudpickle.loads(cloudpickle.dumps(pretrained(network, weights)))
    assert key(weights) == Task(name="t", model=again, data=data(), steps=4, batch_size=8).key


@pytest.mark.parametrize(
    ("change", "new", "message"),
    [
        ({"2.weight": None}, (), r"they lack '2\.weight'; name in new what keeps its initial weights"),
        ({"2.weight": torch.zeros(9, 5)}, (), r"'2\.weight' has shape \[9, 5\], and the network's \[3, 5\]"),
        ({"2.bias": torch.tensor([0, 1, math.nan])}, (), r"'2\.bias' has a number that is not finite"),
        ({"head.bias": torch.zeros(3)}, (), r"the network has no 'head\.bias', only 0\.weight, .* and others"),
        ({}, ("head.*",), r"new has 'head\.\*', which matches no parameter of the network"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    change: dict[str, Any], new: tuple[str, ...], message: str, weights: dict[str, Tensor]
) -> None:
    changed = {name: weight for name, weight in {**weights, **change}.items() if weight is not None}
    with pytest.raises(TaskError, match=message):
        Task(name="t", model=pretrained(network, changed, new=new), data=data(), steps=4, batch_size=8)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path("ran").write_text, ("code",)


def test_a_file_with_a_whole_network_is_refused_with_what_to_write_without_a_warning(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    torch.save(network(), tmp_path / "weights.pt")
    with pytest.raises(
        DataError, match=r"more than tensors, such as a whole network, .* write its state dict, as torch"
    ):
        pretrained(network, tmp_path / "weights.pt")
    assert not recwarn.list


@pytest.mark.parametrize("kind", ["missing", "text", "list", "numbers", "code"])
def test_files_that_hold_no_weights_are_refused_and_run_no_code(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "weights.pt"
    if kind == "text":
        file.write_text("no weights")
    elif kind == "code":
        file.write_bytes(pickle.dumps({"weight": Evil()}))
    elif kind != "missing":
        saved(tmp_path, {"list": [1, 2], "numbers": {"weight": 1.0}}[kind])
    with pytest.raises(DataError, match=r"^pretrained: .*weights\.pt (does not exist|is no file|holds no state dict)"):
        pretrained(network, file)
    assert not (tmp_path / "ran").exists()


def test_a_study_file_begins_with_weights_under_the_data_root(tmp_path: Path) -> None:
    weights = load_task(TABLE).network().state_dict()
    head = list(weights)[-2].rpartition(".")[0]
    saved(tmp_path, weights)
    task = load_task({**TABLE, "pretrained": {"path": "weights.pt", "new": [f"{head}.*"]}}, data_root=tmp_path)
    begun = begin(task, 5).model
    taken = [name for name, weight in weights.items() if torch.equal(begun[name], weight)]
    assert taken == [name for name in weights if not name.startswith(head)]
    assert "weights.pt" in str(task)
    card = lrbench.score("FIX(k0=0.1)", task, seeds=2, store=tmp_path / "runs.db")
    assert card.n == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, r"pretrained = 3 must be a path, or a table of path and new"),
        ({"path": "w.pt", "strict": True}, "must be a path, or a table of path and new"),
        ({"path": ""}, r"pretrained\.path = '' must be a text"),
        ({"path": "w.pt", "new": [1]}, r"pretrained\.new = \[1\] must be a list of patterns"),
        ("absent.pt", r"absent\.pt does not exist"),
        ("torchvision:DEFAULT", "is for a model such as 'torchvision:resnet18'"),
    ],
)
def test_settings_that_name_no_weights_are_refused(given: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(LRBenchError, match=message):
        load_task({**TABLE, "pretrained": given}, data_root=tmp_path)


def test_weights_of_torchvision_are_read_where_torchvision_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (12, 3, 32, 32), dtype=np.uint8), np.arange(12) % 3
    np.savez(tmp_path / "mine.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    table = {"dataset": {"kind": "npz", "path": "mine.npz"}, "steps": 2, "batch_size": 4}
    table |= {"model": "torchvision:squeezenet1_1"}
    begins = {"path": "torchvision:IMAGENET1K_V1", "new": ["classifier.*"]}
    with pytest.raises(DataError, match=r"squeezenet1_1-\w+\.pth does not exist; download fetches it from https"):
        load_task({**table, "pretrained": begins}, data_root=tmp_path)
    with pytest.raises(TaskError, match="must be one of IMAGENET1K_V1"):
        load_task({**table, "pretrained": "torchvision:V9"}, data_root=tmp_path)

    from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

    weights = squeezenet1_1(num_classes=1000).state_dict()
    place = tmp_path / "hub" / "checkpoints" / SqueezeNet1_1_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    place.parent.mkdir(parents=True)
    torch.save(weights, place)
    task = load_task({**table, "pretrained": begins}, data_root=tmp_path)
    begun = task.network().state_dict()
    assert all(torch.equal(begun[name], weights[name]) for name in begun if not name.startswith("classifier"))
