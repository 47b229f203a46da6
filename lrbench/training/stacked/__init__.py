"""Stacked training: the runs of a family, such as a sweep's learning rates and seeds, as one program by torch.vmap.

Each run keeps its own folder, checkpoints, random streams and verdict, as if trained alone; results differ by rounding.
Only `family`, which says which runs may be stacked, is free of torch.
"""

from lrbench.training.stacked.family import family_of, left_alone, stacks, would_gain

__all__ = ["family_of", "left_alone", "stacks", "would_gain"]
