"""Tables in the terminal: of results, and of rates that would be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lrbench.analysis import Comparison, Group, grouped, read_one
from lrbench.lr_finder import Refusal
from lrbench.reports import brief_columns, table_columns
from lrbench.runs import RunFolder

if TYPE_CHECKING:
    from lrbench.lr_finder import Finding
    from lrbench.reports import Preview
    from lrbench.training import Outcome

_BLOCKS = "▁▂▃▄▅▆▇█"

WIDE = 100  # columns of a terminal that has room for what a comparison adds


def show_groups(console: Console, groups: Sequence[Group], comparison: Comparison | None = None) -> None:
    """The results, as briefly as a terminal wants them."""
    if not groups:
        return
    narrow = console.width < WIDE  # the sentences below the table say the same
    shown = table_columns(groups, short=True, extra=[] if comparison is None or narrow else brief_columns(comparison))
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in shown:
        justify: Literal["right", "left"] = "right" if column.right else "left"
        least = min(14, max(len(group.label) for group in groups)) if column.heading == "run" else None
        heading = column.heading.removeprefix("training ").replace(" ", "\n")
        table.add_column(heading, justify=justify, overflow="fold", min_width=least, no_wrap=column.right)
    for group in groups:
        first, *others = (escape(column.brief(group)).split("\n") for column in shown)
        table.add_row("\n".join(first), *("\n[dim]".join(lines) for lines in others))
    console.print(table)


def show_outcomes(console: Console, outcomes: Sequence[Outcome]) -> None:
    """The table of what was asked for, what was done already, and what is to be known of each run."""
    existing = [o for o in outcomes if o.path.exists()]
    show_groups(console, grouped([read_one(RunFolder(o.path)) for o in existing]))
    found = [o for o in outcomes if o.found]
    if found:
        were = "was" if len(found) == 1 else "were"
        console.print(f"{len(found)} of {len(outcomes)} {were} done already (--again trains anew).", highlight=False)
    for outcome in outcomes:
        for warning in outcome.warnings:
            console.print(f"[yellow]{escape(outcome.path.name)}:[/] {escape(warning)}", highlight=False)
        if outcome.undone:
            doubled = outcome.message.startswith(outcome.path.name)
            text = f"[red]{'' if doubled else escape(outcome.path.name) + ': '}[/]{escape(outcome.message)}"
            console.print(text, highlight=False, soft_wrap=True)


def show_previews(console: Console, previews: Sequence[Preview]) -> None:
    """First, peak, last and mean rate of each config, its shape in blocks, and what looks like a mistake."""
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
        updates = f"{len(made.rates):,} update{'' if len(made.rates) == 1 else 's'}"
        notes = [f"{updates}, {made.steps_per_epoch:,} an epoch"]
        scaling = made.experiment.lr_scaling
        if scaling is not None:
            notes.append(f"the rate is scaled to {made.lr:.3g} ({scaling.rule}, base batch {scaling.base_batch_size})")
        if made.seam:
            notes.append(f"warm-up until update {made.seam}")
        if made.restarts:
            listed = ", ".join(f"{step:,}" for step in made.restarts[:6]) + (" …" if len(made.restarts) > 6 else "")
            notes.append(f"restarts at updates {listed}")
        if made.experiment.plateau is not None:
            notes.append("the plateau rule changes it by results, which is not shown")
        console.print(f"{made.label}: {'; '.join(notes)}", markup=False, highlight=False, soft_wrap=True)
        for warning in made.warnings():
            text = f"[yellow]{escape(made.label)}:[/] {escape(warning)}"
            console.print(text, highlight=False, soft_wrap=True)


def show_finding(console: Console, finding: Finding) -> None:
    """What each method says for each seed, the rates to take and why; or why there are none."""
    advice = finding.advice
    ramp = finding.ramp
    over = f"rates {ramp.start:g} … {ramp.end:g} over {ramp.iterations:,} updates"
    console.print(f"\nRange test of {finding.experiment.name}: {over}", markup=False, highlight=False, soft_wrap=True)
    for curve in finding.curves:
        ended = curve.reason or "went to the end of the rates"
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
        ("bounds of cyclical rates", f"{_rate(advice.low)} … {_rate(advice.high)}", "low"),
    ):
        why = f"[dim]({escape(advice.how[key])})[/]"
        console.print(f"[bold]{rates}[/]  {purpose}  {why}", highlight=False, soft_wrap=True)
    for note in advice.notes:
        console.print(f"[yellow]Note:[/] {escape(note)}.", highlight=False, soft_wrap=True)


def _rate(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.2g}"


def sparkline(values: Sequence[float], width: int = 16) -> str:
    """The values as `width` blocks, from 0 to their highest; each block is the mean of its part."""
    top = max(values)
    blocks = []
    for index in range(min(width, len(values))):
        part = values[index * len(values) // width : max((index + 1) * len(values) // width, index + 1)]
        part = part or values[index : index + 1]
        height = sum(part) / len(part) / top if top > 0 else 0.0
        blocks.append(_BLOCKS[min(int(height * len(_BLOCKS)), len(_BLOCKS) - 1)])
    return "".join(blocks)
