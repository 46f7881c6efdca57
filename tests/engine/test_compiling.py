"""Networks that are compiled: what they compute, in one piece and in several, and where they cannot be."""

import time

import numpy as np
import pytest
import torch
from torch import nn

from lrbench.engine import State, advance, begin, check_compiler, identical, why_not_stacked
from lrbench.engine.clock import clock
from lrbench.errors import TaskError
from lrbench.tasks.data import Data
from lrbench.tasks.limits import Compile
from lrbench.tasks.task import Task

LRS = np.full(4, 0.1)


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


@pytest.fixture(scope="module")
def eager() -> Task:
    draws = torch.Generator().manual_seed(1)
    parts = [(torch.randn(size, 4, generator=draws), torch.arange(size) % 3) for size in (20, 8)]
    data = Data.from_arrays(parts[0], parts[1], 8)
    return Task(name="small", model=small, data=data, batch_size=4, steps=4, eval_every=2)


def test_a_compiled_network_trains_as_the_eager_one_within_rounding_whole_and_in_pieces(eager: Task) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    task = eager.with_(compile=True)
    (whole, seen), (plain, expected) = (advance(each, begin(each, 0), LRS) for each in (task, eager))
    torch.testing.assert_close(dict(whole.model), dict(plain.model), rtol=1e-5, atol=1e-6)
    assert [each.val.loss for each in seen] == pytest.approx([each.val.loss for each in expected], rel=1e-5)
    assert whole.flops == plain.flops
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert graphs == 2  # training and evaluations, whose splits are all of 8 samples
    state: State = begin(task, 0)
    for lr in LRS:
        state, _ = advance(task, state, np.array([lr]))
    assert identical(state.facts(), whole.facts())
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs


def test_a_machine_without_a_compiler_is_refused_in_a_sentence() -> None:
    torch._dynamo.reset()
    check_compiler.cache_clear()
    without = torch._inductor.config.patch({"cpp.cxx": ("/no/compiler",), "fx_graph_cache": False})
    with without, pytest.raises(TaskError, match=r"^compile = true cannot be used on cpu.*compiler.*/no/compiler\S*$"):
        check_compiler(torch.device("cpu"))


def test_cuda_graphs_on_a_device_that_has_none_are_refused_in_a_sentence() -> None:
    with pytest.raises(TaskError, match=r'^compile = "reduce-overhead" needs CUDA graphs, and the device is cpu: give'):
        check_compiler(torch.device("cpu"), "reduce-overhead")


def test_compiling_is_no_part_of_the_time_of_training(eager: Task) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    task = eager.with_(compile=True)
    wall, training = time.perf_counter(), clock()
    advance(task, begin(task, 0), LRS)
    wall, training = time.perf_counter() - wall, clock() - training
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2
    assert training < 0.5 * wall


def test_the_stacked_engine_trains_no_compiled_network(eager: Task) -> None:
    assert why_not_stacked(eager.with_(compile=True)) == "the stacked engine has no compile"


@pytest.mark.gpu
@pytest.mark.parametrize("mode", [True, "reduce-overhead"])
def test_a_network_compiled_for_cuda_trains_as_the_eager_one_within_rounding(eager: Task, mode: Compile) -> None:
    task = eager.with_(steps=40).to("cuda")  # a graph is captured after a few iterations, and then replayed
    lrs = np.full(40, 0.1)
    states = [advance(each, begin(each, 0), lrs)[0] for each in (task, task.with_(compile=mode))]
    torch.testing.assert_close(dict(states[1].model), dict(states[0].model), rtol=1e-4, atol=1e-5)
