"""Reading a run folder. An unreadable one becomes a record that says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from lrbench.analysis.evaluations import Evaluations, read_evaluations
from lrbench.analysis.records import Record
from lrbench.config import PARTS, RunConfig, identity, kind_of
from lrbench.errors import FolderError, LrbenchError
from lrbench.runs import Environment, Recorded, RunFolder, RunResult, Status, of_range_test


def read_one(folder: RunFolder) -> Record:
    """Read one folder. Never raises for its contents."""
    try:
        folder.check_links()
    except FolderError as error:
        return Record(folder, Status.DAMAGED, str(error))
    problems: list[str] = []

    def attempt(reader: Callable[[], Any]) -> Any:
        try:
            return reader()
        except (LrbenchError, OSError, ValueError) as error:
            problems.append(str(error))
            return None

    def verified() -> RunConfig:
        assert file is not None
        try:
            experiment = folder.config(replace(file, places={}))  # a fifth of what a run takes in memory
        except FolderError:
            experiment = folder.config(file)  # whose message tells the line
        folder.verify(experiment, environment, result)
        return experiment

    file = attempt(folder.config_file)
    environment: Environment = attempt(folder.environment) or Environment()
    result: RunResult | None = attempt(folder.result)
    experiment: RunConfig | None = None if file is None else attempt(verified)
    foreign = file is not None and bool(kind_of(file.plain).foreign)
    epochs = attempt(lambda: read_evaluations(folder, foreign=foreign))
    attempt(folder.check_steps)
    recorded = attempt(lambda: Recorded.of(folder.recorded())) if foreign else None
    if result is not None:
        problems += _inconsistent(folder, result, experiment, epochs)
    status = attempt(lambda: folder.status(result))
    return Record(
        folder,
        Status.DAMAGED if problems else status,
        problems[0] if problems else "",
        experiment,
        {} if file is None else file.plain if experiment is not None else _usable(file.plain),
        result,
        environment,
        epochs or Evaluations(),
        recorded or Recorded(),
    )


def _usable(plain: dict[str, Any]) -> dict[str, Any]:
    """Return an invalid config without blocks that are none, since all that reads blocks expects mappings."""
    return {key: value for key, value in plain.items() if key not in PARTS or isinstance(value, Mapping)}


def _inconsistent(
    folder: RunFolder, result: RunResult, experiment: RunConfig | None, epochs: Evaluations | None
) -> list[str]:
    """Return contradictions between a result and the other files of its folder."""
    found = []
    if experiment is not None and result.identity not in ("", identity(experiment)):
        found.append(f"{folder.name}: its result.json belongs to another run")
    values = result.final or (experiment is not None and experiment.foreign and result.test)
    if result.status.complete and not values:
        what = "it belongs to a range test, which `lrbench report` shows, and is no run to compare"
        damaged = f"{folder.name}: its result.json is damaged: a finished run has final values"
        found.append(f"{folder.name}: {what}" if of_range_test(folder.path) else damaged)
    told, unit = (result.epochs, "epochs") if result.format == 1 else (result.evaluations, "evaluations")
    if told is not None and epochs is not None and len(epochs) != told:
        found.append(f"{folder.epochs.path} has {len(epochs)} usable rows for {told} {unit}")
    return found
