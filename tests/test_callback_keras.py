"""Keras' callback, with the real framework on a tiny model."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recording import nothing_recorded, only_run, table

from lrbench.runs import RunFolder, Status

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")

from lrbench.integrations.keras import LrbenchCallback  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # the framework's own

X = np.arange(8.0, dtype=np.float32)[:, None] / 8
Y = 2 * X + 1


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with nothing_recorded(monkeypatch, tmp_path):
        yield


class Told(keras.optimizers.SGD):  # type: ignore[misc]
    """SGD that tells the learning rate of every update as it applies it."""

    told: list[float] = []  # noqa: RUF012

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if not self.told or variable is self.model_first:
            self.told.append(float(learning_rate))
        super().update_step(gradient, variable, learning_rate)


def line(optimizer: Any) -> Any:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)], name="line")
    model.compile(optimizer, loss="mse", metrics=["mae"])
    return model


def fit(model: Any, *callbacks: Any, **arguments: Any) -> Any:
    chosen = {"batch_size": 2, "epochs": 2, "validation_data": (X, Y), "verbose": 0, **arguments}
    return model.fit(X, Y, callbacks=list(callbacks), **chosen)


def test_everything_is_recorded() -> None:
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=2, decay_rate=0.5)
    optimizer = Told(schedule, momentum=0.9)
    model = line(optimizer)
    optimizer.model_first = model.trainable_variables[0]
    Told.told = []
    made = LrbenchCallback(name="line", seed=3)
    history = fit(model, made).history
    model.evaluate(X, Y, callbacks=[made], verbose=0)
    folder = only_run()
    assert folder.name.startswith("line-seed3-")
    steps, evaluations = table(folder, "steps"), table(folder, "epochs")
    assert steps["step"] == list(range(1, 9)) and all(map(math.isnan, steps["loss"]))
    assert steps["lr"] == Told.told and steps["lr"][:2] == pytest.approx([0.1, 0.1 * 0.5**0.5])
    assert evaluations["step"] == [4, 8] and evaluations["epoch"] == [1, 2]
    for ours, theirs in (
        ("val_loss", "val_loss"),
        ("train_loss", "loss"),
        ("val_mae", "val_mae"),
        ("train_mae", "mae"),
    ):
        assert evaluations[ours] == history[theirs]
    result = folder.result()
    assert result is not None and result.status is Status.FINISHED and result.test is not None
    assert result.test["loss"] == pytest.approx(evaluations["val_loss"][1])
    assert folder.config().plain()["params"] == {
        "lr": 0.1,
        "optimizer": "told",
        "momentum": 0.9,
        "schedule": {
            "initial_learning_rate": 0.1,
            "decay_steps": 2,
            "decay_rate": 0.5,
            "staircase": False,
            "name": "ExponentialDecay",
        },
        "epochs": 2,
        "model": "line",
    }
    assert folder.environment().sizes.total_steps == 8


def test_callbacks_that_change_the_learning_rate_are_followed() -> None:
    change = keras.callbacks.LearningRateScheduler(lambda epoch, lr: 0.1 / (epoch + 1))
    fit(line("sgd"), LrbenchCallback(), change)
    folder = only_run()
    assert table(folder, "steps")["lr"] == pytest.approx([0.1] * 4 + [0.05] * 4)
    assert not any("learning_rate" in name for name in table(folder, "epochs"))


def test_accumulated_gradients_are_one_step() -> None:
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    fit(line(optimizer), LrbenchCallback())
    folder = only_run()
    assert table(folder, "steps")["step"] == [1, 2, 3, 4] and table(folder, "epochs")["step"] == [2, 4]


def test_stopping_early_is_no_failure() -> None:
    stop = keras.callbacks.EarlyStopping("val_loss", patience=0, mode="max")
    fit(line("sgd"), LrbenchCallback(), stop, epochs=9)
    result = only_run().result()
    assert (
        result is not None and result.status is Status.STOPPED_EARLY and result.reason.startswith("stopped after 8 of")
    )


def test_a_run_that_goes_on_keeps_its_rows() -> None:
    model = line("sgd")
    fit(model, LrbenchCallback(name="line", seed=0, config={"epochs": 4}))
    model.save("kept.keras")
    again = keras.models.load_model("kept.keras")
    fit(again, LrbenchCallback(name="line", seed=0, config={"epochs": 4, "model": "line"}), epochs=4, initial_epoch=2)
    folder = only_run()
    assert table(folder, "steps")["step"] == list(range(1, 17))
    assert table(folder, "epochs")["epoch"] == [1, 2, 3, 4]


def test_a_command_s_run_is_written_by_the_callback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cell").mkdir()
    monkeypatch.setenv("LRBENCH_RUN", str(tmp_path / "cell"))
    fit(line("sgd"), LrbenchCallback())
    folder = RunFolder(tmp_path / "cell")
    assert len(table(folder, "steps")["step"]) == 8 and folder.recorded()["by"] == "keras"
    assert not Path("runs").exists() and folder.result() is None
