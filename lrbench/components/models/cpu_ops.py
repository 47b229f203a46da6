"""Network operations that are faster on a CPU than torch's, with the same results for the same random bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
Sides = tuple[int, int]
"""Rows and columns of images."""


@contextmanager
def masks_from(mask: Callable[[Tensor, float], Tensor]) -> Iterator[None]:
    """Use plain operations, which `torch.vmap` knows, and masks from this function while the block runs."""
    STACKED.mask = mask
    try:
        yield
    finally:
        STACKED.mask = None


def relu_dropout(x: Tensor, p: float, training: bool, spare: Sides = (0, 0)) -> Tensor:
    """Compute `dropout(relu(x), p)`: each element is 0 with probability p, else divided by 1 − p.

    On a CPU, two or eight random bits per element are much cheaper than torch's Bernoulli numbers, a float64 each. p is
    exact: if it is not a multiple of 1/256, and on other devices, this is torch's own dropout. Without `training`, only
    relu.

    Args:
        x: any tensor; with `spare`, images (n, channels, height, width).
        p: the probability.
        training: whether to drop.
        spare: the last rows and columns that `unread` found and x lacks. The mask is drawn for them too, so that the
            random numbers of all others are the same as without it.
    """
    if not training or p == 0:
        return F.relu(x)
    if STACKED.mask is not None:
        return F.relu(x) * STACKED.mask(x, p) * (1 / (1 - p))
    if x.device.type != "cpu" or not float(p * 256).is_integer():
        return F.dropout(F.relu(x), p)
    out: Tensor = _ReluDropout.apply(x, kept(_whole(x, spare), p), 1 / (1 - p))
    return out


def _whole(x: Tensor, spare: Sides) -> Tensor:
    """Return a tensor like x, but with the spare rows and columns, and without data."""
    if not any(spare):
        return x
    memory = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    shape = (*x.shape[:-2], x.shape[-2] + spare[0], x.shape[-1] + spare[1])
    return torch.empty(shape, device="meta", memory_format=memory)


def flat_linear(dense: nn.Linear, x: Tensor) -> Tensor:
    """Compute `dense(x.flatten(1))` of channels-last images (n, channels, height, width) without copying them."""
    plain = x.device.type != "cpu" or STACKED.mask is not None or _hooked(dense)
    if plain or not x.is_contiguous(memory_format=torch.channels_last):
        out: Tensor = dense(x.flatten(1))
        return out
    weight = dense.weight.view(-1, *x.shape[1:]).permute(0, 2, 3, 1).flatten(1)
    return F.linear(x.permute(0, 2, 3, 1).flatten(1), weight, dense.bias)


CHUNK_BYTES = 4_400_000  # of a convolution's output; a core's cache should hold it with its neighbours


def unread(x: Tensor, first: nn.Conv2d, second: nn.Conv2d, p: float) -> Sides:
    """Return how many last rows and columns of `conv_pool(first, x)` do not matter to `conv_pool(second, …)` of it.

    Max-pooling leaves out the last of an odd number of rows: of 28 × 28 pixels, 26 × 26 matter to the tutorial's
    network. Nothing is spare on other devices, and where `relu_dropout` with this p, between both, is torch's dropout,
    whose random numbers depend on the shape.
    """
    plain = x.device.type != "cpu" or STACKED.mask is not None or not float(p * 256).is_integer()
    if plain or any((*_padding(first), *_padding(second))):
        return 0, 0
    rows, columns = _pooled_sides(first, x.shape[-2:])
    rows_read, columns_read = _sides_read(second, _pooled_sides(second, (rows, columns)))
    return rows - rows_read, columns - columns_read


def conv_pool(convolution: nn.Conv2d, x: Tensor, spare: Sides = (0, 0)) -> Tensor:
    """Compute `max_pool2d(convolution(x), 2)`, without the last `spare` rows and columns.

    On a CPU, the convolution's output and its gradient are the largest tensors of a small network; writing and reading
    them takes as long as the arithmetic of its first layers. So where images need no gradient, they cover a few images
    at a time and stay in the cache. The gradient of the weights is summed in image order. That of the bias is the sum
    over what is left after pooling, as every pooled value has one place in the output; torch's, over all places, takes
    twice as long as that of a first layer's weights. The convolution has stride 1, a bias, and no dilation or groups.
    """
    x = _cropped(convolution, x, spare)
    plain = x.device.type != "cpu" or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling()
    if STACKED.mask is None and (plain or _hooked(convolution)):
        return F.max_pool2d(convolution(x), 2)
    form = _ConvPool if STACKED.mask is None else _StackedConvPool
    out: Tensor = form.apply(x, convolution.weight, convolution.bias, _padding(convolution))
    return out


def _cropped(convolution: nn.Conv2d, x: Tensor, spare: Sides = (0, 0)) -> Tensor:
    """Leave out the last rows and columns of images that don't matter to `conv_pool(convolution, x)` without `spare`.

    On a CPU, the convolution then has no outputs that pooling leaves out: 100 instead of 121 for 13 × 13 pixels.
    """
    if x.device.type != "cpu" or any(_padding(convolution)):
        return x
    rows, columns = _pooled_sides(convolution, x.shape[-2:])
    rows_read, columns_read = _sides_read(convolution, (rows - spare[0], columns - spare[1]))
    rows, columns = rows_read - x.shape[-2], columns_read - x.shape[-1]
    return F.pad(x, (0, columns, 0, rows)) if rows or columns else x


def _pooled_sides(convolution: nn.Conv2d, sides: Sequence[int]) -> Sides:
    """Return the rows and columns of `conv_pool(convolution, x)` of images with these."""
    kernel = convolution.kernel_size
    rows, columns = (n + 2 * p - k + 1 for n, p, k in zip(sides, _padding(convolution), kernel, strict=True))
    return rows // 2, columns // 2


def _sides_read(convolution: nn.Conv2d, pooled_sides: Sides) -> Sides:
    """Return the rows and columns of images, without padding, that so many pooled ones depend on."""
    rows, columns = (2 * n + k - 1 for n, k in zip(pooled_sides, convolution.kernel_size, strict=True))
    return rows, columns


def _hooked(module: nn.Module) -> bool:
    """True if something must be called with the module's inputs, outputs or gradients."""
    kinds = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
    return any(getattr(module, kind) for kind in kinds)


def _padding(convolution: nn.Conv2d) -> Sides:
    assert isinstance(convolution.padding, tuple)
    rows, columns = convolution.padding
    return rows, columns


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
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, padding: Sides) -> Tensor:
        sides = [n + 2 * p - k + 1 for n, p, k in zip(x.shape[2:], padding, weight.shape[2:], strict=True)]
        shape = (len(x), len(weight), sides[0] // 2, sides[1] // 2)
        out = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)
        where = torch.empty(shape, dtype=torch.int64, memory_format=torch.channels_last)
        ctx.sides, ctx.padding = sides, padding
        size = CHUNK_BYTES // (len(weight) * sides[0] * sides[1] * x.element_size())
        ctx.chunk = len(x) if ctx.needs_input_grad[0] else max(size, 1)
        for some in _chunks(len(x), ctx.chunk):
            whole = F.conv2d(x[some], weight, bias, padding=padding)
            aten.max_pool2d_with_indices.out(whole, [2, 2], out=out[some], indices=where[some])
        ctx.save_for_backward(x, weight, where)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        x, weight, where = ctx.saved_tensors
        (gradient,) = gradients
        of_images, of_weight = None, torch.zeros_like(weight)
        largest = (min(ctx.chunk, len(x)), len(weight), *ctx.sides)
        spread = torch.empty(largest, dtype=x.dtype, memory_format=torch.channels_last)
        wanted = [ctx.needs_input_grad[0], True, False]
        for some in _chunks(len(x), ctx.chunk):
            images = x[some]
            whole = spread[: len(images)]
            aten.max_pool2d_with_indices_backward.grad_input(
                gradient[some], whole, [2, 2], [], [0, 0], [1, 1], False, where[some], grad_input=whole
            )
            of_images, part, _ = aten.convolution_backward(
                whole, images, weight, None, [1, 1], list(ctx.padding), [1, 1], False, [0, 0], 1, wanted
            )
            of_weight.add_(part)
        return of_images, of_weight, gradient.sum((0, 2, 3)), None


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
        if keep.shape != x.shape:
            keep = keep[..., : x.shape[-2], : x.shape[-1]]
        # Torch converts bytes to floats eight times as fast as booleans, which a product with a mask would convert.
        out = F.relu(x).mul_(keep.view(torch.uint8).to(x.dtype)).mul_(scale)
        ctx.save_for_backward(out)
        ctx.scale = scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (out,) = ctx.saved_tensors
        passed: Tensor = aten.threshold_backward(gradients[0], out, 0)
        return passed.mul_(ctx.scale), None, None
