"""Random splits, over all examples or class by class: those of scikit-learn's `train_test_split`, without importing it.

Importing it takes as long as importing torch. Besides, the splits of a data set stay when scikit-learn's change.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lrbench.errors import counted

Indices = NDArray[np.int64]


def drawn_apart(count: int, out: int, seed: int, classes: Indices | None = None) -> tuple[Indices, Indices]:
    """Draw `out` of `count` examples, and return the indices of the others and theirs, each in ascending order.

    Args:
        count: the number of examples.
        out: how many to draw; at least 1, and fewer than `count`.
        seed: of the random numbers.
        classes: the class of each example, to draw the same fraction of each; None to draw from all.

    Raises:
        ValueError: a class has a single example, or one of the two parts has fewer examples than there are classes.
    """
    random = np.random.RandomState(seed)
    if classes is None:
        order = random.permutation(count)
        return np.sort(order[out:]), np.sort(order[:out])
    _, numbers, sizes = np.unique(classes, return_inverse=True, return_counts=True)
    if sizes.min() < 2:
        raise ValueError("a class has only one example")
    if min(out, count - out) < len(sizes):
        raise ValueError(f"a part has fewer examples than the {counted(len(sizes), 'class')}")
    kept = _shares(sizes, count - out, random)
    drawn = _shares(sizes - kept, out, random)
    parts: tuple[list[Indices], list[Indices]] = [], []
    for members, of_kept, of_drawn in zip(_members(numbers, sizes), kept, drawn, strict=True):
        order = members[random.permutation(len(members))]
        parts[0].append(order[:of_kept])
        parts[1].append(order[of_kept : of_kept + of_drawn])
    return np.sort(np.concatenate(parts[0])), np.sort(np.concatenate(parts[1]))


def _members(numbers: Indices, sizes: Indices) -> list[Indices]:
    """Return the examples of each class, whose number each example has."""
    return np.split(np.argsort(numbers, kind="stable"), np.cumsum(sizes)[:-1])


def _shares(sizes: Indices, wanted: int, random: np.random.RandomState) -> Indices:
    """Return how many of `wanted` examples come from each class: in proportion, the largest remainders rounded up.

    Equal remainders are chosen from at random.
    """
    exact = sizes / sizes.sum() * wanted
    shares = np.floor(exact)
    remainders = exact - shares
    for remainder in np.unique(remainders)[::-1]:
        missing = int(wanted - shares.sum())
        if missing <= 0:
            break
        (alike,) = np.where(remainders == remainder)
        shares[random.choice(alike, size=min(len(alike), missing), replace=False)] += 1
    found: Indices = shares.astype(np.int64)
    return found
