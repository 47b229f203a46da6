"""Causal attention that `torch.vmap` evaluates for several models as one batch."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lrbench.components.models.cpu_ops import STACKED


def causal_attention(q: Tensor, k: Tensor, v: Tensor, dropout: float, scale: float | None) -> Tensor:
    """Compute causal attention of (n, heads, length, width)."""
    if STACKED.mask is None or dropout > 0:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=dropout, scale=scale)
    out: Tensor = _StackedAttention.apply(q, k, v, scale)
    return out


class _StackedAttention(torch.autograd.Function):
    """The models' sequences as one batch: torch.vmap would take the models one by one."""

    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, scale: Any) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is kept: the gradient is that of the operations in `vmap`."""

    @staticmethod
    def vmap(info: Any, in_dims: Any, q: Tensor, k: Tensor, v: Tensor, scale: Any) -> tuple[Tensor, int]:
        if None in in_dims[:3]:
            raise NotImplementedError("each model needs sequences of its own")
        q, k, v = (part.movedim(at, 0).flatten(0, 1) for part, at in zip((q, k, v), in_dims[:3], strict=True))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)
        return out.view(info.batch_size, -1, *out.shape[1:]), 0
