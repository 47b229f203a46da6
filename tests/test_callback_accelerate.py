"""accelerate's tracker, with the real Accelerator on a tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from recording import Truth, nothing_recorded, only_run, table

from lrbench.runs import Status

accelerate = pytest.importorskip("accelerate")

from lrbench.integrations.accelerate import LrbenchTracker  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # the framework's own


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with nothing_recorded(monkeypatch, tmp_path):
        yield


X = torch.arange(8.0)[:, None] / 8
DATA = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, 2 * X + 1), batch_size=2)


def train(tracker: Any, *, watch: bool, first: int = 0) -> list[float]:
    """The loop of accelerate's examples: losses and rates after each step, an evaluation after each epoch."""
    accelerator = accelerate.Accelerator(log_with=tracker, cpu=True)
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    model, optimizer, data, scheduler = accelerator.prepare(model, optimizer, DATA, scheduler)
    accelerator.init_trackers("line", config={"lr": 0.1, "batch_size": 2, "seed": 4})
    if watch:
        tracker.watch(optimizer)
    losses = []
    step = first
    for epoch in range(2):
        for x, y in data:
            loss = torch.nn.functional.mse_loss(model(x), y)
            accelerator.backward(loss)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            accelerator.log({"train_loss": loss.item()}, step=step)
            accelerator.log({"lr": scheduler.get_last_lr()[0], "grad/norm": 1.0}, step=step)
            step += 1
        accelerator.log({"eval_loss": 1.0 / (epoch + 1), "eval_accuracy": 0.5, "epoch": epoch + 1}, step=step - 1)
    accelerator.log({"test_accuracy": 0.25})
    accelerator.end_training()
    return losses


@pytest.mark.parametrize("first", [0, 1])
def test_everything_is_recorded(first: int) -> None:
    with Truth() as truth:
        losses = train(LrbenchTracker(name="line"), watch=True, first=first)
    folder = only_run()
    assert folder.name.startswith("line-seed4-")
    steps, evaluations = table(folder, "steps"), table(folder, "epochs")
    assert steps["step"] == list(range(1, 9)) and steps["loss"] == losses and steps["grad_norm"] == [1.0] * 8
    assert steps["lr"] == [rates[0] for rates in truth.rates] and steps["lr"][:2] == [0.1, 0.05]
    assert evaluations["step"] == [4, 8] and evaluations["epoch"] == [1, 2]
    assert evaluations["val_loss"] == [1.0, 0.5] and evaluations["val_accuracy"] == [0.5, 0.5]
    result = folder.result()
    assert result is not None and result.status is Status.FINISHED and result.test == {"accuracy": 0.25}
    assert folder.config().plain()["params"] == {"lr": 0.1, "batch_size": 2}
    assert folder.recorded()["notes"] == []


def test_rates_as_the_program_logs_them_are_noted_as_such() -> None:
    with Truth() as truth:
        train(LrbenchTracker(), watch=False)
    folder = only_run()
    assert table(folder, "steps")["lr"][:-1] == [rates[0] for rates in truth.rates[1:]]  # after the scheduler's step
    assert folder.recorded()["notes"] == ["learning rates are as the program logged them"]
