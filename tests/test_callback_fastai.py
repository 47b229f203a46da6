"""fastai's callback, with the real framework on a tiny model, where it is installed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from recording import nothing_recorded, only_run, table

from lrbench.runs import Status

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("fastai.callback.all")  # as its users do; it adds methods to Learner
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner

    from lrbench.integrations.fastai import LrbenchCallback

pytestmark = pytest.mark.filterwarnings("ignore")  # the framework's own

X = torch.arange(8.0)[:, None] / 8
PAIRS = [(x, 2 * x + 1) for x in X]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with nothing_recorded(monkeypatch, tmp_path):
        yield


def mae(out: Any, y: Any) -> Any:
    return (out - y).abs().mean()


def learner(**arguments: Any) -> Any:
    loader = DataLoader(PAIRS, bs=2)
    data = DataLoaders(loader, DataLoader(PAIRS, bs=4))
    return Learner(data, torch.nn.Linear(1, 1), loss_func=torch.nn.functional.mse_loss, metrics=mae, **arguments)


def test_everything_is_recorded() -> None:
    made = learner(cbs=LrbenchCallback(name="line", seed=2))
    with made.no_bar(), made.no_logging():
        made.fit_one_cycle(2, 0.1)
    folder = only_run()
    assert folder.name.startswith("line-seed2-")
    steps, evaluations = table(folder, "steps"), table(folder, "epochs")
    recorder = made.recorder
    assert steps["step"] == list(range(1, 9))
    assert steps["lr"] == pytest.approx([float(lr) for lr in recorder.lrs])
    assert evaluations["val_loss"] == pytest.approx([float(row[1]) for row in recorder.values])
    assert evaluations["val_mae"] == pytest.approx([float(row[2]) for row in recorder.values])
    assert evaluations["train_loss"] == pytest.approx([sum(steps["loss"][:4]) / 4, sum(steps["loss"][4:]) / 4])
    result = folder.result()
    assert result is not None and result.status is Status.FINISHED
    params = folder.config().plain()["params"]
    assert params["lr"] == pytest.approx(0.1) and params["epochs"] == 2 and params["batch_size"] == 2


def test_the_finder_and_predictions_are_left_out() -> None:
    made = learner(cbs=LrbenchCallback())
    with made.no_bar(), made.no_logging():
        made.lr_find(num_it=30, show_plot=False, suggest_funcs=None)
        assert not Path("runs").exists()
        made.fit(1, 0.1)
        made.get_preds()
    assert table(only_run(), "epochs")["step"] == [4]
