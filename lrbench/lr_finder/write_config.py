"""`--write`: a config that extends the tested one with the rate that was found."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lrbench.components import configured_rate
from lrbench.config import Experiment, dump_yaml, load_config, overriding
from lrbench.errors import ConfigError, FolderError, RunError, UsageError
from lrbench.lr_finder.advice import Advice, Refusal
from lrbench.lr_finder.result import Finding
from lrbench.runs import write_file
from lrbench.schedules import build_schedule

MARK = "# Written by lrbench find-lr"
CYCLICAL = ("triangular", "triangular2", "exp_range", "sin", "sin2", "sinexp", "torch/CyclicLR")
ONE_CYCLE = ("one_cycle", "torch/OneCycleLR")


def check_target(path: Path, config: Path) -> None:
    """Raise UsageError, before anything is trained, where nothing could be written to `path`."""
    if path.suffix not in (".yaml", ".yml"):
        raise UsageError(f"--write {path}: must name a YAML file, such as configs/found.yaml")
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"--write {path}: {path if path.is_dir() else path.parent} is no place for a file")
    if path.resolve() == config.resolve():
        raise UsageError(f"--write {path}: is the config itself; name another file")
    if path.exists() and not _as_written(path.read_text(encoding="utf-8", errors="replace")):
        raise UsageError(f"--write {path}: is there already, and not as find-lr wrote it; name another file")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"--write {path}: {path.parent} can't be written to")


def check_schedule(experiment: Experiment, path: Path, schedule: str | None) -> None:
    """Raise ConfigError, before anything is trained, where the new config's name or schedule would not be valid."""
    named = experiment.replace(name=path.stem)
    if schedule == "range_test":
        raise ConfigError("is the test itself; name the schedule to train with", key="schedule", where="--schedule")
    if schedule is not None:
        bounds = {"base_lr": 1e-9} if schedule in CYCLICAL else {}
        try:
            part = named.replace(schedule={"name": schedule, **bounds}).schedule
            build_schedule(part, lr=1.0, total_steps=1000, steps_per_epoch=100)
        except ConfigError as error:
            hint = "; parameters it needs can be given with --set schedule.…" if "need" in error.problem else ""
            raise ConfigError(f"{error.problem}{hint}", key=error.key, where="--schedule") from None


def _as_written(text: str) -> bool:
    """True for a file that is still as `write` left it: its first line has a checksum of the others."""
    first, _, rest = text.partition("\n")
    return first.startswith(MARK) and first.endswith(_checksum(rest))


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def write_found(
    finding: Finding, path: Path, config: Path, overrides: Iterable[str], schedule: str | None
) -> Experiment:
    """Write a config that extends `config` with the rate that was found, and the bounds of a rising schedule.

    Args:
        finding: of that config, under those overrides.
        path: the new file.
        config: the file it extends.
        overrides: `key=value`, part of what was tested, and so of the new file.
        schedule: instead of the config's own: `one_cycle`, `triangular`, …

    Returns:
        What the new file says.

    Raises:
        RunError: there is no suggestion.
        ConfigError: the new config would not be valid, because of the schedule's own bounds say; nothing is written.
        FolderError: it can't be written.
    """
    if isinstance(finding.advice, Refusal):
        raise RunError(f"nothing written to {path}, since there is no suggestion: {finding.advice}")
    name = schedule or finding.experiment.schedule.name
    rate, bounds, how = _for(name, finding.advice)
    whole: dict[str, Any] = overriding(overrides)
    whole = {
        "extends": Path(os.path.relpath(config.resolve(), path.parent.resolve())).as_posix(),
        "name": path.stem,
        **{key: value for key, value in whole.items() if key != "name"},
    }
    whole["optimizer"] = {**whole.get("optimizer", {}), "lr": rounded(rate / _scaling(finding))}
    if schedule is not None or bounds:
        whole["schedule"] = {**whole.get("schedule", {}), "name": name, **bounds}
    seeds = f"{len(finding.curves)} seed{'s' * (len(finding.curves) > 1)}"
    body = f"# {how} ({seeds}).\n{dump_yaml(whole)}"
    text = f"{MARK} {config.name}; as long as nothing is edited below, it may write it again: {_checksum(body)}\n{body}"
    made = _read_back(text, path)
    write_file(path, text)
    return made


def rounded(rate: float) -> float:
    """Two significant digits, which is more than a range test knows."""
    return float(f"{rate:.1e}")


def _for(schedule: str, advice: Advice) -> tuple[float, dict[str, float], str]:
    """The peak rate for a schedule, its lower bound where it rises from one, and how they were come by."""
    if schedule in ONE_CYCLE:
        return advice.maximum, {}, advice.how["maximum"]
    if schedule in CYCLICAL:
        return advice.high, {"base_lr": rounded(advice.low)}, advice.how["high"]
    return advice.initial, {}, advice.how["initial"]


def _scaling(finding: Finding) -> float:
    """What `lr_scaling` will multiply the rate by."""
    experiment = finding.experiment
    if experiment.lr_scaling is None:
        return 1.0
    sizes = finding.folder.seed(finding.curves[0].seed).environment().get("sizes") or {}
    scaled = experiment.scaled_optimizer(sizes.get("train_examples"))
    return configured_rate(scaled) / configured_rate(experiment.optimizer)


def _read_back(text: str, path: Path) -> Experiment:
    """The experiment of the new file, from a copy beside it that is gone afterwards."""
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", suffix=".yaml", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            return load_config(file.name)
    except ConfigError as error:
        raise ConfigError(f"the config that would be written is not valid: {error.problem}", key=error.key) from None
    except OSError as error:
        raise FolderError(f"cannot write {path}: {error.strerror}") from error
