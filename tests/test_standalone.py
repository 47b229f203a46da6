"""Complete scripts in plain PyTorch repeat a run's losses, without lrbench."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cases import OWN, PEERS, schedule
from test_data import fake_mnist

import lrbench
from lrbench.analysis import read_one
from lrbench.config import Experiment
from lrbench.errors import ConfigError
from lrbench.reports.code.standalone import standalone
from lrbench.reports.code.standalone.closures import Functions
from lrbench.reports.code.standalone.data import SETS, Set
from lrbench.runs import Environment, RunFolder, Sizes
from lrbench.schedules import WarmUpRule, build_schedule, momentum_of, unlimited
from lrbench.types import Part

SIZES: dict[str, Any] = {"total_steps": 90, "steps_per_epoch": 9}
WARMUPS: list[dict[str, Any] | None] = [
    None,
    {"for": "7 steps"},
    {"for": "10%", "from_factor": 0.2, "shape": "cosine"},
    {"for": "1 epochs", "from_factor": 0.01, "shape": "exponential"},
]
MORE: list[dict[str, Any]] = [
    {"name": "linear", "decrement": 0.008},
    {"name": "step", "every": "15 steps", "factor": 0.3, "offset": "1 epoch"},
    {"name": "exponential", "gamma": 0.97, "per": "step"},
    {"name": "one_cycle", "three_phase": True, "shape": "linear", "cycle_momentum": [0.8, 0.9]},
    {"name": "triangular2", "cycle_momentum": [0.7, 0.95], "step_size_up": 5, "step_size_down": 9},
    {"name": "warmup_stable_decay", "warmup": 0, "shape": "sqrt", "final_factor": 0.05},
    {"name": "cosine_restarts", "cycle": "6 steps", "cycle_factor": 2, "peak_factor": 0.5},
    {"name": "piecewise", "points": [["10%", 0.1], ["50%", 1.0], ["90%", 0.3]], "how": "cosine"},
    {"name": "range_test", "shape": "linear"},
    {"name": "timm/cosine", "t_initial": 3, "cycle_limit": 4, "cycle_mul": 1.5, "warmup_t": 2, "k_decay": 1.2},
    {"name": "timm/wsd", "decay_fn": "exp", "stable_fn": "rsqrt", "warmup_t": 1},
    {"name": "hf/warmup_stable_decay", "num_decay_steps": 20, "num_warmup_steps": 9, "warmup_type": "1-sqrt"},
    {"name": "keras/CosineDecayRestarts", "first_decay_steps": 7, "m_mul": 0.9},
    {"name": "torch/StepLR", "step_size": 3},
    {"name": "torch/OneCycleLR", "cycle_momentum": True},
    {
        "name": "sequence",
        "parts": [
            {"name": "one_cycle", "for": "30%", "cycle_momentum": [0.8, 0.9]},
            {"name": "step", "every": 2, "for": "3 epochs"},
        ],
    },
]


def written(part: dict[str, Any], warmup: dict[str, Any] | None) -> tuple[str, Any]:
    """The functions of a schedule, and the schedule."""
    rule = None if warmup is None else WarmUpRule.of(warmup)
    schedule = unlimited(Part.of(part), lr=0.1, warmup=rule, **SIZES)
    functions = Functions({"step", "model"})
    functions.add(schedule, "learning_rate", doc="A schedule.")
    if (momentum := momentum_of(schedule)) is not None:
        functions.add(momentum, "momentum")
    text = "\n\n\n".join("\n".join(block) for block in functions.blocks)
    imports = "import bisect\nimport math\nfrom bisect import bisect_left, bisect_right\n\nimport torch\n\n\n"
    return imports + text + "\n", build_schedule(part, lr=0.1, warmup=rule, **SIZES)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("warmup", WARMUPS, ids=["none", "linear", "cosine", "exponential"])
@pytest.mark.parametrize("part", [*(schedule(name, 0.1) for name in (*OWN, *PEERS)), *MORE], ids=str)
def test_every_schedule_written_out_has_the_very_same_learning_rates(
    part: dict[str, Any], warmup: dict[str, Any] | None
) -> None:
    if warmup is not None and build_schedule(part, lr=0.1, **SIZES)(0) == 0:
        pytest.skip("begins at 0, so that it can have no warm-up before it")
    text, expected = written(part, warmup)
    names: dict[str, Any] = {}
    exec(compile(text, "written", "exec"), names)
    assert [names["learning_rate"](t) for t in range(90)] == [expected(t) for t in range(90)]
    momentum = momentum_of(expected)
    assert (momentum is not None) == ("momentum" in names)
    if momentum is not None:
        assert [names["momentum"](t) for t in range(90)] == [momentum(t) for t in range(90)]
    assert "lrbench" not in text
    assert "raise" not in text


def test_a_cosine_is_short() -> None:
    text, _ = written({"name": "cosine", "final_factor": 0.01}, None)
    assert text.partition("\n\n\n")[2] == (
        "def learning_rate(step, end=0.001, lr=0.1, total_steps=90):\n"
        '    """A schedule."""\n'
        "    return end + (lr - end) * (1 + math.cos(math.pi * step / total_steps)) / 2\n"
    )


BASE: dict[str, Any] = {
    "dataset": "digits",
    "model": "mlp",
    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
    "epochs": 2,
    "batch_size": 128,
    "device": "cpu",
}
RUNS: list[dict[str, Any]] = [
    {"schedule": "cosine", "warmup": {"for": "10%"}, "seed": 3},
    {
        "accumulate": 3,
        "clip_grad_norm": 0.5,
        "steps": 12,
        "epochs": None,
        "batch_size": 64,
        "drop_last": True,
        "plateau": {"patience": 0, "cooldown": 1, "min_lr": 0.001},
        "optimizer": {"name": "adamw", "decay_biases_and_norms": False, "weight_decay": 0.1, "lr": 0.01},
        "loss": {"name": "cross_entropy", "label_smoothing": 0.1},
    },
    {
        "model": {"name": "mlp", "dropout": 0.3, "hidden": [20], "activation": "gelu"},
        "early_stopping": {"patience": 1, "min_delta": 0.5, "metric": "val_accuracy"},
        "lr_scaling": {"base_batch_size": 32},
        "schedule": {"name": "one_cycle", "cycle_momentum": [0.8, 0.95]},
        "epochs": 4,
    },
    {
        "model": "logistic",
        "loss": "mse",
        "optimizer": {"name": "adam", "betas": [0.8, 0.99]},
        "schedule": {"name": "triangular", "step_size_up": 3, "cycle_momentum": [0.7, 0.9]},
        "dataset": {
            "name": "digits",
            "normalize": True,
            "augment": ["crop", "flip"],
            "train_size": 200,
            "validation": {"how": "random", "seed": 3, "fraction": 0.3},
        },
    },
    {"schedule": {"name": "torch/ExponentialLR", "gamma": 0.5}, "optimizer": "rmsprop"},
    {"schedule": schedule("sequence", 0.1), "optimizer": "adagrad"},
    {"optimizer": {"name": "sgd", "lr": 0.1}, "plateau": {"patience": 0, "start": 1, "threshold": 0.5}, "epochs": 4},
]
NETS: list[dict[str, Any]] = [
    {"model": name, "epochs": 1, "dataset": {"name": "digits", "train_size": 256}, "optimizer": {"name": "adam"}}
    for name in ("lenet", "resnet20", {"name": "vit", "depth": 1, "dropout": 0.25})
]


def trained(experiment: Experiment, runs: Path) -> tuple[str, list[float]]:
    """The script of a run, and the run's losses."""
    (outcome,) = lrbench.run([experiment], runs=runs)
    record = read_one(RunFolder(outcome.path))
    assert outcome.result is not None and outcome.result.test is not None
    with (outcome.path / "epochs.csv").open() as file:
        losses = [float(row[key]) for row in csv.DictReader(file) for key in ("train_loss", "val_loss")]
    test = outcome.result.test["loss"]
    assert test is not None
    return standalone(record.plain, record.environment), [*losses, test]


RUN_ALL = """
import runpy, sys
for script in sys.argv[1:]:
    print("script", script)
    runpy.run_path(script)
assert not any(name.partition(".")[0] == "lrbench" for name in sys.modules)
"""


def printed(scripts: list[Path]) -> list[list[float]]:
    """What scripts print, run in one process that can't import lrbench."""
    command = [sys.executable, "-I", "-c", RUN_ALL, *map(str, scripts)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=scripts[0].parent)
    assert done.returncode == 0, done.stderr
    parts = re.split(r"^script .*$", done.stdout, flags=re.M)[1:]
    return [[float(text) for text in re.findall(r"_loss=([^,\s]+)", part)] for part in parts]


def check_as_ruff_would_have_them(folder: Path) -> None:
    ruff = [sys.executable, "-m", "ruff"]
    common = ["--isolated", "--line-length", "100"]
    for check in (["format", *common, "--diff"], ["check", *common, "--select", "E,F,I,W,B006"]):
        done = subprocess.run([*ruff, *check, "."], capture_output=True, text=True, cwd=folder)
        assert done.returncode == 0, done.stdout[:3000] + done.stderr[:1000]


def check_repeats(cases: list[dict[str, Any]], tiny: Callable[..., Experiment], folder: Path) -> None:
    scripts, expected = [], []
    for index, changes in enumerate(cases):
        text, losses = trained(tiny(**{**BASE, **changes}), folder / "runs")
        scripts.append(folder / f"train_{index}.py")
        scripts[-1].write_text(text)
        expected.append(losses)
    assert printed(scripts) == expected


def test_a_script_prints_the_very_losses_of_its_run(tiny: Callable[..., Experiment], tmp_path: Path) -> None:
    check_repeats([*RUNS, *NETS], tiny, tmp_path)


def test_a_cnn_s_losses_are_rounded_otherwise(tiny: Callable[..., Experiment], tmp_path: Path) -> None:
    texts = []
    for index, dropout in enumerate((0.25, 0.3125, 0.3, 0.0)):
        changes = {"model": {"name": "cnn", "dropout": dropout, "width": 8}, "optimizer": "adam", "batch_size": 512}
        texts.append((tmp_path / f"{index}.py", *trained(tiny(**{**BASE, **changes}), tmp_path / "runs")))
    for script, text, _ in texts:
        script.write_text(text)
        assert "rounded otherwise" in text
    for found, (_, _, expected) in zip(printed([script for script, _, _ in texts]), texts, strict=True):
        assert found == pytest.approx(expected, rel=1e-5)


def test_a_torchvision_set_s_script(
    tiny: Callable[..., Experiment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Set("MNIST", (1, 28, 28), 50)
    monkeypatch.setitem(SETS, "mnist", data)
    monkeypatch.setenv("LRBENCH_DATA", str(tmp_path / "data"))
    fake_mnist(tmp_path / "data")
    rules = {"normalize": True, "validation": {"how": "stratified", "seed": 1}, "augment": ["crop"]}
    cases: list[dict[str, Any]] = [{"batch_size": 16, "dataset": "mnist", "epochs": 3}]
    cases += [{"batch_size": 16, "dataset": {"name": "mnist", **rules}, "model": "lenet"}]
    check_repeats(cases, tiny, tmp_path)


@pytest.mark.slow
def test_scripts_of_all_schedules_repeat_their_runs(tiny: Callable[..., Experiment], tmp_path: Path) -> None:
    parts = [schedule(name, 0.1) for name in (*OWN, *PEERS)] + MORE
    model = {"name": "mlp", "hidden": [8]}
    check_repeats([{"schedule": part, "model": model, "epochs": 10} for part in parts], tiny, tmp_path)


def test_a_language_model_s_script(tiny: Callable[..., Experiment], tmp_path: Path) -> None:
    source = tmp_path / "text.txt"
    source.write_text("Was mich nicht umbringt, macht mich stärker.\n" * 40)
    model = {"name": "gpt", "layers": 1, "width": 16, "heads": 2, "dropout": 0.1}
    cases: list[dict[str, Any]] = []
    for tokens in ("bytes", "characters"):
        dataset = {"name": "text", "path": str(source), "tokens": tokens, "context": 8}
        cases.append({"dataset": dataset, "model": model, "task": "language_model", "optimizer": "adamw"})
    check_repeats(cases, tiny, tmp_path)


def sized(experiment: Experiment) -> str:
    return standalone(experiment.plain(), Environment(sizes=Sizes(steps_per_epoch=11)))


def test_scripts_are_as_ruff_would_have_them(tiny: Callable[..., Experiment], tmp_path: Path) -> None:
    cases = [*RUNS, *NETS, *({"schedule": schedule(name, 0.1)} for name in (*OWN, *PEERS))]
    cases += [{"schedule": part, "warmup": warmup, "epochs": 10} for part in MORE[:9] for warmup in WARMUPS]
    cases += [{"model": {"name": "cnn", "dropout": p}} for p in (0.25, 0.3125, 0.3, 0.0)]
    cases += [
        {"dataset": name, "model": model}
        for name in ("mnist", "cifar100")
        for model in ("cnn", "lenet", "vit", "resnet20", {"name": "mlp", "hidden": [1000] * 9})
    ]
    normal = {"mean": [0.1, 0.2, 0.3], "std": [0.2, 0.3, 0.4]}
    cases += [{"dataset": {"name": "cifar10", "normalize": normal, "augment": ["flip"]}, "model": "resnet20"}]
    cases += [{"dataset": {"name": "kmnist", "normalize": True, "validation": {"how": "stratified"}}}]
    for tokens in ("bytes", "characters"):
        dataset = {"name": "text", "path": "some.txt", "tokens": tokens, "context": 8}
        cases.append({"dataset": dataset, "model": "gpt", "task": "language_model"})
    for index, changes in enumerate(cases):
        (tmp_path / f"train_{index}.py").write_text(sized(tiny(**{**BASE, **changes})))
    check_as_ruff_would_have_them(tmp_path)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"precision": "bf16"}, "precision"),
        ({"compile": True}, "compile"),
        ({"model": "mine:net"}, "model"),
        ({"model": {"name": "mlp", "parametrization": "mup", "base_width": 8}}, "model.parametrization"),
        ({"dataset": "mine:data"}, "dataset"),
        ({"dataset": {"name": "digits", "sampler": "balanced"}}, "dataset.sampler"),
        ({"dataset": "text", "model": "gpt", "task": "language_model"}, "dataset.path"),
        ({"optimizer": "muon"}, "optimizer"),
        ({"optimizer": {"name": "sgd", "layer_decay": 0.5}}, "optimizer.layer_decay"),
        ({"loss": {"name": "cross_entropy", "weight": "balanced"}}, "loss.weight"),
        ({"eval_every": "3 steps"}, "eval_every"),
        ({"on_non_finite": "skip"}, "on_non_finite"),
        ({"plateau": {"growth": {"factor": 1.1}}}, "plateau.growth"),
        ({"plateau": {"metric": "val_f1"}, "metrics": ["f1"]}, "plateau.metric"),
        ({"schedule": "mine:rate"}, "schedule"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_script_can_t_have_is_named(changes: dict[str, Any], key: str, tiny: Callable[..., Experiment]) -> None:
    with pytest.raises(ConfigError, match="complete script can't have; leave out standalone") as caught:
        sized(tiny(**{**BASE, **changes}))
    assert caught.value.key == key


CONFIG = "name: mine\ndataset: digits\nmodel: mlp\noptimizer: {name: sgd, lr: 0.1}\nschedule: cosine\nepochs: 2\n"


def test_the_option_of_preview(cli: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(CONFIG)
    code, text, _ = cli("preview", "a.yaml", "--code", "--standalone")
    assert code == 0
    assert text.startswith('"""mlp on digits')
    assert printed([write(tmp_path / "train.py", text)])[0][-1] > 0
    code, _, told = cli("preview", "a.yaml", "--standalone")
    assert code == 2 and "--code" in told
    code, text, told = cli("preview", "a.yaml", "--code", "--standalone", "--set", "precision=bf16", "--out", "b.png")
    assert (code, text) == (2, "")
    assert "precision: is bf16" in told
    assert not (tmp_path / "b.png").exists()


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_option_of_report(cli: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(CONFIG)
    assert cli("run", "a.yaml")[0] == 0
    code, told, _ = cli("report", "--standalone")
    assert code == 0 and "your own loop" not in told
    report = tmp_path / "runs" / "report"
    assert (report / "winner.py").read_text().startswith('"""mlp on digits')
    assert "train_loader" in (report / "report.md").read_text()  # the page keeps the short form
    assert cli("run", "a.yaml", "--set", "on_non_finite=skip", "--set", "name=other", "--runs", "skips")[0] == 0
    code, told, _ = cli("report", "skips", "--standalone")
    assert code == 0
    assert "winner.py is for your own loop: on_non_finite: is set" in told
    assert "train_loader" in (tmp_path / "skips" / "report" / "winner.py").read_text()
