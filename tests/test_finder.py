"""find-lr on real training: the loop, the folder, the command, the config it writes, the report."""

from __future__ import annotations

import csv
import dataclasses
import inspect
import json
import math
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
import yaml
from conftest import tiny_experiment
from forked import Starts
from torch import nn

import lrbench
from lrbench.cli.app import app
from lrbench.config import load_config
from lrbench.errors import ConfigError, Interrupted, RunError, Terminated, UsageError
from lrbench.events import Event
from lrbench.lr_finder import Advice, FinderFolder, Refusal, find_lr, write_found
from lrbench.lr_finder import load_finding as load
from lrbench.lr_finder.settings import Ramp
from lrbench.reports.figures import range_test
from lrbench.runs import RunFolder, Status
from lrbench.training import run

Cli = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("sketches")
WIDE = {"dataset": "digits", "model": {"name": "mlp", "hidden": [32]}, "optimizer": {"name": "adam"}, "batch_size": 64}


@pytest.fixture
def wide(tiny: Callable[..., Any]) -> Any:
    """An experiment whose range test has a clear answer: an MLP on all digits."""
    return tiny(name="wide", **WIDE)


@pytest.fixture(scope="module")
def kept_test(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with a finished range test of WIDE, to be copied."""
    root = tmp_path_factory.mktemp("kept") / "runs"
    lrbench.find_lr(tiny_experiment(**WIDE), runs=root)
    return root


def rows(folder: FinderFolder) -> list[dict[str, str]]:
    with (folder.path / "finder.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def without_times(folder: FinderFolder) -> dict[str, Any]:
    return {k: v for k, v in json.loads((folder.path / "finder.json").read_text()).items() if k != "written"}


# -- what is found


def test_the_rates_of_a_real_model(tmp_path: Path, wide: Any) -> None:
    found = lrbench.find_lr(wide, runs=tmp_path)
    assert isinstance(found.advice, Advice), found.advice
    assert 5e-4 < found.advice.initial < 3e-2 and found.lr == found.advice.initial
    assert found.advice.low < found.advice.initial < found.advice.maximum <= found.advice.high
    assert set(found.suggestions) == {"steepest", "minimum/10", "valley", "minimum/2"}
    for one in found.suggestions.values():
        assert set(one.seeds) == {0, 1, 2}
        assert one.lowest is not None and one.median is not None and one.highest is not None
        assert one.lowest <= one.median <= one.highest
    assert found.folder.path.parent == tmp_path / "find-lr" and found.folder.name.startswith("wide-")
    assert [curve.momentum for curve in found.curves] == [0.9] * 3
    expected = [len(curve.rates) / 17 for curve in found.curves]  # 1,078 examples are 17 batches
    assert [curve.passes for curve in found.curves] == pytest.approx(expected)
    assert [curve.passes for curve in load(found.folder).curves] == pytest.approx(expected, abs=1e-3)
    assert any("over the training data" in note for note in found.advice.notes)


def test_training_at_the_rate_found_is_about_as_good_as_at_the_best_of_a_grid(tmp_path: Path, tiny: Any) -> None:
    """The promise itself, in small: SGD on digits, 9 rates, 5 epochs."""
    base = tiny(name="promise", dataset="digits", model="mlp", optimizer={"name": "sgd", "momentum": 0.9, "lr": 1.0})
    found = lrbench.find_lr(base, runs=tmp_path).lr
    assert found is not None
    grid = [10 ** (k / 2) for k in range(-8, 1)]
    outcomes = run(
        [base.replace(optimizer={**base.optimizer.plain(), "lr": lr}, epochs=5) for lr in (*grid, found)], runs=tmp_path
    )
    results = [o.result for o in outcomes if o.result is not None]
    assert len(results) == len(outcomes) and all(result.status.ended for result in results)
    ends = [None if result.status is Status.DIVERGED else result.metric("val_loss") for result in results]
    losses = [math.inf if end is None else end for end in ends]
    best = min(losses[:-1])
    assert losses[-1] <= 1.2 * best or abs(math.log10(found / grid[losses.index(best)])) <= 0.5


def test_the_losses_are_those_of_training_at_the_same_rates(tmp_path: Path, tiny: Any) -> None:
    """The same loop: a run whose schedule is the ramp logs the same rows."""
    experiment = tiny(seed=3)
    found = lrbench.find_lr(experiment, runs=tmp_path / "a", seeds=1, start=1e-3, end=0.5, iterations=30)
    schedule = {"name": "range_test", "start_factor": 1e-3 / 0.5}
    ordinary = experiment.replace(optimizer={"name": "sgd", "lr": 0.5}, schedule=schedule, steps=30, epochs=None)
    (outcome,) = run([ordinary], runs=tmp_path / "b")
    assert found.folder.seed(3).steps.path.read_bytes() == (outcome.path / "steps.csv").read_bytes()
    assert found.curves[0].rates[0] == pytest.approx(1e-3) and found.curves[0].rates[-1] == pytest.approx(0.5)


def test_nothing_of_it_remains(tmp_path: Path, tiny: Any) -> None:
    experiment = tiny(model={"name": "mlp", "hidden": [8], "dropout": 0.3})
    (before,) = run([experiment], runs=tmp_path / "before")
    lrbench.find_lr(experiment, runs=tmp_path / "after", iterations=20)
    (after,) = run([experiment], runs=tmp_path / "after")
    assert (before.path / "steps.csv").read_bytes() == (after.path / "steps.csv").read_bytes()
    weights = [RunFolder(o.path).load_best() for o in (before, after)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_schedule_length_and_name_play_no_part(tmp_path: Path, tiny: Any) -> None:
    plain, ramp = tiny(), Ramp()
    dressed = tiny(
        name="other", epochs=9, schedule="cosine", warmup={"for": "10%"}, early_stopping={"patience": 2},
        on_non_finite="skip", best_by="val_accuracy", lr_scaling={"base_batch_size": 64}, seed=5,
    )  # fmt: skip
    assert ramp.identity(plain) == ramp.identity(dressed)
    assert ramp.identity(plain) != ramp.identity(tiny(batch_size=16))
    assert ramp.identity(plain) != Ramp(end=1.0).identity(plain)
    tested = ramp.over(dressed, seed=1)
    assert (tested.steps, tested.epochs, tested.warmup, tested.early_stopping) == (300, None, None, None)


# -- what ends it


def test_it_ends_where_the_loss_has_risen_and_the_rows_end_there(tmp_path: Path, wide: Any) -> None:
    found = lrbench.find_lr(wide, runs=tmp_path, seeds=1, stop_factor=1.2, smoothing=0.5)
    (curve,) = found.curves
    smoothed = curve.smoothed(0.5)
    assert len(curve.losses) < 300 and "the smoothed loss rose to 1.2 times its best" in curve.reason
    assert smoothed[-1] > 1.2 * min(smoothed)
    assert all(value <= 1.2 * min(smoothed[: k + 1]) for k, value in enumerate(smoothed[:-1]))


class Exploding(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = super().forward(x.flatten(1))
        return out / 0 if self.training and float(self.weight.detach().abs().max()) > 0.5 else out


def exploding() -> nn.Module:
    return Exploding(64, 10)


def always_nan(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return outputs.sum() * (math.nan if outputs.requires_grad else 0.0)


def level(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return outputs.sum() * 0.0 + 1.0


def below_zero(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(outputs, targets) - 5


def test_a_loss_that_is_not_finite_ends_it(tmp_path: Path, wide: Any) -> None:
    found = lrbench.find_lr(wide.replace(model=f"{__name__}:exploding"), runs=tmp_path)
    assert all("not finite at update" in curve.reason for curve in found.curves)
    assert all(not math.isfinite(curve.losses[-1]) for curve in found.curves)
    assert "NaN" not in (found.folder.path / "finder.json").read_text()
    again = load(found.folder)
    assert again.advice == found.advice and len(again.curves) == 3


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"loss": f"{__name__}:always_nan"}, "not finite at the first step"),
        ({"loss": f"{__name__}:level"}, "hardly changes"),
    ],
)
def test_no_suggestion(tmp_path: Path, wide: Any, changes: dict[str, Any], why: str) -> None:
    found = lrbench.find_lr(wide.replace(**changes), runs=tmp_path)
    assert isinstance(found.advice, Refusal) and why in str(found.advice)
    assert found.lr is None and found.suggestions == {}


def test_a_loss_below_zero_is_no_trouble(tmp_path: Path, wide: Any) -> None:
    usual = lrbench.find_lr(wide, runs=tmp_path).lr
    lower = lrbench.find_lr(wide.replace(loss=f"{__name__}:below_zero"), runs=tmp_path).lr
    assert usual is not None and lower is not None and 0.5 < lower / usual < 2


@pytest.mark.parametrize("iterations", [2, 5, 3000])
def test_few_and_many_updates(tmp_path: Path, wide: Any, iterations: int) -> None:
    found = lrbench.find_lr(wide, runs=tmp_path, seeds=1, iterations=iterations)
    if iterations < 20:
        assert isinstance(found.advice, Refusal) and "too few" in str(found.advice)
    else:
        assert found.lr is not None and 1e-4 < found.lr < 3e-2


def test_data_of_one_batch(tmp_path: Path, tiny: Any) -> None:
    found = lrbench.find_lr(tiny(dataset={"name": "digits", "train_size": 20}, batch_size=64), runs=tmp_path)
    assert found.lr is not None and len(found.curves[0].losses) > 50


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": {"name": "prodigy"}},
        {"optimizer": {"name": "schedule_free_adamw"}},
        {"optimizer": {"name": "muon"}},
        {"optimizer": {"name": "adadelta"}},
        {"optimizer": {"name": "adam", "layer_decay": 0.5}},
        {"optimizer": "torch.optim:NAdam"},
        {"accumulate": 3},
        {"lr_scaling": {"base_batch_size": 16}},
        {"clip_grad_norm": 1.0},
        {"schedule": "timm/cosine"},
    ],
    ids=str,
)
def test_any_config(tmp_path: Path, wide: Any, changes: dict[str, Any]) -> None:
    found = lrbench.find_lr(wide.replace(**changes), runs=tmp_path, seeds=2, iterations=60)
    rates = found.curves[0].rates
    assert rates[0] == pytest.approx(1e-7) and list(rates) == sorted(set(rates))


def test_validation_loss_instead(tmp_path: Path, wide: Any) -> None:
    trained, validated = (lrbench.find_lr(wide, runs=tmp_path, seeds=1, validation=v) for v in (False, True))
    assert trained.folder.path != validated.folder.path
    assert trained.curves[0].losses != validated.curves[0].losses
    level = validated.curves[0].losses[:10]
    assert max(level) - min(level) < 1e-3, "the same examples each time: no noise"
    assert trained.lr is not None and validated.lr is not None and 0.2 < trained.lr / validated.lr < 5


# -- the folder


def test_what_is_kept_reads_back(tmp_path: Path, wide: Any) -> None:
    found = lrbench.find_lr(wide, runs=tmp_path, seeds=2)
    table = rows(found.folder)
    assert list(table[0]) == ["seed", "iteration", "lr", "loss", "smoothed"]
    assert [float(r["loss"]) for r in table if r["seed"] == "1"] == list(found.curves[1].losses)
    assert [float(r["smoothed"]) for r in table if r["seed"] == "0"] == found.curves[0].smoothed(0.98)
    again = load(found.folder)
    assert (again.advice, again.suggestions, again.ramp) == (found.advice, found.suggestions, found.ramp)
    plain = without_times(found.folder)["advice"]
    assert set(plain) == {"initial", "maximum", "low", "high", "how", "notes"} and plain["high"] == plain["maximum"]
    moved = tmp_path / "elsewhere"
    found.folder.path.rename(moved)
    assert load(FinderFolder(moved)).advice == found.advice


def test_more_seeds_only_add_what_is_missing(tmp_path: Path, tiny: Any) -> None:
    seen: list[Event] = []
    first = lrbench.find_lr(tiny(), runs=tmp_path, seeds=2, iterations=30)
    before = [first.folder.seed(s).steps.path.stat().st_mtime_ns for s in (0, 1)]
    more = lrbench.find_lr(tiny(), runs=tmp_path, seeds=3, iterations=30, watch=seen.append)
    assert more.folder.path == first.folder.path and len(more.curves) == 3
    assert [e.run for e in seen if e.kind == "end"] == ["seed2"]
    assert [first.folder.seed(s).steps.path.stat().st_mtime_ns for s in (0, 1)] == before
    seen.clear()
    lrbench.find_lr(tiny(), runs=tmp_path, seeds=1, iterations=30, again=True, watch=seen.append)
    assert [e.run for e in seen if e.kind == "end"] == ["seed0"]


def test_two_times_gives_the_same(tmp_path: Path, tiny: Any) -> None:
    one, two = (lrbench.find_lr(tiny(), runs=tmp_path / name, iterations=40) for name in "ab")
    assert (one.folder.path / "finder.csv").read_bytes() == (two.folder.path / "finder.csv").read_bytes()
    assert without_times(one.folder) == without_times(two.folder)


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, Interrupted), (signal.SIGTERM, Terminated)])
@pytest.mark.parametrize("validation", [False, True])
def test_interrupted_it_goes_on_and_comes_to_the_same(
    tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Interrupted], validation: bool
) -> None:
    from lrbench.training import loop

    monkeypatch.setattr(loop, "READ_BACK_SECONDS", 0.0)
    settings: dict[str, Any] = {"iterations": 60, "validation": validation, "seeds": 2}
    whole = lrbench.find_lr(tiny(), runs=tmp_path / "whole", **settings)

    def interrupt(event: Event) -> None:
        if event.run == "seed1" and event.kind == "progress" and event.step == 25:
            os.kill(os.getpid(), number)

    with pytest.raises(kind, match="the same command resumes") as caught:
        lrbench.find_lr(tiny(), runs=tmp_path / "runs", watch=interrupt, **settings)
    assert type(caught.value) is kind
    seen: list[Event] = []
    again = lrbench.find_lr(tiny(), runs=tmp_path / "runs", watch=seen.append, **settings)
    assert [e.step for e in seen if e.kind == "start"] == [25], "seed 0 was done, seed 1 goes on"
    assert (again.folder.path / "finder.csv").read_bytes() == (whole.folder.path / "finder.csv").read_bytes()
    assert without_times(again.folder) == without_times(whole.folder)


def test_changed_code_of_one_s_own_is_said(tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    code = "from torch.nn.functional import cross_entropy\n\ndef half(a, b):\n    return cross_entropy(a, b) / 2\n"
    Path("my_loss.py").write_text(code)
    seen: list[str] = []
    experiment = tiny(loss="my_loss:half")
    for _ in range(2):
        lrbench.find_lr(experiment, iterations=30, watch=lambda e: seen.append(str(e.values.get("text"))))
    assert not any("has changed" in text for text in seen)
    Path("my_loss.py").write_text(code + "# another\n")
    lrbench.find_lr(experiment, iterations=30, watch=lambda e: seen.append(str(e.values.get("text"))))
    assert "my_loss has changed since this test; again=True repeats it" in seen


def test_another_s_test_is_waited_for(tmp_path: Path, tiny: Any) -> None:
    folder = FinderFolder.of(tmp_path, tiny(), Ramp(iterations=30)).seed(0)
    folder.path.mkdir(parents=True)
    said: list[str] = []
    lock = folder.lock()

    def watch(event: Event) -> None:
        said.append(str(event.values.get("text", "")))
        if "waiting for " in said[-1]:
            lock.__exit__()

    lock.__enter__()
    found = lrbench.find_lr(tiny(), runs=tmp_path, iterations=30, watch=watch)
    assert (
        sum("waiting for seed0, which is running in process" in text for text in said) == 1 and len(found.curves) == 3
    )


def failing(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    if outputs.requires_grad:
        raise LookupError("lost in the loss")
    return outputs.mean()


def test_a_model_that_fails_says_so(tmp_path: Path, tiny: Any) -> None:
    with pytest.raises(RunError, match=r"seed 0: loss .* raised LookupError: lost in the loss"):
        lrbench.find_lr(tiny(loss=f"{__name__}:failing"), runs=tmp_path)


# -- several seeds at once, and several commands

SLOW = """
import time

from torch.nn.functional import cross_entropy


def loss(outputs, targets):
    if outputs.requires_grad:
        time.sleep(0.01)
    return cross_entropy(outputs, targets)
"""


HELD = """
import os
import time

from torch.nn.functional import cross_entropy


def loss(outputs, targets):
    while outputs.requires_grad and os.environ.get("HELD") and not os.path.exists("go"):
        time.sleep(0.01)
    return cross_entropy(outputs, targets)
"""


Begin = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def begin(tmp_path: Path, forks: Starts) -> Iterator[Begin]:
    """Begin `lrbench find-lr` in a process of its own."""
    begun: list[subprocess.Popen[str]] = []

    def start(config: Path, root: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
        process = forks.popen(
            ["-m", "lrbench", "find-lr", config, "--runs", root, *words], cwd=tmp_path,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        )  # fmt: skip
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def await_that(there: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until something is there, which a process is about to bring about."""
    end = time.monotonic() + 120
    while not there():
        assert time.monotonic() < end and process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


def some_rows(root: Path) -> bool:
    """True once some updates of a test are on disk."""
    return any(len(path.read_text().splitlines()) > 1 for path in root.glob("find-lr/*/seed*/steps.csv"))


@pytest.mark.slow
def test_seeds_at_once_come_to_the_same_as_one_after_another(
    cli: Cli, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    config = write_config("wide.yaml", **{**WIDE, "model": {"name": "mlp", "hidden": [32], "dropout": 0.2}})
    outputs = []
    for jobs, root in ((1, "one"), (2, "two")):
        code, out, err = cli("find-lr", config, "--jobs", jobs, "--runs", root)
        assert (code, err) == (0, "")
        outputs.append(out[out.index("Range test of") : out.index("Wrote ")])
    assert outputs[0] == outputs[1]
    one, two = (FinderFolder(next((tmp_path / root / "find-lr").iterdir())) for root in ("one", "two"))
    assert (one.path / "finder.csv").read_bytes() == (two.path / "finder.csv").read_bytes()
    assert without_times(one) == without_times(two) and isinstance(load(two).advice, Advice)
    for seed in range(3):
        assert one.seed(seed).steps.path.read_bytes() == two.seed(seed).steps.path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_ends_it_with_130_and_the_same_command_goes_on(
    begin: Begin, write_config: Callable[..., Path], tmp_path: Path, jobs: str
) -> None:
    (tmp_path / "slow_loss.py").write_text(SLOW)
    config = write_config("wide.yaml", **WIDE, loss="slow_loss:loss")
    words = ["--seeds", "2", "--iterations", "200", "--jobs", jobs]
    stopped = begin(config, tmp_path / "runs", *words)
    await_that(lambda: some_rows(tmp_path / "runs"), stopped)
    stopped.send_signal(signal.SIGINT)
    output, _ = stopped.communicate(timeout=60)
    assert stopped.returncode == 130 and "of 2 runs left; the same command resumes" in output, output
    (folder,) = (tmp_path / "runs/find-lr").iterdir()
    assert list(folder.glob("seed*/checkpoint.pt")) and not list(folder.glob("seed*/lock"))
    assert not (folder / "finder.json").exists(), "what is found is written when all seeds are done"
    whole = begin(config, tmp_path / "whole", *words)
    again = begin(config, tmp_path / "runs", *words)
    outputs = [process.communicate(timeout=100)[0] for process in (whole, again)]
    assert (whole.returncode, again.returncode) == (0, 0), outputs
    assert "resumed after step" in outputs[1]
    found = [FinderFolder(next((tmp_path / root / "find-lr").iterdir())) for root in ("whole", "runs")]
    assert rows(found[0]) == rows(found[1]) and without_times(found[0]) == without_times(found[1])


@pytest.mark.slow
def test_two_commands_at_once_test_each_seed_once(
    begin: Begin, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "held_loss.py").write_text(HELD)
    config = write_config("wide.yaml", **WIDE, loss="held_loss:loss")
    words = ["--seeds", "2", "--iterations", "200"]
    first = begin(config, tmp_path / "runs", *words, HELD="1")
    await_that(lambda: any((tmp_path / "runs").glob("find-lr/*/seed0/steps.csv")), first)
    second = begin(config, tmp_path / "runs", *words, "--jobs", "2")
    assert second.stdout is not None
    told = []
    for line in second.stdout:
        told.append(line)
        if "waiting for " in line:
            break
    # The process is a worker, since the code is the user's.
    assert re.match(r"waiting for seed0, which is running in process \d+ on ", told[-1]), told
    assert first.poll() is None and "seed1: finished" in "".join(told)
    (tmp_path / "go").touch()
    outputs = [first.communicate(timeout=100)[0], "".join(told) + second.communicate(timeout=100)[0]]
    assert (first.returncode, second.returncode) == (0, 0), outputs
    (folder,) = (tmp_path / "runs/find-lr").iterdir()
    for seed in range(2):
        assert sum(text.count(f"seed{seed}: started") for text in outputs) == 1, outputs
        assert json.loads((folder / f"seed{seed}/env.json").read_text()).get("resumed", []) == []
    advice = [text[text.index("Range test of") :] for text in outputs]
    assert advice[0] == advice[1]


# -- the command


@pytest.mark.usefixtures("rendered")
def test_the_command(cli: Cli, write_config: Callable[..., Path]) -> None:
    config = write_config("wide.yaml", **WIDE)
    code, out, err = cli("find-lr", config)
    assert (code, err) == (0, "")
    purposes = ("constant, or the start of a decay", "maximum of one_cycle", "bounds of cyclical learning rates")
    for words in ("steepest", "minimum/10", "valley", *purposes, "the loss was lowest at", "finder.png"):
        assert words in out
    (folder,) = Path("runs/find-lr").iterdir()
    assert {p.name for p in folder.iterdir()} >= {"finder.csv", "finder.json", "finder.png"}
    code, out, _ = cli("report")
    assert code == 0 and "Range test of tiny: " in out
    page, text = (Path("runs/report") / name for name in ("report.html", "report.md"))
    assert "Range test of tiny" in page.read_text() and "as the maximum of one_cycle" in page.read_text()
    assert "## Range test of tiny" in text.read_text()
    assert cli("report", folder)[0] == 0, "a range test alone"


def test_the_command_and_python_have_the_same_defaults() -> None:
    command = {p.name: p.default for p in typer.main.get_command(app).commands["find-lr"].params}  # type: ignore[attr-defined]
    python = inspect.signature(find_lr).parameters
    for name, value in dataclasses.asdict(Ramp()).items():
        assert command[name] == value, name
    assert command["seeds"] == python["seeds"].default
    assert inspect.signature(lrbench.find_lr).parameters["seeds"].default is None, "so many, or 1 on a model object"


@pytest.mark.parametrize("seeds", [3, 8])
def test_the_figure_names_every_seed_and_what_was_found(tmp_path: Path, wide: Any, seeds: int) -> None:
    found = lrbench.find_lr(wide, runs=tmp_path, seeds=seeds, iterations=100)
    assert isinstance(found.advice, Advice)
    (legend,) = range_test.draw(found).legends
    texts = " ".join(text.get_text() for text in legend.get_texts())
    assert ("seed 0, smoothed (β 0.98) seed 1" in texts) == (seeds == 3)
    assert ("seeds 0–7, smoothed" in texts) == (seeds == 8)
    assert f"bounds for a cyclical schedule: {found.advice.low:.2g} … {found.advice.high:.2g}" in texts
    assert "its minimum, at" in texts


def test_the_config_it_writes_trains_at_the_rate(cli: Cli, write_config: Callable[..., Path]) -> None:
    config = write_config("wide.yaml", **WIDE)
    Path("configs").mkdir()
    code, out, _ = cli("find-lr", config, "--set", "batch_size=32", "--write", "configs/found.yaml")
    assert code == 0 and "Wrote configs/found.yaml" in out
    found = load(FinderFolder(next(Path("runs/find-lr").iterdir())))
    plain = yaml.safe_load(Path("configs/found.yaml").read_text())
    assert plain["extends"] == "../wide.yaml" and plain["name"] == "found"
    made = load_config("configs/found.yaml")
    assert made.optimizer.params["lr"] == pytest.approx(found.lr, rel=0.05) and made.batch_size == 32
    assert cli("run", "configs/found.yaml")[0] == 0
    assert cli("find-lr", config, "--set", "batch_size=32", "--write", "configs/found.yaml")[0] == 0, "its own file"


@pytest.mark.parametrize(
    ("schedule", "peak", "bound"),
    [
        ("one_cycle", "maximum", None),
        ("triangular", "high", "low"),
        ("sin2", "high", "low"),
        ("cosine", "initial", None),
    ],
)
def test_schedules_get_their_bounds(
    cli: Cli, write_config: Callable[..., Path], kept_test: Path, schedule: str, peak: str, bound: str | None
) -> None:
    config = write_config("wide.yaml", **WIDE)
    shutil.copytree(kept_test, "runs")
    assert cli("find-lr", config, "--write", "found.yaml", "--schedule", schedule)[0] == 0
    advice = load(FinderFolder(next(Path("runs/find-lr").iterdir()))).advice
    made = load_config("found.yaml")
    assert made.schedule.name == schedule
    assert made.optimizer.params["lr"] == pytest.approx(getattr(advice, peak), rel=0.05)
    if bound is not None:
        assert made.schedule.params["base_lr"] == pytest.approx(getattr(advice, bound), rel=0.05)


def test_lr_scaling_is_taken_out_of_the_rate_that_is_written(tmp_path: Path, wide: Any, kept_test: Path) -> None:
    (kept,) = (kept_test / "find-lr").iterdir()
    plain = load(FinderFolder(kept))
    scaled = lrbench.find_lr(wide.replace(lr_scaling={"base_batch_size": 16, "rule": "linear"}), runs=tmp_path)
    assert scaled.lr == plain.lr, "what was tested is the rate itself"
    (tmp_path / "base.yaml").write_text(scaled.experiment.yaml())
    made = write_found(scaled, tmp_path / "found.yaml", tmp_path / "base.yaml", (), None)
    assert made.optimizer.params["lr"] == pytest.approx((plain.lr or 0) / 4, rel=0.05)


def test_without_a_suggestion_nothing_is_written(cli: Cli, write_config: Callable[..., Path]) -> None:
    config = write_config("flat.yaml", loss=f"{__name__}:level")
    code, out, err = cli("find-lr", config)
    assert code == 0 and "No suggestion: the loss hardly changes" in out and "--start 10 --end 100000" in out
    code, out, err = cli("find-lr", config, "--write", "found.yaml")
    assert code == 1 and "did not write found.yaml: there is no suggestion" in err
    assert not Path("found.yaml").exists()


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("--start", "1", "--end", "0.1"), "--start must be less than --end"),
        (("--start", "-1"), "--start must be a learning rate from 1e-30 to 1e30"),
        (("--end", "nan"), "--end must be a learning rate from 1e-30 to 1e30"),
        (("--iterations", "0"), "--iterations must be 2 to"),
        (("--iterations", "many"), "must be a whole number (got 'many')"),
        (("--seeds", "0"), "must be a whole number from 1 to 10,000 (got 0)"),
        (("--shape", "square"), "must be exponential or linear"),
        (("--smoothing", "1"), "at least 0 and less than 1"),
        (("--stop-factor", "0.5"), "greater than 1"),
        (("--device", "tpu"), "must be auto, cpu"),
        (("--set", "optimizer.name=adm"), "did you mean 'adam'"),
        (("--schedule", "cosine"), "--schedule sets the schedule of the config that --write creates; give both"),
        (("--write", "found.txt"), "--write must be a YAML file"),
        (("--write", "no/such/folder/found.yaml"), "folder no/such/folder does not exist"),
        (("--write", "tiny.yaml"), "is the tested config itself"),
        (("--write", "mine.yaml"), "exists and was not written by find-lr, or was edited since"),
        (("--write", "found.yaml", "--schedule", "cosin"), "did you mean 'cosine'"),
        (("--write", "found.yaml", "--schedule", "step"), "needs the parameter 'every'"),
        (("--runs", "mine.yaml"), "is a file, not a folder"),
    ],
)
def test_mistakes(cli: Cli, write_config: Callable[..., Path], words: tuple[str, ...], fragment: str) -> None:
    config = write_config()
    Path("mine.yaml").write_text("name: mine\n")
    code, _, err = cli("find-lr", config, *words)
    assert code == 2 and fragment in " ".join(err.replace("│", " ").split()), err
    assert not Path("runs").exists() and Path("mine.yaml").read_text() == "name: mine\n"


def test_python_s_own_mistakes(tmp_path: Path, tiny: Any) -> None:
    with pytest.raises(UsageError, match="settings: start, end, iterations"):
        lrbench.find_lr(tiny(), runs=tmp_path, stop=3)
    with pytest.raises(UsageError, match=r"^seeds must be at least 1"):
        lrbench.find_lr(tiny(), runs=tmp_path, seeds=0)
    with pytest.raises(ConfigError, match="no such file"):
        lrbench.find_lr(tmp_path / "absent.yaml", runs=tmp_path)


def test_a_damaged_test_is_named_and_the_report_goes_on(
    cli: Cli, write_config: Callable[..., Path], kept_test: Path
) -> None:
    config = write_config("wide.yaml", **WIDE)
    shutil.copytree(kept_test, "runs")
    (folder,) = Path("runs/find-lr").iterdir()
    cli("run", config, "--set", "epochs=1")
    for name, damage in (
        ("finder.json", "{"),
        ("finder.csv", "seed,iteration\n0,1\n"),
        ("finder.json", '{"format": 1}'),
    ):
        whole = (folder / name).read_text()
        (folder / name).write_text(damage)
        code, out, _ = cli("report")
        assert code == 0 and "damaged" in out, (name, damage)
        (folder / name).write_text(whole)
    code, out, _ = cli("report")
    assert code == 0 and "damaged" not in out


@pytest.mark.slow
@pytest.mark.usefixtures("real_mnist")
def test_the_tutorial_s_network_on_mnist(cli: Cli) -> None:
    """A sweep of 13 rates, 5 epochs and 3 seeds found 1e-3 to 3e-3 best (docs/find-lr.md)."""
    config = Path(__file__).parent.parent / "configs" / "baseline.yaml"
    assert cli("find-lr", config, "--set", "dataset.train_size=5000", "--seeds", "1", "--iterations", "150")[0] == 0
    found = load(FinderFolder(next(Path("runs/find-lr").iterdir())))
    assert found.lr is not None and 6e-4 < found.lr < 8e-3
