"""What the golden runs import by name: small data sets of digits, and a loss that fails."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate
from torch.utils.data import Dataset

Pairs = tuple[Tensor, Tensor]


def _digits(n: int, start: int) -> Pairs:
    bunch = load_digits()
    pictures = torch.from_numpy(bunch.images[start : start + n]).float().div_(16).unsqueeze(1)
    return pictures, torch.from_numpy(bunch.target[start : start + n]).long()


def large() -> tuple[Pairs, Pairs]:
    """The digits as 28×28 bytes, which the tutorial's network takes as it is."""

    def enlarged(pairs: Pairs) -> Pairs:
        return interpolate(pairs[0], (28, 28)).mul_(255).round_().to(torch.uint8), pairs[1]

    return enlarged(_digits(80, 0)), enlarged(_digits(40, 400))


def regression() -> tuple[Pairs, Pairs]:
    """How bright the lower half of a digit is, from its upper half."""

    def halved(pairs: Pairs) -> Pairs:
        return pairs[0][:, :, :4], pairs[0][:, :, 4:].mean((1, 2, 3))

    return halved(_digits(80, 0)), halved(_digits(40, 400))


class _Streamed(Dataset[Any]):
    def __init__(self, pairs: Pairs) -> None:
        self.pictures, self.targets = pairs

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.pictures[index], int(self.targets[index])


def streamed() -> tuple[Dataset[Any], Dataset[Any]]:
    """Digits that a DataLoader reads one by one."""
    return _Streamed(_digits(80, 0)), _Streamed(_digits(40, 400))


_calls = 0


def failing(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy that raises after a few dozen calls, as a user's own code may."""
    global _calls
    _calls += 1
    if _calls > 30:
        raise RuntimeError("the loss can't be computed any more")
    return cross_entropy(outputs, targets)
