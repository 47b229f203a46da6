"""`lrbench find-lr`: run the range test with several seeds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lrbench.config import CONFIG, Experiment, RunConfig, load_config, own
from lrbench.errors import FolderError, RunError, UsageError, option
from lrbench.events import Watch, message, silent
from lrbench.lr_finder.folder import FinderFolder
from lrbench.lr_finder.ramped_training import RampedTraining
from lrbench.lr_finder.result import Finding, conclude, load
from lrbench.lr_finder.settings import Ramp
from lrbench.runs import nearest
from lrbench.training import RunOptions, do_runs, look_in, stopped
from lrbench.types import FUNCTION, NOTHING, PATH, SWITCH, TEXT, TEXTS, WHOLE, Kind, arguments


@arguments(
    config=CONFIG,
    runs=PATH,
    overrides=TEXTS,
    seeds=WHOLE,
    device=TEXT | NOTHING,
    again=SWITCH,
    options=Kind("a RunOptions", lambda value: isinstance(value, RunOptions)) | NOTHING,
    watch=FUNCTION,
)
def find_lr(
    config: str | Path | RunConfig,
    *,
    runs: str | Path = "runs",
    overrides: Iterable[str] = (),
    seeds: int = 3,
    device: str | None = None,
    again: bool = False,
    options: RunOptions | None = None,
    watch: Watch = silent,
    **ramp: Any,
) -> Finding:
    """Run a learning rate range test: train with a rising learning rate and see where the loss falls and rises.

    Every seed starts with a fresh model and leaves its curve in a folder under `runs`. Finished seeds are not repeated.

    Args:
        config: a YAML file or an experiment; its schedule, warm-up, plateau rule and length are ignored.
        runs: the folder that holds the runs; created if missing.
        overrides: `key=value`, as for `load_config`; for a file only.
        seeds: the number of seeds, counted up from the config's own.
        device: instead of the config's own.
        again: repeat seeds that are already finished.
        options: how the tests are executed; by default one after another in this process.
        watch: called with progress events.
        ramp: `start`, `end`, `iterations`, `shape`, `smoothing`, `stop_factor`, `validation`; see `Ramp`.

    Raises:
        ConfigError, DataError, UsageError: the request is invalid; nothing was trained.
        Interrupted: a signal arrived; the same call resumes.
        RunError: the training failed.
    """
    settings = _ramp(ramp)
    if seeds < 1:
        raise UsageError(f"{option('--seeds')} must be at least 1 (got {seeds})")
    options = options or RunOptions(again=again)
    given = config if isinstance(config, RunConfig) else load_config(config, overrides)
    experiment = own(given, "use lrbench.RangeTest in its training loop")
    experiment = experiment if device is None else experiment.replace(asked_by=option("--device"), device=device)
    root = Path(runs).absolute()
    nearest(root)
    folder, kind = FinderFolder.of(root, experiment, settings), RampedTraining(settings)
    chosen = range(experiment.seed, experiment.seed + seeds)
    tests = {seed: settings.over(experiment, seed) for seed in chosen}
    outcomes = [look_in(folder.seed(seed), test, kind, options.again) for seed, test in tests.items()]
    for warning in sorted({warning for outcome in outcomes for warning in outcome.warnings}):
        watch(message(warning.replace("this run", "this test")))
    do_runs(outcomes, root, options, watch)
    for outcome in outcomes:
        if outcome.undone:
            raise RunError(f"seed {outcome.experiment.seed}: {outcome.message}")
    if (interrupted := stopped(outcomes)) is not None:
        raise interrupted
    finding = conclude(folder, experiment, settings, [folder.curve(seed) for seed in chosen])
    folder.write(finding.plain(), finding.curves, settings.smoothing)
    return finding


def known_finding(experiment: Experiment, root: Path) -> Finding | None:
    """Return the finding of an existing range test with default settings; None if there is none."""
    folder = FinderFolder.of(root, experiment, Ramp())
    try:
        return load(folder) if folder.path.is_dir() else None
    except FolderError:
        return None


def _ramp(given: dict[str, Any]) -> Ramp:
    try:
        return Ramp(**given)
    except TypeError as error:
        problem = str(error).removeprefix("Ramp.__init__() ")
        raise UsageError(f"find_lr: {problem}; settings: {', '.join(Ramp.__dataclass_fields__)}") from None
