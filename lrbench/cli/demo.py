"""The command `lrbench demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from lrbench.cli.browser import Open, open_page
from lrbench.cli.interrupts import leave
from lrbench.cli.options import MOST_SEEDS, Again, Debug, Device, option
from lrbench.cli.terminal import Terminal

if TYPE_CHECKING:
    from lrbench.training import Outcomes

CONFIGS = (
    "baseline",
    "too_large",
    "large",
    "too_small",
    "far_too_small",
    "linear_decay",
    "step_decay",
    "time_decay",
    "exponential_decay",
    "cosine",
    "cyclical",
    "one_cycle",
)


def demo(
    seeds: Annotated[int, option("Train each config with this many seeds.", min=1, max=MOST_SEEDS)] = 3,
    jobs: Annotated[
        int | None, option("Train this many runs at once, in worker processes. Default: one per core or GPU.", min=1)
    ] = None,
    again: Again = False,
    device: Device = None,
    runs: Annotated[Path, option("Folder that holds the runs.", "--runs", metavar="DIR")] = Path("runs/demo"),
    out: Annotated[
        Path | None, option("Folder of the report. Default: report/ in the runs folder.", metavar="DIR")
    ] = None,
    open_it: Open = None,
    debug: Debug = False,
) -> None:
    """See what the learning rate does: compare twelve configs on embedded data, in about two minutes.

    Five learning rates, from far too small to too large, and seven schedules train one network on images of digits.
    Nothing is downloaded. Finished runs are shown, not repeated.
    """
    from lrbench.cli import tables
    from lrbench.reports import report, summary
    from lrbench.runs import nearest
    from lrbench.training import stopped

    if out is not None:
        nearest(out, "--out")
    console = Terminal()
    outcomes = _train(console, runs, jobs, seeds=seeds, device=device, again=again)
    tables.show_outcomes(console, outcomes)
    if stopped(outcomes) is not None:
        tables.end(console, outcomes, runs.absolute())
    made = report([runs], out)
    tables.show_shown(console, made.shown, None, "")
    for sentence in summary(made.shown):
        console.print(sentence, markup=False)
    tables.show_files(console, made.files)
    console.print("Next: lrbench init, which writes configs for your own data and model.", style="dim")
    open_page(made.page.resolve().as_uri(), open_it)
    tables.end(console, outcomes, made.page)


def _train(console: Terminal, runs: Path, jobs: int | None, **how: Any) -> Outcomes:
    from lrbench.cli.progress import display
    from lrbench.config import bundled_configs, load_config
    from lrbench.training import StopFlag, default_jobs
    from lrbench.training import run as train

    known = bundled_configs()
    experiments = [load_config(known[f"digits/{name}"]) for name in CONFIGS]
    with display(console) as watch, StopFlag.ending(leave):
        return train(experiments, runs=runs, jobs=jobs or default_jobs(experiments), watch=watch, **how)
