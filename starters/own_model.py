"""The model and the data of own_model.yaml. Replace both by your own."""

import torch
from torch import nn


class Net(nn.Module):
    """Two layers. lrbench gives `num_classes`, since the data tell it; the config gives `width`."""

    def __init__(self, width: int = 32, num_classes: int = 2):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, num_classes))

    def forward(self, points):
        return self.layers(points)  # a score for each class; the loss is their cross entropy


def load():
    """Return (inputs, classes) for training and for testing; lrbench splits validation data off the former."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(1000, 2, generator=generator) * 2 - 1
    classes = (points.square().sum(1) > 0.6).long()  # 0 inside a circle, 1 outside
    return (points[:800], classes[:800]), (points[800:], classes[800:])
