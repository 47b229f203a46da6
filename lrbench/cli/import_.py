"""The command `lrbench import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lrbench.cli.options import Debug, Runs, option
from lrbench.cli.terminal import Terminal, inline
from lrbench.errors import UsageError

Paths = Annotated[
    list[Path], typer.Argument(metavar="PATH", help="Logs, or folders that hold them.", show_default=False)
]
Kind = Annotated[
    str | None,
    option(
        "Format of the logs, if it can't be recognized: tensorboard (event files), lightning (metrics.csv), trainer "
        "(trainer_state.json), wandb (.wandb, exported .csv), mlflow (mlruns, mlflow.db), csv (.csv, .tsv) or jsonl "
        "(.jsonl, .ndjson).",
        "--from",
        metavar="FORMAT",
    ),
]
GroupBy = Annotated[
    str | None, option("The parameters by which runs are grouped: lr,schedule. Default: all that may matter.")
]
Map = Annotated[
    list[str] | None,
    option(
        "The column of a metric: val_loss=eval/loss; repeatable. Usual names are recognized.",
        "--map",
        metavar="OURS=COLUMN",
    ),
]


def import_(
    paths: Paths,
    kind: Kind = None,
    name: Annotated[str | None, option("Name of all runs, or a pattern: '{experiment} {optimizer}'.")] = None,
    seed_key: Annotated[str | None, option("The parameter that holds the seed. Default: seed, random_seed, …")] = None,
    group_by: GroupBy = None,
    lr_key: Annotated[
        str | None, option("The parameter that holds the learning rate. Default: lr, learning_rate, …")
    ] = None,
    columns: Map = None,
    dry_run: Annotated[bool, option("List what would be imported; write nothing.", "--dry-run")] = False,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Import the runs of TensorBoard, Lightning, Hugging Face, Keras, W&B, MLflow, CSV files or JSON lines.

    [dim]lrbench import lightning_logs --group-by lr,schedule[/]
    """
    from lrbench.integrations import import_runs
    from lrbench.runs import relative

    keys = None if group_by is None else [key.strip() for key in group_by.split(",") if key.strip()]
    done = import_runs(
        *paths, kind=kind, runs=runs, name=name, seed_key=seed_key, group_by=keys, lr_key=lr_key,
        columns=_mapping(columns or ()), dry_run=dry_run,
    )  # fmt: skip
    console = Terminal()
    console.print(f"{'Would import: ' * dry_run}{done}", markup=False, soft_wrap=True)
    for path, why in done.unreadable:
        shown, rest = str(relative(path.absolute())), why.removeprefix(str(path))
        of_itself = rest != why and rest.startswith((" ", "/", ": "))  # a message that names the path, or what is in it
        console.print(f"[yellow]{inline(shown)}{'' if of_itself else ': '}[/]{inline(rest)}", soft_wrap=True)
    for note in done.notes:
        console.print(f"[yellow]Note:[/] {inline(note)}", soft_wrap=True)
    if dry_run and (done.new or done.updated):
        return
    if done.new or done.updated or done.unchanged:
        where = "" if runs == Path("runs") else f" --runs {inline(str(runs))}"
        console.print(f"To compare them: lrbench report{where}", style="dim")
    elif done.unreadable:
        raise typer.Exit(1)


def _mapping(given: tuple[str, ...] | list[str]) -> dict[str, str]:
    """Parse `val_loss=eval/loss`. Raises UsageError."""
    found: dict[str, str] = {}
    for text in given:
        ours, equals, theirs = text.partition("=")
        if not equals or not ours.strip() or not theirs.strip():
            raise UsageError(f"--map must be OURS=COLUMN, such as val_loss=eval/loss (got {text!r:.60})")
        if found.get(ours.strip(), theirs.strip()) != theirs.strip():
            raise UsageError(f"--map gives {ours.strip()} two columns: {found[ours.strip()]} and {theirs.strip()}")
        found[ours.strip()] = theirs.strip()
    return found
