"""`lrbench watch`: one frame or a live screen, beside a sweep that really runs, and over folders that come and go."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forked import Starts

from lrbench.analysis import Record
from lrbench.cli.frame import show_frame
from lrbench.cli.terminal import Terminal
from lrbench.cli.watch import _watched
from lrbench.events import Event
from lrbench.runs import DROPPED, RunFolder, RunResult, Status
from lrbench.sweeps import (
    Board,
    Decided,
    Plan,
    Planned,
    SweepFolder,
    board_of,
    decided,
    drop_cell,
    plan_sweep,
    request_stop,
    summarize,
)

Cli = Callable[..., tuple[int, str, str]]
Write = Callable[..., Path]


def planned(root: Path, tiny: Callable[..., Any], **given: Any) -> SweepFolder:
    """A sweep that has a plan and perhaps no runs."""
    asked = plan_sweep([tiny()], {"lr": [0.01, 0.1, 1.0], "seeds": 2, **given}, runs=root, name="mine")
    asked.folder.write(asked.plan)
    return asked.folder


def frame(root: Path, width: int = 80) -> str:
    """The frame of a folder of runs, without colours."""
    watched = _watched([], root)
    watched.look()
    console = Terminal(width=width, color_system=None)
    with console.capture() as captured:
        show_frame(console, watched)
    return captured.get()


# -- a frame


def test_a_frame(tmp_path: Path, tiny: Callable[..., Any], make_run: Callable[..., Path]) -> None:
    folder = planned(tmp_path / "runs", tiny)
    for lr, losses in ((0.01, ([0.9, 0.8], [0.9, 0.82])), (0.1, ([0.5, 0.4], [0.5, 0.41]))):
        for seed, found in enumerate(losses):
            make_run(found, lr=lr, seed=seed)
    make_run([0.9, 0.9], lr=1.0, seed=0, status="diverged")
    failed = make_run([0.7, 0.6], lr=1.0, seed=1, status=None)
    text = frame(tmp_path / "runs")
    assert "5 of 6 runs" in text and "4 finished, 1 interrupted, 1 diverged" in text
    assert "no process is training them; the same command resumes" in " ".join(text.split())
    (row,) = re.findall(r"^ tiny .*$", text, re.M)
    assert row.split() == ["tiny", "0.1", "0.405", "5/6"]
    assert "tiny at 1  1 run  1 of its 2 seeds diverged, and 0.1 has lost none\n" in text and failed.name in text
    (failed / "lock").write_text("")
    request_stop(folder)
    RunFolder(failed).log_error("Traceback\n  File train.py\nValueError: \x1b[31mbad [red]news\x07\n")
    RunFolder(failed).finish(tiny(optimizer={"name": "sgd", "lr": 1.0}, seed=1), RunResult(Status.FAILED, "it broke"))
    text = frame(tmp_path / "runs")
    assert "! tiny, lr 1, seed 1: it broke\n" in text and "    ValueError: bad [red]news" in text
    assert "\x1b" not in text and "\x07" not in text


@pytest.mark.parametrize("width", [40, 80, 140])
def test_a_frame_keeps_within_the_terminal(width: int, tmp_path: Path, tiny: Callable[..., Any]) -> None:
    planned(tmp_path / "runs", tiny, schedule=["constant", "cosine"])
    assert all(len(line.rstrip()) <= width for line in frame(tmp_path / "runs", width).splitlines())


def test_nothing_to_watch(cli: Cli, tmp_path: Path, tiny: Callable[..., Any]) -> None:
    code, out, _ = cli("watch", "--once")
    assert code == 0 and "No sweep or run is under way in runs." in out
    code, _, err = cli("watch", "--once", "--runs", "nosuch")
    assert code == 2 and "--runs nosuch: there is no such folder" in err
    code, _, err = cli("watch", "mine")
    assert code == 2 and "mine: there is no such folder of runs, and no such sweep in runs; no sweep is in" in err
    planned(tmp_path / "runs", tiny)
    code, out, _ = cli("watch", "mine")
    assert code == 0 and "mine" in out and "0 of 6 runs" in out and "6 pending" in out
    code, _, err = cli("watch", "mien")
    assert code == 2 and "did you mean 'mine'? Choices: mine" in err
    assert cli("watch", "mine", "runs")[0] == 2


def test_a_folder_that_vanishes(tmp_path: Path, tiny: Callable[..., Any], make_run: Callable[..., Path]) -> None:
    planned(tmp_path / "runs", tiny)
    make_run([0.5], lr=0.1)
    watched = _watched([], tmp_path / "runs")
    watched.look()
    assert watched.sweeps and watched.summaries
    shutil.rmtree(tmp_path / "runs")
    watched.look()
    assert not watched.sweeps
    planned(tmp_path / "runs", tiny)
    watched.look()
    assert [one.name for one in watched.sweeps] == ["mine"]
    (tmp_path / "runs/sweeps/mine/plan.json").write_text("{")
    watched.look()
    with Terminal(width=80).capture():
        show_frame(Terminal(width=80), watched)


def test_status_watch_and_report_count_alike(
    cli: Cli, tmp_path: Path, tiny: Callable[..., Any], make_run: Callable[..., Path]
) -> None:
    planned(tmp_path / "runs", tiny)
    made = {(lr, seed): make_run([0.9, 0.8], lr=lr, seed=seed) for lr in (0.01, 0.1, 1.0) for seed in (0, 1)}
    (made[0.01, 0] / "result.json").write_text("{")
    (made[0.01, 1] / "epochs.csv").write_text("")  # the result is fine, its rows are gone
    (made[0.1, 1] / "result.json").unlink()
    for at, status, reason in (((1.0, 0), Status.FAILED, "it broke"), ((1.0, 1), Status.PRUNED, DROPPED)):
        ended = RunResult(status, reason, evaluations=2)
        RunFolder(made[at]).finish(tiny(optimizer={"name": "sgd", "lr": at[0]}, seed=at[1]), ended)
    shutil.copytree(made[0.1, 0], tmp_path / "runs/another-copy")
    told = "1 interrupted, 1 dropped, 1 failed, 2 damaged"
    for runs in ("runs", "./runs", tmp_path / "runs"):
        assert f"6 runs: 1 finished, {told}\n" in cli("sweep", "--status", "--runs", runs)[1]
        out = cli("watch", "--once", "--runs", runs)[1]
        assert "5 of 6 runs" in out and f"1 finished, {told};" in out
    _, out, _ = cli("report")
    assert f"Of 6 runs, 1 finished; the others: {told}." in " ".join(out.split())


def test_the_folder_of_runs_may_be_this_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: Callable[..., Any], make_run: Callable[..., Path]
) -> None:
    planned(tmp_path / "runs", tiny)
    make_run([0.9, 0.8], lr=0.01)
    monkeypatch.chdir(tmp_path / "runs")
    assert "1 of 6 runs" in frame(Path())


def test_nothing_is_left_to_do_of_a_run_to_be_dropped(
    tmp_path: Path, tiny: Callable[..., Any], make_run: Callable[..., Path]
) -> None:
    folder = planned(tmp_path / "runs", tiny, epochs=[1])
    plan = folder.plan()
    make_run([0.9], lr=0.01)  # 1.5 s
    with RunFolder(make_run([0.9], lr=0.1, status=None)).lock():
        assert "about 6.0 s left" in frame(tmp_path / "runs")
        for cell in [cell for cell in plan.cells if cell.seed == 1]:
            drop_cell(folder, cell.run)
        assert "about 1.5 s left" in frame(tmp_path / "runs") and board_of(folder, plan).left == 1


def test_a_run_that_was_dropped_counts_for_what_it_trained(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    plan = planned(tmp_path / "runs", tiny).plan()
    board = Board(plan)
    runs = [cell.run for cell in plan.cells]
    board.hear(Event(runs[0], "start", total_steps=10))
    assert board.began is not None
    board.began = (board.began[0] - 100, board.began[1])
    board.hear(Event(runs[0], "progress", step=5, total_steps=10))
    board.hear(Event(runs[1], "end", values={"result": RunResult(Status.PRUNED, DROPPED)}))
    board.hear(Event(runs[2], "message", values={"text": "is dropped", "dropped": True}))
    assert board.left == 3.5 and board.seconds_left == pytest.approx(700, rel=0.01)  # half a run took 100 s


# -- beside a sweep that runs


def until(true: Callable[[], Any], seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it has waited for too long"
        time.sleep(0.1)
    return found


@pytest.mark.slow
def test_live_on_a_terminal_while_a_sweep_runs_is_killed_and_goes_on(
    write_config: Write, tmp_path: Path, forks: Starts
) -> None:
    config = write_config(epochs=100_000, sweep={"lr": [0.01, 0.02]})
    words = ["-m", "lrbench", "sweep", config, "--jobs", "1", "--name", "mine"]

    def begun() -> subprocess.Popen[bytes]:
        return forks.popen(
            words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    sweep = begun()
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.environ.update(TERM="xterm-256color", COLUMNS="100", LINES="30")
        os.execv(sys.executable, [sys.executable, "-m", "lrbench", "watch"])
    shown = bytearray()

    def sees(text: str) -> bool:
        with contextlib.suppress(OSError):  # the command has ended
            while select.select([terminal], [], [], 0)[0]:
                shown.extend(os.read(terminal, 65536))
        return text in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown[-40_000:].decode(errors="replace"))

    try:
        until(lambda: sees("1 running, 1 pending") and sees("step "))
        os.killpg(sweep.pid, signal.SIGKILL)
        sweep.wait()
        until(lambda: sees("no process is training them; the same command resumes"))
        sweep = begun()
        shown.clear()
        until(lambda: sees("1 running, 1 pending"))
        os.write(terminal, b"\x03")
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0 and sees("mine")
        assert sweep.poll() is None, "the sweep goes on"
    finally:
        if sweep.poll() is None:
            os.killpg(sweep.pid, signal.SIGKILL)
            sweep.wait()
        os.close(terminal)


# -- what is decided


def results(*found: float | str, rate: float) -> list[tuple[float, Status, float | None]]:
    """A value for each seed that finished, or its status."""
    return [
        (rate, Status(value), None) if isinstance(value, str) else (rate, Status.FINISHED, value) for value in found
    ]


def told(rows: list[list[tuple[float, Status, float | None]]]) -> list[Decided]:
    folder = SweepFolder(Path("nowhere/sweeps/made"))
    cells, records = [], {}
    for row in rows:
        for seed, (lr, status, value) in enumerate(row):
            run = f"r{lr:g}-{seed}"
            cells.append(Planned(run, run, f"g{lr:g}", "line", lr, seed))
            final = None if value is None else {"val_loss": value}
            result = RunResult(status, final=final) if status.over else None
            records[run] = Record(RunFolder(Path(run)), status, result=result, plain={"seed": seed})
    return decided(summarize(folder, Plan("made", tuple(cells)), records=records))


GOOD = [0.100, 0.102, 0.098]


def test_a_learning_rate_that_lost_a_seed_is_decided_for_certain() -> None:
    (one,) = told(
        [
            results(0.2, 0.21, 0.2, rate=0.01),
            results(*GOOD, rate=0.1),
            results("diverged", "running", "pending", rate=1),
        ]
    )
    assert (one.lr, one.runs, one.chance) == (1, ("r1-1", "r1-2"), 0.0)
    assert one.reason == "1 of its 3 seeds diverged, and 0.1 has lost none"
    unsure = [results("diverged", "pending", "pending", rate=1), results(*GOOD[:2], "pending", rate=0.1)]
    assert told(unsure) == [], "the best one may lose its last seed, too"
    sure = [results("diverged", "diverged", "pending", rate=1), results(*GOOD[:2], "pending", rate=0.1)]
    assert [one.lr for one in told(sure)] == [1]


def test_a_learning_rate_far_behind_is_decided_with_the_chance_by_hand() -> None:
    """Logs that are 0.02 apart: noise pooled over five degrees of freedom, and the learning rate's own."""
    from math import exp, log, sqrt

    from scipy import stats

    def at(middle: float, *apart: float) -> list[float]:
        return [middle * exp(one) for one in apart]

    best, behind = at(0.1, -0.02, 0, 0.02), at(0.13, -0.02, 0.02)
    (one,) = told(
        [results(*best, rate=0.1), results(*behind, "pending", rate=0.01), results(*at(0.11, -0.02, 0, 0.02), rate=0.3)]
    )
    variance = (2 * 0.0004 + 2 * 0.0004 + 1 * 0.0008) / 5
    own = 0.0008  # the larger of the two
    assert own > variance
    chance = stats.t.sf(log(1.3) / sqrt(own * (1 / 2 - 1 / 3)), 5)
    assert one.chance == pytest.approx(chance, rel=1e-6) and one.lr == 0.01
    assert one.reason == "2 of its 3 seeds give 0.13 against 0.1 at 0.1; the chance to become the best is below 0.1 %"
    near = [
        results(*best, rate=0.1),
        results(*at(0.102, -0.02, 0.02), "pending", rate=0.01),
        results(*at(0.11, -0.02, 0, 0.02), rate=0.3),
    ]
    assert told(near) == []


def test_little_is_decided_with_few_seeds() -> None:
    assert told([results(*GOOD, rate=0.1), results(0.5, "pending", "pending", rate=0.01)]) == [], "one seed"
    assert told([results(0.1, 0.1, rate=0.1), results(0.5, 0.5, "pending", rate=0.01)]) == [], "no noise is known"
    assert told([results("pending", "running", rate=0.1)]) == []


def test_beyond_two_that_are_out() -> None:
    rows = [
        results(*GOOD, rate=0.1),
        results(*[v * 3 for v in GOOD], rate=0.01),
        results(*[v * 5 for v in GOOD], rate=0.001),
    ]
    (one,) = told([*rows, results("pending", "pending", "pending", rate=0.0001)])
    assert (one.lr, one.chance) == (0.0001, None) and one.reason.startswith("0.01 and 0.001, nearer to the best (0.1)")
    assert told([rows[0], rows[1], results("pending", "pending", rate=0.0001)]) == [], "one alone may be an accident"
    turned = [rows[0], results(*[v * 5 for v in GOOD], rate=0.01), results(*[v * 3 for v in GOOD], rate=0.001)]
    assert told([*turned, results("pending", rate=0.0001)]) == [], "the loss falls again"
    begun = results(0.1, "pending", "pending", rate=0.0001)
    assert told([*rows, begun]) == [], "a seed of it has ended, and is as good as the best"


def test_pruned_and_dropped_learning_rates_are_not_told_again() -> None:
    rows = [results(*GOOD, rate=0.1), results("diverged", "pruned", "pending", rate=1)]
    assert told(rows) == []


def test_following_the_advice_changes_few_choices() -> None:
    """Made-up sweeps, replayed in random order; `benchmarks/decided.py` has more of them."""
    import importlib.util
    import random

    path = Path(__file__).parent.parent / "benchmarks" / "decided.py"
    spec = importlib.util.spec_from_file_location("decided_benchmark", path)
    assert spec is not None and spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    chance = random.Random(3)
    changed = dropped = 0
    for _ in range(12):
        folder, plan, records = benchmark.made_up(chance, 0.05, 3)
        order = [cell.run for cell in plan.cells]
        chance.shuffle(order)
        found, count = benchmark.replayed(folder, plan, records, order)
        changed += found != benchmark.best_of(folder, plan, records)
        dropped += count
    assert changed <= 1 and dropped > 30
