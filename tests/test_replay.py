"""Replayed steps: the rows and weights of plain training, bit for bit, and plain steps where that can't be."""

from __future__ import annotations

import copy
import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lrbench.config import Experiment
from lrbench.errors import Interrupted
from lrbench.runs import RunFolder
from lrbench.training import recorded, replay, run
from lrbench.training.build import build
from lrbench.training.fused import FusedStep
from lrbench.training.kinds import PlainTraining
from lrbench.training.loop import train
from lrbench.training.replay import NotReplayable, Recorder, ReplayedUpdates, Replays, replayable
from lrbench.training.update import gradient

SMALL: dict[str, Any] = {
    "name": "small",
    "dataset": {"name": "digits", "train_size": 150},
    "model": {"name": "mlp", "hidden": [16]},
    "optimizer": {"name": "adam", "lr": 0.01},
    "epochs": 3,
    "batch_size": 32,
    "device": "cpu",
}
MIXED = {"name": "adamw", "lr": 0.01, "decay_biases_and_norms": False, "weight_decay": 0.1}


def config(**changes: Any) -> Experiment:
    return Experiment.model_validate({**SMALL, **changes})


def written(path: Path) -> tuple[Any, ...]:
    """What a run wrote, times aside."""
    with (path / "epochs.csv").open(newline="") as file:
        rows = [
            {name: row[name] for name in row if name not in ("seconds", "examples_per_second")}
            for row in csv.DictReader(file)
        ]
    weights = {name: weight.numpy().tobytes() for name, weight in RunFolder(path).load_best().items()}
    return (path / "steps.csv").read_bytes(), rows, weights


def trained(root: Path, experiment: Experiment) -> Path:
    (outcome,) = run([experiment], runs=root)
    assert outcome.status.complete, outcome.message
    return outcome.path


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ReplayedUpdates]]:
    """The runs' replayed steps."""
    made: list[ReplayedUpdates] = []

    class Spied(ReplayedUpdates):
        def __call__(self, batch: Any) -> Tensor:
            made[:] = [self]
            return super().__call__(batch)

    monkeypatch.setattr(recorded, "ReplayedUpdates", Spied)
    yield made


@pytest.mark.parametrize(
    ("changes", "fused"),
    [
        pytest.param({"model": {"name": "mlp", "hidden": [8, 8], "dropout": 0.3}}, True, id="adam, dropout"),
        pytest.param({"optimizer": MIXED, "clip_grad_norm": 0.5}, True, id="groups, clipping"),
        pytest.param(
            {
                "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True},
                "schedule": {"name": "one_cycle", "cycle_momentum": [0.85, 0.95]},
            },
            True,
            id="sgd, cycled momentum",
        ),
        pytest.param({"optimizer": {"name": "sgd", "lr": 0.1}, "model": "logistic"}, True, id="sgd, logistic"),
        pytest.param({"optimizer": {"name": "muon", "lr": 0.01}}, False, id="an optimizer without a kernel"),
        pytest.param({"model": {"name": "cnn", "padding": 1, "width": 4}}, True, id="cnn"),
        pytest.param({"model": {"name": "resnet20", "width": 2}, "epochs": 1}, True, id="running statistics"),
        pytest.param({"task": "regression", "precision": "bf16"}, True, id="regression, bf16"),
        pytest.param({"loss": {"name": "cross_entropy", "weight": "balanced"}}, True, id="class weights"),
        pytest.param({"dataset": {"name": "digits", "train_size": 150, "augment": ["crop"]}}, True, id="augmented"),
    ],
)
def test_replayed_runs_are_plain_ones_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used: list[ReplayedUpdates], changes: dict[str, Any], fused: bool
) -> None:
    quick = written(trained(tmp_path / "quick", config(**changes)))
    (updates,) = used
    assert updates.replays.checked and (updates.step is not None) is fused, "nothing was replayed"
    monkeypatch.setattr(replay, "ENABLED", False)
    assert written(trained(tmp_path / "plain", config(**changes))) == quick


@pytest.mark.parametrize("before", [True, False])
def test_a_run_goes_on_from_a_checkpoint_of_either_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """Stopped in the middle of an epoch, it ends as one that never stopped; older checkpoints are of plain steps."""
    experiment = config(model={"name": "mlp", "hidden": [16], "dropout": 0.3})
    whole = written(trained(tmp_path / "whole", experiment))
    monkeypatch.setattr(replay, "ENABLED", before)
    folder = RunFolder.of(tmp_path / "parts", experiment)
    folder.create(experiment, {})
    steps = iter(range(9))
    with folder.lock(), pytest.raises(Interrupted):
        train(folder, experiment, PlainTraining(), watch=lambda e: None, stop=lambda: next(steps, None) is None)
    monkeypatch.setattr(replay, "ENABLED", not before)
    assert written(trained(tmp_path / "parts", experiment)) == whole


def test_a_state_dict_has_a_count_for_each_weight() -> None:
    parts = build(config(), torch.device("cpu"))
    updates = ReplayedUpdates(parts, None)
    for batch in [next(parts.data.training_batches(32, 0, 0))] * 5:
        updates(batch)
    assert updates.step is not None
    saved = parts.optimizer.state_dict()["state"]
    assert [float(state["step"]) for state in saved.values()] == [5.0] * 4
    assert all(state["step"].shape == () for state in saved.values())
    fresh = build(config(), torch.device("cpu"))
    fresh.optimizer.load_state_dict(copy.deepcopy(parts.optimizer.state_dict()))
    gradient(fresh, [batch], None)
    fresh.optimizer.step()
    assert [float(state["step"]) for state in fresh.optimizer.state_dict()["state"].values()] == [6.0] * 4


# -- what is replayed, and what is not


class Own(nn.Module):
    """A user's class, whose Python may do anything."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.dense(x.flatten(1))
        return out


class Known(Own):
    cuda_graph = True


def sequential() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def hooked() -> nn.Module:
    model = sequential()
    model[1].register_forward_hook(lambda module, inputs, output: None)  # type: ignore[index]
    return model


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, True),
        ({"model": "tests.test_replay:sequential"}, True),
        ({"model": "tests.test_replay:Known"}, True),
        ({"model": "tests.test_replay:Own"}, False),
        ({"model": "tests.test_replay:hooked"}, False),
        ({"accumulate": 2}, False),
        ({"on_non_finite": "skip"}, False),
        ({"loss": "torch.nn:CrossEntropyLoss"}, False),
        ({"optimizer": {"name": "adam", "lr": 0.01, "freeze": ["1.*"], "unfreeze": {"1.*": "1 epoch"}}}, False),
    ],
    ids=str,
)
def test_which_runs_are_replayed(changes: dict[str, Any], wanted: bool) -> None:
    experiment = config(**changes)
    assert replayable(experiment, build(experiment, torch.device("cpu"))) is wanted


def test_large_models_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "MOST_WEIGHTS", 1000)
    assert not replayable(config(), build(config(), torch.device("cpu")))


def stepped(build_model: Callable[[], nn.Module], count: int = 6) -> tuple[ReplayedUpdates, list[Tensor]]:
    """Steps of a model with different batches, recorded though nobody said that it may be."""
    parts = build(config(batch_size=16), torch.device("cpu"))
    torch.manual_seed(0)
    parts.model = parts.forward = build_model()
    parts.optimizer = torch.optim.Adam(parts.model.parameters(), lr=0.01, fused=True)
    parts.training()
    updates, batches = ReplayedUpdates(parts, None), parts.data.training_batches(16, 0, 0)
    found = [updates(next(batches)).clone() for _ in range(count)]
    return updates, [*found, *(weight.detach() for weight in parts.model.parameters())]


class Looking(Own):
    """Reads a value back: what it does next depends on the data."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (1.0 if float(x.sum()) > 0 else 2.0)


class Counting(Own):
    """Does something else in each step."""

    steps = 0

    def forward(self, x: Tensor) -> Tensor:
        self.steps += 1
        return super().forward(x) / self.steps


@pytest.mark.parametrize("model", [Looking, Counting])
def test_steps_that_a_list_of_operations_cannot_repeat_stay_plain(
    model: type[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    updates, found = stepped(model)
    assert not updates.replays.checked and list(updates.replays.recorded.values()) == [None]
    monkeypatch.setattr(Replays, "__call__", lambda self, batch: self.compute(*batch))
    if model is Looking:  # the other one has counted its steps
        assert all(map(torch.equal, found, stepped(model)[1]))


def test_random_numbers_are_drawn_as_in_plain_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    def model() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Dropout(0.5), nn.Linear(8, 10))

    updates, found = stepped(model)
    drawn = torch.rand(1)
    assert updates.replays.checked
    monkeypatch.setattr(Replays, "__call__", lambda self, batch: self.compute(*batch))
    assert all(map(torch.equal, found, stepped(model)[1])) and torch.equal(torch.rand(1), drawn)


def test_a_recorder_repeats_views_in_place_changes_and_several_outputs() -> None:
    weight = torch.arange(6.0).reshape(2, 3)

    def compute(x: Tensor) -> Tensor:
        low, high = (x @ weight.t()).chunk(2, 1)
        low = low.clone().add_(1)
        values, where = high.max(0)
        return torch.cat([low.flatten(), values, where.to(low.dtype), weight.t().t().sum().reshape(1)])

    first, second = torch.rand(4, 3), torch.rand(4, 3)
    recorder = Recorder({"x": first})
    with torch.no_grad(), recorder:
        found = compute(first)
    repeat = recorder.function([found])
    assert torch.equal(repeat(first)[0], found)
    assert torch.equal(repeat(second)[0], compute(second))
    weight += 1  # its place is what was recorded, not its values
    assert torch.equal(repeat(second)[0], compute(second))
    with pytest.raises(NotReplayable), Recorder({"x": first}):
        first.sum().item()


def test_a_fused_step_is_the_optimizers_own() -> None:
    def weights() -> list[Tensor]:
        torch.manual_seed(1)
        return [torch.randn(3, 5, requires_grad=True), torch.randn(7, requires_grad=True)]

    for make in (
        lambda w: torch.optim.AdamW([{"params": w[:1], "weight_decay": 0.5}, {"params": w[1:], "lr": 0.3}], fused=True),
        lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.2, fused=True),
        lambda w: torch.optim.Adam(w, lr=0.1, fused=True),
    ):
        usual, quick = weights(), weights()
        one, other = make(usual), make(quick)
        step = None
        assert FusedStep.of(other, quick) is None or not other.state, "no step was done"
        for number in range(4):
            gradients = [torch.randn_like(weight) for weight in usual]
            for mine, its, found in zip(usual, quick, gradients, strict=True):
                mine.grad, its.grad = found, found.clone()
            one.step()
            if step is None:
                other.step()
                step = FusedStep.of(other, quick)
                assert step is not None
            else:
                with torch.no_grad():
                    step(gradients)
            one.param_groups[0]["lr"] = other.param_groups[0]["lr"] = 0.1 / (number + 2)
            assert all(map(torch.equal, usual, quick))
    other.param_groups[0]["amsgrad"] = True
    assert FusedStep.of(other, quick) is None


def test_batches_gathered_at_once_are_those_of_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    data = build(config(), torch.device("cpu")).data
    at_once = list(data.training_batches(32, 3, 1, start=1))
    monkeypatch.setattr("lrbench.components.data.batches.GATHERED_BYTES", 0)
    single = list(data.training_batches(32, 3, 1, start=1))
    assert [len(targets) for _, targets in single] == [32, 32, 32, 22]
    for (x, y), (its_x, its_y) in zip(at_once, single, strict=True):
        assert torch.equal(x, its_x) and torch.equal(y, its_y)
        assert x.data_ptr() % 64 == y.data_ptr() % 64 == 0
