"""`--write`: write a config that extends the tested one with the learning rate that was found."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lrbench.components import at_rate, configured_rate
from lrbench.config import Experiment, bundled_name, dump_yaml, load_config, located, overriding, own, read_bytes
from lrbench.errors import ConfigError, FolderError, RunError, UsageError, counted, option
from lrbench.lr_finder.advice import Advice, Refusal
from lrbench.lr_finder.result import Finding
from lrbench.runs import check_output, write_file
from lrbench.schedules import build_schedule

MOST_BYTES = 1_000_000
MARK = "# Written by lrbench find-lr"
CYCLICAL = ("triangular", "triangular2", "exp_range", "sin", "sin2", "sinexp", "torch/CyclicLR")
ONE_CYCLE = ("one_cycle", "torch/OneCycleLR")


def check_target(path: Path, config: Path) -> None:
    """Raise UsageError, before anything is trained, if `path` can't be written."""
    if path.suffix not in (".yaml", ".yml"):
        raise UsageError(f"{_path()} must be a YAML file, such as configs/found.yaml (got {path})")
    check_output(path, _path())
    if not path.parent.is_dir():
        raise UsageError(f"{_path()} {path}: folder {path.parent} does not exist")
    if path.resolve() == located(config).resolve():
        raise UsageError(f"{_path()} {path} is the tested config itself; name another file")
    if os.path.lexists(path) and not _as_written(path):
        raise UsageError(
            f"{_path()} {path} exists and was not written by find-lr, or was edited since; name another file"
        )


def check_schedule(experiment: Experiment, path: Path, schedule: str | None) -> None:
    """Raise ConfigError, before anything is trained, if the new config's name or schedule is invalid."""
    named = experiment.replace(name=path.stem)
    if schedule == "range_test":
        raise ConfigError(
            "can't be range_test; name a schedule to train with", key="schedule", where=option("--schedule")
        )
    if schedule is not None:
        bounds = {"base_lr": 1e-9} if schedule in CYCLICAL else {}
        try:
            part = named.replace(schedule={"name": schedule, **bounds}).schedule
            build_schedule(part, lr=1.0, total_steps=1000, steps_per_epoch=100)
        except ConfigError as error:
            hint = f"; set it with {option('--set')} schedule.…" if "need" in error.problem else ""
            raise ConfigError(f"{error.problem}{hint}", key=error.key, where=option("--schedule")) from None


def _path() -> str:
    return option("--write", "path")


def _as_written(path: Path) -> bool:
    """Return whether a file is as `write_found` left it: its first line has a checksum of the others."""
    try:
        text = read_bytes(path, MOST_BYTES).decode()
    except (OSError, ValueError):
        return False
    first, _, rest = text.partition("\n")
    return first.startswith(MARK) and first.endswith(_checksum(rest))


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def write_found(
    finding: Finding, path: Path, config: Path, overrides: Iterable[str], schedule: str | None
) -> Experiment:
    """Write a config that extends `config` with the learning rate found and the bounds of a cyclical schedule.

    Args:
        finding: the finding for that config with these overrides.
        path: the new file.
        config: the file it extends.
        overrides: `key=value`, which were part of the test and so go into the new file.
        schedule: instead of the config's own: `one_cycle`, `triangular`, …

    Returns:
        The experiment of the new file.

    Raises:
        RunError: there is no suggestion.
        ConfigError: the new config would be invalid, for example because of the schedule's bounds.
        FolderError: the file can't be written.
    """
    if isinstance(finding.advice, Refusal):
        raise RunError(f"did not write {path}: there is no suggestion: {finding.advice}")
    name = schedule or _tested(finding).schedule.name
    rate, bounds, how = _for(name, finding.advice)
    file = os.path.relpath(located(config).resolve(), path.parent.resolve())
    extended = bundled_name(config) or Path(file).as_posix()
    whole: dict[str, Any] = {"extends": extended, "name": path.stem, **overriding(overrides)}
    whole["name"] = path.stem  # even if an override names the tested run
    whole["optimizer"] = {**whole.get("optimizer", {}), **_peaks(finding, rounded(rate / _scaling(finding)))}
    if _tested(finding).law is not None:  # the learning rate found takes its place
        whole["lr_scaling"] = None
    if schedule is not None or bounds:
        whole["schedule"] = {**whole.get("schedule", {}), "name": name, **bounds}
    seeds = f"{counted(len(finding.curves), 'seed')}"
    body = f"# {how} ({seeds}).\n{dump_yaml(whole)}"
    text = f"{MARK} {config.name}, which may overwrite this file until it is edited: {_checksum(body)}\n{body}"
    made = _read_back(text, path)
    write_file(path, text)
    return made


def _peaks(finding: Finding, lr: float) -> dict[str, float]:
    """Return the learning rate to write, and with it Muon's `adamw_lr`, which the test raised in the same ratio."""
    params = at_rate(_tested(finding).optimizer, lr).params
    return {"lr": lr} | ({} if params.get("adamw_lr") is None else {"adamw_lr": rounded(params["adamw_lr"])})


def rounded(rate: float) -> float:
    """Round to two significant digits; a range test is less precise than that."""
    return float(f"{rate:.1e}")


def _for(schedule: str, advice: Advice) -> tuple[float, dict[str, float], str]:
    """Return the peak learning rate for a schedule, its lower bound if it has one, and the reason."""
    if schedule in ONE_CYCLE:
        return advice.maximum, {}, advice.how["maximum"]
    if schedule in CYCLICAL:
        return advice.high, {"base_lr": rounded(advice.low)}, advice.how["high"]
    return advice.initial, {}, advice.how["initial"]


def _scaling(finding: Finding) -> float:
    """Return the factor by which `lr_scaling` will multiply the learning rate."""
    experiment = _tested(finding)
    if experiment.lr_scaling is None or experiment.law is not None:
        return 1.0
    sizes = finding.folder.seed(finding.curves[0].seed).environment().sizes
    scaled = experiment.scaled_optimizer(sizes.train_examples)
    return configured_rate(scaled) / configured_rate(experiment.optimizer)


def _tested(finding: Finding) -> Experiment:
    return own(finding.experiment, "no config can be written for it")


def _read_back(text: str, path: Path) -> Experiment:
    """Validate the new file through a temporary copy in the same folder and return its experiment."""
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", suffix=".yaml", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            return own(load_config(file.name), "no schedule can be written for it")
    except ConfigError as error:
        raise ConfigError(f"the config to write would be invalid: {error.problem}", key=error.key) from None
    except OSError as error:
        raise FolderError(f"cannot write {path}: {error.strerror}") from error
