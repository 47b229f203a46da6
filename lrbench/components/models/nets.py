"""The modules of the catalogue that are more than a row of dense layers."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrbench.components.models.cpu_ops import conv_pool, flat_linear, relu_dropout, unread
from lrbench.components.models.mup import attention_scale, output_layer

Shape = tuple[int, ...]


class Cnn(nn.Module):
    """See `lrbench.components.models.cnn`. Max-pooling and ReLU commute; pooling first makes ReLU 4 times cheaper."""

    memory_format = torch.channels_last

    def __init__(
        self,
        channels: int,
        side: tuple[int, int],
        outputs: int,
        padding: int,
        dropout: float,
        width: int = 32,
        growth: float = 1.0,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=padding)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=padding)
        self.dense1 = nn.Linear(2 * width * side[0] * side[1], 8 * width)
        self.dense2 = output_layer(8 * width, outputs, growth)
        self.dropout = dropout
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) → (n, outputs)."""
        spare = unread(x, self.conv1, self.conv2, self.dropout)
        x = relu_dropout(conv_pool(self.conv1, x, spare), self.dropout, self.training, spare)
        x = relu_dropout(conv_pool(self.conv2, x), self.dropout, self.training)
        out: Tensor = self.dense2(F.relu(flat_linear(self.dense1, x)))
        return out


class LeNet(nn.Module):
    """See `lrbench.components.models.lenet`."""

    memory_format = torch.channels_last

    def __init__(self, channels: int, side: tuple[int, int], outputs: int, padding: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=padding)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.dense = nn.Sequential(
            nn.Linear(16 * side[0] * side[1], 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) → (n, outputs)."""
        for convolution in (self.conv1, self.conv2):
            x = F.avg_pool2d(torch.tanh(convolution(x)), 2)
        out: Tensor = self.dense(x.flatten(1))
        return out


class ResNet20(nn.Module):
    """See `lrbench.components.models.resnet20`: a convolution, three stages of three blocks, mean pooling, dense."""

    memory_format = torch.channels_last

    def __init__(self, channels: int, width: int, outputs: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        sizes = [width] * 4 + [2 * width] * 3 + [4 * width] * 3
        self.blocks = nn.Sequential(*(_Residual(a, b) for a, b in pairwise(sizes)))
        self.dense = nn.Linear(4 * width, outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) → (n, outputs)."""
        x = self.blocks(F.relu(self.stem(x)))
        out: Tensor = self.dense(x.mean((2, 3)))
        return out


class _Residual(nn.Module):
    """Two 3×3 convolutions with a shortcut that skips every second pixel and adds zero channels (option A)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.stride = 1 if before == after else 2
        self.extra = after - before
        self.conv1 = nn.Conv2d(before, after, 3, self.stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))
        return F.relu(inner + shortcut)


class ViT(nn.Module):
    """See `lrbench.components.models.vit`."""

    def __init__(
        self,
        shape: Shape,
        patch: int,
        dim: int,
        depth: int,
        heads: int,
        mlp_ratio: int,
        dropout: float,
        outputs: int,
        growth: float = 1.0,
    ) -> None:
        super().__init__()
        channels, height, width = shape
        self.embed = nn.Conv2d(channels, dim, patch, patch)
        self.position = nn.Parameter(torch.zeros(1, (height // patch) * (width // patch), dim))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.blocks = nn.Sequential(*(_Block(dim, heads, mlp_ratio, dropout, growth) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.dense = output_layer(dim, outputs, growth)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) → (n, outputs)."""
        x = self.embed(x).flatten(2).transpose(1, 2) + self.position
        out: Tensor = self.dense(self.norm(self.blocks(x)).mean(1))
        return out


class _Block(nn.Module):
    def __init__(self, dim: int, heads: int, mlp_ratio: int, dropout: float, growth: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.scale = attention_scale(dim // heads, growth)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.project = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, mlp_ratio * dim), nn.GELU(), nn.Linear(mlp_ratio * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        n, length, dim = x.shape
        parts = self.qkv(self.norm1(x)).view(n, length, 3, self.heads, dim // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        attended = found.transpose(1, 2).reshape(n, length, dim)
        x = x + F.dropout(self.project(attended), self.dropout, self.training)
        return x + F.dropout(self.mlp(self.norm2(x)), self.dropout, self.training)
