"""Tables in the terminal: results, previews and range tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lrbench.analysis import Comparison, Group, Record, grouped, read_one
from lrbench.lr_finder import Refusal
from lrbench.reports import brief_columns, table_columns
from lrbench.runs import RunFolder

if TYPE_CHECKING:
    from lrbench.lr_finder import Finding
    from lrbench.reports import Preview
    from lrbench.training import Outcome

_BLOCKS = "▁▂▃▄▅▆▇█"

WIDE = 100  # terminal columns needed for the columns that a comparison adds


def show_groups(console: Console, groups: Sequence[Group], comparison: Comparison | None = None) -> None:
    """Print a short table of results."""
    if not groups:
        return
    narrow = console.width < WIDE  # the sentences below the table give the same facts
    shown = table_columns(groups, short=True, extra=[] if comparison is None or narrow else brief_columns(comparison))
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in shown:
        justify: Literal["right", "left"] = "right" if column.right else "left"
        words = [word for group in groups for word in column.brief(group).split()]
        least = min(14, max(map(len, words), default=0)) if not column.right else None
        heading = column.heading.removeprefix("training ").replace(" ", "\n")
        table.add_column(heading, justify=justify, overflow="fold", min_width=least, no_wrap=column.right)
    for group in groups:
        first, *others = (escape(column.brief(group)).split("\n") for column in shown)
        table.add_row("\n".join(first), *("\n[dim]".join(lines) for lines in others))
    console.print(table)


def show_found(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print how many runs were already finished."""
    found = sum(outcome.found for outcome in outcomes)
    if found:
        were = "was" if found == 1 else "were"
        text = f"{found} of {len(outcomes)} {were} already finished (--again repeats {'it' if found == 1 else 'them'})."
        console.print(text, highlight=False)


def show_outcomes(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print the results of runs, how many were already finished, warnings and failures."""
    existing = [o for o in outcomes if o.path.exists()]
    show_groups(console, grouped([_asked(read_one(RunFolder(o.path)), o.experiment.name) for o in existing]))
    show_found(console, outcomes)
    for outcome in outcomes:
        for warning in outcome.warnings:
            console.print(f"[yellow]{escape(outcome.path.name)}:[/] {escape(warning)}", highlight=False)
        if outcome.undone:
            doubled = outcome.message.startswith(outcome.path.name)
            text = f"[red]{'' if doubled else escape(outcome.path.name) + ': '}[/]{escape(outcome.message)}"
            console.print(text, highlight=False, soft_wrap=True)


def _asked(record: Record, name: str) -> Record:
    """Return the record under the name that was asked for; an identical run may have another."""
    return replace(record, plain={**record.plain, "name": name}) if record.plain else record


def show_previews(console: Console, previews: Sequence[Preview]) -> None:
    """Print each config's curve as a sparkline, its first, peak, last and mean learning rate, and warnings."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("config", overflow="fold", min_width=12)
    table.add_column("over the run", no_wrap=True)
    for heading in ("first", "peak", "last", "mean"):
        table.add_column(heading, justify="right", no_wrap=True)
    for made in previews:
        numbers = (made.rates[0], made.peak, made.rates[-1], made.mean)
        shown = [f"{number:.3g}" for number in numbers]
        table.add_row(escape(made.label), sparkline(made.rates), *shown)
    console.print(table)
    for made in previews:
        steps = f"{len(made.rates):,} step{'' if len(made.rates) == 1 else 's'}"
        notes = [f"{steps}, {made.steps_per_epoch:,} per epoch"]
        scaling = made.experiment.lr_scaling
        if scaling is not None:
            rule = f"{scaling.rule}, base batch size {scaling.base_batch_size}"
            notes.append(f"learning rate scaled to {made.lr:.3g} ({rule})")
        if made.seam:
            notes.append(f"warm-up until step {made.seam}")
        if made.restarts:
            listed = ", ".join(f"{step:,}" for step in made.restarts[:6]) + (" …" if len(made.restarts) > 6 else "")
            notes.append(f"restarts at steps {listed}")
        if made.experiment.plateau is not None:
            notes.append("the plateau rule depends on results and is not shown")
        console.print(f"{made.label}: {'; '.join(notes)}", markup=False, highlight=False, soft_wrap=True)
        for warning in made.warnings():
            text = f"[yellow]{escape(made.label)}:[/] {escape(warning)}"
            console.print(text, highlight=False, soft_wrap=True)


def show_finding(console: Console, finding: Finding) -> None:
    """Print each method's learning rate for each seed and the advice, or why there is no suggestion."""
    advice = finding.advice
    ramp = finding.ramp
    over = f"learning rates {ramp.start:g} … {ramp.end:g} over {ramp.iterations:,} steps"
    console.print(f"\nRange test of {finding.experiment.name}: {over}", markup=False, highlight=False, soft_wrap=True)
    for curve in finding.curves:
        ended = curve.reason or "reached the last learning rate"
        console.print(f"  seed {curve.seed}: {ended}", markup=False, highlight=False, soft_wrap=True, style="dim")
    if isinstance(advice, Refusal):
        console.print(f"[yellow]No suggestion:[/] {escape(str(advice))}.", highlight=False, soft_wrap=True)
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
        why = f"[dim]({escape(advice.how[key])})[/]"
        console.print(f"[bold]{rates}[/]  {purpose}  {why}", highlight=False, soft_wrap=True)
    for note in advice.notes:
        console.print(f"[yellow]Note:[/] {escape(note)}.", highlight=False, soft_wrap=True)


def _rate(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.2g}"


def sparkline(values: Sequence[float], width: int = 16) -> str:
    """Draw the values as `width` blocks, scaled from 0 to the maximum; each block is the mean of its slice."""
    top = max(values)
    blocks = []
    for index in range(min(width, len(values))):
        mine = values[index * len(values) // width : max((index + 1) * len(values) // width, index + 1)]
        mine = mine or values[index : index + 1]
        height = sum(mine) / len(mine) / top if top > 0 else 0.0
        blocks.append(_BLOCKS[min(int(height * len(_BLOCKS)), len(_BLOCKS) - 1)])
    return "".join(blocks)
