"""The command of the soak: which scenarios, how often, progress, one table at the end."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence

from forked import Forks
from in_memory import folder_in_memory

from soak.bench import Bench, Counts, Unavailable
from soak.scenarios import SCENARIOS, Scenario

COLUMNS = ("tries", "kills", "runs", "losses", "differing", "stale", "orphans")
TOLD_SECONDS = 10.0


def main() -> int:
    """Do the scenarios that are asked for; 1 if anything went wrong, 130 on Ctrl-C, 2 for a wrong request."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="a scenario; repeatable")
    parser.add_argument("--tries", type=int, help="how often each does its harm, instead of its own number")
    parser.add_argument("--few", action="store_true", help="as few tries as the tests do")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each scenario, not a table")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    asked = parser.parse_args()
    if asked.list:
        print("\n".join(f"{one.name:14} {one.tries:5}  {one.what}" for one in SCENARIOS.values()))
        return 0
    for name in asked.only or ():
        if name not in SCENARIOS:
            parser.error(f"--only {name}: unknown; choose from {', '.join(SCENARIOS)}")
    if asked.tries is not None and asked.tries < 1:
        parser.error(f"--tries must be at least 1 (got {asked.tries})")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    chosen = [SCENARIOS[name] for name in dict.fromkeys(asked.only or SCENARIOS)]
    found: list[tuple[Scenario, Counts, float]] = []
    code = 0
    try:
        for scenario in chosen:
            tries = asked.tries or (scenario.few if asked.few else scenario.tries)
            began = time.monotonic()
            with bench(asked.seed) as made:
                found.append((scenario, made.counts, 0.0))
                try:
                    perform(scenario, made, tries)
                finally:
                    found[-1] = scenario, made.counts, time.monotonic() - began
    except KeyboardInterrupt:
        print("stopped; what was done so far:", file=sys.stderr)
        code = 130
    show(found, as_json=asked.json)
    return code or int(any(counts.problems for _, counts, _ in found))


@contextlib.contextmanager
def bench(seed: int) -> Iterator[Bench]:
    """Make a bench in memory, where syncing costs nothing; its processes end with the block."""
    with folder_in_memory("soak") as folder:
        forks = Forks(
            modules=["schedulefree", "prodigyopt", "lrbench.reports.sweep", "lrbench.server", "lrbench.integrations"]
        )
        made = Bench(folder, forks, seed)
        try:
            yield made
        finally:
            forks.close()
            for process in made.left():
                with contextlib.suppress(OSError):
                    process.kill()


def perform(scenario: Scenario, made: Bench, tries: int) -> None:
    """Do a scenario; what this machine can't do is told."""
    print(f"{scenario.name}: {scenario.what}", file=sys.stderr, flush=True)
    over = threading.Event()
    telling = threading.Thread(target=tell, args=(made.counts, over), daemon=True)
    telling.start()
    try:
        scenario.act(made, tries)
    except Unavailable as error:
        print(f"{scenario.name} is left out: {error}", file=sys.stderr)
    finally:
        over.set()
        telling.join()


def tell(counts: Counts, over: threading.Event) -> None:
    """Tell problems as they come, and from time to time how far it is."""
    told, ended = 0, False
    while not ended:
        ended = over.wait(TOLD_SECONDS)
        for problem in counts.problems[told:]:
            told += 1
            print(f"  {problem}", file=sys.stderr)
        print(f"  tries: {counts.tries}, kills: {counts.kills}, problems: {told}", file=sys.stderr, flush=True)


def show(found: Sequence[tuple[Scenario, Counts, float]], *, as_json: bool) -> None:
    """Print the counts."""
    rows = [
        {"scenario": one.name, **{name: getattr(counts, name) for name in COLUMNS}, "problems": len(counts.problems),
         "seconds": round(seconds)}
        for one, counts, seconds in found
    ]  # fmt: skip
    if as_json:
        print("\n".join(map(json.dumps, rows)))
        return
    names = ("scenario", *COLUMNS, "problems", "seconds")
    for row in ({name: name for name in names}, *rows):
        print("  ".join(f"{row[name]:{'<14' if name == 'scenario' else '>9'}}" for name in names))
