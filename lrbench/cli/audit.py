"""The command `lrbench audit`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lrbench.cli.options import Debug, Runs, RunsGiven, option
from lrbench.cli.terminal import Terminal, inline
from lrbench.errors import ConfigError, counted

if TYPE_CHECKING:
    from lrbench.analysis import Audit

MOST_LINES = 20  # runs without mistakes that are listed


def audit(
    runs_given: RunsGiven = None,
    schedule: Annotated[
        str | None,
        option("The schedule that was meant: a name or a block. Default: the config's.", metavar="BLOCK"),
    ] = None,
    lr: Annotated[float | None, option("The schedule's peak. Default: the highest learning rate recorded.")] = None,
    warmup: Annotated[str | None, option("The schedule's warm-up: 5%, '100 steps'.", metavar="DURATION")] = None,
    total_steps: Annotated[int | None, option("Steps in the run. Default: as recorded.", min=1)] = None,
    steps_per_epoch: Annotated[int | None, option("Steps in an epoch. Default: as recorded.", min=1)] = None,
    as_json: Annotated[bool, option("Print the answers as JSON.", "--json")] = False,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Check that runs used the learning rates that were meant. Exit code 1 if some did not.

    [dim]lrbench audit runs/my-script --schedule hf/cosine --warmup '100 steps'[/]
    """
    from lrbench.analysis import audit as audits_of
    from lrbench.runs import to_json

    found = audits_of(
        runs_given or [runs],
        schedule=None if schedule is None else _block(schedule),
        lr=lr,
        warmup=warmup,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
    )
    if as_json:
        typer.echo(to_json({"runs": [audit.plain() for audit in found]}), nl=False)
    else:
        _show(Terminal(), found)
    if any(audit.wrong for audit in found):
        raise typer.Exit(1)


def _block(text: str) -> Any:
    """Parse a name or a block. Raises ConfigError."""
    from lrbench.config import overriding

    try:
        return overriding([f"schedule={text}"])["schedule"]
    except ConfigError as error:
        raise ConfigError(error.problem, where="--schedule") from None


def _show(console: Terminal, found: Sequence[Audit]) -> None:
    """Print what is wrong, then the other runs, or their number if they are many."""
    wrong = [audit for audit in found if audit.wrong]
    others = [audit for audit in found if not audit.wrong]
    for audit in wrong:
        console.print(f"[red]{inline(audit.name)}[/] {inline(_meant(audit))}", soft_wrap=True)
        for line in (*map(str, audit.faults), *audit.notes):
            console.print(f"  {inline(line)}", soft_wrap=True)
    for audit in others if len(others) <= MOST_LINES else ():
        console.print(inline(f"{audit.name}: {_in_words(audit)}"), soft_wrap=True)
    checked = [audit for audit in found if not audit.problem]
    as_meant = sum(bool(audit.meant) for audit in others if not audit.problem)
    counts = {
        "wrong": len(wrong),
        "as meant": as_meant,
        "without a known schedule": len(checked) - len(wrong) - as_meant,
        "not checked": len(found) - len(checked),
    }
    if len(found) > 1:
        told = ", ".join(f"{count} {words}" for words, count in counts.items() if count)
        console.print(f"{counted(len(found), 'run')}: {told}", soft_wrap=True)


def _meant(audit: Audit) -> str:
    return f"should follow {audit.meant}" if audit.meant else "looks wrong"


def _in_words(audit: Audit) -> str:
    """`as meant: cosine, 300 steps`, with notes."""
    if audit.problem:
        return f"not checked: {audit.problem}"
    notes = "".join(f"; {note}" for note in audit.notes)
    if not audit.meant:
        return f"nothing wrong in {audit.steps:,} recorded learning rates{notes}"
    return f"as meant: {audit.meant}, {audit.steps:,} recorded learning rates{notes}"
