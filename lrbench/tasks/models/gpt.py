"""GPT: a transformer that predicts each token of a text from those before it."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrbench.errors import TaskError
from lrbench.policy.kind import short_repr
from lrbench.tasks.registry import register_model


class Block(nn.Module):
    """Attention over the tokens so far, then a perceptron at each token; both read normalised input and add to it."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, 4 * width)
        self.mlp_out = nn.Linear(4 * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop(self.attention_out(self.attention(self.attention_norm(x))))
        added: Tensor = self.drop(self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x)))))
        return x + added

    def attention(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        heads = self.query_key_value(x).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        found = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
        return found.transpose(1, 2).reshape(batch, length, width)


class GPT(nn.Module):
    """Token ids, int64 [N, T], to the logits of the token that follows each, float [N, vocabulary, T].

    The axes of the logits are in the order of torch's cross-entropy.
    """

    def __init__(self, vocabulary: int, context: int, width: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.empty(context, width))
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self._initialize(layers)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.drop(self.token(tokens) + self.position[: tokens.shape[1]])
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.token.weight).transpose(1, 2)

    def _initialize(self, layers: int) -> None:
        """Draw weights from N(0, 0.02), those of the 2*layers projections that are added up from a narrower one."""
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                residual = name.endswith(("attention_out.weight", "mlp_out.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * layers) if residual else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)


@register_model("gpt", version=1, reads_tokens=True)
def gpt(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    layers: int = 4,
    heads: int = 4,
    width: int = 128,
    dropout: float = 0.0,
) -> GPT:
    """GPT, a transformer for text, as nanoGPT has it; options layers, heads, width, dropout.

    Pre-norm blocks of causal attention and a GELU perceptron of four times the width, learned positions, and an output
    layer whose weights are those of the token embedding. Weights are N(0, 0.02), those of the projections that add to
    the residual stream by 1/sqrt(2*layers) narrower. The context is the length of the data's windows, `num_classes` the
    vocabulary.

    Source: karpathy/nanoGPT, `model.py`; Radford et al. 2019 (GPT-2).
    """
    for name, value in {"layers": layers, "heads": heads, "width": width}.items():
        if type(value) is not int or value < 1:
            raise TaskError(f"model 'gpt': {name} = {short_repr(value)} must be an integer >= 1")
    if width % heads:
        raise TaskError(f"model 'gpt': width = {width} must be a multiple of heads = {heads}")
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise TaskError(f"model 'gpt': dropout = {short_repr(dropout)} must be a number in [0, 1)")
    return GPT(num_classes, input_shape[0], width, layers, heads, dropout)
