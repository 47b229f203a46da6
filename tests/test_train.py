from __future__ import annotations

import csv
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrbench.components.data.batches import epoch_order
from lrbench.components.metrics import ACCURACY
from lrbench.config import Experiment, identity, run_name
from lrbench.errors import ConfigError, Interrupted
from lrbench.events import Event, Watch, silent
from lrbench.runs import RunFolder, RunResult, Status
from lrbench.training import run
from lrbench.training.build import assemble, load_data
from lrbench.training.check import check
from lrbench.training.run_one import WorkItem, do_run

CPU = torch.device("cpu")
MLP = {"dataset": "digits", "model": {"name": "mlp", "hidden": [16]}, "batch_size": 32}  # 34 updates an epoch
SMALL_CNN = {
    "dataset": {"name": "digits", "train_size": 104},  # 7 updates an epoch, the last with 8 examples
    "model": {"name": "cnn", "padding": 1},
    "batch_size": 16,
}


def never() -> bool:
    return False


def after(updates: int) -> Callable[[], bool]:
    """A stop function that says so after so many updates."""
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return calls >= updates

    return stop


def go(
    root: Path, experiment: Experiment, stop: Callable[[], bool] = never, watch: Watch = silent
) -> tuple[RunFolder, RunResult]:
    folder = RunFolder(root / run_name(experiment))
    if not folder.has_config:
        folder.create(experiment, {})
    return folder, do_run(WorkItem(folder.path, experiment), threads=None, watch=watch, stop=stop)


def go_on(root: Path, experiment: Experiment, stops: Callable[[], int]) -> tuple[RunFolder, RunResult, int]:
    """Interrupt after as many updates as `stops` says, go on, and so forth to the end."""
    for interruptions in range(10_000):
        try:
            return *go(root, experiment, after(stops())), interruptions
        except Interrupted:
            assert RunFolder(root / run_name(experiment)).status() is Status.INTERRUPTED
    raise AssertionError("it never ended")


def table(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        return [{k: float(v) if v else math.nan for k, v in row.items()} for row in csv.DictReader(file)]


def column(folder: RunFolder, name: str, file: str = "steps") -> list[float]:
    return [row[name] for row in table(folder.path / f"{file}.csv")]


def timeless(folder: RunFolder) -> tuple[bytes, list[list[str]], dict[str, Any]]:
    """All that a run wrote, timings aside."""
    rows = [line.split(",")[:-2] for line in (folder.path / "epochs.csv").read_text().splitlines()]
    result = folder.result()
    assert result is not None
    return (folder.path / "steps.csv").read_bytes(), rows, {k: v for k, v in result.plain().items() if k != "seconds"}


def assert_same_run(one: RunFolder, other: RunFolder) -> None:
    for a, b in zip(timeless(one), timeless(other), strict=True):
        assert a == b
    weights, others = one.load_best(), other.load_best()
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[k], others[k]) for k in weights)


# -- the same again


@pytest.mark.parametrize("changes", [MLP, SMALL_CNN], ids=["mlp", "cnn"])
def test_two_runs_are_bit_identical_and_another_seed_is_not(tmp_path: Path, tiny: Any, changes: Any) -> None:
    one, _ = go(tmp_path / "a", tiny(**changes))
    torch.rand(5)
    random.random()
    other, _ = go(tmp_path / "b", tiny(**changes))
    assert_same_run(one, other)
    third, _ = go(tmp_path / "a", tiny(**changes, seed=1))
    assert column(third, "loss")[0] != column(one, "loss")[0]


# -- against a plain loop


class TextbookCnn(nn.Module):
    """Conv, ReLU, pool twice, in the textbook's order; Glorot weights drawn layer by layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)
        self.c, self.d = nn.Linear(256, 256), nn.Linear(256, 10)
        for layer in (self.a, self.b, self.c, self.d):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.a(x)), 2)
        x = F.max_pool2d(F.relu(self.b(x)), 2)
        return self.d(F.relu(self.c(x.flatten(1))))


def plain_mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def plain_loop(
    make_model: Callable[[], nn.Module],
    make_optimizer: Callable[[Any], torch.optim.Optimizer],
    rate: Callable[[int], float],
    data: tuple[Tensor, Tensor],
    *,
    epochs: int,
    batch: int,
    seed: int,
    clip: float = math.inf,
) -> tuple[list[float], list[float], nn.Module]:
    """What anyone would write: losses and gradient norms of every update, and the trained model."""
    torch.manual_seed(seed)
    model = make_model()
    optimizer = make_optimizer(model.parameters())
    losses, norms = [], []
    for epoch in range(epochs):
        for chosen in epoch_order(len(data[0]), seed, epoch).split(batch):
            optimizer.param_groups[0]["lr"] = rate(len(losses))
            loss = F.cross_entropy(model(data[0][chosen]), data[1][chosen])
            optimizer.zero_grad()
            loss.backward()
            norm = torch.sqrt(sum((p.grad**2).sum() for p in model.parameters()))  # type: ignore[operator, arg-type]
            for p in model.parameters():
                p.grad *= min(1.0, clip / float(norm))  # type: ignore[operator]
            optimizer.step()
            losses.append(loss.item())
            norms.append(norm.item())
    return losses, norms, model


def digits(experiment: Experiment) -> tuple[Any, Any, Any]:
    data = load_data(experiment.dataset, CPU)
    return data.train, data.validation, data.test


def test_an_mlp_trains_as_in_a_plain_loop(tmp_path: Path, tiny: Any) -> None:
    optimizer = {"name": "sgd", "lr": 0.2, "momentum": 0.9, "weight_decay": 5e-4}
    experiment = tiny(**MLP, optimizer=optimizer, schedule="cosine", seed=3)
    folder, result = go(tmp_path, experiment)
    train, validation, test = digits(experiment)
    losses, norms, model = plain_loop(
        plain_mlp,
        lambda p: torch.optim.SGD(p, lr=0.2, momentum=0.9, weight_decay=5e-4, foreach=False, fused=False),
        lambda t: 0.2 * (1 + math.cos(math.pi * t / 68)) / 2,
        (train.inputs, train.targets),
        epochs=2,
        batch=32,
        seed=3,
    )
    assert column(folder, "loss") == pytest.approx(losses, abs=1e-6)
    assert column(folder, "grad_norm") == pytest.approx(norms, rel=1e-4)
    assert set(column(folder, "momentum")) == {0.9}
    assert column(folder, "step") == list(range(1, 69))
    # the epoch's means, weighted by the size of the last batch, and the evaluations
    weights = [32] * 33 + [22]
    rows = table(folder.path / "epochs.csv")
    assert [(row["epoch"], row["step"]) for row in rows] == [(1, 34), (2, 68)]
    for row, part in zip(rows, (losses[:34], losses[34:]), strict=True):
        mean = sum(w * x for w, x in zip(weights, part, strict=True)) / 1078
        assert row["train_loss"] == pytest.approx(mean, abs=1e-6)
    for split, found in ((validation, result.final), (test, result.test)):
        outputs = model(split.inputs)
        loss, right = (
            F.cross_entropy(outputs, split.targets).item(),
            (outputs.argmax(1) == split.targets).sum().item(),
        )
        prefix = "val_" if split is validation else ""
        assert found[f"{prefix}loss"] == pytest.approx(loss, abs=1e-6)
        assert found[f"{prefix}accuracy"] == right / len(split)


def test_a_cnn_trains_as_in_a_plain_loop_with_clipped_gradients(tmp_path: Path, tiny: Any) -> None:
    changes = {**SMALL_CNN, "model": {"name": "cnn", "padding": 1, "dropout": 0.0}}
    experiment = tiny(**changes, optimizer={"name": "adam", "lr": 0.001, "eps": 1e-7}, clip_grad_norm=0.5)
    folder, _ = go(tmp_path, experiment)
    train, _, _ = digits(experiment)
    losses, norms, _ = plain_loop(
        TextbookCnn,
        lambda p: torch.optim.Adam(p, eps=1e-7, foreach=False, fused=False),
        lambda t: 0.001,
        (train.inputs, train.targets),
        epochs=2,
        batch=16,
        seed=0,
        clip=0.5,
    )
    assert len(losses) == 14 and max(norms) > 0.6, "or nothing would be clipped"
    assert column(folder, "loss") == pytest.approx(losses, abs=1e-5)
    assert column(folder, "grad_norm") == pytest.approx(norms, rel=1e-3), "before clipping"
    assert set(column(folder, "momentum")) == {0.9}, "Adam's beta1"


# -- rates and momentum


@pytest.mark.parametrize(
    ("schedule", "rate"),
    [
        ("constant", lambda t: 0.1),
        ({"name": "linear"}, lambda t: 0.1 * (1 - t / 10)),
        ({"name": "step", "factor": 0.5, "every": "1 epochs"}, lambda t: 0.1 * 0.5 ** (t // 4)),
    ],
)
def test_the_rate_of_every_update_is_logged_and_is_the_schedules(
    tmp_path: Path, tiny: Any, schedule: Any, rate: Any
) -> None:
    experiment = tiny(schedule=schedule, epochs=None, steps=10, batch_size=16)
    folder, _ = go(tmp_path, experiment)
    assert column(folder, "lr") == pytest.approx([rate(t) for t in range(10)], rel=1e-12)
    chosen = assemble(experiment, CPU).schedule
    assert column(folder, "lr") == [chosen(t) for t in range(10)], "the preview's very numbers"
    assert column(folder, "lr", "epochs") == pytest.approx([rate(3), rate(7), rate(9)], rel=1e-12)


def test_warm_up_comes_first(tmp_path: Path, tiny: Any) -> None:
    folder, _ = go(tmp_path, tiny(warmup={"for": "4 steps"}, epochs=None, steps=6))
    assert column(folder, "lr") == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])


@pytest.mark.parametrize("optimizer", [{"name": "sgd", "lr": 0.1, "momentum": 0.9}, {"name": "adam", "lr": 0.1}])
def test_cycled_momentum_is_used_and_logged(tmp_path: Path, tiny: Any, optimizer: Any) -> None:
    schedule = {"name": "triangular", "step_size_up": "2 steps", "cycle_momentum": [0.8, 0.9]}
    folder, _ = go(tmp_path, tiny(optimizer=optimizer, schedule=schedule, epochs=None, steps=6))
    assert column(folder, "momentum") == pytest.approx([0.9, 0.85, 0.8, 0.85, 0.9, 0.85])
    assert column(folder, "lr") == pytest.approx([0.01, 0.055, 0.1, 0.055, 0.01, 0.055])


def test_an_optimizer_without_momentum_leaves_the_field_empty(tmp_path: Path, tiny: Any) -> None:
    folder, _ = go(tmp_path, tiny(optimizer={"name": "adagrad", "lr": 0.1}, epochs=1))
    assert (folder.path / "steps.csv").read_text().splitlines()[1].startswith("1,0.1,,")


def with_an_outlier() -> Any:
    """80 examples; one, in the training data, is finite and makes everything that it meets infinite."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(80, 4, generator=generator)
    y = (x[:, 0] > 0).long()
    x[3] = 3e38
    return (x[:64], y[:64]), (x[64:], y[64:])


OUTLIER = {
    "dataset": {"name": f"{__name__}:with_an_outlier", "validation": {"fraction": 0.25, "how": "tail"}},
    "model": {"name": "mlp", "hidden": [4]},
    "batch_size": 8,
    "epochs": 5,
}


def test_an_update_that_is_not_finite_is_left_out_where_asked(tmp_path: Path, tiny: Any) -> None:
    folder, result = go(tmp_path, tiny(**OUTLIER, on_non_finite="skip"))
    assert (result.status, result.skipped, result.steps) == ("finished", 5, 30)
    losses, rates = column(folder, "loss"), column(folder, "lr")
    bad = [step for step, loss in enumerate(losses) if math.isnan(loss)]
    assert len(bad) == 5 and [step // 6 for step in bad] == [0, 1, 2, 3, 4], "once an epoch"
    assert all(rate > 0 for rate in rates)
    assert result.test["accuracy"] > 0.8
    assert all(torch.isfinite(w).all() for w in folder.load_best().values())
    assert all(math.isfinite(loss) for loss in column(folder, "train_loss", "epochs"))


def test_too_many_left_out_are_divergence(tmp_path: Path, tiny: Any) -> None:
    folder, result = go(tmp_path, tiny(**OUTLIER, on_non_finite="skip", max_skipped=2))
    assert result.status == "diverged" and result.skipped == 3
    last = len(column(folder, "loss"))
    said = f"more than 2 updates were not finite, the last of them update {last}, at a rate of"
    assert result.reason.startswith(said)
    assert "the last finite loss was" in result.reason and result.steps == last
    _, stopped = go(tmp_path, tiny(**OUTLIER))
    assert stopped.status == "diverged" and stopped.epochs == 0 and stopped.skipped is None
    assert "skipped" not in stopped.plain()


def test_running_statistics_outlive_an_update_that_is_left_out(tmp_path: Path, tiny: Any) -> None:
    experiment = tiny(**{**OUTLIER, "model": f"{__name__}:normed"}, on_non_finite="skip")
    folder, result = go(tmp_path, experiment)
    assert result.status == "finished" and result.skipped == 5
    assert all(torch.isfinite(w).all() for w in folder.load_best().values())


def normed(input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    first = nn.Linear(input_shape[0], 4)
    nn.init.constant_(first.weight, 5.0)  # so that the outlier overflows: infinite means, and NaN
    return nn.Sequential(first, nn.BatchNorm1d(4), nn.Linear(4, outputs))


def test_the_best_epoch_by_accuracy(tmp_path: Path, tiny: Any) -> None:
    settings = {**MLP, "optimizer": {"name": "sgd", "lr": 2.0, "momentum": 0.9}, "epochs": 12}
    by_loss, first = go(tmp_path, tiny(**settings))
    _, second = go(tmp_path, tiny(**settings, best_by="val_accuracy"))
    losses, accuracies = column(by_loss, "val_loss", "epochs"), column(by_loss, "val_accuracy", "epochs")
    assert first.best["epoch"] == losses.index(min(losses)) + 1
    assert second.best["epoch"] == accuracies.index(max(accuracies)) + 1
    assert first.best["epoch"] != second.best["epoch"], "or this shows nothing"
    assert second.best["val_accuracy"] == max(accuracies)
    with pytest.raises(ConfigError, match="best_by: this task has no 'val_accuracy'; choices: val_loss"):
        assemble(tiny(dataset=f"{__name__}:line_data", model="logistic", loss="mse", best_by="val_accuracy"), CPU)


# -- plateau and early stopping

PLATEAU = {"metric": "val_loss", "factor": 0.5, "patience": 1, "threshold": 0.02, "min_lr": 0.03}


def test_plateau_is_replayed_from_its_own_log(tmp_path: Path, tiny: Any) -> None:
    experiment = tiny(epochs=20, optimizer={"name": "sgd", "lr": 0.8}, plateau=PLATEAU, schedule="linear")
    folder, _ = go(tmp_path, experiment)
    scale, best, bad, expected = 1.0, 1e9, 0, []
    for epoch, loss in enumerate(column(folder, "val_loss", "epochs")):
        for step in (2 * epoch, 2 * epoch + 1):
            plain = 0.8 * (1 - step / 40)
            expected.append(plain if scale == 1 else max(plain * scale, min(plain, 0.03)))
        if loss < best - 0.02 * abs(best):
            best, bad = loss, 0
        else:
            bad += 1
        if bad > 1:
            scale, bad = scale / 2, 0
    assert scale < 0.3, "it came down more than once, or this shows little"
    assert column(folder, "lr") == pytest.approx(expected, rel=1e-12)


def test_early_stopping_ends_the_run_with_its_reason(tmp_path: Path, tiny: Any) -> None:
    early = {"metric": "val_loss", "patience": 2, "min_delta": 0.05}
    folder, result = go(tmp_path, tiny(epochs=60, optimizer={"name": "sgd", "lr": 0.5}, early_stopping=early))
    best, since, ended = math.inf, 0, None
    losses = column(folder, "val_loss", "epochs")
    for epoch, loss in enumerate(losses, 1):
        best, since = (loss, 0) if loss < best - 0.05 else (best, since + 1)
        if since == 2:
            ended = epoch
            break
    assert ended == len(losses) == result.epochs < 60
    assert result.status == "stopped_early" and result.steps == 2 * ended
    assert result.reason == f"val_loss has not improved on {best:.4g} for 2 epochs"
    assert result.best["epoch"] == losses.index(min(losses)) + 1
    assert result.test is not None and result.test_best is not None


def test_best_weights_are_those_of_the_best_epoch(tmp_path: Path, tiny: Any) -> None:
    experiment = tiny(**MLP | {"epochs": 4, "optimizer": {"name": "sgd", "lr": 0.9, "momentum": 0.95}})
    folder, result = go(tmp_path, experiment)
    losses = column(folder, "val_loss", "epochs")
    best = losses.index(min(losses)) + 1
    assert best != 4, "or this shows nothing"
    assert result.best["epoch"] == best and result.best["val_loss"] == min(losses)
    parts = assemble(experiment, CPU)
    parts.model.load_state_dict(folder.load_best())
    _, validation, test = digits(experiment)
    assert F.cross_entropy(parts.model(validation.inputs), validation.targets).item() == pytest.approx(
        min(losses), rel=1e-5
    )
    assert F.cross_entropy(parts.model(test.inputs), test.targets).item() == pytest.approx(
        result.test_best["loss"], rel=1e-5
    )
    assert result.test["loss"] != result.test_best["loss"]


# -- divergence


def strictly(path: Path) -> Any:
    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} in {path.name}")

    return json.loads(path.read_text(), parse_constant=refuse)


def nan_after_five(outputs: Tensor, targets: Tensor) -> Tensor:
    global calls
    calls += outputs.requires_grad
    loss = F.cross_entropy(outputs, targets)
    return loss * math.nan if outputs.requires_grad and calls > 5 else loss


calls = 0


def infinite_in_evaluation(outputs: Tensor, targets: Tensor) -> Tensor:
    loss = F.cross_entropy(outputs, targets)
    return loss if outputs.requires_grad else loss / 0


def test_a_loss_that_is_nan_ends_the_run_as_diverged(tmp_path: Path, tiny: Any) -> None:
    global calls
    calls = 0
    experiment = tiny(loss=f"{__name__}:nan_after_five", batch_size=16)
    folder, result = go(tmp_path, experiment)
    assert (result.status, result.steps, result.epochs) == ("diverged", 6, 1)
    losses = column(folder, "loss")
    assert len(losses) == 6 and math.isnan(losses[5]) and not math.isnan(losses[4])
    assert result.reason == (
        f"the loss was not finite at update 6, at a rate of 0.1; the last finite loss was {losses[4]:.4g}"
    )
    assert result.final is None and result.test is None and result.best["epoch"] == 1
    assert strictly(folder.path / "result.json") == result.plain()
    assert folder.result() == result
    assert not (folder.path / "checkpoint.pt").exists()


def test_a_rate_far_too_large_diverges(tmp_path: Path, tiny: Any) -> None:
    model = {"name": "mlp", "hidden": [16, 16, 16]}
    folder, result = go(tmp_path, tiny(model=model, optimizer={"name": "sgd", "lr": 1e6}, loss="mse", epochs=9))
    assert result.status == "diverged" and "not finite" in result.reason
    strictly(folder.path / "result.json")
    again, _ = go(tmp_path / "b", tiny(model=model, optimizer={"name": "sgd", "lr": 1e6}, loss="mse", epochs=9))
    assert (folder.path / "steps.csv").read_bytes() == (again.path / "steps.csv").read_bytes()


def test_a_validation_loss_that_is_not_finite_is_divergence_too(tmp_path: Path, tiny: Any) -> None:
    folder, result = go(tmp_path, tiny(loss=f"{__name__}:infinite_in_evaluation"))
    assert result.status == "diverged" and result.best is None and result.steps == 2
    assert result.reason == "the validation loss was not finite after update 2"
    assert not (folder.path / "best.pt").exists()


# -- budgets and precision


def test_a_budget_in_steps_ends_in_the_middle_of_an_epoch(tmp_path: Path, tiny: Any) -> None:
    folder, result = go(tmp_path, tiny(epochs=None, steps=10, batch_size=16))
    assert (result.steps, result.epochs, result.status) == (10, 3, "finished")
    rows = table(folder.path / "epochs.csv")
    assert [(r["epoch"], r["step"]) for r in rows] == [(1, 4), (2, 8), (3, 10)]
    losses = column(folder, "loss")
    assert rows[2]["train_loss"] == pytest.approx(sum(losses[8:]) / 2), "of the updates that were made"
    longer, _ = go(tmp_path, tiny(epochs=3, batch_size=16))
    assert column(longer, "loss")[:10] == losses


def test_bfloat16_runs_and_is_near_float32(tmp_path: Path, tiny: Any) -> None:
    half, result = go(tmp_path, tiny(precision="bf16"))
    full, _ = go(tmp_path, tiny())
    assert result.status == "finished"
    assert column(half, "loss") != column(full, "loss")
    assert column(half, "loss") == pytest.approx(column(full, "loss"), rel=0.02)
    assert all(w.dtype == torch.float32 for w in half.load_best().values())


def line_data() -> Any:
    x = torch.linspace(-1, 1, 80).view(80, 1)
    return (x[::2], 3 * x[::2].flatten() + 1), (x[1::2], 3 * x[1::2].flatten() + 1)


def test_regression(tmp_path: Path, tiny: Any) -> None:
    experiment = tiny(dataset=f"{__name__}:line_data", model="logistic", loss="mse", epochs=60, batch_size=8)
    folder, result = go(tmp_path, experiment)
    weight, bias = folder.load_best().values()
    assert weight.item() == pytest.approx(3, abs=0.01) and bias.item() == pytest.approx(1, abs=0.01)
    assert result.test.keys() == result.test_best.keys() == {"loss"} and result.test["loss"] < 1e-4
    assert result.final.keys() == result.best.keys() == {"epoch", "step", "train_loss", "val_loss"}
    assert all(result.metric(f"{of}accuracy") is None for of in ("train_", "val_", "best_val_", "test_", "test_best_"))
    header = (folder.path / "epochs.csv").read_text().splitlines()[0]
    assert header == "epoch,step,lr,train_loss,val_loss,seconds,examples_per_second"


# -- resuming

RESUMED: dict[str, dict[str, Any]] = {
    "dropout": {**SMALL_CNN, "optimizer": {"name": "adam", "lr": 0.001}, "epochs": 2},
    "cycled momentum": {
        **MLP,
        "optimizer": {"name": "adamw", "lr": 0.01},
        "schedule": {"name": "one_cycle", "cycle_momentum": [0.85, 0.95]},
    },
    "plateau": {
        **MLP,
        "optimizer": {"name": "sgd", "lr": 0.5, "momentum": 0.9},
        "plateau": {"patience": 0, "threshold": 0.3, "cooldown": 1},
        "epochs": 3,
    },
    "early stopping": {
        **MLP,
        "optimizer": {"name": "rmsprop", "lr": 0.01},
        "early_stopping": {"patience": 1, "min_delta": 0.3},
        "epochs": 9,
    },
    "accumulated": {
        **SMALL_CNN,
        "batch_size": 10,
        "accumulate": 3,
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "layer_decay": 0.5},
        "epochs": 2,
    },
    "schedule-free": {
        **MLP,
        "optimizer": {"name": "schedule_free_adamw", "lr": 0.01},
        "warmup": {"for": "10%"},
        "epochs": 2,
    },
    "schedule-free with norms": {
        "dataset": {"name": "digits", "train_size": 104},
        "model": {"name": "resnet20", "width": 2},
        "optimizer": {"name": "schedule_free_sgd", "lr": 0.5},
        "batch_size": 16,
        "epochs": 2,
    },
    "prodigy": {**MLP, "optimizer": "prodigy"},
    "muon": {**MLP, "optimizer": {"name": "muon", "lr": 0.01}},
    "skipping": {**OUTLIER, "on_non_finite": "skip"},
    "growing plateau": {
        **MLP,
        "optimizer": {"name": "sgd", "lr": 0.05},
        "plateau": {"patience": 0, "growth": {"factor": 1.5, "patience": 2}},
        "epochs": 4,
    },
    "augmented": {
        "dataset": {"name": "digits", "train_size": 104, "augment": ["crop", "flip"], "normalize": True},
        "model": {"name": "resnet20", "width": 2},
        "batch_size": 16,
    },
}
EVERY = {
    "dropout": (1, 6, 7),
    "accumulated": (1, 4),
    "schedule-free with norms": (2, 7),
    "augmented": (2,),
    "cycled momentum": (7, 34, 35),
    "skipping": (1, 7),
}


@pytest.mark.parametrize("which", RESUMED)
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, tiny: Any, which: str) -> None:
    experiment = tiny(**RESUMED[which])
    whole, expected = go(tmp_path / "whole", experiment)
    assert expected.status == ("stopped_early" if which == "early stopping" else "finished")
    for every in EVERY.get(which, (33, 34)):
        folder, result, interruptions = go_on(tmp_path / str(every), experiment, lambda every=every: every)
        assert interruptions == (expected.steps) // every, "it stopped after every k-th update"
        assert_same_run(folder, whole)
        assert result.status == expected.status
        assert len(folder.environment().plain["resumed"]) == interruptions
    chance = random.Random(which)
    folder, _, _ = go_on(tmp_path / "random", experiment, lambda: chance.randint(5, 30))
    assert_same_run(folder, whole)


@pytest.mark.slow
def test_every_update_interrupted(tmp_path: Path, tiny: Any) -> None:
    experiment = tiny(**MLP, optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.9})
    whole, _ = go(tmp_path / "whole", experiment)
    folder, _, interruptions = go_on(tmp_path / "stopped", experiment, lambda: 1)
    assert interruptions == 68
    assert_same_run(folder, whole)


def interrupted_twice(root: Path, experiment: Experiment) -> RunFolder:
    """A folder with two checkpoints: after 20 updates and after 45."""
    for updates in (20, 25):
        with pytest.raises(Interrupted):
            go(root, experiment, after(updates))
    return RunFolder(root / run_name(experiment))


def tear_rows(path: Path) -> None:
    with (path / "steps.csv").open("ab") as steps, (path / "epochs.csv").open("ab") as epochs:
        steps.write(b"46,0.1,,1.25,0.5\n47,0.1,,1.2")
        epochs.write(b"2,68,0.")


def damage_newest(path: Path) -> None:
    whole = (path / "checkpoint.pt").read_bytes()
    (path / "checkpoint.pt").write_bytes(whole[: len(whole) // 2])


def garble_newest(path: Path) -> None:
    whole = (path / "checkpoint.pt").read_bytes()
    (path / "checkpoint.pt").write_bytes(b"\x00" * len(whole))


def empty_newest(path: Path) -> None:
    (path / "checkpoint.pt").write_bytes(b"")


def empty_both(path: Path) -> None:
    empty_newest(path)
    (path / "checkpoint.prev.pt").write_bytes(b"")


def lose_newest(path: Path) -> None:
    (path / "checkpoint.pt").unlink()  # killed between the two renames


def lose_rows(path: Path) -> None:
    lines = (path / "steps.csv").read_bytes().splitlines(keepends=True)
    (path / "steps.csv").write_bytes(b"".join(lines[:31]))


def lose_tables(path: Path) -> None:
    (path / "steps.csv").unlink()
    (path / "epochs.csv").write_bytes(b"ep")


@pytest.mark.parametrize(
    ("damage", "goes_on_from"),
    [
        (tear_rows, 45),
        (damage_newest, 20),
        (garble_newest, 20),
        (empty_newest, 20),
        (lose_newest, 20),
        (lose_rows, 20),
        (empty_both, 0),
        (lose_tables, 0),
    ],
)
def test_damage_is_repaired_by_going_on_from_what_is_whole(
    tmp_path: Path, tiny: Any, damage: Callable[[Path], None], goes_on_from: int
) -> None:
    experiment = tiny(**MLP)
    whole, _ = go(tmp_path / "whole", experiment)
    folder = interrupted_twice(tmp_path / "damaged", experiment)
    damage(folder.path)
    seen: list[Event] = []
    go(tmp_path / "damaged", experiment, watch=seen.append)
    assert [e.step for e in seen if e.kind == "start"] == [goes_on_from]
    assert_same_run(folder, whole)


def test_the_checkpoint_before_is_kept(tmp_path: Path, tiny: Any) -> None:
    folder = interrupted_twice(tmp_path, tiny(**MLP))
    state = folder.load_checkpoint(identity(tiny(**MLP)), (ACCURACY,))
    assert state is not None and (state["step"], state["epoch"]) == (45, 1)
    empty_newest(folder.path)
    state = folder.load_checkpoint(identity(tiny(**MLP)), (ACCURACY,))
    assert state is not None and (state["step"], state["epoch"]) == (20, 0)


def test_a_checkpoint_of_another_run_is_passed_over(tmp_path: Path, tiny: Any) -> None:
    whole, _ = go(tmp_path / "whole", tiny(**MLP))
    folder = interrupted_twice(tmp_path, tiny(**MLP))
    other = interrupted_twice(tmp_path, tiny(**MLP, seed=5))
    (folder.path / "checkpoint.pt").write_bytes((other.path / "checkpoint.pt").read_bytes())
    state = folder.load_checkpoint(identity(tiny(**MLP)), (ACCURACY,))
    assert state is not None and state["step"] == 20
    go(tmp_path, tiny(**MLP))
    assert_same_run(folder, whole)


def test_rows_that_were_changed_are_not_gone_on_from(tmp_path: Path, tiny: Any) -> None:
    whole, _ = go(tmp_path / "whole", tiny(**MLP))
    folder = interrupted_twice(tmp_path, tiny(**MLP))
    lines = (folder.path / "steps.csv").read_bytes().splitlines(keepends=True)
    lines[30] = lines[30].replace(b"0", b"9", 1)  # after the first checkpoint's 20 rows, before the second's 45
    (folder.path / "steps.csv").write_bytes(b"".join(lines))
    state = folder.load_checkpoint(identity(tiny(**MLP)), (ACCURACY,))
    assert state is not None and state["step"] == 20
    go(tmp_path, tiny(**MLP))
    assert_same_run(folder, whole)


def test_a_run_keeps_its_thread_count_when_resumed(tmp_path: Path, tiny: Any) -> None:
    experiment, before = tiny(), torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with pytest.raises(Interrupted):
            go(tmp_path, experiment, after(3))
        torch.set_num_threads(1)
        folder, _ = go(tmp_path, experiment)
        assert folder.environment().plain["threads"] == 2
        assert torch.get_num_threads() == 1, "the process itself goes on as before"
    finally:
        torch.set_num_threads(before)


def test_a_thread_count_that_cannot_be_kept_is_said(tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment, said = tiny(), list[str]()
    with pytest.raises(Interrupted):
        go(tmp_path, experiment, after(3))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 17)  # as on a build that has its own mind
    folder, _ = go(tmp_path, experiment, watch=lambda e: said.append(str(e.values.get("text", ""))))
    environment = folder.environment().plain
    assert environment["threads"] == 17 and environment["threads_before"] != 17
    assert any("resumed with 17; the last digits will differ" in text for text in said)


class Hungry(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore lines.")
        return super().forward(x.flatten(1))


def hungry(input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    return Hungry(math.prod(input_shape), outputs)


def test_out_of_memory_says_what_to_reduce(tmp_path: Path, tiny: Any) -> None:
    outcomes = run([tiny(model=f"{__name__}:hungry"), tiny()], runs=tmp_path)
    assert [o.status for o in outcomes] == ["failed", "finished"], "the others go on"
    assert not any(o.found for o in outcomes)
    first = outcomes[0].message.splitlines()[0]
    assert first.startswith("out of memory on the device; use a smaller batch_size or precision: bf16")
    assert "Tried to allocate 2.00 GiB" in first


# -- misfits


def token_data() -> Any:
    tokens = torch.randint(0, 20, (120, 5), generator=torch.Generator().manual_seed(0))
    targets = (tokens == 3).any(1).long()
    return (tokens[:80], targets[:80]), (tokens[80:], targets[80:])


class Bag(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.embedding, self.linear = nn.Embedding(20, 8), nn.LazyLinear(outputs)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.linear(self.embedding(tokens).amax(1))  # type: ignore[no-any-return]


def bag(outputs: int) -> nn.Module:
    return Bag(outputs)


def test_tokens_stay_whole_numbers_and_lazy_layers_take_their_sizes(tmp_path: Path, tiny: Any) -> None:
    experiment = tiny(
        dataset=f"{__name__}:token_data",
        model=f"{__name__}:bag",
        optimizer={"name": "adam", "lr": 0.05},
        epochs=40,
        batch_size=8,
    )
    folder, result = go(tmp_path, experiment)
    assert folder.load_best()["linear.weight"].shape == (2, 8)
    assert result.test["accuracy"] > 0.9
    with pytest.raises(ConfigError, match="int64, as for an embedding; other layers need float32"):
        run([tiny(dataset=f"{__name__}:token_data", model="logistic")], runs=tmp_path)


def five_outputs(*, input_shape: tuple[int, ...]) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), 5))


def for_other_shapes() -> nn.Module:
    return nn.Linear(3, 10)


def unreduced(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets, reduction="none")


@pytest.mark.parametrize(
    ("changes", "key", "fragment"),
    [
        ({"model": f"{__name__}:five_outputs"}, "model", "returns outputs of shape (5,); 10 classes need (10,)"),
        ({"model": f"{__name__}:for_other_shapes"}, "model", "does not fit digits's inputs (1, 8, 8)"),
        ({"loss": f"{__name__}:unreduced"}, "loss", "a loss must be one number"),
        ({"optimizer": {"name": "sgd", "lr": 0.1, "momentum": -1.0}}, "optimizer.momentum", "must be at least 0"),
        ({"warmup": {"for": "99 epochs"}}, "warmup.for", "must be shorter than the run"),
        ({"dataset": f"{__name__}:line_data", "model": "logistic"}, "loss", "needs class indices"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_written(
    tmp_path: Path, tiny: Any, changes: dict[str, Any], key: str, fragment: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        run([tiny(), tiny(**changes)], runs=tmp_path / "runs")
    assert caught.value.key == key and fragment in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_a_check_leaves_no_trace_in_the_run(tmp_path: Path, tiny: Any) -> None:
    experiment = tiny(**SMALL_CNN)
    one, _ = go(tmp_path / "a", experiment)
    check(experiment, CPU)
    other, _ = go(tmp_path / "b", experiment)
    assert_same_run(one, other)


# -- progress


def test_events_tell_where_the_run_stands(tmp_path: Path, tiny: Any) -> None:
    experiment, seen = tiny(), []
    folder, result = go(tmp_path, experiment, watch=seen.append)
    assert [e.kind for e in seen] == ["start", "progress", "epoch", "progress", "epoch", "end"]
    assert {e.run for e in seen} == {folder.name}
    epochs = [e for e in seen if e.kind == "epoch"]
    assert [(e.step, e.total_steps, e.epoch, e.epochs, e.lr) for e in epochs] == [
        (2, 4, 1, 2, 0.1),
        (4, 4, 2, 2, 0.1),
    ]
    assert {"epoch": 2, "step": 4, **epochs[1].values} == result.final and seen[-1].values == {
        "result": result,
        "folder": folder.path,
    }
    assert all(e.examples_per_second and e.examples_per_second > 0 for e in epochs)


# -- golden curves: a refactoring changes none of these

GOLDEN: dict[str, tuple[dict[str, Any], list[float]]] = {
    "cnn": ({"name": "cnn", "padding": 1}, [2.3189, 2.2131, 1.8756]),
    "lenet": ({"name": "lenet", "padding": 6}, [2.3232, 2.2762, 2.1200]),
    "logistic": ({"name": "logistic"}, [2.2664, 2.1155, 1.9817]),
    "mlp": ({"name": "mlp"}, [2.2659, 2.0522, 1.6889]),
    "resnet20": ({"name": "resnet20"}, [1.9274, 0.7250, 0.2512]),
    "vit": ({"name": "vit"}, [2.0979, 1.1975, 0.7958]),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_curves(tmp_path: Path, tiny: Any, name: str) -> None:
    model, expected = GOLDEN[name]
    # At a larger rate the residual net is so chaotic that another number of threads moves its curve by 3 %.
    optimizer = {"name": "adam", "lr": 0.001 if name == "resnet20" else 0.003}
    dataset = {"name": "digits", "train_size": 200}
    folder, _ = go(tmp_path, tiny(dataset=dataset, model=model, optimizer=optimizer, epochs=3, batch_size=20))
    assert column(folder, "train_loss", "epochs") == pytest.approx(expected, rel=0.02)
