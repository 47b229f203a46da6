"""Friedman's first function (1991) of ten inputs, five of which matter, with noise."""

import torch
from sklearn.datasets import make_friedman1


def friedman(examples: int = 1000):
    inputs, targets = make_friedman1(examples, noise=1.0, random_state=0)
    inputs, targets = torch.tensor(inputs), torch.tensor(targets)
    return (inputs[:800], targets[:800]), (inputs[800:], targets[800:])  # training data and test data
