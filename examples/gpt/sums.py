"""Sums of two numbers as characters; only the digits of the result count."""

import torch

VOCABULARY = "0123456789+="


def tokens(examples: int = 1200):
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randint(10, 50, (examples, 2), generator=generator).tolist()
    texts = [f"{first}+{second}={first + second}" for first, second in numbers]  # eight characters each
    ids = torch.tensor([[VOCABULARY.index(character) for character in text] for text in texts])
    inputs, targets = ids[:, :-1], ids[:, 1:].clone()
    targets[:, :5] = -100  # what comes before the result is not learned
    return {
        "train": (inputs[:1000], targets[:1000]),
        "test": (inputs[1000:], targets[1000:]),
        "classes": len(VOCABULARY),
    }
