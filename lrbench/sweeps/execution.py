"""Carry out a sweep: execute its pending runs, add those that a zoom, a confirmation or a person asks for."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lrbench.errors import LockedError, UsageError, counted, option
from lrbench.events import Event, Watch, message, silent
from lrbench.runs import Status, relative
from lrbench.sweeps.additions import add_again, add_confirmation, plan_seeds, zoom_in
from lrbench.sweeps.asked import Sweep
from lrbench.sweeps.halving import drop, loss_at, worse_half
from lrbench.sweeps.requests import Desk
from lrbench.sweeps.zoom import Zoom
from lrbench.training import RUNGS, Outcome, RunOptions, do_runs

UNASKED = 1000  # larger grids need --yes


def check_fits(asked: Sweep, options: RunOptions, zoom: Zoom | None, confirm: int) -> None:
    """Raise UsageError if a sweep can't be carried out in this way."""
    if not 0 <= confirm <= UNASKED:
        raise UsageError(f"{option('--confirm')} must be from 0 to {UNASKED:,} (got {confirm:,})")
    if zoom is not None and options.prune is not None:
        raise UsageError(
            f"{option('--zoom')} needs complete runs: leave out {option('--prune')} and {option('--halve')}"
        )
    if zoom is not None and zoom.max_runs is not None and zoom.max_runs < len(asked.cells):
        raise UsageError(
            f"{option('--max-runs')} {zoom.max_runs:,} is less than the {counted(len(asked.cells), 'run')} of the grid"
        )
    halves = options.prune is not None and options.prune.halve and not asked.auto
    if halves and len({(cell.series, cell.lr) for cell in asked.plan.grid}) == len(asked.plan.series):
        what = f"{option('--halve')} drops the worse half of each schedule's learning rates, and there is only one"
        raise UsageError(f"{what}; give several with {option('--lr')}, or leave it out")


def carry_out(
    asked: Sweep, options: RunOptions, *, zoom: Zoom | None = None, confirm: int = 0, watch: Watch = silent
) -> Sweep:
    """Execute the pending runs of a sweep and return `asked`, updated. Raises the same errors as `sweep`."""
    check_fits(asked, options, zoom, confirm)
    desk = Desk(asked.folder, asked.plan, watch)
    desk.clear(asked.outcomes)
    work = Work(asked, replace(options, orders=desk.orders), watch, desk)
    if zoom is not None:
        add_again(asked, options, zoomed=True)
    try:
        work.do(zoom, confirm)
    finally:
        desk.clear(asked.outcomes)
    return asked


@dataclass
class Work:
    """A sweep that is carried out."""

    asked: Sweep
    options: RunOptions
    watch: Watch
    desk: Desk
    advised: bool = False

    def do(self, zoom: Zoom | None, confirm: int) -> None:
        """Execute the grid, then what is added to it, until nothing is."""
        if not self._trained():
            return
        while True:
            while self._more() or self._zoomed(zoom):
                if not self._trained():
                    return
            self._confirmed(confirm)
            if not self._more():
                break
            if not self._trained():
                return
        undone = self.undone
        have = "has" if undone == 1 else "have"
        without = f"{undone} of {counted(len(self.asked.outcomes), 'run')} {have} no result"
        if zoom is not None and undone:
            self.watch(message(f"no further zoom yet: {without}"))
        if confirm and undone:
            self.watch(message(f"no fresh seeds yet: {without}"))

    def train(self, how: RunOptions, outcomes: Sequence[Outcome]) -> None:
        """Execute the pending runs among these."""
        for outcome in outcomes:
            outcome.kind = how.kind_of(outcome.experiment)
        self.desk.plan = self.asked.plan
        self.desk.look()
        do_runs(outcomes, self.asked.folder.root, how, self.desk.watching, self.written)

    def written(self) -> None:
        """Write the plan, before anything is trained."""
        asked, folder = self.asked, self.asked.folder
        if asked.todo or not folder.holds(asked.plan):  # a finished sweep may be in a read-only folder
            folder.write(asked.plan)
        where = relative(folder.path / "plan.json")
        self.watch(message(f"{len(asked.todo)} of {counted(len(asked.cells), 'run')} pending; plan: {where}"))
        if not self.advised and (alone := self.options.not_stacked(asked.todo)):
            self.watch(message(alone))
        if not self.advised and (gaining := self.options.gains_by_stacking(asked.todo)):
            how, runs = option("--stack yes", 'stack="yes"'), counted(gaining, "small run")
            self.watch(message(f"{how} would train {runs} about twice as fast; results then differ by rounding"))
        self.advised |= bool(asked.todo)
        found = {outcome.path.name: outcome.result for outcome in asked.outcomes if outcome.result is not None}
        self.watch(Event("", "plan", values={"plan": asked.plan, "results": found, "dropped": self.desk.dropped}))

    @property
    def undone(self) -> int:
        """The number of runs without a result."""
        return sum(outcome.to_do or outcome.undone for outcome in self.asked.outcomes)

    def _trained(self) -> bool:
        """Execute the pending runs, halving the grid's; return whether nothing stopped that before its last rung."""
        prune = self.options.prune
        if prune is not None and prune.halve and not self._halved():
            return False
        self.train(self.options, self.asked.outcomes)
        return True

    def _more(self) -> bool:
        """Add the runs that people ask for once those so far are done; return whether there are any."""
        return self._taken_back() or self._seeds_added()

    def _taken_back(self) -> bool:
        """Make pending the dropped runs that are to be kept after all; return whether there are any.

        Fresh seeds wait for the next command, which trains them without pruning.
        """
        if self.asked.todo:
            return False
        for cell, outcome in zip(self.asked.plan.cells, self.asked.outcomes, strict=True):
            dropped = outcome.result is not None and outcome.result.dropped
            if dropped and not cell.confirms and not self.desk.orders.drops(cell.run):
                outcome.status, outcome.result = Status.PENDING, None
                self.watch(message(f"{cell.run} is trained after all: the request to drop it was withdrawn"))
        return bool(self.asked.todo)

    def _halved(self) -> bool:
        """Execute the runs up to each rung and drop the worse half there; return whether all runs got so far."""
        options, prune = self.options, self.options.prune
        assert prune is not None
        for rung in RUNGS:
            self.train(replace(options, prune=replace(prune, pause=rung)), self.asked.outcomes)
            options = replace(options, again=False)  # repeated runs are resumed from here on
            if any(outcome.status in (Status.PENDING, Status.INTERRUPTED) for outcome in self.asked.outcomes):
                return False
            drop_worse_half(self.asked, rung, self.watch)
        self.options = options
        return True

    def _seeds_added(self) -> bool:
        """Add the seeds that people asked for, once the runs so far are done; return whether there are any."""
        found = self.desk.look()
        if self.desk.orders.stop or self.asked.todo:
            return False
        added = False
        for request in found.seeds:
            added |= plan_seeds(self.asked, request, self.options, self.watch)
            self.asked.folder.write(self.asked.plan)  # first, so that no request is lost
            self.desk.done(request)
        return added

    def _zoomed(self, zoom: Zoom | None) -> bool:
        """Add the next round of a zoom; return whether there is one."""
        return zoom is not None and not self.undone and zoom_in(self.asked, zoom, self.options, self.watch)

    def _confirmed(self, confirm: int) -> None:
        """Train fresh seeds of each line's best learning rate."""
        if not confirm or self.undone:
            return
        whole = replace(self.options, prune=None)  # to drop some would leave a selection
        fresh = add_confirmation(self.asked, confirm, whole)
        if not fresh:
            self.watch(message("no fresh seeds: there is no best learning rate yet"))
        self.train(whole, fresh)


def drop_worse_half(asked: Sweep, rung: float, watch: Watch) -> None:
    """At a rung, write the result `pruned` for the runs that are dropped; the others stay pending."""
    if all(outcome.status is not Status.PAUSED for outcome in asked.outcomes):
        return
    by_run = {outcome.path.name: outcome for outcome in asked.outcomes}
    losses = {cell.run: loss_at(asked.folder.run(cell), rung) for cell in asked.plan.grid}
    pruned = [run for run, outcome in by_run.items() if outcome.status is Status.PRUNED]
    before = frozenset(run for run in pruned if math.isinf(losses.get(run, 0.0)))  # at an earlier rung
    for cell in worse_half(asked.plan, losses, before):
        outcome = by_run[cell.run]
        if outcome.status is not Status.PAUSED:
            continue  # it has finished or failed
        with contextlib.suppress(LockedError):  # another command is dropping the same runs
            outcome.ended(drop(asked.folder.run(cell), outcome.experiment, rung, losses[cell.run]))
            watch(Event(cell.run, "end", values={"result": outcome.result, "folder": outcome.path}))
