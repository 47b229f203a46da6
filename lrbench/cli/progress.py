"""Progress display: a bar per run on a terminal, plain lines otherwise."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from lrbench.analysis import duration
from lrbench.cli.terminal import Terminal, give_up, inline
from lrbench.components import KNOWN, Metric, in_words, metrics_of
from lrbench.events import Event

PLAIN_SECONDS = 10.0  # the shortest time between two plain lines of a run


class Display:
    """Shows events while a `with` block runs."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.metrics = dict(KNOWN)  # runs announce others at their start

    def __enter__(self) -> Self:
        # Drawing starts with the first run: before it, a data set may be downloaded with its own progress bar.
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if event.kind == "start":
            self.metrics |= metrics_of(event.values.get("metrics"))
        if self.console.quiet:
            self._show(event)
            return
        try:
            self._show(event)
        except OSError as error:
            # The reader is gone, or the disk is full: as by Ctrl-C, the runs stop and can be resumed. An error from
            # here would be one of the run that is told about.
            give_up(self.console)
            reason = f"cannot write the output ({error.strerror or 'its reader is gone'})"
            Terminal(stderr=True).print(f"{reason}, so the command stops", soft_wrap=True)
            os.kill(os.getpid(), signal.SIGINT)

    def _show(self, event: Event) -> None:
        """Show an event, with its run's metrics known."""
        raise NotImplementedError

    def _stop(self) -> None:
        """Remove what is drawn."""

    def tell(self, event: str, **facts: Any) -> None:
        """Tell programs what people see in tables; see `JsonEvents`."""

    def say(self, text: str) -> None:
        """Print a line above what is drawn."""
        self.console.print(inline(text), style="dim")

    def ending(self, event: Event) -> str:
        """Describe how a run ended in one line."""
        result = event.values["result"]
        pieces = [result.status.words]
        if result.reason:
            pieces.append(result.reason.splitlines()[0])
        if result.final:
            pieces.append(self.measured(result.final))
        tested = {key: value for key, value in (result.test or {}).items() if value is not None}
        if tested:
            texts = [f"{in_words(key)} {self._text(key, value)}" for key, value in tested.items()]
            pieces.append(f"test {', '.join(texts)}")
        if result.seconds:
            pieces.append(duration(result.seconds))
        return "; ".join(filter(None, pieces))

    def measured(self, values: Mapping[str, float | None]) -> str:
        """Return `loss 0.3, val loss 0.2, val accuracy 92.10 %`: the training loss and the validation metrics."""
        names = {"train_loss": "loss", **{key: in_words(key) for key in values if key.startswith("val_")}}
        known = [(name, key, values.get(key)) for key, name in names.items()]
        return ", ".join(f"{name} {self._text(key, value)}" for name, key, value in known if value is not None)

    def _text(self, key: str, value: float) -> str:
        """Format a value; an unknown metric is a plain number."""
        name = key.removeprefix("train_").removeprefix("val_")
        return self.metrics.get(name, Metric(name)).text(value)


def display(console: Console) -> Display:
    """Return bars for a terminal, plain lines otherwise."""
    return Bars(console) if console.is_terminal else Lines(console)


class TimeLeft(ProgressColumn):
    """The time left, from the mean speed since this process started or resumed the run."""

    def render(self, task: Task) -> Text:
        """Render the column."""
        done = task.completed - task.fields.get("first", 0)
        if task.finished or done <= 0 or task.total is None or task.start_time is None:
            return Text("", style="cyan")
        left = (task.total - task.completed) * (task.get_time() - task.start_time) / done
        return Text(f"{duration(left)} left" if left >= 1 else "", style="cyan")


class Bars(Display):
    """A bar per running run; a finished run leaves one line above the bars."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.total, self.over = 0, 0
        self.tasks: dict[str, TaskID] = {}
        self.known: dict[str, dict[str, Any]] = {}
        self.progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None, style="grey37"),
            TextColumn("{task.fields[epoch]}"),
            TextColumn("{task.fields[metrics]}"),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[speed]}", style="dim"),
            TimeLeft(),
            console=console,
            expand=True,
            transient=True,
        )

    def _stop(self) -> None:
        self.progress.stop()

    def _show(self, event: Event) -> None:
        if event.kind == "plan":
            self.total = event.values["runs"]
        elif event.kind == "message":
            self.say(event.values["text"])
        else:
            self.progress.start()
            if event.kind == "end":
                self._end(event)
            else:
                self._update(event)

    def _update(self, event: Event) -> None:
        if event.run not in self.tasks:
            empty: dict[str, Any] = dict.fromkeys(("epoch", "metrics", "rate", "speed"), "")
            self.tasks[event.run] = self.progress.add_task(inline(event.run), total=None, **empty)
        if event.kind == "start":
            return
        task = self.tasks[event.run]
        if event.run not in self.known:  # `TimeLeft` counts from the run's first steps
            self.progress.reset(task, completed=event.step, total=event.total_steps or None)
            self.progress.update(task, first=event.step)
        known = self.known[event.run] = {**self.known.get(event.run, {}), **event.values}
        fields: dict[str, Any] = {"epoch": _place(event), "metrics": self.measured(known)}
        if event.examples_per_second:
            fields["speed"] = f"{event.examples_per_second:,.0f} examples/s"
        self.progress.update(task, completed=event.step, rate=f"lr {event.lr:.3g}" if event.lr else "", **fields)

    def _end(self, event: Event) -> None:
        self.over += 1
        self.known.pop(event.run, None)
        if event.run in self.tasks:
            self.progress.remove_task(self.tasks.pop(event.run))
        count = f"[dim]{self.over}/{self.total}[/] " if self.total > 1 else ""
        self.console.print(f"{count}{inline(event.run)}  {inline(self.ending(event))}")


class Lines(Display):
    """A line when a run starts, about every ten seconds while it runs, and when it ends."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.said: dict[str, float] = {}

    def _show(self, event: Event) -> None:
        """Print a line, unless the run's last one is too recent."""
        if event.kind == "message":
            self.say(event.values["text"])
        elif event.kind == "start":
            self.said[event.run] = time.monotonic()
            self.say(f"{event.run}: " + (f"resumed after step {event.step}" if event.step else "started"))
        elif event.kind == "end":
            self.say(f"{event.run}: {self.ending(event)}")
        elif event.kind != "plan" and time.monotonic() - self.said.get(event.run, 0.0) > PLAIN_SECONDS:
            self.said[event.run] = time.monotonic()
            speed = f", {event.examples_per_second:,.0f} examples/s" if event.examples_per_second else ""
            rate = f"lr {event.lr:.3g}" if event.lr else ""
            step = f"step {event.step}{f'/{event.total_steps}' if event.total_steps else ''}" if event.step else ""
            pieces = [_place(event), step, self.measured(event.values), rate]
            self.say(f"{event.run}: {', '.join(filter(None, pieces))}{speed}")

    def say(self, text: str) -> None:
        """Print a line without breaking it."""
        self.console.print(inline(text), soft_wrap=True)


def _place(event: Event) -> str:
    """Return `epoch 3/25`; without the total if it is unknown, empty if the epoch is too."""
    return f"epoch {event.epoch}{f'/{event.epochs}' if event.epochs else ''}" if event.epochs or event.epoch else ""
