"""Requests to a running sweep: files written by hand, obeyed by real processes, whatever executes the runs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from forked import Starts

from lrbench.analysis import Group, Record, looks
from lrbench.errors import UsageError
from lrbench.runs import Environment, RunFolder, Status
from lrbench.sweeps import (
    MoreSeeds,
    SweepFolder,
    add_seeds,
    cancel_stop,
    drop_cell,
    keep_cell,
    request_stop,
    requests_of,
    sweep,
)

Cli = Callable[..., tuple[int, str, str]]
Write = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("sketches")
LONG = 100_000
"""Epochs of a run that does not end by itself while a test looks."""


class Begun:
    """A command in a process of its own, and what it has printed."""

    def __init__(self, starts: Starts, folder: Path, *words: object) -> None:
        self.folder, self.log = folder, folder / "output.txt"
        with self.log.open("w") as output:
            self.process = starts.popen(
                ["-m", "lrbench", *map(str, words)], cwd=folder, env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    @property
    def output(self) -> str:
        return self.log.read_text()

    def until(self, true: Callable[[], Any], seconds: float = 120) -> Any:
        """Wait until something is true, while the command runs."""
        end = time.monotonic() + seconds
        while not (found := true()):
            assert self.process.poll() is None, self.output
            assert time.monotonic() < end, self.output
            time.sleep(0.05)
        return found

    def ended(self) -> int:
        return self.process.wait(timeout=120)


Begin = Callable[..., AbstractContextManager[Begun]]


@pytest.fixture
def begun(forks: Starts) -> Begin:
    @contextmanager
    def begin(folder: Path, *words: object) -> Iterator[Begun]:
        one = Begun(forks, folder, *words)
        try:
            yield one
        finally:
            if one.process.poll() is None:
                os.killpg(one.process.pid, signal.SIGKILL)
                one.process.wait()

    return begin


def result(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "result.json").read_text())
    return found


def by_rate(root: Path) -> dict[float, list[Path]]:
    """The runs' folders by learning rate."""
    found: dict[float, list[Path]] = {}
    for path in sorted(root.glob("*/config.yaml")):
        plain = yaml.safe_load(path.read_text())
        lr = plain["optimizer"]["lr"] if "optimizer" in plain else plain["params"]["lr"]
        found.setdefault(lr, []).append(path.parent)
    return found


def trains(path: Path) -> bool:
    """Whether a run has done some steps and is being trained."""
    return RunFolder(path).busy and (path / "epochs.csv").exists() and (path / "epochs.csv").stat().st_size > 100


def seeds_of(folder: SweepFolder) -> dict[float | None, list[int]]:
    found: dict[float | None, list[int]] = {}
    for cell in folder.plan().cells:
        found.setdefault(cell.lr, []).append(cell.seed)
    return found


# -- stop


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_stop_lets_the_runs_under_way_end_and_the_same_command_resumes(
    write_config: Write, tmp_path: Path, jobs: int, begun: Begin
) -> None:
    config = write_config(epochs=60, sweep={"lr": [0.01, 0.02, 0.03, 0.04], "seeds": 2})
    words = ("sweep", config, "--jobs", jobs, "--name", "mine")
    requests = tmp_path / "runs/sweeps/mine/requests"
    with begun(tmp_path, *words) as one:
        one.until(lambda: any(trains(path) for path in tmp_path.glob("runs/tiny-*")))
        requests.mkdir()
        (requests / "stop").touch()
        assert one.ended() == 130, one.output
    ended = list(tmp_path.glob("runs/*/result.json"))
    assert 1 <= len(ended) < 8 and all(result(path.parent)["status"] == "finished" for path in ended)
    assert "stopping after the current runs, as runs/sweeps/mine/requests/stop asks" in one.output
    assert f"stopped with {8 - len(ended)} of 8 runs left; the same command resumes" in one.output
    assert list(requests.iterdir()) == [], "the request is done with"
    with begun(tmp_path, *words) as again:
        assert again.ended() == 0, again.output
    assert f"{8 - len(ended)} of 8 runs pending" in again.output
    assert len(list(tmp_path.glob("runs/*/result.json"))) == 8


def test_an_earlier_request_to_stop_stops_no_later_command(cli: Cli, write_config: Write) -> None:
    config = write_config(sweep={"lr": [0.1, 0.2]})
    requests = Path("runs/sweeps/tiny/requests")
    requests.mkdir(parents=True)
    (requests / "stop").touch()
    code, out, _ = cli("sweep", config, "--jobs", "1")
    assert code == 0 and "2 of 2 runs pending" in out and "stopping" not in out
    assert list(requests.iterdir()) == []


def test_a_request_to_stop_ends_what_a_zoom_and_a_confirmation_would_add(
    tmp_path: Path, tiny: Callable[..., Any]
) -> None:
    folder = SweepFolder.of(tmp_path / "runs", "tiny")

    def watch(event: Any) -> None:
        if event.kind == "end":
            request_stop(folder)

    more: dict[str, Any] = {"lr": [0.05, 0.1, 0.2], "seeds": 2, "zoom": True, "confirm": 3, "watch": watch}
    done = sweep([tiny()], runs=tmp_path / "runs", jobs=1, **more)
    assert [one.status for one in done.outcomes].count(Status.FINISHED) == 1
    assert len(done.outcomes) == 6 and all(one.status.to_do for one in done.outcomes[1:])
    assert not requests_of(folder).stop
    whole = sweep([tiny()], runs=tmp_path / "runs", jobs=1, **{**more, "watch": lambda event: None})
    assert all(one.status is Status.FINISHED for one in whole.outcomes) and len(whole.outcomes) > 9


# -- drop


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_dropped_run_ends_or_is_not_started_and_can_be_taken_back(
    write_config: Write, tmp_path: Path, jobs: int, begun: Begin
) -> None:
    config = write_config(epochs=LONG, sweep={"lr": [0.01, 0.02, 0.03]})
    words = ("sweep", config, "--jobs", jobs, "--name", "mine")
    requests = tmp_path / "runs/sweeps/mine/requests"
    with begun(tmp_path, *words) as one:
        one.until(lambda: len(by_rate(tmp_path / "runs")) == 3)
        (first,), (second,), (third,) = (by_rate(tmp_path / "runs")[lr] for lr in (0.01, 0.02, 0.03))
        one.until(lambda: trains(first))
        requests.mkdir()
        (requests / f"drop-{third.name}").touch()  # it waits
        (requests / f"drop-{first.name}").touch()  # it runs
        one.until(lambda: (first / "result.json").exists())
        one.until(lambda: trains(second))
        (requests / f"drop-{second.name}").touch()
        assert one.ended() == 0, one.output
    for path in (first, second, third):
        assert (result(path)["status"], result(path)["reason"]) == ("pruned", "dropped by hand")
    assert result(first)["steps"] > 0 and result(first)["final"]["val_loss"] > 0
    assert result(third)["steps"] == 0 and not (third / "epochs.csv").exists()
    assert "3 of 3 runs were dropped by hand" in " ".join(one.output.split())

    with begun(tmp_path, *words) as same:
        assert same.ended() == 0, same.output
    assert "0 of 3 runs pending" in same.output and "3 of 3 runs were dropped by hand" in " ".join(same.output.split())

    before = result(first)["steps"]
    (requests / f"drop-{first.name}").unlink()
    with begun(tmp_path, *words) as back:
        back.until(lambda: trains(first))
        assert "1 of 3 runs pending" in back.output
        os.kill(back.process.pid, signal.SIGINT)
        assert back.ended() == 130
    assert RunFolder(first).status() is Status.INTERRUPTED
    resumed = RunFolder(first).environment().resumed
    steps = [int(line.split(",")[0]) for line in (first / "steps.csv").read_text().splitlines()[1:]]
    assert len(resumed) == 1 and steps == list(range(1, len(steps) + 1)) and len(steps) > before


def test_what_was_dropped_by_hand_is_no_result_of_a_pruned_sweep(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    """Under --prune, a pruned run counts as done; a dropped one does so only while it is dropped."""
    from lrbench.training import Prune

    folder = SweepFolder.of(tmp_path / "runs", "tiny")
    dropped: list[str] = []

    def watch(event: Any) -> None:
        if event.kind == "plan" and "plan" in event.values and not dropped:
            dropped.append(event.values["plan"].cells[1].run)
            drop_cell(folder, dropped[0])

    def again() -> Any:
        return sweep(
            [tiny()], runs=tmp_path / "runs", lr=[0.05, 0.1, 0.2], jobs=1, prune=Prune(after=None), watch=watch
        )

    done = again()
    assert [one.status for one in done.outcomes] == [Status.FINISHED, Status.PRUNED, Status.FINISHED]
    assert done.outcomes[1].result.dropped
    assert [one.found for one in again().outcomes] == [True, False, True]
    keep_cell(folder, dropped[0])
    assert [one.status for one in again().outcomes] == [Status.FINISHED] * 3


@pytest.mark.parametrize("halve", [None, False, True], ids=["plain", "prune", "halve"])
def test_a_run_that_is_kept_after_all_is_trained_by_the_same_command(
    tmp_path: Path, tiny: Callable[..., Any], halve: bool | None
) -> None:
    from lrbench.training import Prune

    folder = SweepFolder.of(tmp_path / "runs", "tiny")
    runs: list[str] = []
    ended: list[tuple[str, str]] = []
    said: list[str] = []

    def watch(event: Any) -> None:
        if event.kind == "plan" and "plan" in event.values and not runs:
            runs.extend(cell.run for cell in event.values["plan"].cells)
            drop_cell(folder, runs[2])
        if event.kind == "end":
            ended.append((event.run, event.values["result"].status.value))
            if event.values["result"].dropped:
                keep_cell(folder, event.run)
        said.append(event.values.get("text", ""))

    prune = None if halve is None else Prune(after=None, halve=halve)
    done = sweep([tiny(epochs=8)], runs=tmp_path / "runs", lr=[1e-5, 1e-4, 0.5], jobs=1, prune=prune, watch=watch)
    assert (runs[2], "pruned") in ended and f"{runs[2]} is trained after all" in " ".join(said)
    assert done.outcomes[2].status is Status.FINISHED and not done.todo
    if halve:
        assert [one.status for one in done.outcomes[:2]].count(Status.PRUNED) >= 1
    else:
        assert all(one.status is Status.FINISHED for one in done.outcomes)


def test_a_fresh_seed_that_is_kept_after_all_waits_for_the_next_command(
    tmp_path: Path, tiny: Callable[..., Any]
) -> None:
    """Within one command, rules that prune the grid would meet it."""
    folder = SweepFolder.of(tmp_path / "runs", "tiny")

    def watch(event: Any) -> None:
        for cell in event.values["plan"].cells if event.kind == "plan" and "plan" in event.values else ():
            if cell.confirms and not list(tmp_path.glob("runs/*/result.json"))[2:]:
                drop_cell(folder, cell.run)
        if event.kind == "end" and event.values["result"].dropped:
            keep_cell(folder, event.run)

    more: dict[str, Any] = {"runs": tmp_path / "runs", "lr": [0.05, 0.1], "jobs": 1, "confirm": 1, "watch": watch}
    first = sweep([tiny()], **more)
    assert [one.status for one in first.outcomes] == [Status.FINISHED, Status.FINISHED, Status.PRUNED]
    assert [one.status for one in sweep([tiny()], **more).outcomes] == [Status.FINISHED] * 3


@pytest.mark.parametrize("prune", [{"after": 0.5}, {"after": None, "halve": True}], ids=["prune", "halve"])
def test_stop_drop_and_seeds_reach_a_pruned_sweep(
    tmp_path: Path, tiny: Callable[..., Any], prune: dict[str, Any]
) -> None:
    """A stopped one resumes; a dropped run is judged with no other; seeds asked for are never halved."""
    from lrbench.training import Prune

    folder = SweepFolder.of(tmp_path / "runs", "tiny")
    runs: list[str] = []

    def watch(event: Any) -> None:
        if event.kind == "plan" and "plan" in event.values and not runs:
            runs.extend(cell.run for cell in event.values["plan"].cells)
            drop_cell(folder, runs[0])
            add_seeds(folder, 1, best=True)
        if event.kind == "epoch" and event.run == runs[1]:
            request_stop(folder)

    more: dict[str, Any] = {"lr": [1e-5, 1e-4, 0.3, 0.5], "jobs": 1, "prune": Prune(**prune)}
    first = sweep([tiny(epochs=8)], runs=tmp_path / "runs", **more, watch=watch)
    assert first.outcomes[0].result is not None and first.outcomes[0].result.dropped
    assert len(first.todo) >= 2 and not requests_of(folder).stop and len(requests_of(folder).seeds) == 1
    whole = sweep([tiny(epochs=8)], runs=tmp_path / "runs", **more)
    assert not whole.todo and whole.outcomes[0].status is Status.PRUNED and not requests_of(folder).seeds
    (added,) = (one for one, cell in zip(whole.outcomes, whole.plan.cells, strict=True) if cell.added)
    assert added.status is Status.FINISHED and added.experiment.seed == 1
    if prune.get("halve"):
        reasons = [one.result.reason for one in whole.outcomes[1:] if one.result and one.status is Status.PRUNED]
        assert reasons and all("in the worse half" in reason for reason in reasons)


@pytest.mark.slow
def test_requests_reach_commands(tmp_path: Path, begun: Begin) -> None:
    """A command is a process of its own: it is stopped, and what it recorded is its result."""
    script = "import lrbench, time\nwith lrbench.record() as run:\n    for step in range(1, 100_000):\n"
    script += (
        "        run.step(loss=1 / step, lr=0.1)\n        run.evaluate(val_loss=1 / step)\n        time.sleep(0.05)\n"
    )
    (tmp_path / "train.py").write_text(script)
    config = tmp_path / "mine.yaml"
    plain = {"name": "mine", "command": f"{sys.executable} train.py", "params": {"lr": 0.1}}
    config.write_text(yaml.safe_dump({**plain, "sweep": {"lr": [0.1, 0.2]}}))
    requests = tmp_path / "runs/sweeps/mine/requests"
    with begun(tmp_path, "sweep", config, "--jobs", "1") as one:
        one.until(lambda: any(trains(path) for path in tmp_path.glob("runs/mine-*")))
        running = next(path for path in tmp_path.glob("runs/mine-*") if trains(path))
        requests.mkdir()
        (requests / "stop").touch()
        (requests / f"drop-{running.name}").touch()
        assert one.ended() == 130, one.output
    found = result(running)
    assert (found["status"], found["reason"]) == ("pruned", "dropped by hand") and found["final"]["val_loss"] <= 1
    assert len(list(tmp_path.glob("runs/mine-*/result.json"))) == 1
    assert "stopped with 1 of 2 runs left" in one.output


# -- seeds


def test_seeds_are_added_to_every_learning_rate_and_stay_in_the_plan(cli: Cli, write_config: Write) -> None:
    config = write_config(sweep={"lr": [0.1, 0.2], "seeds": 2})
    folder = SweepFolder.of(Path("runs").absolute(), "tiny")
    requests = Path("runs/sweeps/tiny/requests")
    assert cli("sweep", config, "--jobs", "1")[0] == 0
    requests.mkdir()
    (requests / "seeds").write_text("3\n")
    code, out, _ = cli("sweep", config, "--jobs", "1")
    assert code == 0 and "3 more seeds of every learning rate of each family, as requested: 6 runs added" in out
    assert seeds_of(folder) == {0.1: [0, 1, 2, 3, 4], 0.2: [0, 1, 2, 3, 4]} and not list(requests.iterdir())
    assert len(list(Path("runs").glob("*/result.json"))) == 10
    code, out, _ = cli("sweep", config, "--jobs", "1")
    assert code == 0 and "0 of 10 runs pending" in out, "they belong to the plan now"
    assert cli("sweep", config, "--dry-run")[1].count("finished") >= 10
    (requests / "seeds-again").write_text("1 best\n")
    code, out, _ = cli("sweep", config, "--jobs", "1")
    assert code == 0 and "1 more seed of the best learning rate of each family, as requested: 1 run added" in out
    assert sorted(map(len, seeds_of(folder).values())) == [5, 6]
    code, out, _ = cli("sweep", config, "--jobs", "1", "--seeds", "5")
    assert code == 0 and "0 of 11 runs pending" in out, "the grid's own seeds may catch up"


def test_only_the_family_that_was_named_gets_seeds(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    more: dict[str, Any] = {"runs": tmp_path / "runs", "lr": [0.1, 0.2], "jobs": 1}
    sweep([tiny()], schedules=["constant", "cosine"], **more)
    folder = SweepFolder.of(tmp_path / "runs", "tiny")
    add_seeds(folder, 1, family="cosine")
    done = sweep([tiny()], schedules=["constant", "cosine"], **more)
    assert [(row.series, row.lr, row.seed, row.added) for row in done.plan.cells[4:]] == [
        ("cosine", 0.1, 1, 1),
        ("cosine", 0.2, 1, 1),
    ]
    add_seeds(folder, 1)
    done = sweep([tiny()], schedules=["constant", "cosine"], **more)
    assert [(row.series, row.seed, row.added) for row in done.plan.cells[6:]] == [
        ("constant", 1, 2), ("constant", 1, 2), ("cosine", 2, 2), ("cosine", 2, 2),
    ]  # fmt: skip


def test_confirmations_and_added_seeds_never_share_a_run(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    """Fresh seeds had no part in the choice, whatever came first, and stay the same ones."""
    more: dict[str, Any] = {"runs": tmp_path / "runs", "lr": [0.1, 0.2], "seeds": 2, "jobs": 1}
    folder = SweepFolder.of(tmp_path / "runs", "tiny")

    def seeds() -> tuple[set[int], set[int]]:
        cells = folder.plan().cells
        return {c.seed for c in cells if not c.confirms}, {c.seed for c in cells if c.confirms}

    sweep([tiny()], **more, confirm=2)
    assert seeds() == ({0, 1}, {2, 3})
    add_seeds(folder, 2)
    sweep([tiny()], **more, confirm=2)
    assert seeds() == ({0, 1, 4, 5}, {2, 3})
    sweep([tiny()], **more, confirm=3)
    assert seeds() == ({0, 1, 4, 5}, {2, 3, 6})


def test_each_request_for_seeds_is_a_look(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    more: dict[str, Any] = {"runs": tmp_path / "runs", "lr": 0.1, "seeds": 2, "jobs": 1}
    folder = SweepFolder.of(tmp_path / "runs", "tiny")
    counted = []
    for _ in range(3):
        done = sweep([tiny()], **more)
        counted.append(looks([Group("", tuple(done.summary().records))]))
        add_seeds(folder, 1)
    assert counted == [1, 2, 3]
    assert looks([Group("", (Record(RunFolder(tmp_path), Status.FINISHED, environment=Environment()),))]) == 1


@pytest.mark.slow
def test_seeds_asked_for_while_it_runs_survive_a_kill(write_config: Write, tmp_path: Path, begun: Begin) -> None:
    config = write_config(epochs=60, sweep={"lr": [0.01, 0.02], "seeds": 2})
    words = ("sweep", config, "--jobs", 1, "--name", "mine")
    requests = tmp_path / "runs/sweeps/mine/requests"
    with begun(tmp_path, *words) as one:
        one.until(lambda: any(trains(path) for path in tmp_path.glob("runs/tiny-*")))
        requests.mkdir()
        (requests / "seeds").write_text("2 best")
        one.until(lambda: "2 more seeds of the best learning rate of each family: requested" in one.output)
        os.killpg(one.process.pid, signal.SIGKILL)
        one.process.wait()
    with begun(tmp_path, *words) as two:
        # The first one may have added them before it was killed.
        two.until(lambda: "2 runs added" in two.output or "of 6 runs pending" in two.output)
        two.until(lambda: not (requests / "seeds").exists())
        with contextlib.suppress(ProcessLookupError):
            os.killpg(two.process.pid, signal.SIGKILL)
        two.process.wait()
    with begun(tmp_path, *words) as three:
        assert three.ended() == 0, three.output
    assert len(list(tmp_path.glob("runs/*/result.json"))) == 6
    assert sorted(map(len, seeds_of(SweepFolder.of(tmp_path / "runs", "mine")).values())) == [2, 4]


# -- what makes no sense


def test_a_folder_is_no_request(tmp_path: Path, tiny: Any) -> None:
    from lrbench.sweeps import plan_sweep

    asked = plan_sweep([tiny()], {"lr": [0.1, 0.2]}, runs=tmp_path, name="mine")
    asked.folder.write(asked.plan)
    run = asked.plan.cells[0].run
    for name in ("stop", "seeds-3", f"drop-{run}"):
        (asked.folder.path / "requests" / name).mkdir(parents=True)
    found = requests_of(asked.folder)
    assert not found.stop and not found.dropped and not found.seeds
    assert set(found.invalid.values()) == {"it is a folder; a request is a file"} and len(found.invalid) == 3


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("foo", "", "it must be called stop, drop-<run> or seeds"),
        ("seeds", "many", "it must give a number, such as `3`, `3 of cosine`, `3 best` or `3 best of cosine`"),
        ("seeds", "0", "at most 1,000 (got '0')"),
        ("seeds", "3 of cosin", "this sweep has no family 'cosin'; did you mean 'cosine'? Choices: constant, cosine"),
        ("drop-nothing", "", "this sweep has no run 'nothing'"),
        ("Stop", "", "it must be called stop, drop-<run> or seeds; did you mean 'stop'?"),
    ],
)
def test_invalid_requests_are_told_and_set_aside(
    cli: Cli, write_config: Write, name: str, content: str, said: str
) -> None:
    config = write_config(sweep={"lr": [0.1], "schedule": ["constant", "cosine"]})
    requests = Path("runs/sweeps/tiny/requests")
    requests.mkdir(parents=True)
    (requests / name).write_text(content)
    (requests / ".hidden").touch()
    code, out, _ = cli("sweep", config, "--jobs", "1")
    assert code == 0 and out.count(f"the request runs/sweeps/tiny/requests/{name} is rejected: ") == 1
    assert said in " ".join(out.split())
    assert {path.name for path in requests.iterdir()} == {f"{name}.rejected", ".hidden"}


def test_a_request_that_is_being_written_is_waited_for(tmp_path: Path, make_plan: Callable[..., SweepFolder]) -> None:
    folder = make_plan()
    path = folder.path / "requests" / "seeds"
    path.parent.mkdir()
    path.touch()
    assert requests_of(folder).seeds == () and not requests_of(folder).invalid
    path.write_text("2 best of constant\n")
    assert requests_of(folder).seeds == (MoreSeeds(2, "constant", best=True),)
    os.utime(path, (1, 1))
    path.write_text("")
    os.utime(path, (1, 1))
    assert "must give a number" in requests_of(folder).invalid["seeds"]


@pytest.fixture
def make_plan(tmp_path: Path, tiny: Callable[..., Any]) -> Callable[..., SweepFolder]:
    """A sweep that has its plan and no runs."""
    from lrbench.sweeps import plan_sweep

    def make() -> SweepFolder:
        asked = plan_sweep([tiny()], {"lr": [0.1, 0.2], "schedule": ["constant", "cosine"]}, runs=tmp_path / "runs")
        asked.folder.write(asked.plan)
        return asked.folder

    return make


def test_from_python(make_plan: Callable[..., SweepFolder], tmp_path: Path) -> None:
    folder = make_plan()
    run = folder.plan().cells[0].run
    request_stop(folder)
    drop_cell(folder, run)
    add_seeds(folder, 2, family="cosine", best=True)
    found = requests_of(folder)
    assert (found.stop, set(found.dropped), found.seeds) == (True, {run}, (MoreSeeds(2, "cosine", best=True),))
    cancel_stop(folder)
    keep_cell(folder, run)
    assert requests_of(folder).dropped == frozenset() and not requests_of(folder).stop
    keep_cell(folder, "../../elsewhere")
    for wrong, said in (
        (partial(drop_cell, folder, "../x"), "has no run '../x'"),
        (partial(add_seeds, folder, 0), "must give a number"),
        (partial(add_seeds, folder, 2, family="linear"), "this sweep has no family 'linear'"),
    ):
        with pytest.raises(UsageError, match=re.escape(said)):
            wrong()


def test_a_run_that_has_ended_can_not_be_dropped(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    done = sweep([tiny()], runs=tmp_path / "runs", lr=0.1, jobs=1)
    with pytest.raises(UsageError, match=r"has ended \(finished\)"):
        drop_cell(done.folder, done.plan.cells[0].run)
    (done.folder.path / "requests").mkdir()
    (done.folder.path / "requests" / f"drop-{done.plan.cells[0].run}").touch()
    again = sweep([tiny()], runs=tmp_path / "runs", lr=0.1, jobs=1)
    assert again.outcomes[0].status is Status.FINISHED, "by hand, it changes nothing"


def test_a_file_that_can_not_be_written_is_an_error(make_plan: Callable[..., SweepFolder]) -> None:
    from lrbench.errors import FolderError

    folder = make_plan()
    (folder.path / "requests").touch()  # a file where the folder should be
    assert not requests_of(folder).stop
    with pytest.raises(FolderError, match="cannot write to"):
        request_stop(folder)


def test_an_old_plan_has_no_added_seeds(make_plan: Callable[..., SweepFolder]) -> None:
    folder = make_plan()
    assert all("added" not in row for row in json.loads((folder.path / "plan.json").read_text())["cells"])
    assert all(cell.added == 0 for cell in folder.plan().cells)
