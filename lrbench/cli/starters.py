"""Starter configs: what `lrbench init` writes into a folder, commented and ready to run.

The files lie in `starters/` and `examples/`, at the top of a clone and in the wheel. Nothing is trained here,
no torch is imported, and a file that exists is never overwritten unless that is asked for.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from lrbench.cli.schema import SCHEMA_FILE, save_schema
from lrbench.config import bundled, exists
from lrbench.errors import FolderError, UsageError, choices
from lrbench.runs import nearest, write_file


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


def write_starter(kind: str, folder: Path, force: bool = False) -> list[Path]:
    """Write the files of a kind of starter into a folder, which is made if it is missing, and return their paths.

    Args:
        kind: a key of STARTERS.
        folder: where to write.
        force: overwrite files that exist.

    Raises:
        UsageError: no such kind, the folder is none, or files exist; nothing was written.
        FolderError: a file can't be written.
    """
    if kind not in STARTERS:
        hint = ". The kind comes first, then the folder" if exists(Path(kind)) else ""
        raise UsageError(f"unknown starter {kind!r:.80}; {choices(kind, STARTERS)}{hint}")
    nearest(folder, "FOLDER")
    texts = {folder / Path(file).name: _text(file) for file in STARTERS[kind].files}
    there = [str(path) for path in texts if os.path.lexists(path)]
    folders = [path for path in (*there, str(folder / SCHEMA_FILE)) if Path(path).is_dir()]
    if folders or (there and not force):
        hint = "rename it" if folders else "--force overwrites them, or name another FOLDER"
        raise UsageError(f"nothing was written, since these exist already: {', '.join(folders or there)}; {hint}")
    written: list[Path] = []
    try:
        for path, text in texts.items():
            written.append(write_file(path, text))
        written.append(save_schema(folder / SCHEMA_FILE))  # lrbench's own file, which each kind of starter shares
    except FolderError:
        for path in written:  # those that replaced others can't be had back
            if str(path) not in there:
                path.unlink(missing_ok=True)
        raise
    return written


def _text(file: str) -> str:
    top, _, inner = file.partition("/")
    text = (bundled(top) / inner).read_text(encoding="utf-8")
    return f"{_EDITORS}{text}" if file.endswith(".yaml") else text


_EDITORS = f"# yaml-language-server: $schema={SCHEMA_FILE}\n"
"""The line by which editors find the schema, which is written beside the config."""
