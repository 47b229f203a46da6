"""The command `lrbench watch`."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lrbench.cli.options import Debug, Runs, option
from lrbench.cli.terminal import Terminal
from lrbench.errors import UsageError, choices

if TYPE_CHECKING:
    from lrbench.cli.frame import Watched
    from lrbench.training import StopFlag

EVERY_SECONDS, POLL_SECONDS = 1.0, 0.1
LOOKING = 0.05
"""The most of a core that looking may take in the long run."""
NOTE = "Ctrl-C ends watching, not the runs."


def watch(
    wanted: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUNS|NAME", help="Folders of runs, or a sweep's name. Default: the --runs folder."),
    ] = None,
    once: Annotated[
        bool, option("Print the state once and exit; the default if the output is not a terminal.", "--once")
    ] = False,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Show sweeps that run elsewhere: progress, time left, families so far, failures, what is decided. Ctrl-C ends it.

    [dim]lrbench watch    lrbench watch digits-rates    ssh gpu1 lrbench watch --once --runs work/runs[/]
    """
    from lrbench.cli.frame import show_frame
    from lrbench.training import StopFlag

    watched = _watched(wanted or [], runs)
    console = Terminal()
    if once or not console.is_terminal:
        if not wanted and runs != Path("runs") and not runs.exists():
            raise UsageError(f"--runs {runs}: there is no such folder")
        watched.look()
        show_frame(console, watched)
        return
    stop = StopFlag()
    with contextlib.suppress(KeyboardInterrupt), stop.on_signals():  # a second Ctrl-C does not wait for a look
        _follow(console, watched, stop)
    if stop.signal == signal.SIGTERM:
        raise typer.Exit(128 + signal.SIGTERM)


def _follow(console: Terminal, watched: Watched, stop: StopFlag) -> None:
    """Draw the state again and again, on a screen of its own; leave the last one behind."""
    from rich.live import Live
    from rich.text import Text

    from lrbench.cli.frame import show_frame

    shown = ""
    watched.look()  # the first look takes longest
    try:
        with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
            while not stop():
                began = time.monotonic()
                watched.look()
                paper = _like(console)
                with paper.capture() as captured:
                    show_frame(paper, watched)
                shown = captured.get()
                lines = shown.splitlines()[: console.height - 1]
                drawn = Text.from_ansi("\n".join(lines), no_wrap=True)
                live.update(drawn.append("\n").append(NOTE, "dim"), refresh=True)
                until = began + max(EVERY_SECONDS, (time.monotonic() - began) / LOOKING)
                while not stop() and time.monotonic() < until:
                    time.sleep(POLL_SECONDS)
    finally:
        console.print(Text.from_ansi(shown), end="")


def _like(console: Terminal) -> Terminal:
    """Return a console of the same width and colours, to print into."""
    return Terminal(width=console.width, height=console.height, force_terminal=True, color_system=console.color_system)


def _watched(wanted: list[str], runs: Path) -> Watched:
    """Return what to watch. Raises UsageError if there is no such folder or sweep."""
    from lrbench.analysis import RunsReader
    from lrbench.cli.frame import Watched
    from lrbench.server import Plans
    from lrbench.sweeps import find_sweeps

    folders = [Path(text) for text in wanted if Path(text).is_dir()]
    names = [text for text in wanted if not Path(text).is_dir()]
    if len(names) > 1 or (names and folders):
        raise UsageError(f"{names[0]}: there is no such folder; a sweep's name stands alone")
    if names:
        known = [folder.name for folder in find_sweeps(runs)]
        if names[0] not in known:
            near = choices(names[0], known) if known else f"no sweep is in {runs / 'sweeps'} yet"
            raise UsageError(f"{names[0]}: there is no such folder of runs, and no such sweep in {runs}; {near}")
    if folders and runs != Path("runs"):
        raise UsageError(f"--runs {runs} is not used, since folders are named: {folders[0]}; leave out one")
    paths = folders or [runs]
    return Watched([Plans(path) for path in paths], RunsReader(paths), names[0] if names else None)
