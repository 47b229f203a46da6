"""A decoder-only Transformer for sequences of tokens, as in GPT-2."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from lrbench.components.models.attention import causal_attention
from lrbench.components.models.mup import attention_scale, output_layer

INITIAL_STD = 0.02  # of all weights, as GPT-2's


class GPT(nn.Module):
    """See `lrbench.components.models`; the output layer is the token embedding, transposed.

    The module `head` shares its weight with `tokens`, so that code that looks for the output layer finds one. `growth`
    is that of the width in μP.
    """

    def __init__(
        self,
        vocabulary: int,
        context: int,
        layers: int,
        width: int,
        heads: int,
        dropout: float,
        growth: float = 1.0,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(_Block(width, heads, dropout, growth) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = output_layer(width, vocabulary, growth, bias=False)
        self.head.weight = self.tokens.weight
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.dim() == 2:
                residual = name.endswith(("project.weight", "contract.weight"))
                std = INITIAL_STD / (math.sqrt(2 * layers) if residual else 1)
                nn.init.normal_(parameter, std=std)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of each next token: (n, length) int64 → (n, length, vocabulary)."""
        if tokens.is_floating_point():
            kind = str(tokens.dtype).removeprefix("torch.")
            raise ValueError(f"gpt needs tokens, whole numbers of type int64; these are {kind}")
        try:
            x = self.tokens(tokens)
        except IndexError:
            size = self.tokens.num_embeddings
            raise ValueError(f"there is a token outside the vocabulary of {size}: 0 … {size - 1}") from None
        x = x + self.positions.weight[: tokens.shape[1]]
        x = self.norm(self.blocks(F.dropout(x, self.dropout, self.training)))
        out: Tensor = self.head(x)
        return out


class _Block(nn.Module):
    """Causal attention and a dense layer of four times the width, each after a norm and added to its input."""

    def __init__(self, width: int, heads: int, dropout: float, growth: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.scale = attention_scale(width // heads, growth)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.contract = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + F.dropout(self.project(self._attended(self.norm1(x))), self.dropout, self.training)
        dense = self.contract(F.gelu(self.expand(self.norm2(x))))  # exact; on a CPU, three times as fast as by tanh
        return x + F.dropout(dense, self.dropout, self.training)

    def _attended(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        shape = n, length, self.heads, width // self.heads
        q, k, v = (part.view(shape).transpose(1, 2) for part in self.qkv(x).split(width, 2))
        dropped = self.dropout if self.training else 0.0
        found = causal_attention(q, k, v, dropped, self.scale)
        return found.transpose(1, 2).reshape(n, length, width)
