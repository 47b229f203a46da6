"""Bags of words, each about two of five topics."""

import torch
from sklearn.datasets import make_multilabel_classification


def documents():
    words, topics = make_multilabel_classification(1000, n_features=30, n_classes=5, random_state=0)
    words, topics = torch.tensor(words), torch.tensor(topics)
    return (words[:800], topics[:800]), (words[800:], topics[800:])
