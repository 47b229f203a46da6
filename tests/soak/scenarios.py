"""All scenarios: what each does, how often in the long form, and how often in the tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from soak import disks, exports, hosts, pages, programs, single, sweeps
from soak.bench import Bench


@dataclass(frozen=True)
class Scenario:
    """A scenario.

    Attributes:
        name: as in `--only`.
        act: does its tries on a bench.
        tries: of the long form: kills where it kills, otherwise how often it does its harm; for `pages`, runs.
        few: those of the tests; 0 if it takes too long for them.
    """

    name: str
    act: Callable[[Bench, int], None]
    tries: int
    few: int

    @property
    def what(self) -> str:
        """What it does, in words."""
        return (self.act.__doc__ or "").strip().partition("\n")[0].rstrip(".")


SCENARIOS = {
    one.name: one
    for one in (
        Scenario("run", single.killed, 500, 8),
        Scenario("faults", single.faults, 400, 6),
        Scenario("sweep-group", sweeps.groups_killed, 100, 1),
        Scenario("sweep-parent", sweeps.parents_killed, 100, 1),
        Scenario("sweep-workers", sweeps.workers_killed, 100, 2),
        Scenario("stacked", sweeps.stacks_killed, 60, 1),
        Scenario("many", sweeps.many_at_once, 12, 1),
        Scenario("programs", programs.programs_killed, 100, 2),
        Scenario("recorder", programs.recorders_killed, 100, 3),
        Scenario("suspended", hosts.suspended, 30, 1),
        Scenario("clocks", hosts.clocks, 20, 1),
        Scenario("hosts", hosts.hosts, 20, 1),
        Scenario("late", hosts.late, 20, 1),
        Scenario("disk-full", disks.disk_full, 60, 2),
        Scenario("file-limit", disks.files_limited, 60, 2),
        Scenario("read-only", disks.read_only, 40, 1),
        Scenario("vanished", disks.vanished, 40, 2),
        Scenario("exports", exports.exports, 40, 2),
        Scenario("pages", pages.pages, 1000, 40),
    )
}
