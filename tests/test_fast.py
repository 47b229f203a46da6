"""Fast forms against torch's plain ones: the same masks, the same results."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrbench.components.models import cpu_ops, nets
from lrbench.components.models.cpu_ops import kept, relu_dropout


class Plain(nets.Cnn):
    """The network as one would write it: ReLU, pooling, dropout by a mask that is multiplied in."""

    def forward(self, x: Tensor) -> Tensor:
        for convolution in (self.conv1, self.conv2):
            x = F.max_pool2d(F.relu(convolution(x)), 2)
            if self.training:
                x = x * kept(x, self.dropout).to(x.dtype) / (1 - self.dropout)
        x = F.relu(self.dense1(x.flatten(1)))
        return self.dense2(x)  # type: ignore[no-any-return]


def trained(make: Callable[..., nn.Module], dtype: torch.dtype, updates: int) -> tuple[list[float], list[Tensor]]:
    """Losses, and in the end all weights and gradients, after updates with the same data and random numbers."""
    torch.manual_seed(3)
    model = make(1, (5, 5), 10, 0, 0.25).to(dtype=dtype, memory_format=torch.channels_last)
    # In float32 not Adam: its first update is each gradient's sign, and rounding turns those that are nearly 0 round.
    one = torch.optim.SGD(model.parameters(), 0.1) if dtype == torch.float32 else None
    optimizer = one or torch.optim.Adam(model.parameters(), 1e-3)
    inputs, targets = torch.rand(16, 1, 28, 28, dtype=dtype), torch.randint(0, 10, (16,))
    inputs = inputs.contiguous(memory_format=torch.channels_last)
    losses = []
    for _ in range(updates):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses, [t for p in model.parameters() for t in (p.detach(), p.grad) if t is not None]


@pytest.mark.parametrize(("dtype", "updates", "tolerance"), [(torch.float64, 20, 1e-9), (torch.float32, 1, 1e-5)])
def test_the_fast_network_is_the_plain_one(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, updates: int, tolerance: float
) -> None:
    monkeypatch.setattr(cpu_ops, "CHUNK_BYTES", 1_000_000)  # so that 16 pictures are several parts
    losses, tensors = trained(nets.Cnn, dtype, updates)
    plain_losses, plain_tensors = trained(Plain, dtype, updates)
    assert losses == pytest.approx(plain_losses, rel=tolerance)
    for found, wanted in zip(tensors, plain_tensors, strict=True):
        assert torch.allclose(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("channels", "sides", "padding"), [(1, (28, 28), 0), (3, (11, 14), 1), (2, (5, 4), 0)])
def test_convolution_and_pooling_in_parts(
    monkeypatch: pytest.MonkeyPatch, channels: int, sides: tuple[int, int], padding: int
) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(channels, 6, 3, padding=padding).double().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    nn.init.uniform_(convolution.bias)  # type: ignore[arg-type]
    x = torch.rand(11, channels, *sides, dtype=torch.float64)
    x[:, :, : sides[0] // 2] = 1  # equal neighbours, of which the first is taken
    monkeypatch.setattr(cpu_ops, "CHUNK_BYTES", 4 * 6 * sides[0] * sides[1] * 8)
    results = []
    for form in (cpu_ops.conv_pool(convolution, x), F.max_pool2d(convolution(x), 2)):
        weights = torch.linspace(-1, 1, form.numel(), dtype=torch.float64).view(form.shape)
        results.append((form.detach(), *torch.autograd.grad((form * weights).sum(), list(convolution.parameters()))))
    for found, wanted in zip(*results, strict=True):
        assert torch.allclose(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("sides", "padding", "computed"),
    [
        ((13, 13), 0, (10, 10)),
        ((12, 13), 0, (10, 10)),
        ((9, 12), 0, (6, 10)),
        ((4, 5), 0, (2, 2)),
        ((7, 8), 1, (7, 8)),
    ],
)
def test_what_pooling_leaves_out_is_not_computed(
    sides: tuple[int, int], padding: int, computed: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 4, 3, padding=padding).double()
    x = torch.rand(5, 3, *sides, dtype=torch.float64, requires_grad=True)
    results = []
    for form in (cpu_ops.conv_pool(convolution, x), F.max_pool2d(convolution(x), 2)):
        weights = torch.linspace(-1, 1, form.numel(), dtype=torch.float64).view(form.shape)
        results.append((form.detach(), *torch.autograd.grad((form * weights).sum(), [x, *convolution.parameters()])))
    for found, wanted in zip(*results, strict=True):
        assert torch.allclose(found, wanted, rtol=1e-12, atol=1e-12)
    seen: list[torch.Size] = []
    convolution.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    cpu_ops.conv_pool(convolution, x)
    assert tuple(seen[0][2:]) == computed


def test_hooks_of_gradients_are_called() -> None:
    convolution, x = nn.Conv2d(1, 2, 3), torch.rand(2, 1, 6, 6, requires_grad=True)
    seen: list[torch.Size] = []
    convolution.register_full_backward_hook(lambda module, inputs, outputs: seen.append(outputs[0].shape))
    cpu_ops.conv_pool(convolution, x).sum().backward()  # type: ignore[no-untyped-call]
    assert seen == [(2, 2, 4, 4)]


@pytest.mark.parametrize(
    ("sides", "padding", "p", "spare"),
    [
        ((28, 28), 0, 0.25, (1, 1)),  # 26, pooled 13; the second: 11, of which pooling reads 10, made of 12
        ((30, 28), 0, 0.25, (0, 1)),  # 28, pooled 14; the second: 12
        ((32, 29), 0, 0.5, (1, 1)),  # 30 and 27, pooled 15 and 13; the second: 13 and 11
        ((28, 28), 1, 0.25, (0, 0)),  # padding lies beyond the last row
        ((28, 28), 0, 0.1, (0, 0)),  # torch's dropout draws its numbers by the shape
    ],
)
def test_spare_rows_and_columns(sides: tuple[int, int], padding: int, p: float, spare: tuple[int, int]) -> None:
    torch.manual_seed(0)
    first, second = nn.Conv2d(1, 4, 3, padding=padding).double(), nn.Conv2d(4, 4, 3, padding=padding).double()
    x = torch.rand(6, 1, *sides, dtype=torch.float64)
    assert cpu_ops.unread(x, first, second, p) == spare
    results = []
    for less in (spare, (0, 0)):
        torch.manual_seed(1)
        hidden = relu_dropout(cpu_ops.conv_pool(first, x, less), p, True, less)
        out = cpu_ops.conv_pool(second, hidden)
        gradients = torch.autograd.grad(out.square().sum(), [*first.parameters(), *second.parameters()])
        results.append((out.detach(), *gradients, torch.rand(1)))
    for found, wanted in zip(*results, strict=True):
        assert torch.allclose(found, wanted, rtol=1e-12, atol=1e-12)


def test_flattening_without_a_copy() -> None:
    dense, x = nn.Linear(4 * 3 * 2, 5).double(), torch.rand(7, 4, 3, 2, dtype=torch.float64)
    for memory in (torch.contiguous_format, torch.channels_last):
        found = cpu_ops.flat_linear(dense, x.contiguous(memory_format=memory))
        assert torch.allclose(found, dense(x.flatten(1)), rtol=1e-12)


@pytest.mark.parametrize("p", [0.25, 0.5, 0.75, 3 / 16])
def test_elements_are_dropped_independently(p: float) -> None:
    torch.manual_seed(1)
    keep = kept(torch.empty(4, 8 * 4001), p).flatten().double()
    for distance in (1, 2, 8, 4001, 8 * 4001, 16 * 4001):
        together = float((keep * keep.roll(distance)).mean())
        assert together == pytest.approx((1 - p) ** 2, abs=5 / math.sqrt(keep.numel()))


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("p", [1 / 256, 0.25, 0.5, 255 / 256])
def test_the_share_that_is_dropped(memory: torch.memory_format, p: float) -> None:
    torch.manual_seed(0)
    x = torch.rand(64, 32, 13, 13).add_(0.1).contiguous(memory_format=memory)
    out = relu_dropout(x, p, training=True)
    dropped = float((out == 0).float().mean())
    deviation = math.sqrt(p * (1 - p) / x.numel())
    assert abs(dropped - p) < 5 * deviation
    assert torch.allclose(out[out != 0], x[out != 0] / (1 - p))
    assert out.is_contiguous(memory_format=memory)


def test_every_byte_of_a_word_is_as_random_as_the_others() -> None:
    torch.manual_seed(0)
    keep = kept(torch.empty(8 * 200_000), 0.5).view(-1, 8).float()
    assert torch.allclose(keep.mean(0), torch.full((8,), 0.5), atol=5 * 0.5 / math.sqrt(200_000))
    correlation = torch.corrcoef(keep.T) - torch.eye(8)
    assert correlation.abs().max() < 5 / math.sqrt(200_000)


def test_odd_sizes_and_layouts() -> None:
    for x in (
        torch.rand(3),
        torch.rand(5, 7),
        torch.rand(4, 6)[:, ::2],
        torch.rand(2, 3, 5, 5)[:, :, :4],
        torch.rand(0),
    ):
        assert relu_dropout(x, 0.25, training=True).shape == x.shape


@pytest.mark.parametrize("p", [0.1, 0.3])
def test_other_probabilities_are_torch_s(p: float) -> None:
    x = torch.randn(1000)
    torch.manual_seed(1)
    found = relu_dropout(x, p, training=True)
    torch.manual_seed(1)
    assert torch.equal(found, F.dropout(F.relu(x), p))


def test_without_training_it_is_relu() -> None:
    x = torch.randn(1000)
    assert torch.equal(relu_dropout(x, 0.25, training=False), F.relu(x))
    assert torch.equal(relu_dropout(x, 0.0, training=True), F.relu(x))


def test_gradients_by_finite_differences() -> None:
    x = torch.randn(40, dtype=torch.float64, requires_grad=True)
    keep = kept(x, 0.5)
    assert torch.autograd.gradcheck(lambda y: cpu_ops._ReluDropout.apply(y, keep, 2.0), (x,))  # type: ignore[no-untyped-call]
