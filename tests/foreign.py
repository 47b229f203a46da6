"""Runs of other programs, as commands, recorders and importers leave them; nothing is started."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lrbench.config import validate
from lrbench.runs import Recorded, RowWriter, RunFolder, Status, conclude, describe

Row = Mapping[str, Any]
TRAIN = "python train.py --lr {lr} --schedule {schedule}"


def curve(end: float, count: int = 6) -> list[float]:
    """Losses that fall to about `end`."""
    return [round(end + 1.5 * 0.4**index, 6) for index in range(count)]


def rows(
    losses: Sequence[float], *, epochs: bool = True, every: int = 0, train: bool = True, f1: bool = False
) -> list[Row]:
    """Evaluations with these validation losses; each after `every` steps if that is known."""
    found = []
    for number, loss in enumerate(losses, start=1):
        row: dict[str, Any] = {"val_f1": round(1 / (1 + loss), 6)} if f1 else {"val_loss": loss}
        row |= {"train_loss": round(0.9 * loss, 6)} if train else {}
        row |= {"epoch": number} if epochs else {}
        found.append(row | ({"step": every * number} if every else {}))
    return found


def command_run(
    root: Path,
    evaluations: Iterable[Row],
    *,
    lr: float = 0.1,
    schedule: str = "constant",
    seed: int = 0,
    name: str = "train",
    config: Mapping[str, Any] | None = None,
    **how: Any,
) -> Path:
    """A run of `train.py` with a learning rate and a schedule; see `foreign_run`."""
    plain = {"name": name, "command": TRAIN, "params": {"lr": lr, "schedule": schedule}, "seed": seed}
    return foreign_run(root, evaluations, {**plain, "folder": "/nowhere", **(config or {})}, **how)


def recorded_run(
    root: Path,
    evaluations: Iterable[Row],
    *,
    name: str = "script",
    by: str = "lrbench.record",
    seed: int | None = None,
    run: str | None = None,
    params: Mapping[str, Any] | None = None,
    **how: Any,
) -> Path:
    """A run that a script recorded or that was imported; see `foreign_run`."""
    plain = {"name": name, "recorded": by, "params": dict(params or {}), "seed": seed, "run": run}
    return foreign_run(root, evaluations, {k: v for k, v in plain.items() if v is not None}, **how)


def foreign_run(
    root: Path,
    evaluations: Iterable[Row],
    plain: Mapping[str, Any],
    *,
    rates: Callable[[int], float] | None = None,
    status: str | None = "finished",
    reason: str = "",
    environment: Mapping[str, Any] | None = None,
    output: str = "",
    **said: Any,
) -> Path:
    """Write a run's folder.

    Args:
        root: the folder of runs.
        evaluations: a row each; what it lacks is unknown.
        plain: the run's config.
        rates: the learning rate of each step (from 0), for runs that record their steps; evaluations need `step`.
        status: `finished`, `failed`, …; None for no result yet.
        reason: why it failed.
        environment: changes to `env.json`.
        output: what the program printed.
        said: what `recorded.json` holds, such as `notes` and `test`.
    """
    config = validate(plain, {}, "a test")
    folder = RunFolder.of(root, config)
    known = {k: v for k, v in describe(config, device="").items() if k not in ("device", "packages")}
    folder.create(config, {**known, **(environment or {})})
    writer = RowWriter(folder, Recorded(by=str(plain.get("recorded", "")), **said))
    for row in evaluations:
        for step in range(writer.last, row["step"] if rates else 0):
            writer.step({"lr": rates(step)} if rates else {})
        values = {key: value for key, value in row.items() if key not in ("step", "epoch")}
        writer.evaluate(values, step=row.get("step"), epoch=row.get("epoch"))
    writer.close()
    if output:
        folder.output.write_text(output, encoding="utf-8")
    if status is not None:
        best_by = str(plain.get("best_by", "val_loss"))
        folder.finish(config, conclude(folder, writer.recorded, status=Status(status), reason=reason, best_by=best_by))
    return folder.path
