"""What the live page shows: the report of the runs that there are, and the progress of sweeps under way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lrbench.analysis import RunsReader
from lrbench.errors import LrbenchError, counted
from lrbench.lr_finder import find_tests
from lrbench.reports import Update, gather, page_template, page_title, page_update, whole_page
from lrbench.server.live import ABOVE, Shown
from lrbench.server.progress import Plans, SweepShown, settled_in, sweeps_shown
from lrbench.sweeps import Decided


def _template(name: str) -> Any:
    return page_template(name, "lrbench.server")


@cache
def _static(name: str) -> str:
    return resources.files("lrbench.server").joinpath("static", name).read_text(encoding="utf-8")


@dataclass
class Runs:
    """The runs among and directly under `paths`, with the arguments of a report.

    With `read_only`, there are no buttons.
    """

    paths: Sequence[Path]
    asked: Mapping[str, Any] = field(default_factory=dict)
    read_only: bool = False
    _tests: Mapping[Path, int] = field(default_factory=dict)
    _sweeps: Sequence[SweepShown] = ()
    _settled: Mapping[Path, Sequence[Decided]] = field(default_factory=dict)
    _title: str = "Runs"

    @cached_property
    def reader(self) -> RunsReader:
        """Reads what has changed."""
        return RunsReader(self.paths)

    @cached_property
    def plans(self) -> list[Plans]:
        """The sweeps of each folder."""
        return [Plans(path) for path in self.paths]

    def look(self) -> bool:
        """Look whether runs or range tests have changed."""
        tests = {test.path: test.found_at for test in find_tests(path for path in self.paths if path.is_dir())}
        changed = tests != self._tests
        self._tests = tests
        return self.reader.look() or changed

    def page(self) -> Update:
        """Make the report; without runs, or if it can't be made yet, say why."""
        paths = [path for path in self.paths if path.exists()]
        if not paths or not (self.reader.records or self._tests):
            where = ", ".join(str(path) for path in self.paths)
            return self._note(
                "No runs yet", f"There are no runs in {where} yet. The page shows them as soon as there are some."
            )
        try:
            shown = gather(paths, **self.asked, read=lambda _: self.reader.records)
        except LrbenchError as error:
            return self._note("No report yet", str(error))
        self._title = page_title(shown)
        self._settled = settled_in(self.plans, self.reader.records)
        return page_update(shown, live=True)

    def progress(self) -> dict[str, Any]:
        """Return the progress as HTML, and in words: the page's title, a count before it, and what has happened."""
        sweeps = sweeps_shown(self.plans, self.reader.records, self._settled)
        html = _template("live.html.j2").render(
            sweeps=[one for one in sweeps if one.open],
            over=[one for one in sweeps if not one.open],
            read_only=self.read_only,
        )
        under_way = [one for one in sweeps if not one.over]
        news, self._sweeps = _news(self._sweeps, sweeps), sweeps
        done, total = sum(one.done for one in under_way), sum(one.total for one in under_way)
        return {"progress": html, "title": self._title, "count": f"{done}/{total}" if total else "", "news": news}

    def _note(self, title: str, words: str) -> Update:
        self._title = title
        return Update(("note",), {"note": _template("note.html.j2").render(title=title, words=words)}, {})


def document(shown: Shown, *, read_only: bool) -> str:
    """Write the whole page, which keeps itself up to date."""
    told = {"problem": "", "count": "", **shown.live, "version": shown.version}
    frame = _template("frame.html.j2").render(**told, read_only=read_only, style=Markup(_static("live.css")))
    parts = {**dict(zip(ABOVE, (frame, shown.live.get("progress", "")), strict=True)), **shown.parts}
    if not shown.version:
        parts["note"] = _template("note.html.j2").render(title="Reading the runs …", words="")
    order = shown.order or (*ABOVE, "note")
    title = str(shown.live.get("title") or "Runs")
    return whole_page(Update(order, parts, shown.data), title=title, scripts=[_static("live.js")], connect=True)


def _news(before: Sequence[SweepShown], now: Sequence[SweepShown]) -> str:
    """Say what has happened that a person would want to hear of: a run failed, a sweep is done."""
    known = {(one.root, one.name): one for one in before}
    said = []
    for one in now:
        earlier = known.get((one.root, one.name))
        if earlier is None or not one.name:
            continue
        if one.over and not earlier.over:
            what = "The only run" if one.total == 1 else f"All {counted(one.total, 'run')}"
            said.append(f"{what} of {one.name} {'has' if one.total == 1 else 'have'} ended.")
        new = {cell.run for cell in one.failed} - {cell.run for cell in earlier.failed}
        said += [f"{cell.label} failed." for cell in one.failed if cell.run in new][:3]
    return " ".join(said)
