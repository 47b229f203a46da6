"""The command `lrbench run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Console

from lrbench.cli.interrupts import leave, summarizing
from lrbench.cli.options import (
    MOST_SEEDS,
    Again,
    ConfigsAsked,
    Debug,
    Device,
    Jobs,
    JsonLines,
    Overrides,
    Runs,
    Track,
    option,
)
from lrbench.cli.serve import Serve, serving
from lrbench.cli.terminal import Terminal, inline
from lrbench.cli.trust import Trust, ask_for_code
from lrbench.errors import UsageError

if TYPE_CHECKING:
    from lrbench.cli.progress import Display
    from lrbench.training import Outcomes


def run(
    configs: ConfigsAsked = None,
    overrides: Overrides = None,
    seeds: Annotated[int | None, option("Train each config with this many seeds.", min=1, max=MOST_SEEDS)] = None,
    jobs: Jobs = 1,
    again: Again = False,
    no_wait: Annotated[
        bool, option("Exit with code 1 instead of waiting for runs of another process.", "--no-wait")
    ] = False,
    device: Device = None,
    track: Track = None,
    trust: Trust = False,
    runs: Runs = Path("runs"),
    serve: Serve = False,
    as_json: JsonLines = False,
    debug: Debug = False,
) -> None:
    """Train configs. Finished runs are shown, not repeated; interrupted runs are resumed.

    [dim]lrbench run digits/baseline --set optimizer.lr=0.01 --seeds 3 --jobs 2[/]
    """
    from lrbench.config import no_config

    if not configs:
        raise UsageError(no_config())
    ask_for_code(configs, overrides, trust, silent=as_json)
    from lrbench.cli.json_events import JsonEvents
    from lrbench.cli.progress import display
    from lrbench.training import StopFlag
    from lrbench.training import run as train

    console = Terminal(quiet=as_json)
    with (
        JsonEvents(console) if as_json else display(console) as watch,
        StopFlag.ending(leave),
        serving(runs if serve else None, watch) as heard,
    ):
        outcomes = train(
            configs, runs=runs, overrides=overrides or (), seeds=seeds, jobs=jobs, device=device, again=again,
            wait=not no_wait, track=track or None, watch=heard,
        )  # fmt: skip
    with summarizing(outcomes):
        _conclude(console, watch, outcomes, runs)


def _conclude(console: Console, watch: Display, outcomes: Outcomes, runs: Path) -> None:
    """Print the summary, then end the command with its exit code."""
    from lrbench.analysis import grouped, read_one
    from lrbench.cli import tables
    from lrbench.cli.json_events import outcomes_told
    from lrbench.runs import RunFolder

    done = [outcome for outcome in outcomes if outcome.path.exists()]
    # An identical run may have been trained under another name.
    made = [read_one(RunFolder(outcome.path)).called(outcome.experiment.name) for outcome in done]
    watch.tell("summary", **outcomes_told(outcomes))
    where = "" if runs == Path("runs") else f" --runs {inline(str(runs))}"
    tables.show_groups(console, grouped(made), how=f"lrbench report{where} --rows all")
    tables.show_outcomes(console, outcomes)
    if done:
        console.print(f"To compare them: lrbench report{where}", style="dim")
    tables.end(console, outcomes, outcomes[0].path if len(outcomes) == 1 else runs.absolute())
