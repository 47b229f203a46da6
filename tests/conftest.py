"""What all tests share: no user's data, one thread, and small configs."""

from __future__ import annotations

import contextlib
import functools
import gc
import io
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: small tensors, and cores may be busy
os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent)  # for the processes that tests start elsewhere

import hypothesis
import platformdirs
import pytest
import yaml
from bad_code import SOURCE
from damage import Copies
from forked import POSSIBLE, Forks, Starts
from in_memory import folder_in_memory

from lrbench.analysis import Group, Record
from lrbench.cli.app import main
from lrbench.runs import RunFolder, RunResult, Status

with contextlib.suppress(ImportError):  # it closes other packages' log handlers, and absl's closes pytest's own file
    import submitit  # noqa: F401

hypothesis.settings.register_profile("lrbench", deadline=None)  # nothing is said of how busy a machine is
hypothesis.settings.load_profile("lrbench")
USERS_DATA = os.environ.get("LRBENCH_DATA")

TINY: dict[str, Any] = {
    "name": "tiny",
    "dataset": {"name": "digits", "train_size": 64},
    "model": {"name": "mlp", "hidden": [8]},
    "optimizer": {"name": "sgd", "lr": 0.1},
    "epochs": 2,
    "batch_size": 32,
    "device": "cpu",
}


@pytest.fixture(autouse=True)
def no_users_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither LRBENCH_DATA nor the platform's cache folder: tests see only what they make."""
    monkeypatch.delenv("LRBENCH_DATA", raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda app: str(tmp_path / "cache" / app))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files without slow tests where only these are asked for: importing them takes half of a minute."""
    if config.option.markexpr != "slow" or collection_path.suffix != ".py":
        return None
    return "mark.slow" not in collection_path.read_text(encoding="utf-8") or None


LONG = {"test_examples.py", "test_ray.py", "test_runner.py", "test_slurm_jobs.py", "test_soak.py"}
"""Files whose slow tests take minutes: they are begun first, so that none is left to one process in the end."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes long where only slow tests are asked for."""
    if config.option.markexpr == "slow":
        items.sort(key=lambda item: item.path.name not in LONG)


def pytest_collection() -> None:
    """Nothing that importing the tests makes is garbage."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What was imported by now stays: the garbage collector need not look at it again after each few allocations."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def nothing_waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a power cut shows whether files were synced; test_runs.py looks when that is asked for."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def sketches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are composed but neither laid out nor rendered, for tests of what stands beside them. See `rendered`."""
    if "rendered" in request.fixturenames:
        return
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    def savefig(figure: Figure, target: Any, **options: Any) -> None:
        if isinstance(target, Path):
            target.write_bytes(b"")
        else:
            target.write("<svg ></svg>" if isinstance(target, io.TextIOBase) else b"")

    monkeypatch.setattr(Figure, "savefig", savefig)
    monkeypatch.setattr(Figure, "draw_without_rendering", lambda figure: None)
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda engine, figure: None)


@pytest.fixture
def rendered() -> None:
    """Figures are rendered as users get them, also in a file whose tests have `sketches`."""


@pytest.fixture(scope="session")
def threads() -> int:
    """How many threads torch had when the tests began."""
    import torch  # here, because the process that hands out the tests runs none

    return torch.get_num_threads()


@pytest.fixture(autouse=True)
def threads_are_put_back(threads: int) -> Iterator[None]:
    """Threads that a test leaves to the next ones make these many times slower."""
    import torch

    yield
    torch.set_num_threads(threads)


@pytest.fixture
def real_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    """The MNIST that LRBENCH_DATA named when the tests were started; skips where there is none."""
    if not USERS_DATA or not (Path(USERS_DATA) / "MNIST" / "raw").is_dir():
        pytest.skip("LRBENCH_DATA names no folder with MNIST/raw")
    monkeypatch.setenv("LRBENCH_DATA", USERS_DATA)


@pytest.fixture
def write_config(tmp_path: Path) -> Callable[..., Path]:
    """Write a YAML config into tmp_path: the tiny one, with the given keys changed; None removes a key."""

    def write(file: str = "tiny.yaml", **changes: Any) -> Path:
        path = tmp_path / file
        settings = {k: v for k, v in {**TINY, **changes}.items() if v is not None}
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return path

    return write


@pytest.fixture
def tiny() -> Callable[..., Any]:
    """Make an Experiment: the tiny one (an MLP on 64 digits), with the given keys changed; None removes a key."""
    return tiny_experiment


def tiny_experiment(**changes: Any) -> Any:
    from lrbench.config.load import validate

    return validate({k: v for k, v in {**TINY, **changes}.items() if v is not None}, {}, "a test")


@pytest.fixture
def bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Make experiments whose model does something bad in its second step, by the name of a function in bad_code.py."""
    (tmp_path / "bad.py").write_text(textwrap.dedent(SOURCE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "bad", raising=False)
    return lambda act, **keys: tiny_experiment(
        name=act.replace("_", "-"), model={"name": "bad:build", "act": act}, **keys
    )


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in tmp_path; (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("NO_COLOR", "1")

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        output = capsys.readouterr()
        assert "Traceback" not in output.out + output.err
        return int(ended.value.code or 0), output.out, output.err

    return call


@pytest.fixture(scope="session")
def forks() -> Iterator[Starts]:
    """Starts Python processes that need not import torch and lrbench anew."""
    started = Forks() if POSSIBLE else Starts()
    yield started
    started.close()


@pytest.fixture
def copied() -> Iterator[Copies]:
    """Copies a folder for each example of a test."""
    with folder_in_memory() as folder:
        yield Copies(folder)


@pytest.fixture
def group_at(tiny: Callable[..., Any]) -> Callable[..., Group]:
    """A group at a rate, a run for each value: a number, or the state of a run that has none."""

    def make(
        lr: float | None, *values: float | str, name: str = "tiny", key: str = "val_loss", **changes: Any
    ) -> Group:
        optimizer = {"name": "sgd"} if lr is None else {"name": "sgd", "lr": lr}
        records = []
        for seed, value in enumerate(values):
            experiment = tiny(**{"optimizer": optimizer, "seed": seed, **changes})
            plain = {**experiment.plain(), "name": name}
            status = Status(value) if isinstance(value, str) else Status.FINISHED
            result = RunResult(status, final=None if isinstance(value, str) else {key: value})
            folder = RunFolder(Path(f"{name}-{lr}-{seed}"))
            records.append(Record(folder, status, experiment=experiment, plain=plain, result=result))
        return Group(f"{name} lr={lr}", tuple(records))

    return make


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """A finished run with the given validation losses, as training would leave it."""
    return functools.partial(finished_run, tmp_path / "runs")


@pytest.fixture(scope="session")
def make_run_in() -> Callable[..., Path]:
    """`make_run` in a folder of one's own, its first argument."""
    return finished_run


def finished_run(
    root: Path,
    losses: list[float],
    *,
    status: str | None = "finished",
    lr: float = 0.1,
    seed: int = 0,
    name: str = "tiny",
    **changes: Any,
) -> Path:
    from lrbench.components import recorded
    from lrbench.components.metrics import ACCURACY
    from lrbench.runs import RunFolder, RunResult, Status

    experiment = tiny_experiment(
        name=name, optimizer={"name": "sgd", "lr": lr}, seed=seed, epochs=max(len(losses), 1), **changes
    )
    rows = [
        {"epoch": e, "step": 2 * e, "train_loss": 2 * v, "train_accuracy": 0.5, "val_loss": v, "val_accuracy": 0.9}
        for e, v in enumerate(losses, start=1)
    ]
    folder = RunFolder.of(root, experiment)
    sizes = {"steps_per_epoch": 2, "total_steps": 2 * len(losses)}
    folder.create(experiment, {"threads": 1, "metrics": recorded([ACCURACY]), "sizes": sizes})
    folder.open_logs([ACCURACY])
    folder.steps.append(
        {"step": i + 1, "lr": lr, "momentum": 0.0, "loss": 1.0, "grad_norm": 1.0} for i in range(2 * len(losses))
    )
    folder.epochs.append({**row, "lr": lr, "seconds": 1.0, "examples_per_second": 10.0} for row in rows)
    folder.close_logs()
    if status is not None:
        ended = status != "diverged"
        best = min(losses, default=math.nan)
        result = RunResult(
            Status(status),
            "" if ended else "the loss was not finite at update 3",
            epochs=len(losses),
            steps=2 * len(losses),
            evaluations=len(losses),
            seconds=1.5,
            effective_lr=lr,
            final=rows[-1] if ended else None,
            best={**rows[losses.index(best)], "val_accuracy": 0.95} if losses else None,
            test={"loss": losses[-1] + 0.01, "accuracy": 0.8} if ended else None,
            test_best={"loss": best + 0.02, "accuracy": 0.85} if ended else None,
        )
        folder.finish(experiment, result)
    return folder.path


CHROMIUM = os.environ.get("LRBENCH_CHROMIUM") or next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, in which pages run as they do for their readers."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium, or its path in LRBENCH_CHROMIUM")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page; at the end nothing may have gone wrong in it, nor have been asked of a network."""
    contexts, wrong = [], []

    def open_page(path: Path, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: None if request.url == path.as_uri() else wrong.append(request.url[:100]))
        page.goto(path.as_uri())
        page.locator("html.ready").wait_for(state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []
