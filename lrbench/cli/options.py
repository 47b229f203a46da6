"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lrbench.errors import old_name

MOST_SEEDS = 10_000
"""Each is a run, which is planned before anything is trained."""

BARE = {"--confirm": "5"}
"""What an option means without a value; typer has none that may lack it."""


OLD_OPTIONS: dict[str, str] = {}
"""Options that were renamed, and what they are called now."""


def modern(words: Sequence[str]) -> list[str]:
    """Return a command line with its options as they are called now; warn of old ones."""
    found = []
    for word in words:
        name, equals, value = word.partition("=")
        if name in OLD_OPTIONS:
            old_name(name, OLD_OPTIONS[name])
            name = OLD_OPTIONS[name]
        found.append(f"{name}{equals}{value}")
    return found


def completed(words: Sequence[str]) -> list[str]:
    """Return a command line with the values of options that stand without one.

    >>> completed(["sweep", "--confirm", "a.yaml"]), completed(["sweep", "--confirm", "3"])
    (['sweep', '--confirm', '5', 'a.yaml'], ['sweep', '--confirm', '3'])
    """
    found = []
    for at, word in enumerate(words):
        found.append(word)
        follows = words[at + 1] if at + 1 < len(words) else ""
        if word in BARE and re.fullmatch(r"(--?[a-z].*|.*/.*|.*[.]ya?ml)?", follows):  # an option, a config, or none
            found.append(BARE[word])
    return found


def option(text: str, *names: str, **more: Any) -> Any:
    """Return a typer option with this help text."""
    return typer.Option(*names, help=text, **more)


_CONFIG = "YAML config files, or configs that come with lrbench, such as digits/baseline."
Configs = Annotated[list[Path], typer.Argument(metavar="CONFIG", help=_CONFIG, show_default=False)]
ConfigsAsked = Annotated[list[Path] | None, typer.Argument(metavar="CONFIG", help=_CONFIG, show_default=False)]
"""The same where the command itself says what could be named."""
Overrides = Annotated[
    list[str] | None,
    option("Set a config key, such as optimizer.lr=0.01; repeatable.", "--set", metavar="KEY=VALUE"),
]
RunsGiven = Annotated[
    list[Path] | None,
    typer.Argument(metavar="RUNS", help="Runs or folders of runs. Default: the --runs folder."),
]
Metric = Annotated[
    str | None,
    option("Metric to compare by: val_loss, val_accuracy, best_val_loss, test_loss, … Default: val_loss, if any."),
]
Baseline = Annotated[str | None, option("Compare with these runs. Default: the best runs.", metavar="NAME")]
Jobs = Annotated[int, option("Train this many runs at once, in worker processes that share the CPU cores.", min=1)]
Again = Annotated[bool, option("Repeat runs that are already finished.", "--again")]
Device = Annotated[str | None, option("Device, instead of the config's: auto, cpu, cuda, cuda:1 or mps.")]
Track = Annotated[
    list[str] | None,
    option(
        "Log to a tool while training: tensorboard, mlflow, wandb or trackio; repeatable.", "--track", metavar="TOOL"
    ),
]
Runs = Annotated[Path, option("Folder that holds the runs.", "--runs", metavar="DIR")]
Debug = Annotated[bool, option("Show the traceback of lrbench's errors.", "--debug")]

Filters = Annotated[
    list[str] | None,
    option(
        "Use only runs whose name matches a pattern, or whose config has key=value (or !=, >=, <, …). a|b means either."
        " Repeatable; runs must match all.",
        "--filter",
        metavar="TEXT",
    ),
]
PoolCode = Annotated[
    bool, option("Group seeds even if they were trained with different versions of imported code.", "--pool-code")
]
Json = Annotated[bool, option("Print JSON, for programs.", "--json")]
JsonLines = Annotated[bool, option("Print progress and results as JSON, one object per line.", "--json")]

Executor = Annotated[str, option("Where to train: local, ray or slurm.")]
Address = Annotated[str | None, option("Address of a Ray cluster. Default: start one on this machine.")]
RunsPerGpu = Annotated[int, option("With --executor ray: this many runs share a GPU.", min=1)]
Slurm = Annotated[
    str | None,
    option(
        "With --executor slurm: what a job asks for, by sbatch's options: partition=gpu,time=4:00:00,gpus_per_node=1.",
        metavar="KEY=VALUE,…",
    ),
]
