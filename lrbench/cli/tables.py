"""Tables in the terminal: results, previews and range tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lrbench.analysis import Group
from lrbench.cli.columns import MOST_ROWS, show_families, show_more, show_table
from lrbench.cli.terminal import inline
from lrbench.errors import counted
from lrbench.reports import groups_table
from lrbench.runs import listed, relative, tally
from lrbench.training import pending, stopped

if TYPE_CHECKING:
    from lrbench.lr_finder import Finding
    from lrbench.reports import Preview, Shown
    from lrbench.training import Outcome
    from lrbench.transfers import CoordinateCheck

_BLOCKS = "▁▂▃▄▅▆▇█"


def show_groups(console: Console, groups: Sequence[Group], most: int | None = MOST_ROWS, how: str = "") -> None:
    """Print a short table of results, the best `most` rows, and say how to see more."""
    if groups:
        show_table(console, groups_table(groups[:most]))
        show_more(console, len(groups[most:]) if most else 0, "group", how)


def show_shown(console: Console, shown: Shown, most: int | None, how: str) -> None:
    """Print a report's families, if there are any, then its groups: the best `most` of each."""
    for found in shown.tuned:
        show_families(console, found, most, how)
    best = shown.best(most)
    if best.groups:
        show_table(console, best.brief_table, whole=bool(shown.asked))
        show_more(console, len(shown.groups) - len(best.groups), "group", how)


def show_files(console: Console, files: Sequence[Path]) -> None:
    """Print the path of the first file written and the names of the others beside it."""
    others = "".join(f", {path.name}" for path in files[1:])
    console.print(f"Wrote [bold]{inline(str(relative(files[0])))}[/]{others}", soft_wrap=True)


def show_outcomes(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print how many runs were already finished, then warnings and failures; those that are alike are told once."""
    if found := sum(outcome.found for outcome in outcomes):
        were, them = ("was", "it") if found == 1 else ("were", "them")
        console.print(f"{found} of {len(outcomes)} {were} already finished (--again repeats {them}).")
    alike: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for outcome in outcomes:
        name = outcome.path.name
        told = [("yellow", warning) for warning in outcome.warnings]
        if outcome.undone:
            told.append(("red", outcome.message.removeprefix(name).removeprefix(":").lstrip()))
        for colour, text in told:
            alike.setdefault((colour, text.partition("\n")[0]), []).append((name, text))
    for (colour, _), told in alike.items():
        name, text = told[0]
        others = f" and {len(told) - 1} more" if len(told) > 1 else ""
        console.print(f"[{colour}]{inline(name)}{others}:[/] {escape(text)}", soft_wrap=True)


def end(console: Console, outcomes: Sequence[Outcome], answer: Path) -> None:
    """End the command with the exit code of failed, interrupted or left runs; return if there are none.

    The last line says what ended and where the `answer` is.
    """
    failed, left = any(outcome.undone for outcome in outcomes), pending(outcomes)
    interrupted = stopped(outcomes)
    if interrupted is not None and not (failed and all(outcome.signal is None for outcome in left)):
        raise interrupted
    if left:
        console.print(
            f"{counted(len(left), 'run')} {'was' if len(left) == 1 else 'were'} not started; the same command resumes."
        )
    counts = tally((outcome.status, outcome.result) for outcome in outcomes)
    say(console, f"{counted(len(outcomes), 'run')}, {listed(counts)}{'' if failed else ', none failed'}", answer)
    if failed or left:
        raise typer.Exit(1)


def say(console: Console, ended: str, answer: Path) -> None:
    """Print a command's last line, a plain sentence that a screen reader can speak: what ended, and where it is."""
    text = f"Ended: {ended}. Results: {relative(answer)}"
    console.print(inline(text), highlight=False, soft_wrap=True)


def show_previews(console: Console, previews: Sequence[Preview]) -> None:
    """Print each config's curve as a sparkline, its first, peak, last and mean learning rate, and warnings."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("config", overflow="fold", min_width=12)
    table.add_column("over the run", no_wrap=True)
    for heading in ("first", "peak", "last", "mean"):
        table.add_column(heading, justify="right", no_wrap=True)
    for made in previews:
        numbers = (made.rates[0], made.peak, made.rates[-1], made.mean)
        table.add_row(inline(made.label), sparkline(made.rates), *(f"{number:.3g}" for number in numbers))
    console.print(table)
    for made in previews:
        steps = f"{counted(len(made.rates), 'step')}"
        notes = [f"{steps}, {made.steps_per_epoch:,} per epoch"]
        if (scaling := made.experiment.lr_scaling) is not None:
            notes.append(f"learning rate {'' if scaling.law else 'scaled to '}{made.lr:.3g} ({scaling.words})")
        if made.seam:
            how = "during the start of the schedule" if made.over else "before the schedule"
            notes.append(f"warm-up until step {made.seam:,}, {how}")
        if made.drops:
            notes.append(f"drops at {_steps(made.drops)}")
        if made.restarts:
            notes.append(f"restarts at {_steps(made.restarts)}")
        if made.experiment.plateau is not None:
            notes.append("the plateau rule depends on the results, so it is not shown")
        console.print(f"{made.label}: {'; '.join(notes)}", markup=False, soft_wrap=True)
        for warning in made.warnings():
            console.print(f"[yellow]{inline(made.label)}:[/] {inline(warning)}", soft_wrap=True)


def _steps(steps: Sequence[int]) -> str:
    """Return `step 30`, or `steps 30, 60, …` with the first six."""
    listed = ", ".join(f"{step:,}" for step in steps[:6]) + (" …" if len(steps) > 6 else "")
    return f"step{'s' * (len(steps) > 1)} {listed}"


def show_finding(console: Console, finding: Finding) -> None:
    """Print each method's learning rate for each seed and the advice, or why there is no suggestion."""
    from lrbench.lr_finder import Refusal

    advice, ramp = finding.advice, finding.ramp
    over = f"learning rates {ramp.start:g} … {ramp.end:g} over {ramp.iterations:,} steps"
    console.print(f"\nRange test of {finding.experiment.name}: {over}", markup=False, soft_wrap=True)
    ends: dict[str, list[str]] = {}
    for curve in finding.curves:
        ends.setdefault(curve.reason or "reached the last learning rate", []).append(str(curve.seed))
    for ended, seeds in ends.items():
        some = f"seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}"
        console.print(f"  {some}: {ended}", markup=False, soft_wrap=True, style="dim")
    if isinstance(advice, Refusal):
        console.print(f"[yellow]No suggestion:[/] {inline(str(advice))}.", soft_wrap=True)
        return
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("method", no_wrap=True, min_width=10)
    for heading in ("median", "lowest", "highest", *(f"seed {c.seed}" for c in finding.curves[:3])):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, found in finding.suggestions.items():
        each = [found.seeds.get(c.seed) for c in finding.curves[:3]]
        table.add_row(name, *(_rate(r) for r in (found.median, found.lowest, found.highest, *each)))
    console.print(table)
    for purpose, rates, key in (
        ("constant, or the start of a decay", _rate(advice.initial), "initial"),
        ("maximum of one_cycle", _rate(advice.maximum), "maximum"),
        ("bounds of cyclical learning rates", f"{_rate(advice.low)} … {_rate(advice.high)}", "low"),
    ):
        why = f"[dim]({inline(advice.how[key])})[/]"
        console.print(f"[bold]{rates}[/]  {purpose}  {why}", soft_wrap=True)
    for note in advice.notes:
        console.print(f"[yellow]Note:[/] {inline(note)}.", soft_wrap=True)


def show_coordinates(console: Console, check: CoordinateCheck) -> None:
    """Print the exponent of each layer's size and the verdict."""
    console.print(
        f"\n{inline(check.name)}: mean |output| after {counted(check.steps, 'step')}, by {inline(check.key)}",
        soft_wrap=True,
    )
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("layer", no_wrap=True)
    narrow, wide = check.widths[0], check.widths[-1]
    for heading in (f"size at {narrow}", f"at {wide}", "exponent", "95% interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for slope in check.slopes():
        sizes = [f"{check.mean(slope.layer, width, slope.step):.3g}" for width in (narrow, wide)]
        interval = f"{slope.low:.2f} … {slope.high:.2f}"
        table.add_row(inline(slope.layer), *sizes, f"{slope.centre:.2f}", interval, slope.word)
    console.print(table)
    console.print(inline(check.words), soft_wrap=True)


def _rate(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.2g}"


def sparkline(values: Sequence[float], width: int = 16) -> str:
    """Draw the values as up to `width` blocks, scaled from 0 to the maximum; each block is the mean of its slice."""
    top = max(values)
    scale = len(_BLOCKS) / top if top > 0 else 0.0
    means = [part.mean() for part in np.array_split(values, min(width, len(values)))]
    return "".join(_BLOCKS[min(int(mean * scale), len(_BLOCKS) - 1)] for mean in means)
