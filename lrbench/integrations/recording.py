"""`record`: begin to record a training script's run, whether lrbench has started it or not."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrbench.config import RecordedConfig
from lrbench.errors import ArgumentError, UsageError
from lrbench.integrations import processes
from lrbench.integrations.cell import given_values
from lrbench.integrations.places import RUN, OfCommand, Standalone, new_run
from lrbench.integrations.processes import say
from lrbench.integrations.recorder import OPEN, Recorder, check_steps
from lrbench.integrations.values import directions, settings
from lrbench.runs import Recorded, relative

_of_commands: dict[Path, Recorder] = {}
"""What this process has recorded into the folders of commands; usually one."""


def record(
    name: str | None = None,
    *,
    config: Any = None,
    seed: int | None = None,
    runs: str | os.PathLike[str] = "runs",
    metrics: Mapping[str, str] | None = None,
    best_by: str = "val_loss",
    total_steps: int | None = None,
    resume: bool = False,
    rank: int | None = None,
    by: str = "lrbench.record",
) -> Recorder:
    """Begin to record this program's run. Use it in a `with` statement, or call `finish()` at the end.

    Under `lrbench run` or `sweep` the rows go to the folder of the run that lrbench has started. Otherwise they go to a
    folder of their own in `runs`, which is known by the name, the config and the seed: the same again starts over.

    Args:
        name: the run's name; by default, the script's.
        config: the settings that matter, such as `{"lr": 0.1, "batch_size": 64}`: a mapping, an `argparse.Namespace`,
            a dataclass. Runs that differ only in the seed are compared as repeats, so leave out paths and the like.
        seed: the seed, unless `config` has it as `seed`. Without one, each run is a repeat of its own.
        runs: the folder for run folders.
        metrics: which way is better, as in `{"f1": "higher"}`, for metrics that lrbench does not know.
        best_by: the validation metric of the best evaluation.
        total_steps: the length of the run in steps.
        resume: go on after the rows of an earlier process instead of starting over. Rows from the first step on that is
            recorded again are removed.
        rank: this process's rank; only rank 0 writes. By default it is detected from torch.distributed or the
            environment (`RANK`, `SLURM_PROCID`, `OMPI_COMM_WORLD_RANK`).
        by: what records, as reports show it.

    Raises:
        ArgumentError, ConfigError: an argument is invalid.
        LockedError: another process is recording this run.
        FolderError: the folder can't be written.
        UsageError: this program has recorded a run already, and lrbench has started it for one.
    """
    if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 0):
        raise ArgumentError(f"rank must be a whole number from 0, or None to detect it (got {rank!r:.40})")
    if not isinstance(runs, str | os.PathLike):
        raise ArgumentError(f"runs must be the path of a folder (got {runs!r:.40})")
    found, said_by = processes.rank() if rank is None else (rank, "")
    if found != 0:
        if said_by not in ("", "torch.distributed", "RANK"):
            say(f"rank {found} ({said_by}) records nothing; if it trains a model of its own, pass rank=0")
        return Recorder(None)
    params = settings(config)
    seed = _seed(params, seed)
    check_steps(total_steps)
    recorded = Recorded(by=by, metrics=directions(metrics), params=params, total_steps=total_steps)
    if os.environ.get(RUN):
        return _in_command(Path(os.environ[RUN]), name, recorded, seed, resume)
    plain = {"name": name or processes.script_name(), "recorded": by, "params": params, "best_by": best_by}
    repeat = {"run": new_run()} if seed is None else {"seed": seed}
    known = RecordedConfig.of({**plain, **repeat}, {}, "lrbench.record")
    return Recorder(_alone(Path(runs), known, recorded, resume))


def _in_command(path: Path, name: str | None, recorded: Recorded, seed: int | None, resume: bool) -> Recorder:
    """Record into the folder of the run that lrbench has started. Raises UsageError if that was done already."""
    before = _of_commands.get(path)
    if before is not None and not before.unfinished:
        problem = "lrbench started this program for one run, which it has recorded already"
        raise UsageError(f"{problem}; make what differs a parameter of the config, so that each is its own run")
    values = given_values()
    wrong = {key: value for key, value in recorded.params.items() if key in values and value not in (None, values[key])}
    if seed is not None and values.get("seed", seed) != seed:
        wrong["seed"] = seed
        say(f"the script's seed is {seed}, where lrbench gave it {values['seed']}; use lrbench.param('seed', {seed})")
    told = {"name": name, "seed": seed}
    known = {**recorded.params, **{key: value for key, value in told.items() if value is not None}}
    place = OfCommand(path, dataclasses.replace(recorded, params=known), resume=resume)
    for key, value in wrong.items():
        place.writer.note(f"the program says that {key} is {value}, where its config says {values[key]}")
    _of_commands[path] = made = Recorder(place)
    return made


def _alone(root: Path, config: RecordedConfig, recorded: Recorded, resume: bool) -> Standalone:
    mine = [one for one in OPEN.values() if isinstance(one.place, Standalone) and one.place.config == config]
    mine = [one for one in mine if one.place is not None and one.place.folder.path.parent == root]
    for other in mine:
        other.leave()
    made = Standalone(root, config, recorded, resume=resume)
    path = relative(made.folder.path)
    which = "the one that this process had begun" if mine else f"one that was {made.replaced and made.replaced.words}"
    again = f"; this replaces {which}" if made.replaced is not None else ""
    say(f"recording {path}{again}")
    return made


def _seed(params: dict[str, Any], seed: Any) -> int | None:
    """Take the seed out of the settings. Raises ArgumentError."""
    inside = params.pop("seed", None)
    if seed is None:
        seed = inside
    elif inside is not None and inside != seed:
        raise ArgumentError(f"seed is {seed}, but config has {inside}; give it once")
    if seed is None:
        return None
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or int(seed) < 0:
        raise ArgumentError(f"seed must be a whole number from 0, or None if there is none (got {seed!r:.40})")
    return int(seed)
