"""Network operations that are faster on a CPU than torch's, with the same results for the same random bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

aten = torch.ops.aten


@dataclass
class Stacked:
    """How models behave while several are evaluated at once by `torch.vmap`.

    Attributes:
        mask: gives the mask of what `relu_dropout` keeps, of the shape and strides of an output and a probability,
            instead of random numbers; None while models are evaluated one by one.
    """

    mask: Callable[[Tensor, float], Tensor] | None = None


STACKED = Stacked()


@contextmanager
def masks_from(mask: Callable[[Tensor, float], Tensor]) -> Iterator[None]:
    """Use plain operations, which `torch.vmap` knows, and masks from this function while the block runs."""
    STACKED.mask = mask
    try:
        yield
    finally:
        STACKED.mask = None


def relu_dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Compute `dropout(relu(x), p)`: each element is 0 with probability p, else divided by 1 − p.

    On a CPU, two or eight random bits per element are much cheaper than torch's Bernoulli numbers, a float64 each. p is
    exact: if it is not a multiple of 1/256, and on other devices, this is torch's own dropout. Without `training`, only
    relu.
    """
    if not training or p == 0:
        return F.relu(x)
    if STACKED.mask is not None:
        return F.relu(x) * STACKED.mask(x, p) * (1 / (1 - p))
    if x.device.type != "cpu" or not float(p * 256).is_integer():
        return F.dropout(F.relu(x), p)
    out: Tensor = _ReluDropout.apply(x, kept(x, p), 1 / (1 - p))
    return out


def flat_linear(dense: nn.Linear, x: Tensor) -> Tensor:
    """Compute `dense(x.flatten(1))` of channels-last images (n, channels, height, width) without copying them."""
    plain = x.device.type != "cpu" or STACKED.mask is not None or dense._forward_hooks
    if plain or not x.is_contiguous(memory_format=torch.channels_last):
        out: Tensor = dense(x.flatten(1))
        return out
    weight = dense.weight.view(-1, *x.shape[1:]).permute(0, 2, 3, 1).flatten(1)
    return F.linear(x.permute(0, 2, 3, 1).flatten(1), weight, dense.bias)


CHUNK_BYTES = 4_400_000  # of a convolution's output; a core's cache should hold it with its neighbours


def conv_pool(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """Compute `max_pool2d(convolution(x), 2)` of images that need no gradient, the first layers of a network.

    On a CPU, the convolution's output and its gradient are the largest tensors of a small network; writing and reading
    them takes as long as the arithmetic of both layers. Here they cover a few images at a time and stay in the cache.
    The gradient of the weights is summed in image order. The convolution has stride 1 and no dilation or groups.
    """
    plain = x.device.type != "cpu" or x.requires_grad or torch.is_autocast_enabled("cpu")
    if plain or STACKED.mask is not None or convolution._forward_hooks or torch.compiler.is_compiling():
        return pooled(convolution, x)
    assert convolution.bias is not None
    padding = convolution.padding
    assert isinstance(padding, tuple)
    out: Tensor = _ConvPool.apply(x, convolution.weight, convolution.bias, list(padding))
    return out


def pooled(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """Compute `max_pool2d(convolution(x), 2)`; the convolution has no groups."""
    if STACKED.mask is None:
        return F.max_pool2d(convolution(x), 2)
    out: Tensor = _StackedConvPool.apply(x, convolution.weight, convolution.bias, convolution.padding)
    return out


class _StackedConvPool(torch.autograd.Function):
    """One convolution with a group for each model, in channels last: torch.vmap would copy between layouts."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor, padding: Any) -> Tensor:
        return F.max_pool2d(F.conv2d(x, weight, bias, padding=padding), 2)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is kept: the gradient is that of the operations in `vmap`."""

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, weight: Tensor, bias: Tensor, padding: Any) -> tuple[Tensor, int]:
        if in_dims[:3] != (in_dims[0], 0, 0) or in_dims[0] is None:
            raise NotImplementedError("each model needs weights and images of its own")
        count = info.batch_size
        images = x.movedim(in_dims[0], 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)
        filters = weight.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        out = F.max_pool2d(F.conv2d(images, filters, bias.flatten(), padding=padding, groups=count), 2)
        return out.view(len(out), count, -1, *out.shape[2:]), 1


class _ConvPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, padding: list[int]) -> Tensor:
        sides = [n + 2 * p - k + 1 for n, p, k in zip(x.shape[2:], padding, weight.shape[2:], strict=True)]
        shape = (len(x), len(weight), sides[0] // 2, sides[1] // 2)
        out = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)
        where = torch.empty(shape, dtype=torch.int64, memory_format=torch.channels_last)
        ctx.sides, ctx.padding = sides, padding
        ctx.chunk = max(CHUNK_BYTES // (len(weight) * sides[0] * sides[1] * x.element_size()), 1)
        for some in _chunks(len(x), ctx.chunk):
            whole = F.conv2d(x[some], weight, bias, padding=padding)
            aten.max_pool2d_with_indices.out(whole, [2, 2], out=out[some], indices=where[some])
        ctx.save_for_backward(x, weight, where)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor, None]:
        x, weight, where = ctx.saved_tensors
        (gradient,) = gradients
        totals = [torch.zeros_like(weight), weight.new_zeros(len(weight))]
        largest = (min(ctx.chunk, len(x)), len(weight), *ctx.sides)
        spread = torch.empty(largest, dtype=x.dtype, memory_format=torch.channels_last)
        for some in _chunks(len(x), ctx.chunk):
            images = x[some]
            whole = spread[: len(images)]
            aten.max_pool2d_with_indices_backward.grad_input(
                gradient[some], whole, [2, 2], [], [0, 0], [1, 1], False, where[some], grad_input=whole
            )
            _, *parts = aten.convolution_backward(
                whole, images, weight, [len(weight)], [1, 1], ctx.padding, [1, 1], False, [0, 0], 1, [False, True, True]
            )
            for total, part in zip(totals, parts, strict=True):
                total.add_(part)
        return None, totals[0], totals[1], None


def _chunks(count: int, size: int) -> list[slice]:
    return [slice(begin, min(begin + size, count)) for begin in range(0, count, size)]


def kept(x: Tensor, p: float, rng: torch.Generator | None = None) -> Tensor:
    """Return a mask, laid out like x, of the elements that dropout with probability p keeps.

    p is a multiple of 1/256. Two random bits decide on an element if p is a multiple of 1/4, else eight. They come from
    torch's default generator unless another one is given.
    """
    count = x.numel()
    keep = (
        _by_two_bits(count, round(p * 4), rng) if float(p * 4).is_integer() else _by_bytes(count, round(p * 256), rng)
    )
    channels_last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    dense = x.is_contiguous() or channels_last
    return keep.as_strided(x.shape, x.stride()) if dense else keep.view(x.shape)


def _by_bytes(count: int, dropped: int, rng: torch.Generator | None) -> Tensor:
    return _random_words(-(-count // 8), rng).view(torch.uint8)[:count] >= dropped


def _by_two_bits(count: int, dropped: int, rng: torch.Generator | None) -> Tensor:
    """Read four two-bit numbers from each byte; those that are at least `dropped` (1, 2 or 3) become a 1."""
    words = _random_words(-(-count // 32), rng)
    high = words >> 1
    kept_ones = {1: words | high, 2: high, 3: words & high}[dropped]
    spread = torch.empty(4, len(words), dtype=torch.int64)
    for number, row in enumerate(spread):
        torch.bitwise_right_shift(kept_ones, 2 * number, out=row)
    return spread.bitwise_and_(0x0101010101010101).view(-1).view(torch.bool)[:count]


def _random_words(count: int, rng: torch.Generator | None) -> Tensor:
    """Draw 64 random bits each."""
    return torch.empty(count, dtype=torch.int64).random_(-(2**63), None, generator=rng)


class _ReluDropout(torch.autograd.Function):
    """One backward pass for both: a 0 in the output was dropped or not above 0, and has no gradient either way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, keep: Tensor, scale: float) -> Tensor:
        out = F.relu(x).mul_(keep).mul_(scale)
        ctx.save_for_backward(out)
        ctx.scale = scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (out,) = ctx.saved_tensors
        passed: Tensor = aten.threshold_backward(gradients[0], out, 0)
        return passed.mul_(ctx.scale), None, None
