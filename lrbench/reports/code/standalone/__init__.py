"""A complete script in plain PyTorch that repeats a run. Does not import torch."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lrbench._version import __version__
from lrbench.config import Experiment
from lrbench.errors import ConfigError
from lrbench.reports.code.standalone import training
from lrbench.reports.code.standalone.checks import check
from lrbench.reports.code.standalone.closures import Functions
from lrbench.reports.code.standalone.data import SETS, data_code
from lrbench.reports.code.standalone.model import ModelCode, model_code
from lrbench.reports.code.text import WIDTH
from lrbench.runs import Environment, Sizes
from lrbench.schedules import SCHEDULES

_IMPORTS = {
    "bisect": "import bisect",
    "hashlib": "import hashlib",
    "itertools": "import itertools",
    "math": "import math",
    "os": "import os",
    "bisect_left": "from bisect import bisect_left",
    "bisect_right": "from bisect import bisect_right",
    "pairwise": "from itertools import pairwise",
    "Path": "from pathlib import Path",
    "np": "import numpy as np",
    "torch": "import torch",
    "torchvision": "import torchvision",
    "load_digits": "from sklearn.datasets import load_digits",
    "train_test_split": "from sklearn.model_selection import train_test_split",
    "nn": "from torch import nn",
    "F": "from torch.nn import functional as F",
}
"""What a script may import, by name, in the order of the lines."""
_STANDARD = ("bisect", "hashlib", "itertools", "math", "os", "bisect_left", "bisect_right", "pairwise", "Path")


def standalone(plain: Mapping[str, Any], environment: Environment) -> str:
    """Write a script in plain PyTorch that trains as a run did, with its data, model, schedule and evaluation.

    Args:
        plain: the run's resolved config, `Record.plain`.
        environment: where it ran, `Record.environment`; its `sizes` hold the steps of an epoch.

    Returns:
        Python source in the layout of `ruff format`.

    Raises:
        ConfigError: a key of the config that no such script can follow yet.
    """
    nameless = {key: value for key, value in plain.items() if key not in ("name", "reference")}
    experiment = Experiment.of({**nameless, "name": "run"}, {}, "")
    check(experiment)
    body = "\n".join(_sections(experiment, environment))
    tree = ast.parse(body)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    imports = [
        [_IMPORTS[n] for n in _IMPORTS if n in used and (n in _STANDARD) is standard] for standard in (True, False)
    ]
    lines = [
        _header(experiment, str(plain.get("name", ""))),
        "",
        *imports[0],
        *[""][: len(imports[0])],
        *imports[1],
        "",
    ]
    return "\n".join([*lines, body]) + "\n"


def _sections(experiment: Experiment, environment: Environment) -> list[str]:
    sizes = _sizes(experiment, environment.sizes)
    part = experiment.scaled_optimizer(sizes.train_examples)
    model = model_code(experiment)
    functions = Functions(_TAKEN)
    cycles = training.schedule_code(experiment, part, sizes, functions, _doc(experiment))
    made = [*model.before, *(["", ""] if model.before else []), "torch.manual_seed(seed)", *model.lines]
    made += ["model.to(memory_format=memory_format)"] if model.images else []
    optimizer = training.optimizer_code(part)
    optimizer += [line for block in functions.blocks for line in ["", "", *block]]
    loop = [*training.loss_code(experiment), "", "", *training.evaluation_code(experiment), "", ""]
    return [
        *_setting(experiment, environment, model),
        *_section("Data", data_code(experiment, model.images)),
        *_section("Model", made),
        *_section("Optimizer and learning rate", optimizer),
        *_section("Training", [*loop, *training.loop_code(experiment, sizes, cycles)]),
    ]


_TAKEN = {
    *(
        "batches",
        "count",
        "epoch",
        "evaluate",
        "examples",
        "group",
        "several",
        "inputs",
        "loss",
        "loss_of",
        "loss_sum",
        "lr",
    ),
    *("model", "momentum_", "optimizer", "prepare", "scale", "seed", "step", "targets", *_IMPORTS),
}
"""Names that a script assigns, besides those of its functions."""


def _sizes(experiment: Experiment, recorded: Sizes) -> Sizes:
    """Return the sizes of a run; those that it did not record, from the config."""
    examples = recorded.train_examples or experiment.dataset.rules.training_examples(experiment.dataset.part.name)
    per_epoch = recorded.steps_per_epoch or (None if examples is None else experiment.updates_per_epoch(examples))
    if per_epoch is None:
        raise ConfigError("has an unknown number of examples", key="dataset")
    total = experiment.steps or (experiment.epochs or 0) * per_epoch
    return replace(recorded, train_examples=examples, steps_per_epoch=per_epoch, total_steps=total)


def _doc(experiment: Experiment) -> str:
    """Describe the schedule."""
    doc = (inspect.getdoc(SCHEDULES.factory(experiment.schedule)) or "").partition("\n\n")[0]
    before = "" if experiment.warmup is None else " A warm-up, and then:"
    return f"Return the learning rate of a step, counted from 0.{before} {' '.join(doc.split())}"


def _section(name: str, lines: list[str]) -> list[str]:
    apart = ["", ""] if lines[0].startswith(("def ", "class ")) else [""]
    return ["", "", f"# -- {name}", *apart, *lines]


def _setting(experiment: Experiment, environment: Environment, model: ModelCode) -> list[str]:
    device = environment.device or ("" if experiment.device == "auto" else experiment.device)
    chosen = f'"{device}"' if device else '"cuda" if torch.cuda.is_available() else "cpu"'
    lines = [f"seed = {experiment.seed}", f"batch_size = {experiment.batch_size}", f"device = {chosen}"]
    if environment.threads:
        lines.append(f"torch.set_num_threads({environment.threads})  # as in the run")
    if device.startswith("cuda"):
        lines.append("torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32 = True, False")
    if model.images:
        fast = "torch.channels_last" if device == "cpu" else "torch.contiguous_format"
        both = 'torch.channels_last if device == "cpu" else torch.contiguous_format'
        lines.append(f"memory_format = {fast if device else both}")
    return lines


def _header(experiment: Experiment, name: str) -> str:
    """Write the docstring: what the script is, and what its numbers equal."""
    shown = "".join(c if c.isprintable() and c not in '"\\' else " " for c in name)[:60]
    first = f"{experiment.model.name} on {experiment.dataset.part.name}{f', the run {shown!r}' if shown else ''}"
    equal = _ROUNDING if experiment.model.name == "cnn" else _EQUAL
    text = f"Written by lrbench {__version__}, which it does not need. {_PRINTS} {equal} {_LIMITS}"
    return "\n".join([f'"""{first}, in plain PyTorch.', "", *textwrap.wrap(text, WIDTH), '"""'])


_PRINTS = "It prints the mean losses of every epoch, and the test loss of the final weights."
_EQUAL = (
    "On a CPU, they are those of the run to the last digit: initial weights, order of the data, dropout, learning "
    "rates and sums are the same."
)
_ROUNDING = (
    "Initial weights, order of the data, dropout and learning rates are those of the run, but sums are rounded "
    "otherwise: lrbench computes a CNN's first convolution in parts and its flattened features in another order, which "
    "is faster on a CPU. The losses differ in the sixth digit at first, and more the longer it trains."
)
_LIMITS = "This holds on the same machine, with the same number of threads and the same versions of the packages."
