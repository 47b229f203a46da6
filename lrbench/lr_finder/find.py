"""`lrbench find-lr`: the range test of several seeds, and what it says."""

from __future__ import annotations

import functools
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lrbench.config.load import Experiment, load_config
from lrbench.errors import Interrupted, RunError, Terminated, UsageError
from lrbench.events import Event, Watch, message, silent
from lrbench.lr_finder.folder import FinderFolder
from lrbench.lr_finder.result import Finding, conclude
from lrbench.lr_finder.settings import Ramp
from lrbench.runs.environment import changes, describe
from lrbench.runs.folder import RunFolder
from lrbench.training.outcome import check_built, nearest
from lrbench.training.run_one import StopFlag, do_run
from lrbench.training.runner import POLL_SECONDS


def find_lr(
    config: str | Path | Experiment,
    *,
    runs: str | Path = "runs",
    overrides: Iterable[str] = (),
    seeds: int = 3,
    device: str | None = None,
    again: bool = False,
    watch: Watch = silent,
    **ramp: Any,
) -> Finding:
    """The learning rate range test: train on a rising rate, with several seeds, and see where the loss falls and rises.

    Every seed begins with a fresh model, and nothing of it remains but its curve, in a folder under `runs`. What is
    done already is not done again, so that more seeds only add what is missing.

    Args:
        config: a YAML file or an experiment; its schedule, warm-up, plateau rule and length play no part.
        runs: the folder that holds the runs' folders; made if need be.
        overrides: `key=value`, as `load_config` takes them; for a file only.
        seeds: how many, counted up from the config's own.
        device: instead of the config's own.
        again: test anew even what is done.
        watch: is told of progress.
        ramp: `start`, `end`, `iterations`, `shape`, `smoothing`, `stop_factor`, `validation`; see `Ramp`.

    Raises:
        ConfigError, DataError, UsageError: something asked for can't be done; nothing was trained.
        Interrupted: a signal came; the same call goes on.
        RunError: the training failed.
    """
    settings = _ramp(ramp)
    if seeds < 1:
        raise UsageError(f"--seeds must be at least 1 (got {seeds})")
    experiment = config if isinstance(config, Experiment) else load_config(config, overrides)
    experiment = experiment if device is None else experiment.replace(device=device)
    root = Path(runs)
    nearest(root)
    folder = FinderFolder.of(root, experiment, settings)
    chosen = range(experiment.seed, experiment.seed + seeds)
    tests = {seed: settings.over(experiment, seed) for seed in chosen}
    todo = [seed for seed, test in tests.items() if again or folder.seed(seed).result_of(test) is None]
    if todo:
        watch(message(f"checking {experiment.name}"))
        check_built(tests[todo[0]], experiment)
        watch(Event("", "plan", values={"runs": len(todo)}))
    for change in sorted({c for s in tests if s not in todo for c in changes(folder.seed(s).environment(), tests[s])}):
        watch(message(f"{change} since this test was made; --again repeats it"))
    stop = StopFlag()
    with stop.on_signals():
        try:
            for seed in todo:
                _wait_for(folder.seed(seed), watch, stop)
                if again or folder.seed(seed).result_of(tests[seed]) is None:
                    _test(folder, tests[seed], settings, again, watch, stop)
        except Interrupted as error:
            kind = Terminated if stop.signal == signal.SIGTERM else Interrupted
            raise kind(f"{error}; the same command goes on from there") from None
    return _keep(conclude(folder, experiment, settings, [folder.curve(seed) for seed in chosen]))


def _ramp(given: dict[str, Any]) -> Ramp:
    try:
        return Ramp(**given)
    except TypeError as error:
        raise UsageError(f"find_lr: {error}; it takes {', '.join(Ramp.__dataclass_fields__)}") from None


def _test(folder: FinderFolder, test: Experiment, ramp: Ramp, again: bool, watch: Watch, stop: StopFlag) -> None:
    """Do one seed's test, or go on with it."""
    from lrbench.lr_finder.range_test import range_test
    from lrbench.training.build import resolve_device

    run = folder.seed(test.seed)
    run.make()
    with run.lock():
        if not run.has_config or again or not run.has_checkpoint:
            run.clear()
            run.create(test, describe(test, device=str(resolve_device(test.device))))
    result = do_run(run.path, threads=None, watch=watch, stop=stop, train=functools.partial(range_test, ramp=ramp))
    if result["status"] == "failed":
        raise RunError(f"seed {test.seed}: {result['reason']}")


def _wait_for(run: RunFolder, watch: Watch, stop: StopFlag) -> None:
    """Wait while another process is at a seed's test. Raises Interrupted where a signal ends that."""
    told = False
    while run.busy:
        if stop():
            raise Interrupted(f"{run.name} is left to the process that is at it")
        if not told:
            told = True
            watch(message(f"{run.name} is being tested by {run.owner}; waiting for it"))
        time.sleep(POLL_SECONDS)


def _keep(finding: Finding) -> Finding:
    curves = [(curve, curve.smoothed(finding.ramp.smoothing)) for curve in finding.curves]
    finding.folder.write(finding.plain(), curves)
    return finding
