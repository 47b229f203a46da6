"""Discs and squares on noise; the border between them and the background is left out."""

import torch
from torch import nn


def shapes(examples: int = 240, size: int = 24):
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    center = torch.randint(7, size - 7, (examples, 2, 1, 1), generator=generator)
    down, right = (rows - center[:, 0]).abs(), (columns - center[:, 1]).abs()
    square = torch.rand(examples, 1, 1, generator=generator) < 0.5
    distance = torch.where(square, torch.maximum(down, right), (down.square() + right.square()).float().sqrt())
    masks = torch.where(distance < 5, 1 + square.long(), 0)  # 0 background, 1 disc, 2 square
    images = (masks > 0) + 0.5 * torch.randn(examples, size, size, generator=generator)
    masks[(distance >= 5) & (distance < 6)] = 255
    images = images.unsqueeze(1)
    return (images[:200], masks[:200]), (images[200:], masks[200:])


class FullyConvolutional(nn.Sequential):
    def __init__(self, num_classes: int = 3) -> None:  # lrbench passes the number of classes that it finds
        super().__init__(
            nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(),
            nn.Conv2d(16, 16, 5, padding=2), nn.ReLU(),
            nn.Conv2d(16, num_classes, 5, padding=2),
        )  # fmt: skip
