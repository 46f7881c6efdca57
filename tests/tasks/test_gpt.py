"""The transformer for texts, against transformers' GPT-2."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lrbench
from lrbench.engine import advance, begin, step_flops
from lrbench.errors import TaskError
from lrbench.tasks.models.gpt import GPT
from lrbench.tasks.registry import models
from lrbench.tasks.task import Task

SMALL = {"layers": 2, "heads": 4, "width": 32}


def gpt(vocabulary: int = 19, context: int = 12, **options: Any) -> GPT:
    torch.manual_seed(0)
    network = models.find("gpt").build((context,), vocabulary, **{**SMALL, **options})
    assert isinstance(network, GPT)
    return network


def gpt2_with_weights_of(network: GPT) -> nn.Module:
    """Make transformers' network of the same sizes and weights; its linear layers keep theirs transposed."""
    from transformers import GPT2Config, GPT2LMHeadModel

    width = network.token.embedding_dim
    sizes: dict[str, Any] = {
        "n_embd": width,
        "n_layer": len(network.blocks),
        "n_head": 4,
        "n_positions": len(network.position),
    }
    off: dict[str, Any] = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    config = GPT2Config(vocab_size=network.token.num_embeddings, activation_function="gelu", **sizes, **off)
    theirs: nn.Module = GPT2LMHeadModel(config)

    def pairs() -> Iterator[tuple[str, Tensor]]:
        yield "wte.weight", network.token.weight
        yield "wpe.weight", network.position
        yield from ((f"ln_f.{name}", weight) for name, weight in network.norm.named_parameters())
        called = {
            "attention_norm": "ln_1",
            "query_key_value": "attn.c_attn",
            "attention_out": "attn.c_proj",
            "mlp_norm": "ln_2",
            "mlp_in": "mlp.c_fc",
            "mlp_out": "mlp.c_proj",
        }
        for place, block in enumerate(network.blocks):
            for name, weight in block.named_parameters():
                part, _, which = name.partition(".")
                yield f"h.{place}.{called[part]}.{which}", weight.T if weight.ndim == 2 else weight

    weights = {f"transformer.{name}": weight.detach() for name, weight in pairs()}
    theirs.load_state_dict({**weights, "lm_head.weight": network.token.weight.detach()})
    return theirs.eval()


def test_logits_are_those_of_transformers_gpt2_with_the_same_weights() -> None:
    network = gpt()
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.3)  # biases and scales too, so that none can be left out
    tokens = torch.randint(19, (5, 12))

    ours, theirs = network.eval()(tokens), gpt2_with_weights_of(network)(tokens).logits

    torch.testing.assert_close(ours.transpose(1, 2), theirs, rtol=1e-4, atol=1e-4)


def test_gpt2_small_has_its_124_million_parameters() -> None:
    with torch.device("meta"):
        network = gpt(50_257, 1024, layers=12, heads=12, width=768)

    assert sum(weight.numel() for weight in network.parameters()) == 124_439_808


def test_no_token_is_predicted_from_later_ones() -> None:
    network, tokens = gpt().eval(), torch.randint(19, (1, 12))
    changed = tokens.clone()
    changed[0, 7:] = (tokens[0, 7:] + 1) % 19

    before, after = network(tokens), network(changed)

    torch.testing.assert_close(before[..., :7], after[..., :7])
    assert not torch.allclose(before[..., 7], after[..., 7])


def test_weights_begin_as_in_nanogpt() -> None:
    network = gpt(width=128, layers=8)
    block = network.blocks[0]

    assert float(network.token.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    assert float(block.get_parameter("mlp_in.weight").detach().std()) == pytest.approx(0.02, rel=0.1)
    assert float(block.get_parameter("mlp_out.weight").detach().std()) == pytest.approx(0.02 / 4, rel=0.1)
    assert not block.get_parameter("mlp_in.bias").any()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"layers": 0}, "model 'gpt': layers = 0 must be an integer >= 1"),
        ({"width": 30}, "model 'gpt': width = 30 must be a multiple of heads = 4"),
        ({"dropout": 1.0}, r"model 'gpt': dropout = 1.0 must be a number in \[0, 1\)"),
    ],
)
def test_settings_that_make_no_network_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(TaskError, match=reason):
        gpt(**options)


def test_it_is_for_texts_and_classifiers_are_not(tmp_path: Path) -> None:
    (tmp_path / "letters").write_text("abcd" * 500)
    letters = {"kind": "text", "path": str(tmp_path / "letters"), "context": 8}
    with pytest.raises(TaskError, match="model 'gpt' reads the tokens of a text, and the data is none"):
        lrbench.load_task("mnist1d-mlp", model="gpt")
    with pytest.raises(TaskError, match="model 'mlp' is a classifier, and the data is a text, which needs"):
        lrbench.load_task({"dataset": letters, "model": "mlp", "steps": 10})


@pytest.fixture
def task(tmp_path: Path) -> Task:
    (tmp_path / "letters").write_text("the cat sat on the mat. " * 200)
    dataset = {"kind": "text", "path": str(tmp_path / "letters"), "context": 16}
    settings = {"dataset": dataset, "model": {"kind": "gpt", **SMALL}, "optimizer": "AdamW", "batch_size": 4}
    return lrbench.load_task({**settings, "steps": 20})


def test_operations_are_those_of_every_product_counted_by_hand(task: Task) -> None:
    tokens, width, context = 4 * 16, 32, 16
    linear = 2 * tokens * (2 * 12 * width**2 + 256 * width)
    attention = 2 * (2 * 2 * tokens * context * width)

    counted = step_flops(task)

    assert counted.forward == linear + attention
    # Attention's backward pass computes the scores anew, and two products for each of its two.
    assert counted.backward == 2 * linear + 5 * attention // 2


def test_bfloat16_trains_nearly_as_float32_does(task: Task) -> None:
    def losses(precision: str) -> list[float]:
        one = task.with_(precision=precision)
        _, seen = advance(one, begin(one, 0), np.full(20, 0.003))
        return [evaluation.train_loss for evaluation in seen]

    full, half = losses("float32"), losses("bfloat16")

    assert full != half
    assert half == pytest.approx(full, rel=0.02)
    assert full[-1] < full[0] - 1


def test_logits_are_in_the_order_of_torchs_cross_entropy() -> None:
    tokens = torch.randint(19, (5, 13))
    logits = gpt()(tokens[:, :-1])

    by_token = F.cross_entropy(logits.transpose(1, 2).reshape(-1, 19), tokens[:, 1:].reshape(-1))

    torch.testing.assert_close(F.cross_entropy(logits, tokens[:, 1:]), by_token)
