"""The figures of the scoreboard: what is measured of lrbench, and the peers beside it.

Each function plans one figure; the first line of its docstring says what is measured. It may prepare files in the
figure's folder, which is not timed. See `measuring.py` for what a measure is.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from measuring import (
    HERE,
    OURS,
    Figure,
    Measure,
    MeasureError,
    MissingError,
    Setup,
    called,
    calling,
    lrbench,
    missing,
    output,
    timed,
    told,
)

PEERS = HERE / "peers"
CNN = {
    OURS: "lrbench_run.py",
    "PyTorch tutorial loop": "torch_tutorial.py",
    "Lightning": "lightning_tutorial.py",
    "Keras on TensorFlow": "keras_tutorial.py",
}
"""The scripts that train the tutorial's CNN on MNIST."""
IMAGES = 48_000
MLP = {"name": "mlp", "hidden": [64]}
FIGURES: dict[str, Figure] = {}
Plan = Callable[[Setup], list[Measure]]


def figure(name: str, *, unit: str, clock: str = "processor", short: bool = False) -> Callable[[Plan], Plan]:
    """Make a figure of a function that plans it."""

    def add(plan: Plan) -> Plan:
        about = (plan.__doc__ or "").splitlines()[0]
        FIGURES[name] = Figure(name, about, unit, clock, plan, short)
        return plan

    return add


def needs(package: str, measure: Measure) -> Measure:
    """A measure, or that its package is not installed."""
    if importlib.util.find_spec(package) is not None:
        return measure
    return missing(measure.ways[0], f"{package} is not installed")


@figure("help", unit="s", short=True)
def helped(setup: Setup) -> list[Measure]:
    """The whole command `lrbench --help`; a bare typer program with as many commands."""
    bare = [sys.executable, str(PEERS / "bare_help.py"), "--help"]
    return [timed(OURS, lrbench("--help"), "processor", best_of=3),
            timed("bare typer program", bare, "processor", best_of=3)]  # fmt: skip


@figure("finished", unit="s", short=True)
def finished(setup: Setup) -> list[Measure]:
    """The whole command `lrbench run` of a finished run; a program that reads and shows the same files."""
    runs = setup.place / "runs"
    words = lrbench("run", "digits/baseline", "--set", "model=mlp", "--set", "epochs=1", "--runs", str(runs))
    output(words)
    bare = [sys.executable, str(PEERS / "bare_lookup.py"), str(runs)]
    return [timed(OURS, words, "processor", best_of=2), timed("bare program", bare, "processor", best_of=2)]


@figure("first-step", unit="s", short=True)
def first_step(setup: Setup) -> list[Measure]:
    """From the start of `lrbench run` on digits to its first step; importing torch, with and without the data."""
    pair = called((OURS, "import torch, load digits"), "whole", "first_step", str(setup.place))
    alone = timed("import torch", [sys.executable, "-c", "import torch"], "processor")
    return [pair] if setup.short else [pair, alone]


@figure("first-step-mnist", unit="s")
def first_step_on_mnist(setup: Setup) -> list[Measure]:
    """The same on MNIST; importing torch and torchvision, and loading the same data."""
    _mnist()
    return [called((OURS, "import torch, load MNIST"), "whole", "first_step_on_mnist", str(setup.place))]


@figure("tiny", unit="updates/s", short=True)
def tiny(setup: Setup) -> list[Measure]:
    """Updates of an MLP 64-64-10 on digits with Adam; plain loops, with the loss read in each step and without."""
    ways = {OURS: "lrbench", "loop that logs": "logged", "bare loop": "bare", "bare loop, fused Adam": "bare, fused"}
    if setup.short:
        ways.popitem()
    steps = 2_000 if setup.short else 6_800
    return [called(tuple(ways), "dispatch", "updates_per_second", "mlp", "adam", list(ways.values()), steps)]


@figure("cnn-step", unit="s")
def cnn_step(setup: Setup) -> list[Measure]:
    """192 steps of the tutorial's CNN on MNIST through the runner; a bare loop over the same model and tensors."""
    _mnist()
    return [called((OURS, "bare loop, same model"), "whole", "overhead", str(setup.place), 1)]


@figure("cnn", unit="images/s")
def cnn(setup: Setup) -> list[Measure]:
    """The tutorial's CNN on 6,000 images of MNIST, the second epoch of training; the same in other tools."""
    return _tutorial(setup, 6_000, 1, "cpu")


@figure("cnn-cores", unit="images/s", clock="wall")
def cnn_cores(setup: Setup) -> list[Measure]:
    """The same on 48,000 images with all cores."""
    return _tutorial(setup, IMAGES, setup.threads, "wall")


def _tutorial(setup: Setup, images: int, threads: int, clock: str) -> list[Measure]:
    _mnist()
    words = ["--epochs", "2", "--images", str(images), "--threads", str(threads), "--clock", clock]

    def speed(line: str) -> float:
        return images / float(json.loads(line)["epochs"][1])

    def script(way: str, python: str = sys.executable) -> Measure:
        return told(way, [python, str(PEERS / CNN[way]), *words], speed, threads=threads)

    keras = "Keras on TensorFlow"
    return [
        script(OURS),
        script("PyTorch tutorial loop"),
        needs("lightning", script("Lightning")),
        script(keras, setup.keras)
        if setup.keras and _has_keras(setup.keras)
        else missing(keras, "--keras names no Python that has both"),
    ]


def _has_keras(python: str) -> bool:
    """True if a Python has Keras and TensorFlow, which need an environment of their own."""
    look = "import importlib.util as i; raise SystemExit(not (i.find_spec('keras') and i.find_spec('tensorflow')))"
    try:
        output([python, "-c", look])
    except (MeasureError, OSError):
        return False
    return True


def _mnist() -> None:
    if not (Path(os.environ.get("LRBENCH_DATA", "")) / "MNIST" / "raw").is_dir():
        raise MissingError("LRBENCH_DATA names no folder with MNIST/raw")


@figure("sweep", unit="s")
def swept(setup: Setup) -> list[Measure]:
    """54 runs of an MLP on digits, 10 epochs, with evaluation and files; plain loops one after another, without."""
    return [called(OURS, "sweep_speed", "swept", "no", MLP, 10),
            called("plain loops", "dispatch", "loops", "mlp", 54, 340)]  # fmt: skip


@figure("stacked", unit="s")
def stacked(setup: Setup) -> list[Measure]:
    """The same sweep trained together (`--stack yes`); one run after another."""
    return [called(OURS, "sweep_speed", "swept", "yes", MLP, 10),
            called("lrbench, run by run", "sweep_speed", "swept", "no", MLP, 10)]  # fmt: skip


@figure("language", unit="tokens/s")
def language(setup: Setup) -> list[Measure]:
    """A GPT of 0.8 million parameters, one thread; a loop as in nanoGPT, and Hugging Face's Trainer."""

    def speed(line: str) -> float:
        return float(json.loads(line)["speed"])

    def way(name: str, script_name: str | None = None) -> Measure:
        words = ["--only", script_name or name, "--steps", "40", "--threads", "1", "--clock", "cpu"]
        return told(name, [sys.executable, str(HERE / "language.py"), *words], speed)

    return [way(OURS), way("plain PyTorch loop"), needs("transformers", way("Hugging Face Trainer"))]


@figure("range-test", unit="updates/s")
def range_test(setup: Setup) -> list[Measure]:
    """A range test of 300 updates of a CNN on digits; Lightning's `lr_find` of the same network."""
    peer = told("Lightning's lr_find", [sys.executable, str(PEERS / "lightning_finder.py"), "300"])
    return [called(OURS, "finder_cost", "updates_per_second", "digits cnn", 300), needs("lightning", peer)]


@figure("folder", unit="images/s", clock="wall")
def folder(setup: Setup) -> list[Measure]:
    """A small CNN on a streamed image folder, later epochs; torchvision's DataLoader with its best workers."""
    images = setup.place / "images"
    output(calling("image_folder", "draw", str(images), 1000))
    peer = "ImageFolder, DataLoader"
    return [called((OURS, peer), "image_folder", "trained", str(images), 1000, 64, 3, threads=setup.threads)]


@figure("record", unit="µs", short=True)
def record(setup: Setup) -> list[Measure]:
    """A step with two numbers through `lrbench.record`, files included; other writers of the same numbers."""
    steps = 20_000 if setup.short else 100_000
    board = needs("tensorboard", called("TensorBoard", "recorder", "of_tensorboard", steps // 4))
    floor = called("csv.writer alone", "recorder", "of_csv", steps)
    flow = needs("mlflow", called("MLflow", "recorder", "of_mlflow", 200))
    return [called(OURS, "recorder", "of_lrbench", steps), board, *([] if setup.short else [flow, floor])]


@figure("report", unit="s")
def report(setup: Setup) -> list[Measure]:
    """`lrbench report` of 1,000 runs; pandas and matplotlib as in a notebook: a table, two figures, no statistics."""
    runs = _thousand(setup)
    ours, naive = _reporting(setup, runs)
    return [timed(OURS, ours, "processor", without=runs / ".cache"), naive]


@figure("report-again", unit="s")
def report_again(setup: Setup) -> list[Measure]:
    """The same once more, with what was kept of the runs; the peer as before."""
    ours, naive = _reporting(setup, _thousand(setup))
    output(ours)
    return [timed(OURS, ours, "processor"), naive]


def _reporting(setup: Setup, runs: Path) -> tuple[list[str], Measure]:
    words = [sys.executable, str(PEERS / "naive_report.py"), str(runs), str(setup.place / "naive")]
    ours = lrbench("report", "--runs", str(runs), "--out", str(setup.place / "report"))
    return ours, timed("pandas, matplotlib", words, "processor")


@figure("long-run", unit="s")
def long_run(setup: Setup) -> list[Measure]:
    """`lrbench report` of a run of 2,000,000 steps; pandas and matplotlib: all steps read, loss and rate drawn."""
    runs = setup.place / "runs"
    output(calling("recorder", "record", str(runs), 2_000_000))
    naive = [sys.executable, str(PEERS / "naive_steps.py"), str(runs), str(setup.place / "steps.png")]
    words = lrbench("report", "--runs", str(runs), "--out", str(setup.place / "report"))
    return [timed(OURS, words, "processor"), timed("pandas, matplotlib", naive, "processor")]


@figure("page", unit="s")
def page(setup: Setup) -> list[Measure]:
    """The page of 1,000 runs: reading and comparing them, and making the HTML."""
    return [called(OURS, "page", "seconds", str(_thousand(setup)))]


def _thousand(setup: Setup) -> Path:
    """The figure's own copy of 1,000 runs that are made up, once for all figures."""
    made, runs = setup.shared / "thousand", setup.place / "runs"
    if not made.exists():
        begun = setup.shared / "thousand-begun"
        output([sys.executable, str(HERE / "synthetic_runs.py"), str(begun)])
        begun.rename(made)
    shutil.copytree(made, runs)
    return runs
