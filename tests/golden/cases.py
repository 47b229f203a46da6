"""What the golden files are made of, and how it is read: only by way of the command line, the API and run folders.

`make.py` writes golden files with these functions, and `test_golden.py` compares with them.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

import lrbench
from lrbench.cli.app import main
from lrbench.config import group, identity, own

HERE = Path(__file__).parent
KEPT = HERE / "runs"
CONFIGS = HERE.parent.parent / "configs"

Config = dict[str, Any]
Row = dict[str, str]

SMALL: Config = {
    "dataset": {"name": "digits", "train_size": 64},
    "model": {"name": "mlp", "hidden": [8]},
    "optimizer": {"name": "sgd", "lr": 0.1},
    "epochs": 3,
    "batch_size": 16,
    "device": "cpu",
}


def small(**changes: Any) -> Config:
    """A config of a run that takes a blink; None removes a key."""
    return {key: value for key, value in {**SMALL, **changes}.items() if value is not None}


# -- runs trained anew

MOMENTUM: Config = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}

INTERRUPTED = small(
    dataset={"name": "digits", "train_size": 256},
    model={"name": "mlp", "hidden": [8], "dropout": 0.1, "activation": "tanh"},
    optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.5},
    schedule="cosine",
    plateau={"patience": 1, "threshold": 0.6},
    early_stopping={"patience": 5},
    epochs=6,
    batch_size=4,
)

CURVES: dict[str, Config] = {
    # a run of each model
    "cnn": small(model={"name": "cnn", "padding": 1}, optimizer={"name": "adam", "lr": 0.003, "eps": 1e-7}, epochs=2),
    "tutorial": small(
        dataset="golden.parts:large", model="cnn", optimizer={"name": "adam", "lr": 0.001, "eps": 1e-7}, epochs=2
    ),
    "lenet": small(model={"name": "lenet", "padding": 4}, epochs=2),
    "logistic": small(model="logistic"),
    "mlp": small(model={"name": "mlp", "hidden": [16, 8], "activation": "gelu", "dropout": 0.2}, optimizer="adamw"),
    "resnet20": small(model={"name": "resnet20", "width": 4}, optimizer={"name": "sgd", "lr": 0.01}, epochs=2),
    "vit": small(model={"name": "vit", "dim": 16, "depth": 2, "dropout": 0.1}, optimizer="adamw", epochs=2),
    # data
    "streamed": small(dataset={"name": "golden.parts:streamed", "normalize": True}),
    "regression": small(dataset="golden.parts:regression", loss="mse"),
    "augmented": small(dataset={"name": "digits", "train_size": 64, "augment": ["crop", "flip"], "normalize": True}),
    # the loop
    "accumulate": small(accumulate=3, batch_size=8),
    "plateau": small(optimizer={"name": "sgd", "lr": 2.0}, plateau={"patience": 1, "factor": 0.5}, epochs=8),
    "early_stopping": small(
        optimizer={"name": "sgd", "lr": 2.0}, early_stopping={"patience": 2}, best_by="val_accuracy", epochs=20
    ),
    "warmup": small(warmup={"for": "25%"}, schedule="cosine", clip_grad_norm=0.3, seed=3),
    "one_cycle": small(schedule={"name": "one_cycle", "cycle_momentum": [0.85, 0.95]}, optimizer=MOMENTUM),
    "torch_scheduler": small(
        schedule={"name": "torch.optim.lr_scheduler:StepLR", "step_size": 2}, steps=9, epochs=None
    ),
    "lr_scaling": small(lr_scaling={"base_batch_size": 8}, loss={"name": "cross_entropy", "label_smoothing": 0.1}),
    "mse": small(loss="mse", schedule={"name": "step", "every": 1, "factor": 0.5}),
    "schedule_free_sgd": small(optimizer={"name": "schedule_free_sgd", "lr": 1.0}),
    "schedule_free_adamw": small(
        model={"name": "resnet20", "width": 4}, optimizer={"name": "schedule_free_adamw", "lr": 0.01}, epochs=2
    ),
    "muon": small(optimizer={"name": "muon", "lr": 0.02}),
    "diverging": small(optimizer={"name": "sgd", "lr": 1e30}, epochs=8),
    "interrupted": INTERRUPTED,
}

STEPS = ("step", "lr", "momentum", "loss", "grad_norm")
EPOCHS = ("epoch", "step", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy")
RESULT = (
    "status",
    "reason",
    "epochs",
    "steps",
    "effective_lr",
    "final",
    "best",
    "test",
    "test_best",
    "identity",
    "group",
)


def write(folder: Path, name: str, config: Config) -> Path:
    """A YAML file of that name with the config."""
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"name": name, **config}), encoding="utf-8")
    return path


def train(folder: Path, name: str, config: Config) -> Path:
    """Train it; the run's folder."""
    (outcome,) = lrbench.run([write(folder, name, config)], runs=folder / "runs")
    return Path(outcome.path)


def rows(path: Path) -> list[Row]:
    """A CSV file's rows, by column."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def columns(path: Path, names: tuple[str, ...]) -> dict[str, list[float | None]]:
    """Columns of numbers of a CSV file; one that is not there is as one that is empty."""
    found = rows(path)
    return {name: [float(row[name]) if row.get(name) else None for row in found] for name in names}


def read_json(path: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def curve(run: Path) -> dict[str, Any]:
    """All that a run has measured, timings aside."""
    result = read_json(run / "result.json")
    return {
        "steps": columns(run / "steps.csv", STEPS),
        "epochs": columns(run / "epochs.csv", EPOCHS),
        "result": {key: result[key] for key in RESULT},
    }


def curves(folder: Path) -> dict[str, Any]:
    """The curves of all configs, trained under `folder`."""
    return {name: curve(train(folder, name, config)) for name, config in CURVES.items()}


# -- identities

OVERRIDES: dict[str, tuple[str, ...]] = {
    "accumulate": ("accumulate=4",),
    "seed": ("seed=2",),
    "rate": ("optimizer.lr=0.01",),
    "warmup": ("warmup={for: 5%}",),
    "plateau": ("plateau={metric: val_accuracy, patience: 2, min_lr: 1e-6}",),
    "early_stopping": ("early_stopping={patience: 3, min_delta: 0.01}",),
    "lr_scaling": ("lr_scaling={base_batch_size: 256, rule: linear}",),
    "groups": ("optimizer={name: adamw, lr: 0.001, no_decay: [norm, bias]}",),
    "steps": ("steps=300", "epochs=null"),
    "skip": ("on_non_finite=skip", "max_skipped=5"),
    "best_by": ("best_by=val_accuracy",),
    "clip": ("clip_grad_norm=1",),
    "precision": ("precision=bf16", "compile=true"),
    "mse": ("loss=mse",),
    "imported": (
        "dataset={name: golden.parts:streamed, validation: {fraction: 0.3, how: random, seed: 5}}",
        "model={name: mypkg.nets:build, depth: 3}",
    ),
    "sequence": ("schedule={name: sequence, parts: [{name: constant, for: 10 epochs}, {name: cosine}]}",),
    "peer": ("schedule={name: hf/cosine, num_warmup_steps: 10%}",),
}


def identities() -> dict[str, dict[str, str]]:
    """Identity and group of the configs that come with lrbench, and of one of them with many keys."""
    files = [*CONFIGS.glob("*.yaml"), *CONFIGS.glob("digits/*.yaml"), *CONFIGS.glob("schedules/*.yaml")]
    asked: dict[str, tuple[Path, tuple[str, ...]]] = {
        file.relative_to(CONFIGS).as_posix(): (file, ()) for file in sorted(files)
    }
    baseline = CONFIGS / "digits" / "baseline.yaml"
    asked |= {f"digits/baseline.yaml {name}": (baseline, words) for name, words in OVERRIDES.items()}
    found = {}
    for name, (file, words) in asked.items():
        experiment = lrbench.load_config(file, words)
        found[name] = {"identity": identity(experiment), "group": group(experiment)}
    return found


# -- the command line


def command(folder: Path, *words: object) -> str:
    """Run the command line in `folder`, and give what it writes to standard output; its exit code must be 0."""
    output, errors = io.StringIO(), io.StringIO()
    with _at(folder), contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            main([str(word) for word in words])
            code: Any = 0
        except SystemExit as ended:
            code = ended.code
    assert not code, f"lrbench {' '.join(map(str, words))} ended with {code}: {output.getvalue()}{errors.getvalue()}"
    return output.getvalue()


@contextlib.contextmanager
def _at(folder: Path) -> Iterator[None]:
    changed = {"COLUMNS": "160", "NO_COLOR": "1"}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


# -- sweeps

SWEEPS: dict[str, tuple[str, ...]] = {
    "plain": ("--lr", "1e-2:1:3", "--schedule", "constant,cosine", "--seeds", "2"),
    "prune": ("--lr", "1e-6,0.5", "--seeds", "2", "--prune", "0.5", "--set", "epochs=4"),
    "halve": ("--lr", "1e-3:1:4", "--seeds", "1", "--halve", "--set", "epochs=4"),
}
CELL = ("run", "identity", "group", "series", "lr", "seed")
TIMINGS = ("seconds", "images_per_second", "examples_per_second")


def table(path: Path, without: tuple[str, ...] = TIMINGS) -> dict[str, list[str]]:
    """A CSV file's columns as text, timings left out, which those of kept runs need not be."""
    found = rows(path)
    return {name: [row[name] for row in found] for name in found[0] if not name.startswith(without)}


def sweep(folder: Path, name: str) -> dict[str, Any]:
    """The sweep of that name, done under `folder`: its plan, its summary, and what each cell came to."""
    config = write(folder, "swept", small(epochs=2))
    command(folder, "sweep", config.name, "--name", name, "--jobs", 1, *SWEEPS[name])
    runs = folder / "runs"
    plan = read_json(runs / "sweeps" / name / "plan.json")
    cells = [{key: cell[key] for key in CELL} for cell in plan["cells"]]
    results = {}
    for cell in cells:
        result = read_json(runs / cell["run"] / "result.json")
        results[cell["run"]] = {key: result[key] for key in RESULT if key != "reason"}  # whose words may change
    return {
        "folders": sorted(path.name for path in runs.iterdir() if path.is_dir() and path.name != "sweeps"),
        "cells": cells,
        "results": results,
        "summary": table(runs / "sweeps" / name / "summary.csv"),
    }


# -- the range test

TESTED = small(model={"name": "mlp", "hidden": [16]}, batch_size=32, dataset="digits")
TEST_OPTIONS = ("--iterations", "100", "--start", "1e-4", "--end", "100", "--smoothing", "0.9")
FOUND = ("name", "identity", "ramp", "seeds", "suggestions", "advice", "no_suggestion")


def range_test(folder: Path) -> dict[str, Any]:
    """A range test under `folder`: what it found, and its curves."""
    command(folder, "find-lr", write(folder, "tested", TESTED).name, "--seeds", 2, *TEST_OPTIONS)
    (test,) = (folder / "runs" / "find-lr").iterdir()
    found = read_json(test / "finder.json")
    names = ("seed", "iteration", "lr", "loss", "smoothed")
    return {
        "folder": test.name,
        "found": {key: found[key] for key in FOUND},
        "curves": columns(test / "finder.csv", names),
    }


# -- kept runs, which were made by the code that wrote the golden files first

FEW: Config = {
    "dataset": {"name": "digits", "train_size": 32},
    "model": {"name": "mlp", "hidden": [8], "activation": "tanh"},
    "epochs": 6,
    "batch_size": 8,
}

KEPT_CONFIGS: dict[str, Config] = {
    "steady": small(**FEW, optimizer={"name": "sgd", "lr": 0.5}),
    "decayed": small(**FEW, optimizer={"name": "adam", "lr": 0.03}, schedule="cosine"),
    "squared": small(**FEW, optimizer={"name": "adam", "lr": 0.03}, loss="mse"),
    "diverged": small(**{**FEW, "model": {"name": "mlp", "hidden": [8]}}, optimizer={"name": "sgd", "lr": 1e30}),
    "stopped": small(**{**FEW, "epochs": 20}, optimizer={"name": "sgd", "lr": 20.0}, early_stopping={"patience": 2}),
    "failed": small(**{**FEW, "epochs": 20}, optimizer={"name": "sgd", "lr": 0.5}, loss="golden.parts:failing"),
    "interrupted": INTERRUPTED,
    "tested": TESTED,
    "swept": small(**FEW, optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.9}),
    "hopeless": small(**{**FEW, "epochs": 8}, optimizer={"name": "sgd", "lr": 0.1}, schedule="linear"),
}
SEEDS = {"steady": 3, "decayed": 3, "squared": 2}
TOPPED_UP = ("sweep", "swept.yaml", "--name", "rates", "--jobs", 1, "--lr", "0.03:1:3", "--seeds", "2")
PRUNED = ("sweep", "hopeless.yaml", "--name", "pruned", "--jobs", 1, "--lr", "1e-6,1e-3", "--prune", "0.25")


REPORTS: dict[str, tuple[str, ...]] = {
    "all": (),
    "compared": ("--filter", "loss=cross_entropy", "--target", "val_accuracy=0.15"),
    "baseline": ("--filter", "loss=cross_entropy", "--metric", "best_val_accuracy", "--baseline", "steady"),
}


def report(folder: Path, name: str) -> dict[str, Any]:
    """A report on the runs in `folder/runs`: its tables, and what is printed as JSON."""
    command(folder, "report", "--out", "written", *REPORTS[name])
    written = folder / "written"
    return {
        "report.csv": table(written / "report.csv", without=()),
        "runs.csv": table(written / "runs.csv", without=()),
        "report.md": (written / "report.md").read_text(encoding="utf-8").splitlines(),
        "json": json.loads(command(folder, "report", "--format", "json", *REPORTS[name])),
    }


# -- schedules


def rates() -> dict[str, list[float]]:
    """The rates of the schedules that come with lrbench, over 25 epochs of 6 updates."""
    found = {}
    for file in sorted(CONFIGS.glob("schedules/*.yaml")):
        schedule = lrbench.build_schedule(
            own(lrbench.load_config(file), "").schedule, lr=0.1, total_steps=150, steps_per_epoch=6
        )
        found[file.stem] = [schedule(step) for step in range(150)]
    return found
