"""A short form of each scenario of the soak: `make soak` is the long one."""

from __future__ import annotations

import sys

import pytest

if sys.platform == "win32":
    pytest.skip("forks", allow_module_level=True)

from forked import Starts
from in_memory import folder_in_memory
from soak.bench import Bench, Unavailable
from soak.scenarios import SCENARIOS

pytestmark = pytest.mark.slow


@pytest.mark.filterwarnings("ignore")  # of the tools whose files are read
@pytest.mark.parametrize("name", [one.name for one in SCENARIOS.values() if one.few])
def test_nothing_is_lost(name: str, forks: Starts) -> None:
    scenario = SCENARIOS[name]
    with folder_in_memory("soak") as folder:
        bench = Bench(folder, forks, seed=0)
        try:
            scenario.act(bench, scenario.few)
        except Unavailable as error:
            pytest.skip(str(error))
    counts = bench.counts
    assert not counts.problems, "\n".join(counts.problems)
    assert max(counts.tries, counts.runs) >= scenario.few
    assert (counts.losses, counts.differing, counts.stale, counts.orphans) == (0, 0, 0, 0)
    assert counts.runs or counts.kills, "or nothing was put to the test"
