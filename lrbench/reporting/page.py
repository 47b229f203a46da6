"""The report as a self-contained HTML page, and as Markdown."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Sequence
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from lrbench.reporting import tables
from lrbench.reporting.groups import Group
from lrbench.reporting.range_tests import Tested
from lrbench.reporting.records import Record
from lrbench.version import __version__


def render(groups: Sequence[Group], records: Sequence[Record], tests: Sequence[Tested], picture: str | None) -> str:
    """The page. `picture` is the figure as SVG text, None without runs; everything else in it is escaped."""
    environment = Environment(
        loader=PackageLoader("lrbench.reporting"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    columns = tables.columns(groups)
    return environment.get_template("page.html.j2").render(
        sentences=summary(groups, records),
        picture=None if picture is None else _embedded(picture),
        tests=[(test.name, _embedded(svg) if (svg := test.svg()) else None, test.words()) for test in tests],
        headings=[(c.heading, c.right) for c in columns],
        rows=[[(c.text(g), c.right) for c in columns] for g in groups],
        provenance=_provenance(records),
        runs=[_details(record) for record in _in_order(groups, records)],
        written=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
    )


def _in_order(groups: Sequence[Group], records: Sequence[Record]) -> list[Record]:
    """The records as the table has them, then those it leaves out."""
    shown = [record for group in groups for record in group.records]
    return [*shown, *(record for record in records if record.state == "copy")]


def _embedded(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def markdown(groups: Sequence[Group], records: Sequence[Record], tests: Sequence[Tested]) -> str:
    """The report as Markdown, the figure beside it."""
    lines = ["# Runs side by side", "", *summary(groups, records), ""]
    if groups:
        lines += ["![validation losses](report.png)", "", tables.markdown(groups)]
        lines += [*(f"- {line}" for line in _provenance(records)), ""]
    for test in tests:
        lines += [f"## Range test of {test.name}", "", *(f"- {line}" for line in test.words()), ""]
    problems = [f"- `{r.folder.name}`: {r.problem}" for r in records if r.problem]
    return "\n".join([*lines, *(["Damaged or left out:", "", *problems, ""] if problems else [])])


def summary(groups: Sequence[Group], records: Sequence[Record]) -> list[str]:
    """What the comparison shows, in at most three sentences."""
    ended = [g for g in groups if g.spread("val_loss")]
    none = "No run has come to its end yet." if records else "No run yet."
    sentences = _ranking(ended) if ended else [none]
    states = [record.state for record in records]
    odd = {state: states.count(state) for state in dict.fromkeys(states) if state != "finished"}
    if odd:
        listed = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in odd.items())
        sentences.append(f"Of {len(records)} runs, {len(records) - sum(odd.values())} finished; the others: {listed}.")
    return sentences


def _ranking(ended: Sequence[Group]) -> list[str]:
    """The lowest and the highest final validation loss, and how far the ranges over seeds tell runs apart."""
    spreads = [spread for spread in (group.spread("val_loss") for group in ended) if spread]
    tasks = sorted({_task(group) for group in ended})
    if len(tasks) > 1:
        return [f"These runs are of different tasks ({'; '.join(tasks)}), so their losses can't be ranked together."]
    best, loss = ended[0], spreads[0]
    count = f"the median of {loss.n} seeds" if loss.n > 1 else "one seed"
    sentence = f"{best.label} ends with the lowest validation loss, {tables.loss(loss.median)} ({count})"
    if len(ended) == 1:
        return [f"{sentence}."]
    sentences = [f"{sentence}; {ended[-1].label} with the highest, {tables.loss(spreads[-1].median)}."]
    if min(spread.n for spread in spreads) == 1:
        return [
            *sentences,
            "With one seed, small differences may be chance; --seeds 3 or more shows the spread.",
        ]
    level = [group.label for group, spread in zip(ended[1:], spreads[1:], strict=True) if spread.low <= loss.high]
    if level:
        named = ", ".join(level[:4]) + (f" and {len(level) - 4} more" if len(level) > 4 else "")
        sentences.append(f"Its range over seeds overlaps with that of {named}: these runs don't tell them apart.")
    return sentences


def _task(group: Group) -> str:
    """What must be equal for losses to be compared: the data set and the loss."""
    plain = group.first.plain
    names = [(plain.get(key) or {}).get("name", "?") for key in ("dataset", "loss")]
    return " with ".join(str(name) for name in names)


def _provenance(records: Sequence[Record]) -> list[str]:
    """What the runs ran on, and a warning where that differs between them."""
    facts = {
        "lrbench": [r.environment.get("lrbench") for r in records],
        "torch": [(r.environment.get("packages") or {}).get("torch") for r in records],
        "device": [r.environment.get("device") for r in records],
        "CPU threads": [r.environment.get("threads") for r in records],
        "processor": [r.environment.get("processor") for r in records],
        "commit": [(r.environment.get("git") or {}).get("commit") for r in records],
    }
    lines = []
    for fact, values in facts.items():
        different = sorted({str(v) for v in values if v is not None})
        mixed = len(different) > 1
        note = "; mixed, so small differences in loss may come from that" if mixed and fact != "commit" else ""
        if different:
            lines.append(f"{fact}: {', '.join(different)}{note}")
    sets = sorted({str((r.plain.get("dataset") or {}).get("name")) for r in records if r.experiment})
    if len(sets) > 1:
        lines.append(f"data sets: {', '.join(sets)}; losses of different data can't be compared")
    return lines


def _details(record: Record) -> dict[str, Any]:
    config = yaml.safe_dump(record.plain, sort_keys=False, allow_unicode=True) if record.plain else ""
    reason = str(record.result.get("reason") or "")
    return {
        "name": record.folder.name,
        "state": record.state.replace("_", " "),
        "note": record.problem or reason,
        "config": config,
        "environment": yaml.safe_dump(record.environment, sort_keys=False) if record.environment else "",
    }
