"""The command `lrbench run`: parse, call, print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from lrbench.cli.options import Debug, Device, Overrides, Runs, leave

if TYPE_CHECKING:
    from lrbench.training import Outcome


def run(
    configs: Annotated[list[Path], typer.Argument(metavar="CONFIG", help="YAML files.", show_default=False)],
    overrides: Overrides = None,
    seeds: Annotated[int | None, typer.Option(help="Train each config with that many seeds.", min=1)] = None,
    jobs: Annotated[int, typer.Option(help="Runs at once, in worker processes that share the cores.", min=1)] = 1,
    again: Annotated[bool, typer.Option("--again", help="Train anew what is done already.")] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Don't wait for runs that another process is doing; exit with 1.")
    ] = False,
    device: Device = None,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Train what the configs describe. What is done already is shown, not done again; what was interrupted goes on.

    [dim]lrbench run configs/baseline.yaml --set optimizer.lr=0.01 --seeds 3 --jobs 2[/]
    """
    from lrbench.cli.progress import display
    from lrbench.training import StopFlag
    from lrbench.training import run as train

    console = Console()
    with display(console) as watch, StopFlag.ending(leave):
        outcomes = train(
            configs, runs=runs, overrides=overrides or (), seeds=seeds, jobs=jobs, device=device, again=again,
            wait=not no_wait, watch=watch,
        )  # fmt: skip
    _conclude(console, outcomes, runs)


def _conclude(console: Console, outcomes: Sequence[Outcome], runs: Path) -> None:
    """The final table, what went wrong, how to go on; ends the command with its exit code."""
    from lrbench.cli.tables import show_outcomes
    from lrbench.training import stopped

    show_outcomes(console, outcomes)
    if (interrupted := stopped(outcomes)) is not None:
        raise interrupted
    if any(outcome.undone for outcome in outcomes):
        raise typer.Exit(1)
    where = "" if runs == Path("runs") else f" --runs {escape(str(runs))}"
    console.print(f"lrbench report{where} sets them side by side.", style="dim", highlight=False)
