"""Range tests with other frameworks' trainers: training afterwards is training without one, bit for bit."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lrbench.errors import UsageError
from lrbench.integrations import hf_range_test, keras_range_test, lightning_range_test
from lrbench.lr_finder import Advice

pytestmark = [pytest.mark.usefixtures("sketches"), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(autouse=True)
def in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    environment = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(environment)


def examples() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(256, 8, generator=generator)
    return x, (x @ torch.randn(8, 4, generator=generator)).argmax(1)


# -- Hugging Face


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.1), nn.ReLU(), nn.Linear(16, 4))

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        out = self.net(x)
        return {"loss": nn.functional.cross_entropy(out, labels), "logits": out}


def hf_trainer(**settings: Any) -> Any:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    x, y = examples()
    data = [{"x": one, "labels": int(label)} for one, label in zip(x, y, strict=True)]
    arguments = transformers.TrainingArguments(
        "out", max_steps=12, per_device_train_batch_size=32, logging_steps=1, report_to=[], use_cpu=True,
        learning_rate=1e-2, warmup_steps=3, save_strategy="no", disable_tqdm=True, **settings,
    )  # fmt: skip
    return transformers.Trainer(Classifier(), arguments, train_dataset=data)


def trained(trainer: Any) -> tuple[Any, ...]:
    """What training gives, the times left out."""
    trainer.train()
    logs = [
        [log.get(key) for key in ("loss", "grad_norm", "learning_rate", "step")] for log in trainer.state.log_history
    ]
    return logs, {name: value.clone() for name, value in trainer.model.state_dict().items()}, trainer.state.global_step


@pytest.mark.parametrize(
    "settings",
    [{}, pytest.param({"gradient_accumulation_steps": 2, "bf16": True}, marks=pytest.mark.slow)],
    ids=["plain", "bf16"],
)
def test_hugging_face(settings: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    logs, weights, steps = trained(hf_trainer(**settings))
    trainer = hf_trainer(**settings)
    handler, optimizer, scheduler, control = (
        trainer.callback_handler,
        trainer.optimizer,
        trainer.lr_scheduler,
        trainer.control,
    )
    capsys.readouterr()
    finding = hf_range_test(trainer, steps=100, passes=2)
    assert not list(Path("out").glob("*")) and capsys.readouterr().out == ""
    assert isinstance(finding.advice, Advice) and len(finding.curves) == 2 and finding.curves[0].momentum == 0.9
    assert finding.curves[0].rates[0] == 1e-7 and finding.experiment.name == "Classifier"
    assert trainer.args.max_steps == 12 and (trainer.optimizer, trainer.lr_scheduler) == (optimizer, scheduler)
    assert trainer.callback_handler is handler and trainer.control is control and trainer.state.global_step == 0
    after = trained(trainer)
    assert after[0] == logs and after[2] == steps
    assert all(torch.equal(weights[name], value) for name, value in after[1].items())


def rate_of(rates: Any, step: int) -> float:
    return float(rates[min(step, len(rates) - 1)])


@pytest.mark.slow
def test_hugging_face_losses_are_those_of_its_own_steps() -> None:
    """The same steps by its own scheduler and log, which rounds."""
    logs: list[Any] = []
    rates: Any = None
    for tested in (True, False):
        trainer = hf_trainer(gradient_accumulation_steps=2)
        torch.manual_seed(1)
        if tested:
            curve = hf_range_test(trainer, 1e-3, 1e-1, 5).curves[0]
            rates = curve.rates
        else:
            trainer.create_optimizer()
            for group in trainer.optimizer.param_groups:
                group["lr"] = 1.0
            follow = functools.partial(rate_of, rates)
            trainer.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(trainer.optimizer, follow)
            logs, _, _ = trained(trainer)
    assert rates == pytest.approx([1e-3, 10**-2.5, 1e-2, 10**-1.5, 1e-1])
    assert curve.losses == pytest.approx([loss for loss, *_ in logs[:5]], rel=1e-3)


def test_an_error_in_a_hugging_face_trainer_leaves_it_as_it_was() -> None:
    trainer = hf_trainer()
    attributes, weights = dict(vars(trainer)), {k: v.clone() for k, v in trainer.model.state_dict().items()}
    count = []

    def failing(*args: Any) -> None:
        count.append(1)
        if len(count) == 5:
            raise LookupError("lost")

    trainer.model.register_forward_pre_hook(failing)
    with pytest.raises(LookupError):
        hf_range_test(trainer)
    assert vars(trainer) == attributes
    assert all(torch.equal(weights[name], value) for name, value in trainer.model.state_dict().items())


# -- Lightning


def lightning_module() -> Any:
    lightning = pytest.importorskip("lightning.pytorch")

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model, self.seen = Classifier(), []

        def training_step(self, batch: Any, index: int) -> Tensor:
            loss = self.model(*batch)["loss"]
            self.seen.append(loss.item())
            return loss

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
            schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    torch.manual_seed(0)
    return Module()


def lightning_trainer(**settings: Any) -> Any:
    lightning = pytest.importorskip("lightning.pytorch")
    return lightning.Trainer(
        accelerator="cpu", max_steps=12, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, **settings,
    )  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [{}, pytest.param({"accumulate_grad_batches": 2, "gradient_clip_val": 0.5}, marks=pytest.mark.slow)],
    ids=["plain", "more"],
)
def test_lightning(settings: dict[str, Any]) -> None:
    seen, weights = [], []
    for tested in (False, True):
        module, trainer = lightning_module(), lightning_trainer(**settings)
        generator = torch.Generator().manual_seed(2)
        loader = DataLoader(TensorDataset(*examples()), batch_size=32, shuffle=True, generator=generator)
        if tested:
            finding = lightning_range_test(trainer, module, loader, steps=100, passes=2)
            assert isinstance(finding.advice, Advice) and len(finding.curves) == 2
            assert trainer.global_step == 0 and module._trainer is None and finding.experiment.name == "Module"
        module.seen.clear()
        trainer.fit(module, loader)
        seen.append((module.seen, trainer.global_step, trainer.optimizers[0].param_groups[0]["lr"]))
        weights.append(module.state_dict())
    assert seen[0] == seen[1]
    assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())


def test_what_lightning_can_t_test_is_told() -> None:
    module = lightning_module()
    module.automatic_optimization = False
    with pytest.raises(UsageError, match=r"optimizes by itself; use lrbench\.RangeTest"):
        lightning_range_test(lightning_trainer(), module, None)


# -- Keras


def keras_model(rate: Any = 0.01, *, built: bool = True, dropout: float = 0.1) -> Any:
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Dense(16, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(dropout),
    ]
    model = keras.Sequential([*([keras.Input((8,))] if built else []), *layers, keras.layers.Dense(4)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(rate), loss=loss, metrics=["accuracy"])
    return model


@pytest.mark.parametrize("built", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["built", "not built"])
@pytest.mark.parametrize("scheduled", [False, True], ids=["constant", "schedule"])
def test_keras(built: bool, scheduled: bool) -> None:
    keras = pytest.importorskip("keras")
    x, y = (value.numpy() for value in examples())
    histories, weights = [], []
    for tested in (False, True):
        rate = keras.optimizers.schedules.ExponentialDecay(0.01, 5, 0.5) if scheduled else 0.01
        model = keras_model(rate, built=built)
        if tested:
            finding = keras_range_test(model, x, y, batch_size=32, steps=100, passes=2)
            assert isinstance(finding.advice, Advice) and len(finding.curves) == 2
            assert finding.curves[0].momentum == pytest.approx(0.9) and finding.curves[0].losses[0] > 1
            assert int(model.optimizer.iterations) == 0 and not model.stop_training
        histories.append(model.fit(x, y, batch_size=32, epochs=2, verbose=0).history)
        weights.append(model.get_weights())
    assert histories[0] == histories[1]
    assert all(np.array_equal(one, other) for one, other in zip(*weights, strict=True))


@pytest.mark.slow
def test_keras_losses_are_those_of_the_batches() -> None:
    x, y = (value.numpy() for value in examples())
    losses = keras_range_test(keras_model(dropout=0.0), x, y, batch_size=64, shuffle=False, steps=8).curves[0].losses
    model, expected = keras_model(dropout=0.0), []
    for step in range(8):
        model.optimizer.learning_rate = 1e-7 * 1e8 ** (step / 7)
        at = slice(step % 4 * 64, step % 4 * 64 + 64)
        expected.append(model.train_on_batch(x[at], y[at], return_dict=True)["loss"])
        model.reset_metrics()
    assert losses == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_keras_schedules_give_the_same_curve() -> None:
    keras = pytest.importorskip("keras")
    x, y = (value.numpy() for value in examples())
    schedule = keras.optimizers.schedules.ExponentialDecay(0.01, 5, 0.5)
    models = [keras_model(rate, dropout=0.0) for rate in (0.01, schedule)]
    one, other = (keras_range_test(model, x, y, shuffle=False, steps=60).curves[0].losses for model in models)
    assert one[:40] == pytest.approx(other[:40], rel=1e-3)
    assert models[1].optimizer._learning_rate is schedule


def test_what_keras_can_t_test_is_told() -> None:
    keras = pytest.importorskip("keras")
    with pytest.raises(UsageError, match="sets epochs itself"):
        keras_range_test(keras_model(), np.zeros((4, 8)), np.zeros(4), epochs=3)
    with pytest.raises(UsageError, match=r"call model\.compile"):
        keras_range_test(keras.Sequential([keras.layers.Dense(2)]), np.zeros((4, 8)), np.zeros(4))
