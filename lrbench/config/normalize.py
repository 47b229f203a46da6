"""Shorthand in a config, written out so that a run has one identity however it is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrbench.components import OF_TASK, GroupRules, adam_beta2, usual_loss
from lrbench.config import branches
from lrbench.config.files import exists, run_notes
from lrbench.config.law import read_law
from lrbench.config.rules import InitRule, usual_rule
from lrbench.errors import ConfigError
from lrbench.schedules import PLATEAUS, UNTUNED, untuned
from lrbench.types import Duration, Part, part_of


def written_out(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Replace a config's shorthand. Raises ConfigError."""
    return _defaults(
        _task(_groups(_batch(_warmup(_peak(_earlier(branches.written_out({**plain, **_plateau(plain)})))))))
    )


def _task(plain: dict[str, Any]) -> dict[str, Any]:
    """Write out `step:`, the loss of a task, and the names and directions of metrics."""
    if "step" in plain and plain["step"] is None:
        plain = {k: v for k, v in plain.items() if k != "step"}
    if (step := plain.get("step")) is not None:
        if not isinstance(step, str) or ":" not in step:
            problem = (
                f"must be an import string of a function of (model, batch), such as 'mine:step' (got {step!r:.60})"
            )
            raise ConfigError(f"{problem}; the length of a run is `steps`", key="step")
        if plain.get("task") is not None:
            raise ConfigError("is itself a task; remove `task`", key="step")
        plain = {**{k: v for k, v in plain.items() if k != "step"}, "task": {"name": step}}
    task, metrics, data = plain.get("task"), plain.get("metrics"), plain.get("dataset")
    if task is None and _name_of(data) == "text":
        task = "language_model"
    if isinstance(metrics, Mapping) and "name" not in metrics:
        plain = {**plain, "metrics": [{"name": str(name), "better": better} for name, better in metrics.items()]}
    elif isinstance(metrics, str | Mapping):
        plain = {**plain, "metrics": [metrics]}
    if task is not None and not isinstance(task, str | Mapping | Part):
        return plain
    part = Part.of("classification" if task is None else task)
    if task is not None or plain.get("loss") is not None:
        plain = {**plain, "loss": _named(plain.get("loss"), usual_loss(part.name))}
    if task is None:
        return plain
    missing = ("model", "dataset") if part.imported else ()
    made = {key: {"name": OF_TASK} for key in missing if plain.get(key) is None}
    return {**plain, "task": part.plain(), **made}


def _named(loss: Any, usual: Part) -> Any:
    """Return a `loss:` block with the task's usual name and values where it has none."""
    if loss is None:
        return usual.plain()
    return {**usual.plain(), **loss} if isinstance(loss, Mapping) and "name" not in loss else loss


_CLASSIFICATION = {"name": "classification"}
_DEFAULTS = {
    "task": _CLASSIFICATION,
    "accumulate": 1,
    "drop_last": False,
    "best_by": "val_loss",
    "on_non_finite": "stop",
    "keep": "best",
}


def _defaults(plain: dict[str, Any]) -> dict[str, Any]:
    """Remove defaults of keys that are younger than the first identities."""
    return {k: v for k, v in plain.items() if k not in _DEFAULTS or v is True or v != _DEFAULTS[k]}


def _name_of(part: Any) -> Any:
    """Return the name in a part's block."""
    if isinstance(part, Part):
        return part.name
    return part.get("name") if isinstance(part, Mapping) else part


def _plateau(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Replace `schedule: hf/reduce_lr_on_plateau` by a schedule and a `plateau:` block."""
    given = plain.get("schedule")
    name = _name_of(given)
    if not isinstance(name, str) or name not in PLATEAUS.entries:
        return {}
    if plain.get("plateau") is not None:
        raise ConfigError(f"{name} is already a plateau rule; a config can have only one", key="plateau")
    blocks: dict[str, Any] = PLATEAUS.build(Part.of(given), "schedule")
    return blocks


def _peak(plain: dict[str, Any]) -> dict[str, Any]:
    """Move a schedule's absolute peak, torch's `max_lr`, to the optimizer, whose lr is the peak of every schedule."""
    peak, optimizer = _absolute_peak(plain.get("schedule")), plain.get("optimizer")
    if peak is None or not isinstance(optimizer, str | Mapping | Part):
        return plain
    part = Part.of(optimizer)
    if part.params.get("lr", peak) != peak:
        problem = f"is {peak:g}, but optimizer.lr, the peak of every schedule, is {part.params['lr']}"
        raise ConfigError(f"{problem}; remove max_lr", key="schedule.max_lr")
    if plain.get("lr_scaling") is not None:
        raise ConfigError("can't be scaled by lr_scaling; set optimizer.lr instead", key="schedule.max_lr")
    return {**plain, "optimizer": {**part.plain(), "lr": peak}}


def _absolute_peak(schedule: object) -> float | None:
    """Return the `max_lr` of a schedule or of a part of a sequence."""
    params = schedule.params if isinstance(schedule, Part) else schedule
    if not isinstance(params, Mapping):
        return None
    peak = params.get("max_lr")
    if isinstance(peak, int | float) and not isinstance(peak, bool):
        return float(peak)
    parts = params.get("parts")
    inner = [_absolute_peak(part) for part in parts] if isinstance(parts, list) else []
    return next((peak for peak in inner if peak is not None), None)


def _warmup(plain: dict[str, Any]) -> dict[str, Any]:
    """Replace `warmup: 10%` by `{for: 10%}`, and `untuned` by the number of steps that suits the optimizer."""
    block = plain.get("warmup")
    if isinstance(block, str | int | float) and not isinstance(block, bool):
        block = {"for": block}
        plain = {**plain, "warmup": block}
    if not isinstance(block, Mapping) or block.get("for") != UNTUNED:
        return plain
    if block.get("shape", "linear") != "linear" or block.get("from_factor", 0) != 0:
        raise ConfigError("untuned is linear and starts at 0; remove shape and from_factor", key="warmup")
    optimizer = plain.get("optimizer")
    beta2 = adam_beta2(Part.of(optimizer)) if isinstance(optimizer, str | Mapping | Part) else None
    if beta2 is None:
        problem = "untuned is only for Adam and its variants (adam, adamw, nadam, …); give a duration such as 5%"
        raise ConfigError(problem, key="warmup.for")
    return {**plain, "warmup": {"for": untuned(beta2)}}


def _earlier(plain: dict[str, Any]) -> dict[str, Any]:
    """Write out `init_from` and `continue`, with the identity of the run they name; the length of the latter too."""
    blocks: dict[str, Any] = {key: plain[key] for key in ("init_from", "continue") if plain.get(key) is not None}
    if not isinstance(blocks.get("init_from", ""), str | Mapping | InitRule):
        problem = f"must be a run's folder, or {{run: runs/…, weights: best}} (got {blocks['init_from']!r:.60})"
        raise ConfigError(problem, key="init_from")
    if isinstance(blocks.get("init_from"), str):
        blocks["init_from"] = {"run": blocks["init_from"]}
    if isinstance(blocks.get("continue"), str | int | float):
        problem = f"must name the run: {{run: runs/…, for: 10 epochs}} (got {blocks['continue']!r:.60})"
        raise ConfigError(problem, key="continue")
    plain = {**plain, **{key: _identified(key, block) for key, block in blocks.items()}}
    following = plain.get("continue")
    if not isinstance(following, Mapping) or "for" not in following:
        return plain
    try:
        duration = Duration.parse(following["for"], "epochs")
    except ValueError as error:
        raise ConfigError(str(error), key="continue.for") from None
    if duration.unit == "percent" or duration.amount < 1 or not duration.amount.is_integer():
        problem = f"must be whole epochs or steps, such as '10 epochs' (got {duration})"
        raise ConfigError(problem, key="continue.for")
    length: dict[str, int | None] = {"epochs": None, "steps": None, duration.unit: int(duration.amount)}
    return {**plain, **length, "continue": {k: v for k, v in following.items() if k != "for"}}


def _identified(key: str, block: Any) -> Any:
    """Add the identity of the run that a block names. Raises ConfigError if there is no such run."""
    if not isinstance(block, Mapping) or block.get("identity") is not None or not isinstance(block.get("run"), str):
        return block
    folder = Path(block["run"])
    notes = run_notes(folder) if exists(folder) else None
    if notes is None:
        what = "has no env.json or result.json of a run" if exists(folder) else "does not exist"
        raise ConfigError(f"must be a run's folder, such as runs/baseline-seed0-…; {folder} {what}", key=f"{key}.run")
    return {**block, "identity": notes["identity"]}


def _groups(plain: dict[str, Any]) -> dict[str, Any]:
    """Write out the patterns of parameters in the optimizer's block."""
    optimizer = plain.get("optimizer")
    if not isinstance(optimizer, Mapping | Part):
        return plain
    return {**plain, "optimizer": GroupRules.written_out(part_of(optimizer, "optimizer")).plain()}


def _batch(plain: dict[str, Any]) -> dict[str, Any]:
    """Write out the `lr_scaling` rule of the optimizer."""
    block = plain.get("lr_scaling")
    if not isinstance(block, Mapping):
        return plain
    optimizer = plain.get("optimizer")
    if block.get("rule") is None and isinstance(optimizer, str | Mapping | Part):
        block = {**block, "rule": usual_rule(Part.of(optimizer).name)}
    if block.get("rule") == "none":
        return {k: v for k, v in plain.items() if k != "lr_scaling"}
    if block.get("rule") == "measured":
        return {**plain, "lr_scaling": _measured(block), "optimizer": _without_lr(optimizer)}
    for key in ("from", "law"):
        if block.get(key) is not None and block.get("rule") in ("linear", "sqrt"):
            raise ConfigError("applies only to `rule: measured`", key=f"lr_scaling.{key}")
    return {**plain, "lr_scaling": {k: v for k, v in block.items() if k != "from"}}


def _measured(block: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the file that `from` names by the law in it."""
    if block.get("base_batch_size") is not None:
        raise ConfigError(
            "does not apply to `rule: measured`, whose law has its own sizes", key="lr_scaling.base_batch_size"
        )
    file = block.get("from")
    if file is None and block.get("law") is None:
        raise ConfigError(
            "is missing: name the file that `lrbench transfer RUNS --write FILE` wrote", key="lr_scaling.from"
        )
    if file is not None and not isinstance(file, str):
        raise ConfigError(f"must be the path of a file (got {file!r:.60})", key="lr_scaling.from")
    law = block.get("law") if file is None else read_law(file)
    return {**{k: v for k, v in block.items() if k not in ("from", "base_batch_size")}, "law": law}


def _without_lr(optimizer: Any) -> Any:
    """Leave out `lr: null`, which removes the learning rate of the config that is extended."""
    if not isinstance(optimizer, str | Mapping | Part):
        return optimizer
    part = Part.of(optimizer)
    if part.params.get("lr") is not None:
        problem = f"comes from the law of lr_scaling; remove it, or set it to null (got {part.params['lr']!r:.40})"
        raise ConfigError(problem, key="optimizer.lr")
    return {k: v for k, v in part.plain().items() if k != "lr"}
