"""The command line: parse, call, print."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from lrbench._version import __version__
from lrbench.cli.options import AT_ONCE, Baseline, Debug, Device, Filters, Form, Metric, Overrides, Runs, Target, leave
from lrbench.cli.sweep import sweep
from lrbench.errors import Interrupted, LrbenchError, Terminated, UsageError

if TYPE_CHECKING:
    from lrbench.training.runner import Outcome

app = typer.Typer(
    name="lrbench",
    help="Which learning rate, which schedule, for my model and my data, and how sure can I be?",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lrbench {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
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
    from lrbench.training import runner
    from lrbench.training.run_one import StopFlag

    console = Console()
    with display(console) as watch, StopFlag.ending(leave):
        outcomes = runner.run(
            configs, runs=runs, overrides=overrides or (), seeds=seeds, jobs=jobs, device=device, again=again,
            wait=not no_wait, watch=watch,
        )  # fmt: skip
    _show_outcomes(console, outcomes, runs)


app.command()(sweep)


@app.command()
def report(
    runs_given: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RUNS", help="Runs, or folders of runs; the --runs folder by default."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write; by default, report/ inside the runs folder.", metavar="DIR"),
    ] = None,
    metric: Metric = "val_loss",
    baseline: Baseline = None,
    filters: Filters = None,
    target: Target = None,
    form: Form = None,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Set runs side by side: one figure, one table, one HTML page; also PNG, SVG, Markdown and CSV."""
    from lrbench.cli import terminal
    from lrbench.reports import report

    console = Console()
    paths, kept = runs_given or [runs], filters or ()
    if form is not None:
        shown = report.look(paths, metric=metric, baseline=baseline, filters=kept, target=target)
        typer.echo(report.table(shown, form), nl=False)
        return
    made = report.report(paths, out, metric=metric, baseline=baseline, filters=kept, target=target)
    terminal.show_groups(console, made.groups, made.comparison)
    for record in made.damaged:
        named = record.problem if record.folder.name in record.problem else f"{record.folder.name}: {record.problem}"
        console.print(f"[red]{record.state}:[/] {escape(named)}", highlight=False, soft_wrap=True)
    for sentence in report.summary(made.shown):
        console.print(sentence, markup=False, highlight=False)
    for test in made.tests:
        for line in test.words()[:1]:
            console.print(f"Range test of {test.name}: {line}", markup=False, highlight=False, soft_wrap=True)
    beside = ", ".join(p.name for p in made.files[1:])
    wrote = f"Wrote [bold]{escape(str(made.page))}[/] and, beside it, {beside}"
    console.print(wrote, highlight=False, soft_wrap=True)


@app.command()
def preview(
    configs: Annotated[list[Path], typer.Argument(metavar="CONFIG", help="YAML files.", show_default=False)],
    overrides: Overrides = None,
    steps_per_epoch: Annotated[
        int | None, typer.Option(help="Updates in an epoch, for data of your own.", min=1, show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The figure, .png or .svg; by default preview.png in the runs folder.", metavar="FILE"),
    ] = None,
    code: Annotated[
        bool,
        typer.Option(
            "--code", help="Print the lines for a training loop of your own, and nothing else, to standard output."
        ),
    ] = False,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Draw the learning rate that would be used, without training; several configs in one figure.

    [dim]lrbench preview configs/cosine.yaml configs/one_cycle.yaml[/]
    """
    from lrbench.cli import terminal
    from lrbench.reports import preview
    from lrbench.reports.figures import schedule

    console = Console(stderr=code)  # so that `--code > loop.py` gives a file that runs
    if out is not None and (out.suffix not in (".png", ".svg") or out.is_dir()):
        raise UsageError(f"--out {out}: must name a file that ends in .png or .svg")
    made = preview.preview(configs, overrides=overrides or (), steps_per_epoch=steps_per_epoch)
    path = out or runs / "preview.png"
    schedule.save(made, path)
    terminal.show_previews(console, made)
    for one in made if code else ():
        typer.echo(one.code() if len(made) == 1 else f"# {one.label}\n\n{one.code()}\n")
    console.print(f"Drew [bold]{escape(str(path))}[/]", highlight=False, soft_wrap=True)


@app.command("find-lr")
def find_lr(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file.", show_default=False)],
    overrides: Overrides = None,
    seeds: Annotated[int, typer.Option(help="Curves, each from a fresh model.", min=1)] = 3,
    start: Annotated[float, typer.Option(help="The first rate.")] = 1e-7,
    end: Annotated[float, typer.Option(help="The last rate.")] = 10.0,
    iterations: Annotated[int, typer.Option(help="Updates from the one to the other.")] = 300,
    shape: Annotated[str, typer.Option(help="How the rate rises: exponential or linear.")] = "exponential",
    smoothing: Annotated[float, typer.Option(help="β of the moving average; 0 for none.")] = 0.98,
    stop_factor: Annotated[float, typer.Option(help="Stop at so many times the best smoothed loss.")] = 4.0,
    validation: Annotated[
        bool, typer.Option("--validation", help="Measure validation data after each update, not the batch; slower.")
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option(help="Write a config that extends this one with the rate found.", metavar="FILE"),
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="The schedule of that config: one_cycle, triangular, …", show_default=False)
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Test anew what is done already.")] = False,
    device: Device = None,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """The learning rate range test: where the loss falls and where it rises, which rates to take, how sure that is.

    [dim]lrbench find-lr configs/digits/baseline.yaml --write configs/found.yaml[/]
    """
    from lrbench.cli import terminal
    from lrbench.cli.progress import display
    from lrbench.config.load import load_config
    from lrbench.lr_finder import find, write_config
    from lrbench.reports.figures import range_test
    from lrbench.training.run_one import StopFlag

    if write is not None:
        write_config.check_target(write, config)
    experiment = load_config(config, overrides or ())
    if write is not None:
        write_config.check_schedule(experiment, write, schedule)
    elif schedule is not None:
        raise UsageError("--schedule says what --write is to write; give both")
    console = Console()
    with display(console) as watch, StopFlag.ending(leave):
        found = find.find_lr(
            experiment, runs=runs, seeds=seeds, device=device, again=again, watch=watch, start=start, end=end,
            iterations=iterations, shape=shape, smoothing=smoothing, stop_factor=stop_factor, validation=validation,
        )  # fmt: skip
    range_test.save(found)
    terminal.show_finding(console, found)
    drawn = f"Drew [bold]{escape(str(found.folder.figure))}[/]; beside it, range_test.csv and range_test.json"
    console.print(drawn, highlight=False, soft_wrap=True)
    if write is not None:
        write_config.write(found, write, config, overrides or (), schedule)
        console.print(f"Wrote [bold]{escape(str(write))}[/]", highlight=False, soft_wrap=True)


@app.command("list")
def list_(
    kind: Annotated[
        str | None,
        typer.Argument(metavar="[KIND]", help="datasets, models, optimizers, schedules or losses."),
    ] = None,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One entry, with its parameters.")] = None,
    debug: Debug = False,
) -> None:
    """The catalogue: what a config may name, with parameters, defaults and formula."""
    from lrbench.cli import list

    list.show(Console(), kind, name)


def _show_outcomes(console: Console, outcomes: Sequence[Outcome], runs: Path) -> None:
    """The final table, what went wrong, how to go on; ends the command with its exit code."""
    from lrbench.cli.terminal import show_outcomes

    show_outcomes(console, outcomes)
    if any(o.how == "interrupted" for o in outcomes):
        left = sum(o.how == "interrupted" for o in outcomes)
        kind = Terminated if any(o.signal == signal.SIGTERM for o in outcomes) else Interrupted
        raise kind(f"stopped, with {left} of {len(outcomes)} runs to go; the same command goes on from there")
    if any(o.how in ("failed", "elsewhere") for o in outcomes):
        raise typer.Exit(1)
    where = "" if runs == Path("runs") else f" --runs {escape(str(runs))}"
    console.print(f"lrbench report{where} sets them side by side.", style="dim", highlight=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process with its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_run(words))


def _run(words: list[str]) -> int:
    try:
        code = app(args=words, prog_name="lrbench", standalone_mode=False)
    except LrbenchError as error:
        if "--debug" in words:
            raise
        return _complain(str(error), error.exit_code, warn=isinstance(error, Interrupted))
    except typer.Exit as error:
        if error.exit_code == 130:  # typer's own word for Ctrl-C
            return _complain(AT_ONCE, 130, warn=True)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _complain(AT_ONCE, 130, warn=True)
    except BrokenPipeError:
        return 1
    except Exception as error:
        shown = getattr(error, "show", None)  # click's own errors: a wrong option, a missing argument
        if shown is not None:
            shown()
            return int(getattr(error, "exit_code", 2))
        if "--debug" in words:
            raise
        return _complain(
            f"lrbench itself failed: {type(error).__name__}: {error}. --debug shows where; please report it",
            1,
        )
    return code if isinstance(code, int) else 0


def _complain(text: str, code: int, warn: bool = False) -> int:
    colour = "yellow" if warn else "red"
    Console(stderr=True).print(
        f"[{colour}]{'' if warn else 'Error: '}[/]{escape(text)}", highlight=False, soft_wrap=True
    )
    return code
