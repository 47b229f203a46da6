"""Requests to a sweep: plain files in `runs/sweeps/<name>/requests/`, obeyed while it runs or at its next start.

| file | asks |
| --- | --- |
| `stop` | to start no more runs; the command removes it at its end |
| `drop-<run>` | to drop a run: not to start it, or to end it; it stays dropped while the file is there |
| `seeds`, `seeds-…` | for more seeds: `3`, `3 of cosine`, `3 best`, `3 best of cosine`; removed once planned |

A file that is none of these, or has another content, is renamed to `….rejected`.
"""

from __future__ import annotations

import contextlib
import re
import stat
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lrbench.config import opened
from lrbench.errors import FolderError, UsageError, choices, counted, nearest
from lrbench.events import Event, Watch, message
from lrbench.runs import RunFolder, relative, write_file, writing
from lrbench.sweeps.plan import Plan, SweepFolder
from lrbench.training import DROP, STOP, Orders, Outcome

FOLDER = "requests"
SEEDS, REJECTED = "seeds", ".rejected"
MOST_SEEDS, MOST_BYTES = 1000, 1000
LOOK_SECONDS = 1.0
WRITTEN_SECONDS = 5.0  # an empty file younger than this may be about to be written
_CONTENT = re.compile(r"(\d{1,9})(\s+best)?(?:\s+of\s+(\S.*))?", re.DOTALL)
_HELP = "it must give a number, such as `3`, `3 of cosine`, `3 best` or `3 best of cosine`"


@dataclass(frozen=True)
class MoreSeeds:
    """A request for seeds.

    Attributes:
        count: how many, for each learning rate.
        family: the line of the sweep that gets them; None for all lines.
        best: only for the best learning rate of each line, as it is when the grid is done.
        file: the name of its file; empty while it has none.
    """

    count: int
    family: str | None = None
    best: bool = False
    file: str = field(default="", compare=False)

    @classmethod
    def of(cls, text: str, families: Sequence[str], file: str = "") -> MoreSeeds:
        """Parse the content of a file. Raises ValueError."""
        found = _CONTENT.fullmatch(text.strip())
        if found is None or not 1 <= int(found[1]) <= MOST_SEEDS:
            raise ValueError(f"{_HELP}, at most {MOST_SEEDS:,} (got {text.strip()!r:.60})")
        family = found[3]
        if family is not None and family not in families:
            raise ValueError(f"this sweep has no family {family!r:.60}; {choices(family, families)}")
        return cls(int(found[1]), family, found[2] is not None, file)

    @property
    def text(self) -> str:
        """The content of its file: `3 best of cosine`."""
        return f"{self.count}{' best' * self.best}{'' if self.family is None else f' of {self.family}'}"

    @property
    def words(self) -> str:
        """What it asks for: `3 more seeds of the best learning rate of cosine`."""
        what = "the best learning rate" if self.best else "every learning rate"
        whose = self.family if self.family is not None else "each family"
        return f"{counted(self.count, 'more seed')} of {what} of {whose}"


@dataclass(frozen=True)
class Requests:
    """What is asked of a sweep.

    Attributes:
        stop: to start no more runs.
        dropped: the names of runs to drop.
        seeds: seeds to add, in the order in which they were asked for.
        invalid: what is wrong with other files, by name.
    """

    stop: bool = False
    dropped: frozenset[str] = frozenset()
    seeds: tuple[MoreSeeds, ...] = ()
    invalid: Mapping[str, str] = field(default_factory=dict)


def folder_of(sweep: SweepFolder) -> Path:
    """Return the folder of a sweep's requests, which may not exist."""
    return sweep.path / FOLDER


def requests_of(sweep: SweepFolder, plan: Plan | None = None, runs: Iterable[str] = ()) -> Requests:
    """Read what is asked of a sweep; nothing is changed.

    Args:
        sweep: the sweep's folder.
        plan: its plan, which is read unless given.
        runs: names of runs that may be dropped besides those of the plan.

    Raises:
        FolderError: there is no plan.
    """
    plan = plan or sweep.plan()
    names, families = {cell.run for cell in plan.cells} | set(runs), plan.series
    stop, dropped, invalid = False, [], {}
    seeds: list[tuple[float, MoreSeeds]] = []
    for path in _files(sweep):
        name = path.name
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would wait for ever
                raise ValueError(f"it is {'a folder' if path.is_dir() else 'no regular file'}; a request is a file")
            if name == STOP:
                stop = True
            elif name.startswith(DROP):
                if name.removeprefix(DROP) not in names:
                    raise ValueError(f"this sweep has no run {name.removeprefix(DROP)!r:.120}")
                dropped.append(name.removeprefix(DROP))
            elif name == SEEDS or name.startswith(f"{SEEDS}-"):
                with opened(path) as file:
                    text = file.read(MOST_BYTES).decode(errors="replace")
                made = path.stat().st_mtime
                if text.strip() or time.time() - made > WRITTEN_SECONDS:
                    seeds.append((made, MoreSeeds.of(text, families, name)))
            else:
                raise ValueError(f"it must be called {STOP}, {DROP}<run> or {SEEDS}{_near(name)}")
        except ValueError as error:
            invalid[name] = str(error)
        except OSError:  # removed meanwhile, or unreadable, which another look may change
            continue
    asked = tuple(one for _, one in sorted(seeds, key=lambda pair: (pair[0], pair[1].file)))
    return Requests(stop, frozenset(dropped), asked, invalid)


def request_stop(sweep: SweepFolder) -> Path:
    """Ask a sweep to start no more runs; return the file. Raises FolderError."""
    return _touch(folder_of(sweep) / STOP)


def cancel_stop(sweep: SweepFolder) -> None:
    """Take the request to stop back. Raises FolderError."""
    _remove(folder_of(sweep) / STOP)


def drop_cell(sweep: SweepFolder, run: str) -> Path:
    """Ask a sweep to drop a run that has not ended; return the file. Raises UsageError, FolderError."""
    cell = next((cell for cell in sweep.plan().cells if cell.run == run), None)
    if cell is None:
        raise UsageError(f"the sweep {sweep.name} has no run {run!r:.120}")
    folder = sweep.run(cell)
    result = folder.result()
    if result is not None and result.status.ended:
        raise UsageError(f"{run} has ended ({result.status.words}), so it can't be dropped")
    return _touch(folder_of(sweep) / f"{DROP}{run}")


def keep_cell(sweep: SweepFolder, run: str) -> None:
    """Take the request to drop a run back: the sweep trains it, or its next start does so. Raises FolderError."""
    if run in {name.removeprefix(DROP) for name in (path.name for path in _files(sweep)) if name.startswith(DROP)}:
        _remove(folder_of(sweep) / f"{DROP}{run}")


def add_seeds(sweep: SweepFolder, count: int, *, family: str | None = None, best: bool = False) -> Path:
    """Ask a sweep for more seeds; return the file.

    Args:
        sweep: the sweep's folder.
        count: how many, for each learning rate.
        family: the line that gets them, by its name in the plan; None for all.
        best: only for the best learning rate of each line.

    Raises:
        UsageError: no such family, or a wrong number.
        FolderError: there is no plan, or the file can't be written.
    """
    asked = MoreSeeds(count, family, best)
    try:
        MoreSeeds.of(asked.text, sweep.plan().series)
    except ValueError as error:
        raise UsageError(f"seeds: {error}") from None
    return write_file(folder_of(sweep) / f"{SEEDS}-{uuid.uuid4().hex[:8]}", f"{asked.text}\n")


class Desk:
    """Takes the requests of a running sweep: says once what is asked, and rejects what makes no sense.

    Args:
        sweep: the sweep's folder.
        plan: its plan, which `plan` replaces as it grows.
        watch: called with messages, and with the events that `watching` passes on.
    """

    def __init__(self, sweep: SweepFolder, plan: Plan, watch: Watch) -> None:
        self.sweep, self.plan, self.watch = sweep, plan, watch
        self.runs = {cell.run for cell in sweep.known()}  # those of earlier rounds too
        self.said: set[object] = set()
        self.looked = 0.0
        self.dropped: frozenset[str] = frozenset()
        self.orders = Orders(folder_of(sweep).resolve()).without_earlier()  # as other nodes see it

    def clear(self, outcomes: Sequence[Outcome]) -> None:
        """Remove a request to stop that is done with, unless another command that trains these runs must see it."""
        stop = folder_of(self.sweep) / STOP
        if stop.exists() and not any(RunFolder(one.path).busy for one in outcomes if one.to_do or one.undone):
            with contextlib.suppress(FolderError):
                _remove(stop)

    def watching(self, event: Event) -> None:
        """Pass an event on, and look at the requests now and then."""
        self.watch(event)
        if event.kind != "message" and time.monotonic() - self.looked > LOOK_SECONDS:
            self.look()

    def look(self) -> Requests:
        """Read the requests; tell what is new."""
        self.looked = time.monotonic()
        found = requests_of(self.sweep, self.plan, self.runs)
        self.dropped = found.dropped
        if found.stop and self.orders.stop:
            where = relative(folder_of(self.sweep) / STOP)
            self._say("stop", f"stopping after the current runs, as {where} asks")
        self.said -= {key for key in self.said if str(key).startswith(DROP)} - {f"{DROP}{run}" for run in found.dropped}
        for run in sorted(found.dropped):
            asks = f"{run} is dropped, as a file in {relative(folder_of(self.sweep))} asks"
            self._say(f"{DROP}{run}", asks, Event(run, "message", values={"text": asks, "dropped": True}))
        for one in found.seeds:
            self._say(one, f"{one.words}: requested; they are planned once the current runs are done")
        for name, problem in found.invalid.items():
            self._reject(name, problem)
        return found

    def _say(self, key: object, text: str, event: Event | None = None) -> None:
        if key not in self.said:
            self.said.add(key)
            self.watch(event or message(text))

    def _reject(self, name: str, problem: str) -> None:
        path = folder_of(self.sweep) / name
        with contextlib.suppress(OSError):  # in a read-only folder it stays, and is told of once
            path.replace(path.with_name(f"{name[:200]}{REJECTED}"))
            self.said.discard(name)
        self._say(name, f"the request {relative(path)} is rejected: {problem}")

    def done(self, request: MoreSeeds) -> None:
        """Remove a request that was obeyed."""
        self.said.discard(request)
        with contextlib.suppress(FolderError):
            _remove(folder_of(self.sweep) / request.file)


def _near(name: str) -> str:
    near = nearest(name, (STOP, SEEDS))
    return f"; {near.strip()}" if near else ""


def _files(sweep: SweepFolder) -> Iterator[Path]:
    """Yield the files of requests; not those of editors, and no rejected ones."""
    try:
        found = sorted(folder_of(sweep).iterdir())
    except OSError:
        return
    for path in found:
        if (
            not path.is_symlink()
            and not path.name.startswith(".")
            and not path.name.endswith((REJECTED, "~", ".tmp", ".swp"))
        ):
            yield path


def _touch(path: Path) -> Path:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return path


def _remove(path: Path) -> None:
    with writing(path):
        path.unlink(missing_ok=True)
