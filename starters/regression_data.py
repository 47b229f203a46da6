"""Training and test data for regression.yaml. Replace `load` by a function that reads your own."""

import torch


def load():
    """Return (inputs, targets) for training and for testing; lrbench splits validation data off the former."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(1000, 5, generator=generator)  # examples × features, best scaled to about −1 … 1
    noise = 0.05 * torch.randn(1000, generator=generator)
    targets = torch.sin(3 * inputs[:, 0]) + inputs[:, 1] * inputs[:, 2] + noise
    return (inputs[:800], targets[:800]), (inputs[800:], targets[800:])
