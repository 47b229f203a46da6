"""`lrbench.run` and `lrbench.find_lr`: on configs as the commands are, or on Python objects.

They turn a model, data, an optimizer and a loss into an experiment whose parts are import strings of this module,
`lrbench.objects:NAME`. From there on it is like any other. Your objects never change: runs work on copies. Nothing else
in the package imports this module, and torch is imported only at a call.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from lrbench import training
from lrbench.config import Experiment
from lrbench.errors import ArgumentError
from lrbench.events import Watch, silent
from lrbench.lr_finder import Finding, Ramp
from lrbench.lr_finder import find_lr as range_test
from lrbench.training import Outcomes, held
from lrbench.types import AT_LEAST_1, NOTHING, NUMBER


def run(
    configs: Iterable[str | Path | Experiment] | None = None,
    *,
    model: Any = None,
    data: Any = None,
    optimizer: Any = None,
    loss: Any = None,
    task: Any = None,
    schedule: Any = None,
    lr: float | None = None,
    seeds: int | None = None,
    runs: str | Path = "runs",
    device: str | None = None,
    again: bool = False,
    progress: bool | None = None,
    watch: Watch | None = None,
    **settings: Any,
) -> Outcomes:
    """Train configs. Or train Python objects: `run(model=…, data=…, optimizer=…, epochs=10)`.

    Finished runs under `runs` are looked up, not repeated; interrupted runs are resumed. Your objects stay as they are,
    weights and random generators too: runs work on copies.

    Args:
        configs: YAML files or experiments.
        model: an nn.Module; or a function or class that makes a fresh one, as more than one seed needs.
        data: a DataLoader, a pair of tensors (inputs, targets) or a Dataset; or several of these, as (train, test),
            (train, validation, test) or a mapping with these keys. Without validation data, 20% of the training data
            are split off. Of a DataLoader that only shuffles, lrbench reads the Dataset in an order of its own.
        optimizer: a name or block such as `{"name": "adamw", "lr": 0.001}`, a class, a function of the parameters, or
            an optimizer over the model's parameters, whose class and settings are taken, but not its state.
        loss: a name or block, an nn.Module or a function of (outputs, targets).
        task: a name, an object with `loss(model, batch)`, or a function of (model, batch), instead of `loss`.
        schedule: a name or block, or a function of the step.
        lr: the peak learning rate, instead of the optimizer's own.
        seeds: train with this many seeds, counted up from `seed`.
        runs: the folder that holds the runs; created if missing.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`, instead of the configs' own.
        again: repeat runs that are already finished.
        progress: show progress in the terminal; by default for objects.
        watch: called with progress events, instead of showing them.
        settings: for objects, the other keys of a config: `epochs` or `steps`, `batch_size`, `name`, `seed`, `warmup`,
            `metrics`, `track`, …; for configs, `overrides` (texts `key=value`), `jobs` (runs at once), `track` (tools
            that follow the runs, such as `tensorboard`) and `wait` (for runs of another process, True by default).

    Returns:
        One outcome per distinct run.

    Raises:
        ConfigError, DataError, UsageError: the request is invalid; nothing was trained.
    """
    objects = {"model": model, "data": data, "optimizer": optimizer, "loss": loss, "task": task, "schedule": schedule}
    how: dict[str, Any] = {"runs": runs, "seeds": seeds, "device": device, "again": again}
    if lr is None and not _given(objects):
        with _shown(progress or False, watch) as events:
            return training.run(configs, watch=events, **how, **settings)  # type: ignore[arg-type]
    one = _experiment("run", configs, objects, settings, seeds=1 if seeds is None else seeds, lr=lr)
    with _shown(progress is not False, watch) as events, _unchanged(data):
        return training.run([one], watch=events, **how)


def find_lr(
    config: str | Path | Experiment | None = None,
    *,
    model: Any = None,
    data: Any = None,
    optimizer: Any = None,
    loss: Any = None,
    task: Any = None,
    seeds: int | None = None,
    runs: str | Path = "runs",
    device: str | None = None,
    again: bool = False,
    progress: bool | None = None,
    watch: Watch | None = None,
    **settings: Any,
) -> Finding:
    """Run a learning rate range test: train with a rising learning rate and see where the loss falls and rises.

    `find_lr(model=…, data=…, optimizer=…)` does so for Python objects, which stay as they are. Every seed leaves its
    curve in a folder under `runs`. Finished seeds are not repeated.

    Args:
        config: a YAML file or an experiment; its schedule, warm-up, plateau rule and length are ignored.
        model: as for `run`; so are `loss` and `task`.
        data: as for `run`, but validation data is not needed.
        optimizer: as for `run`; its groups keep the ratios of their learning rates.
        loss: see `model`.
        task: see `model`.
        seeds: the number of seeds, counted up from the config's own; by default 3, or 1 for an nn.Module.
        runs: the folder that holds the runs; created if missing.
        device: instead of the config's own.
        again: repeat seeds that are already finished.
        progress: show progress in the terminal; by default for objects.
        watch: called with progress events, instead of showing them.
        settings: `start`, `end`, `iterations`, `shape`, `smoothing`, `stop_factor`, `validation`; see `Ramp`. Besides,
            for objects, the other keys of a config, such as `batch_size`; for configs, `overrides` (texts `key=value`)
            and `options` (a RunOptions: how the tests are executed).

    Raises:
        ConfigError, DataError, UsageError: the request is invalid; nothing was trained.
        Interrupted: a signal arrived; the same call resumes.
        RunError: the training failed.
    """
    objects = {"model": model, "data": data, "optimizer": optimizer, "loss": loss, "task": task}
    single = callable(getattr(model, "named_parameters", None)) and not isinstance(model, type)
    how: dict[str, Any] = {"seeds": (1 if single else 3) if seeds is None else seeds}
    how |= {"runs": runs, "device": device, "again": again}
    if not _given(objects):
        with _shown(progress or False, watch) as events:
            return range_test(config, watch=events, **how, **settings)  # type: ignore[arg-type]
    ramp = {name: value for name, value in settings.items() if name in Ramp.__dataclass_fields__}
    keys = {"steps": 1, **{name: value for name, value in settings.items() if name not in ramp}}
    divided = bool(ramp.get("validation"))
    one = _experiment("find_lr", config, objects, keys, seeds=how["seeds"], divided=divided)
    with _shown(progress is not False, watch) as events, _unchanged(data):
        return range_test(one, watch=events, **how, **ramp)


def _given(objects: Mapping[str, Any]) -> bool:
    return any(value is not None for value in objects.values())


def _experiment(
    function: str,
    configs: Any,
    objects: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    seeds: int,
    lr: float | None = None,
    divided: bool = True,
) -> Experiment:
    """Return the experiment of the objects. Raises ArgumentError for arguments that are for configs."""
    if configs is not None:
        raise ArgumentError(f"{function}: give configs, or objects such as model= and data=, not both")
    for name, instead in _FOR_CONFIGS.items():
        if name in settings:
            raise ArgumentError(f"{function}: {name} is for configs, not for objects; {instead}")
    from lrbench.training import experiment_of

    rate = (NUMBER | NOTHING).of("lr", lr)
    return experiment_of(objects, settings, AT_LEAST_1.of("seeds", seeds), lr=rate, divided=divided)


_FOR_CONFIGS = {
    "overrides": "give the keys themselves, such as batch_size=64",
    "jobs": "other processes don't have them, so runs are trained one after another",
    "options": "other processes don't have them, so tests run one after another",
    "wait": "name another folder of runs",
}


def _unchanged(data: Any) -> AbstractContextManager[None]:
    from lrbench.training import unchanged  # torch takes a second

    return unchanged(data)


@contextlib.contextmanager
def _shown(progress: bool, watch: Watch | None) -> Iterator[Watch]:
    """Yield the function that events go to: the user's, a progress display, or none."""
    if watch is not None or not progress:
        yield silent if watch is None else watch
        return
    from lrbench.cli import Terminal, progress_display  # rich takes a moment

    with progress_display(Terminal()) as display:
        yield display


def __getattr__(name: str) -> Any:
    return held(name)
