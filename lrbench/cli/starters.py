"""The kinds of starters, with their files and the commands to type next."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass


@dataclass(frozen=True)
class Starter:
    """Files to start from.

    Attributes:
        summary: what they are for, in a line.
        files: their paths below the folders that come with lrbench; they are written under their own names.
        next: the two commands to type next.
        needs: modules that the files import and lrbench does not bring, each with the package to install.
    """

    summary: str
    files: tuple[str, ...]
    next: tuple[str, str]
    needs: tuple[tuple[str, str], ...] = ()

    def missing(self) -> list[str]:
        """Return the packages to install before the files can run."""
        return [package for module, package in self.needs if importlib.util.find_spec(module) is None]


STARTERS = {
    "tutorial": Starter(
        "what a learning rate does: four configs on embedded images of digits",
        ("starters/baseline.yaml", "starters/too_large.yaml", "starters/too_small.yaml", "starters/cosine.yaml"),
        ("lrbench run baseline.yaml too_large.yaml too_small.yaml cosine.yaml", "lrbench report"),
    ),
    "image": Starter(
        "classify images: embedded ones, or your own folders",
        ("starters/image.yaml",),
        ("lrbench run image.yaml", "lrbench find-lr image.yaml"),
    ),
    "text": Starter(
        "train a small GPT on an embedded text, or your own",
        ("starters/text.yaml",),
        ("lrbench run text.yaml", "lrbench find-lr text.yaml"),
    ),
    "regression": Starter(
        "predict numbers from a table",
        ("starters/regression.yaml", "starters/regression_data.py"),
        ("lrbench run regression.yaml", "lrbench find-lr regression.yaml"),
    ),
    "own-model": Starter(
        "your own PyTorch model and data, which lrbench trains",
        ("starters/own_model.yaml", "starters/own_model.py"),
        ("lrbench run own_model.yaml", "lrbench find-lr own_model.yaml"),
    ),
    "script": Starter(
        "your own training script in plain PyTorch, which lrbench records and sweeps",
        ("examples/record/train.py", "examples/record/train.yaml"),
        ("python train.py", "lrbench sweep train.yaml"),
    ),
    "huggingface": Starter(
        "a script with the Trainer of Hugging Face",
        ("examples/huggingface/train.py", "examples/huggingface/train.yaml"),
        ("python train.py", "lrbench sweep train.yaml"),
        (("transformers", "transformers"), ("accelerate", "accelerate")),
    ),
    "lightning": Starter(
        "a script with Lightning",
        ("examples/lightning/train.py", "examples/lightning/train.yaml"),
        ("python train.py", "lrbench sweep train.yaml"),
        (("lightning", "lightning"),),
    ),
    "keras": Starter(
        "a script with Keras",
        ("examples/keras/train.py", "examples/keras/train.yaml"),
        ("python train.py", "lrbench sweep train.yaml"),
        (("keras", "keras"),),
    ),
}
"""By the word after `lrbench init`, for those who begin first."""
