"""skorch's callback, with the real framework on a tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recording import Truth, nothing_recorded, only_run, table

from lrbench.runs import Status

skorch = pytest.importorskip("skorch")

from lrbench.integrations.skorch import LrbenchCallback  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # the framework's own

X = np.arange(20, dtype=np.float32)[:, None] / 20
Y = (X[:, 0] > 0.5).astype(np.int64)


class Two(torch.nn.Module):
    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, width)

    def forward(self, x: Any) -> Any:
        return self.layer(x).softmax(-1)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with nothing_recorded(monkeypatch, tmp_path):
        yield


def net(*callbacks: Any, **arguments: Any) -> Any:
    chosen = {"max_epochs": 2, "lr": 0.1, "batch_size": 8, "verbose": 0, "module__width": 2, **arguments}
    return skorch.NeuralNetClassifier(Two, callbacks=list(callbacks), **chosen)


def test_everything_is_recorded() -> None:
    schedule = skorch.callbacks.LRScheduler("StepLR", step_size=1, gamma=0.5, step_every="batch")
    made = net(schedule, LrbenchCallback(name="two", seed=1), optimizer__momentum=0.9)
    with Truth() as truth:
        made.fit(X, Y)
    folder = only_run()
    assert folder.name.startswith("two-seed1-")
    steps, evaluations = table(folder, "steps"), table(folder, "epochs")
    assert steps["step"] == [1, 2, 3, 4]
    assert steps["lr"] == [rates[0] for rates in truth.rates] == [0.1, 0.05, 0.025, 0.0125]
    assert steps["loss"] == pytest.approx([b["train_loss"] for row in made.history for b in row["batches"][:2]])
    history = made.history
    assert evaluations["val_loss"] == history[:, "valid_loss"] and evaluations["val_acc"] == history[:, "valid_acc"]
    assert evaluations["train_loss"] == history[:, "train_loss"]
    assert evaluations["step"] == [2, 4] and evaluations["epoch"] == [1, 2]
    assert folder.environment().metrics == {"acc": {"better": "higher", "form": "percent"}}
    result = folder.result()
    assert result is not None and result.status is Status.FINISHED
    assert folder.config().plain()["params"] == {
        "module": "Two",
        "criterion": "NLLLoss",
        "optimizer": "SGD",
        "lr": 0.1,
        "batch_size": 8,
        "max_epochs": 2,
        "module__width": 2,
        "optimizer__momentum": 0.9,
    }


def test_stopping_early_is_no_failure() -> None:
    stop = skorch.callbacks.EarlyStopping(patience=1, threshold=10.0)
    net(stop, LrbenchCallback(), max_epochs=9).fit(X, Y)
    result = only_run().result()
    assert result is not None and result.status is Status.STOPPED_EARLY


def test_a_callback_can_be_cloned_as_sklearn_does() -> None:
    from sklearn.base import clone

    clone(net(LrbenchCallback(name="two"))).fit(X, Y)
    assert only_run().name.startswith("two-")
