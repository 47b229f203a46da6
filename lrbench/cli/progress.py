"""Progress display: a bar per run on a terminal, plain lines otherwise."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from lrbench.analysis import duration
from lrbench.components import KNOWN, Metric, metrics_of
from lrbench.events import Event
from lrbench.runs import RunResult

PLAIN_SECONDS = 10.0  # the shortest time between two plain lines of a run


class Display(Protocol):
    """Show events while a `with` block runs."""

    def __call__(self, event: Event) -> None:
        """Show an event."""

    def __enter__(self) -> Display: ...
    def __exit__(self, *_: Any) -> None: ...


def display(console: Console) -> Display:
    """Return bars for a terminal, plain lines otherwise."""
    return Bars(console) if console.is_terminal else Lines(console)


class TimeLeft(ProgressColumn):
    """The time left, from the mean speed since this process started or resumed the run."""

    def render(self, task: Task) -> Text:
        """Render the column."""
        done = task.completed - (task.fields["first"] or 0)
        if task.finished or done <= 0 or task.total is None or task.start_time is None:
            return Text("", style="cyan")
        left = (task.total - task.completed) * (task.get_time() - task.start_time) / done
        return Text(f"{duration(left)} left", style="cyan")


class Bars:
    """A bar per running run; a finished run leaves one line above the bars."""

    def __init__(self, console: Console) -> None:
        self.console, self.total, self.over = console, 0, 0
        self.tasks: dict[str, TaskID] = {}
        self.known: dict[str, dict[str, Any]] = {}
        self.metrics = dict(KNOWN)
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

    def __enter__(self) -> Bars:
        # The bars start with the first run: before it, a data set may be downloaded with its own progress bar.
        return self

    def __exit__(self, *_: Any) -> None:
        self.progress.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if event.kind == "plan":
            self.total = event.values["runs"]
            return
        if event.kind == "message":
            self.progress.console.print(str(event.values["text"]), style="dim", markup=False, highlight=False)
            return
        self.progress.start()
        if event.kind == "end":
            self._end(event)
            return
        task = self._task(event)
        if event.kind == "start":
            self.metrics |= told_metrics(event)
            return
        if self._fields(task)["first"] is None:
            self.progress.reset(task, completed=event.step, total=event.total_steps)
            self.progress.update(task, first=event.step)
        speed: dict[str, Any] = {}
        if event.examples_per_second:
            speed = {"speed": f"{event.examples_per_second:,.0f} examples/s"}
        self.progress.update(
            task,
            completed=event.step,
            epoch=f"epoch {event.epoch}/{event.epochs}",
            metrics=_values(self._remember(event), self.metrics),
            rate=f"lr {event.lr:.3g}",
            **speed,
        )

    def _remember(self, event: Event) -> dict[str, Any]:
        """Return the event's metrics, completed with the last known validation metrics."""
        known = {**self.known.get(event.run, {}), **event.values}
        self.known[event.run] = known
        return known

    def _fields(self, task: TaskID) -> dict[str, Any]:
        return next(t.fields for t in self.progress.tasks if t.id == task)

    def _task(self, event: Event) -> TaskID:
        if event.run not in self.tasks:
            fields: dict[str, Any] = {"epoch": "", "metrics": "", "rate": "", "speed": "", "first": None}
            self.tasks[event.run] = self.progress.add_task(escape(event.run), total=None, **fields)
        return self.tasks[event.run]

    def _end(self, event: Event) -> None:
        self.over += 1
        task = self.tasks.pop(event.run, None)
        if task is not None:
            self.progress.remove_task(task)
        count = f"[dim]{self.over}/{self.total}[/] " if self.total > 1 else ""
        self.progress.console.print(
            f"{count}{escape(event.run)}  {escape(ending(event.values['result'], self.metrics))}", highlight=False
        )


class Lines:
    """A line when a run starts, about every ten seconds while it runs, and when it ends."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.said: dict[str, float] = {}
        self.metrics = dict(KNOWN)

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: Any) -> None:
        return None

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if event.kind == "message":
            self._print(str(event.values["text"]))
        elif event.kind == "start":
            self.said[event.run] = time.monotonic()
            self.metrics |= told_metrics(event)
            self._print(f"{event.run}: " + (f"resumed after step {event.step}" if event.step else "started"))
        elif event.kind == "end":
            self._print(f"{event.run}: {ending(event.values['result'], self.metrics)}")
        elif event.kind == "plan":
            return
        elif time.monotonic() - self.said.get(event.run, 0.0) > PLAIN_SECONDS:
            self.said[event.run] = time.monotonic()
            speed = f", {event.examples_per_second:,.0f} examples/s" if event.examples_per_second else ""
            place = f"epoch {event.epoch}/{event.epochs}, step {event.step}/{event.total_steps}"
            self._print(f"{event.run}: {place}, {_values(event.values, self.metrics)}, lr {event.lr:.3g}{speed}")

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def told_metrics(event: Event) -> dict[str, Metric]:
    """Return a run's metrics from its `start` event; empty for events without them."""
    told = event.values.get("metrics")
    return {} if told is None else metrics_of(told)


def ending(result: RunResult, metrics: Mapping[str, Metric]) -> str:
    """Describe a result in one line; `metrics` formats the values."""
    pieces = [result.status.words]
    if result.reason:
        pieces.append(result.reason.splitlines()[0])
    if result.final:
        pieces.append(_values(result.final, metrics))
    tested = {name: value for name, value in (result.test or {}).items() if value is not None}
    if tested:
        pieces.append(
            "test " + ", ".join(f"{_name(key)} {_form(key, metrics).text(value)}" for key, value in tested.items())
        )
    if result.seconds:
        pieces.append(duration(result.seconds))
    return "; ".join(pieces)


def _values(values: Mapping[str, float | None], metrics: Mapping[str, Metric]) -> str:
    """Return `loss 0.3, val loss 0.2, val accuracy 92.10 %`: the training loss and the validation metrics."""
    shown = {"train_loss": "loss", **{key: _name(key) for key in values if key.startswith("val_")}}
    known = [(key, name, values.get(key)) for key, name in shown.items()]
    return ", ".join(f"{name} {_form(key, metrics).text(value)}" for key, name, value in known if value is not None)


def _name(key: str) -> str:
    return key.replace("_", " ")


def _form(key: str, metrics: Mapping[str, Metric]) -> Metric:
    """Return the metric that formats a value; an unknown metric is a plain number."""
    name = key.removeprefix("train_").removeprefix("val_")
    return metrics.get(name, Metric(name))
