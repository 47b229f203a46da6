"""Weights & Biases: a run per seed, grouped; offline unless asked otherwise."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from lrbench.integrations.trackers import Ending, Log, Row, Run, Tool, quoted, sectioned


class WandB(Tool):
    """Log to Weights & Biases. Offline runs need no account; `wandb sync` uploads them.

    Args:
        into: the folder for W&B's files.
        project: the project; by default the config's name.
        entity: the user or team, for `mode: online`.
        mode: `offline`, or `online`, which uploads while training.
    """

    title: ClassVar[str] = "W&B"
    needs: ClassVar[tuple[str, ...]] = ("wandb",)
    extra: ClassVar[str] = "wandb"
    in_folders: ClassVar[bool] = True

    def __init__(
        self,
        into: Path,
        project: str | None = None,
        entity: str | None = None,
        mode: Literal["offline", "online"] = "offline",
    ) -> None:
        super().__init__(into)
        self.project, self.entity, self.mode = project, entity, mode

    @property
    def hint(self) -> str:
        """See `Tool`."""
        return "" if self.mode == "online" else f"wandb sync {quoted(self.into / 'wandb')}/offline-run-*"

    @property
    def options(self) -> dict[str, Any]:
        """See `Tool`."""
        return {"project": self.project, "entity": self.entity, "mode": self.mode}

    def folder_of(self, run: Run) -> Path:
        """See `Tool`."""
        found = sorted((self.into / "wandb").glob(f"*run-*-{_id(run)}"))
        return found[-1] if found else self.into / "wandb" / run.name

    def open(self, run: Run) -> Log:
        """See `Tool`. The files of an earlier log of the same run are replaced."""
        return _WandBRun(self, run)


def _id(run: Run) -> str:
    """Return the run's id in W&B, by which the same run is the same there."""
    return run.identity[:16]


class _WandBRun(Log):
    """A run in W&B."""

    def __init__(self, tool: WandB, run: Run) -> None:
        import wandb

        for old in (tool.into / "wandb").glob(f"offline-run-*-{_id(run)}"):
            shutil.rmtree(old)
        tool.into.mkdir(parents=True, exist_ok=True)
        settings = wandb.Settings(
            silent=True, console="off", disable_git=True, disable_code=True, save_code=False, x_disable_stats=True,
            x_disable_meta=True, x_save_requirements=False,
        )  # fmt: skip
        self.run: Any = wandb.init(
            mode=tool.mode, dir=str(tool.into), project=tool.project or run.experiment, entity=tool.entity,
            group=run.group, name=run.name, id=_id(run), job_type="train", reinit="create_new", settings=settings,
            config={**run.config, "seed": run.seed, "lrbench": {"identity": run.identity, **run.about}},
        )  # fmt: skip
        for name, metric in run.metrics.items():
            self.run.define_metric(f"val/{name}", summary=f"last,{'min' if metric.lower else 'max'}")

    def steps(self, rows: Sequence[Row]) -> None:
        """See `Log`."""
        for row in rows:
            self._log(row, {sectioned(name, of_step=True): value for name, value in row.values.items()})

    def evaluation(self, row: Row) -> None:
        """See `Log`."""
        self._log(row, {sectioned(name): value for name, value in self.measured(row).items()})

    def end(self, ending: Ending) -> None:
        """See `Log`."""
        self.run.summary.update({sectioned(name): value for name, value in ending.values.items()})
        self.run.summary.update({"lrbench/status": ending.status.value, "lrbench/reason": ending.reason})
        self.run.finish(exit_code=0 if ending.good else 1)

    def discard(self) -> None:
        """See `Log`."""
        self.run.finish(exit_code=1)

    def _log(self, row: Row, values: Mapping[str, float]) -> None:
        self.run.log({**values, "_timestamp": row.time}, step=row.step)
