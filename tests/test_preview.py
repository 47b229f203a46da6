"""What `lrbench preview` says of a run is what the run does."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from cases import OWN, schedule

import lrbench
from lrbench.cli.tables import sparkline
from lrbench.components.data.batches import epoch_order
from lrbench.components.optimizers import DEFAULT_LR, OPTIMIZERS, SETS_ITS_OWN_RATE
from lrbench.components.optimizers.parameters import PARAMETERS
from lrbench.config import Experiment
from lrbench.errors import ConfigError
from lrbench.reports import Preview, preview, save_previews
from lrbench.schedules import SCHEDULES


def one(experiment: Experiment, **more: Any) -> Preview:
    return preview([experiment], **more)[0]


TORCHS: dict[str, dict[str, Any]] = {
    "torch/CosineAnnealingWarmRestarts": {"T_0": 2},
    "torch/CyclicLR": {"base_lr": 0.01, "step_size_up": 3},
    "torch/OneCycleLR": {},
    "torch/StepLR": {"step_size": 1},
}


@pytest.mark.parametrize("name", [*sorted(SCHEDULES.entries), *TORCHS])
def test_a_run_s_rates_are_the_preview_s(name: str, tiny: Callable[..., Experiment], tmp_path: Path) -> None:
    """And momentum, Adam's beta1 here, is not touched."""
    part = {"name": name, **TORCHS[name]} if name in TORCHS else schedule(name, 0.1)
    optimizer = {"name": "adam", "lr": 0.1}
    experiment = tiny(optimizer=optimizer, schedule=part, warmup={"for": "3 steps"}, epochs=4, batch_size=16)
    (outcome,) = lrbench.run([experiment], runs=tmp_path)
    logged = pd.read_csv(outcome.path / "steps.csv")
    assert logged["lr"].tolist() == one(experiment).rates
    assert set(logged["momentum"]) == {0.9}


def test_cycled_momentum_too(tiny: Callable[..., Experiment], tmp_path: Path) -> None:
    experiment = tiny(schedule={"name": "one_cycle", "cycle_momentum": [0.8, 0.9]}, epochs=4)
    (outcome,) = lrbench.run([experiment], runs=tmp_path)
    assert pd.read_csv(outcome.path / "steps.csv")["momentum"].tolist() == one(experiment).momenta


@pytest.mark.parametrize("rules", [{}, {"validation": {"fraction": 0.1, "how": "tail"}}, {"train_size": 100}])
def test_sizes_are_those_of_the_loaded_data(
    rules: dict[str, Any], tiny: Callable[..., Experiment], tmp_path: Path
) -> None:
    experiment = tiny(dataset={"name": "digits", **rules}, epochs=1, batch_size=50)
    (outcome,) = lrbench.run([experiment], runs=tmp_path)
    assert outcome.result is not None
    assert outcome.result.steps == len(one(experiment).rates)
    assert len(epoch_order(1078, 0, 0)) == 1078  # digits: 60 % of 1,797


def test_mnist_has_192_updates_an_epoch_of_250(tiny: Callable[..., Experiment]) -> None:
    assert one(tiny(dataset="mnist", model="cnn", batch_size=250)).steps_per_epoch == 192


def test_default_rates_are_torch_s() -> None:
    assert set(DEFAULT_LR) == set(OPTIMIZERS.entries)
    for name, rate in DEFAULT_LR.items():
        factory = OPTIMIZERS.entries[name].described  # type: ignore[attr-defined]
        assert inspect.signature(factory).parameters["lr"].default == rate, name


def test_first_peak_last_mean_seam_and_restarts(tiny: Callable[..., Experiment]) -> None:
    made = one(
        tiny(
            schedule={"name": "cosine_restarts", "cycle": "10 steps"},
            warmup={"for": "4 steps", "over": False},
            optimizer={"name": "sgd", "lr": 1.0},
            steps=24,
            epochs=None,
        )
    )
    assert made.rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert (made.peak, made.seam, made.restarts) == (1.0, 4, [14])
    assert made.mean == pytest.approx((0.25 + 0.5 + 0.75 + 1.0 + 2 * 5.5) / 24)


@pytest.mark.parametrize(
    ("schedule", "restarts"),
    [
        ({"name": "sgdr", "cycle": "20 steps", "cycle_factor": 2, "peak_factor": 0.5}, [20, 60, 140]),
        ({"name": "hf/cosine_with_restarts", "num_cycles": 4}, [50, 100, 150]),
        ({"name": "timm/cosine", "warmup_t": 3}, []),
        ({"name": "piecewise", "points": [[0, 0.1], ["50%", 1.0]], "how": "step"}, []),
        ({"name": "exponential", "gamma": 1.5}, []),
    ],
)
def test_restarts(schedule: Any, restarts: list[int], tiny: Callable[..., Experiment]) -> None:
    assert one(tiny(schedule=schedule, steps=200, epochs=None)).restarts == restarts


@pytest.mark.parametrize("schedule", ["triangular", "one_cycle", "sin", {"name": "step", "every": 1}, "cosine"])
def test_rises_and_drops_are_no_restarts(schedule: Any, tiny: Callable[..., Experiment]) -> None:
    assert one(tiny(schedule=schedule, steps=200, epochs=None)).restarts == []


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"schedule": {"name": "exponential", "gamma": 0.2}}, "under 1% of its peak after 30%"),
        ({"model": "vit"}, "Transformer without warm-up"),
        ({"dataset": "mnist", "batch_size": 512, "accumulate": 2}, "batch of 1024 without warm-up"),
        ({"optimizer": {"name": "prodigy", "lr": 0.001}}, "leave lr at 1 (it is 0.001)"),
        ({"optimizer": {"name": "prodigy"}, "schedule": "cosine"}, "a constant lr of 1, or cosine without"),
        ({"optimizer": {"name": "schedule_free_sgd"}, "schedule": "cosine"}, "averages weights instead of a decay"),
        ({"schedule": {"name": "torch/CyclicLR", "base_lr": 0.001}}, "stays far below its peak, 0.1: the highest"),
        ({"schedule": {"name": "timm/cosine", "t_initial": 90, "cycle_limit": 2}}, "90.0 epochs lies beyond"),
        ({"warmup": "10%", "schedule": "one_cycle"}, "far below its peak: the schedule rises by itself"),
        ({"schedule": {"name": "step", "every": 60}}, "60 epochs lies beyond"),
        ({"schedule": {"name": "multistep", "milestones": [2, 50]}}, "50 epochs lies beyond"),
        ({"schedule": {"name": "piecewise", "points": [[0, 1.0], [90, 0.1]]}}, "90 epochs lies beyond"),
        ({"schedule": {"name": "sequence", "parts": [{"name": "cosine", "for": 99}]}}, "99 epochs lies beyond"),
        ({"schedule": {"name": "linear", "decrement": 0.015}}, "the learning rate is 0 from step"),
        ({"optimizer": "adadelta", "schedule": "cosine"}, "sets its own step size"),
        ({"optimizer": "adadelta", "warmup": {"for": 1}}, "sets its own step size"),
    ],
)
def test_warnings(changes: dict[str, Any], fragment: str, tiny: Callable[..., Experiment]) -> None:
    found = one(tiny(**{"epochs": 10, **changes})).warnings()
    assert len(found) == 1, found
    assert fragment in found[0]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"schedule": "cosine"},
        {"schedule": "one_cycle", "model": "vit"},
        {"model": "vit", "warmup": {"for": "5%"}},
        {"batch_size": 2048, "schedule": "triangular"},
        {"schedule": {"name": "step", "every": 5}},
        {"optimizer": "adadelta"},
        {"schedule": "warmup_stable_decay"},
    ],
)
def test_nothing_is_said_where_nothing_is_wrong(changes: dict[str, Any], tiny: Callable[..., Experiment]) -> None:
    assert one(tiny(**{"epochs": 20, "dataset": "digits", **changes})).warnings() == []


def own_data() -> Any:
    return (torch.zeros(100, 2), torch.arange(100) % 2), (torch.zeros(4, 2), torch.arange(4) % 2)


def test_own_data_is_loaded_for_its_size_unless_steps_per_epoch_are_given(tiny: Callable[..., Experiment]) -> None:
    made = one(tiny(dataset=f"{__name__}:own_data"))
    assert (made.examples, made.steps_per_epoch, len(made.rates)) == (80, 3, 6)  # 32, 32 and 16 of 80
    assert len(one(tiny(dataset=f"{__name__}:own_data", drop_last=True)).rates) == 4
    absent = tiny(dataset="mypackage.data:load")
    assert len(one(absent, steps_per_epoch=7).rates) == 14
    with pytest.raises(ConfigError, match=r"cannot import 'mypackage\.data'"):
        one(absent)


def test_the_code_runs_and_gives_the_same_rates(tiny: Callable[..., Experiment]) -> None:
    made = one(tiny(schedule="cosine", warmup={"for": "2 steps"}, optimizer={"name": "adam", "lr": 0.01, "eps": 1e-7}))
    setting, _, _ = made.code().partition("for epoch in range(")
    names: dict[str, Any] = {"model": torch.nn.Linear(2, 2)}
    exec(setting, names)
    found = []
    for _ in made.rates:
        found.append(names["optimizer"].param_groups[0]["lr"])
        names["optimizer"].step()
        names["scheduler"].step()
    assert found == pytest.approx(made.rates, rel=1e-9)
    assert names["optimizer"].param_groups[0]["eps"] == 1e-7


@pytest.mark.parametrize("name", sorted(SETS_ITS_OWN_RATE))
def test_an_optimizer_that_sets_its_own_rate_wants_a_constant_one(tiny: Callable[..., Experiment], name: str) -> None:
    for changes in ({"schedule": {"name": "linear", "final_factor": 0.2}}, {"warmup": {"for": "10%"}}):
        (warning,) = one(tiny(optimizer=name, epochs=20, **changes)).warnings()
        assert name in warning and "constant" in warning
    assert one(tiny(optimizer=name, epochs=20)).warnings() == []


def test_the_figure_of_many(tiny: Callable[..., Experiment], tmp_path: Path) -> None:
    many = [tiny(name=n, epochs=8, schedule=schedule(n, 0.1)) for n in OWN]
    save_previews(preview(many), tmp_path / "new" / "many.png")
    assert (tmp_path / "new" / "many.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(lrbench.LrbenchError, match="cannot write"):
        save_previews(preview(many[:1]), tmp_path / "many.doc")


def test_sparkline() -> None:
    assert sparkline([0.0, 1.0], 2) == "▁█"
    assert sparkline([0.0] * 8, 4) == "▁▁▁▁"
    assert len(sparkline([1.0] * 5, 16)) == 5
    assert sparkline(list(range(160)), 16) == "▁▁▂▂▃▃▄▄▅▅▆▆▇▇██"


def test_the_command_trains_nothing_and_imports_no_torch(write_config: Callable[..., Path], tmp_path: Path) -> None:
    script = (
        "import sys\nfrom lrbench.cli.app import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    words = ["preview", str(write_config(schedule="cosine")), "--code"]
    done = subprocess.run([sys.executable, "-c", script, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "torch.optim.lr_scheduler.LambdaLR(" in done.stdout
    compile(done.stdout, "loop.py", "exec")  # what else the command says goes elsewhere
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["preview.png"]


def test_parameters_are_those_of_the_optimizers() -> None:
    for name, entry in OPTIMIZERS.entries.items():
        known = inspect.signature(entry).parameters.keys() - OPTIMIZERS.context - {"lr"}
        assert set(PARAMETERS[name].split()) == known, name


def test_preview_refuses_what_run_refuses(write_config: Callable[..., Path], cli: Callable[..., Any]) -> None:
    path = write_config(optimizer={"name": "adamw", "learning_rate": 0.1, "wd": 0.1})
    for words in (("preview", path), ("preview", path, "--code"), ("run", path), ("sweep", path)):
        code, _, err = cli(*words)
        assert code == 2
        assert "tiny.yaml:" in err and "'adamw' has no parameter 'learning_rate'" in err


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"name": "adamw", "eps": -1}, "optimizer.eps: must be at least 0 (got -1)"),
        ({"name": "sgd", "weight_decay": "text"}, "optimizer.weight_decay: must be a number (got 'text')"),
        ({"name": "sgd", "nesterov": 1}, "optimizer.nesterov: must be true or false (got 1)"),
        ({"name": "adam", "betas": [0.9, 1]}, "optimizer.betas: item 1 must be less than 1 (got 1)"),
        (
            {"name": "torch.optim:SGD", "momentum": "text"},
            "optimizer.momentum: must be a number, true, false or a list",
        ),
    ],
)
def test_preview_refuses_values_that_run_refuses(
    write_config: Callable[..., Path], cli: Callable[..., Any], values: dict[str, Any], problem: str
) -> None:
    path = write_config(optimizer={"lr": 0.1, **values})
    for words in (("preview", path), ("run", path)):
        code, _, err = cli(*words)
        assert code == 2 and problem in " ".join(err.split()) and "tiny.yaml:" in err


def test_only_the_code_goes_to_standard_output(
    write_config: Callable[..., Path], cli: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "chatty.py").write_text("print('hello')\ndef rate(step):\n    print('asked')\n    return 0.1\n")
    code, out, err = cli("preview", write_config(schedule="chatty:rate"), "--code")
    assert code == 0 and "hello" in err
    assert "hello" not in out and "asked" not in out and "torch_scheduler" in out


def test_whole_numbers_may_be_written_as_floats(tiny: Callable[..., Experiment]) -> None:
    assert tiny(epochs=3.0) == tiny(epochs=3)
    assert tiny(epochs=None, steps=1e2).steps == 100
    with pytest.raises(ConfigError, match="epochs: must be a"):
        tiny(epochs=2.5)
