"""Lightning's callback and logger, with the real Trainer on a tiny model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from recording import Truth, folders, nothing_recorded, only_run, table

from lrbench.runs import RunFolder, Status

lightning = pytest.importorskip("lightning.pytorch")

from lrbench.integrations.lightning import LrbenchCallback, LrbenchLogger  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # the framework's own


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    with nothing_recorded(monkeypatch, tmp_path):
        yield


class Line(lightning.LightningModule):  # type: ignore[misc,name-defined]
    """y = wx + b with two parameter groups and a scheduler that moves at every step."""

    def __init__(self, lr: float = 0.1, crash: int = -1) -> None:
        super().__init__()
        self.save_hyperparameters("lr")
        self.crash = crash
        self.weight, self.bias = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
        self.losses: list[float] = []

    def loss(self, batch: Any) -> torch.Tensor:
        x, y = batch
        return ((x * self.weight + self.bias - y) ** 2).mean()

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        if self.global_step == self.crash:
            raise RuntimeError("out of memory")
        loss = self.loss(batch)
        self.losses.append(float(loss))
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        self.log_dict({"val_loss": self.loss(batch), "f1": 0.5})

    def test_step(self, batch: Any, index: int) -> None:
        self.log("test_loss", self.loss(batch))

    def configure_optimizers(self) -> Any:
        groups = [{"params": [self.weight]}, {"params": [self.bias], "lr": 0.01}]
        optimizer = torch.optim.SGD(groups, lr=self.hparams["lr"], momentum=0.9)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]


X = torch.arange(8.0)[:, None] / 8
DATA = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, 2 * X + 1), batch_size=2)


def trainer(*callbacks: Any, **arguments: Any) -> Any:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    chosen = {"max_epochs": 2, "logger": False, "accelerator": "cpu", "devices": 1, **quiet, **arguments}
    return lightning.Trainer(callbacks=list(callbacks), **chosen)


def test_everything_is_recorded() -> None:
    lightning.seed_everything(5, verbose=False)
    model, made = Line(), trainer(LrbenchCallback(name="line"))
    with Truth() as truth:
        made.fit(model, DATA, DATA)
    made.test(model, DATA, verbose=False)
    folder = only_run()
    assert folder.name.startswith("line-seed5-")
    steps, evaluations = table(folder, "steps"), table(folder, "epochs")
    assert steps["step"] == list(range(1, 9))
    assert [[lr, other] for lr, other in zip(steps["lr"], steps["lr_1"], strict=True)] == truth.rates
    assert steps["lr"][:2] == [0.1, pytest.approx(0.08)]
    assert steps["loss"] == model.losses
    assert evaluations["step"] == [4, 8] and evaluations["epoch"] == [1, 2]
    assert evaluations["val_f1"] == [0.5, 0.5] and evaluations["val_loss"][1] < evaluations["val_loss"][0]
    assert evaluations["train_loss"] == pytest.approx([sum(model.losses[:4]) / 4, sum(model.losses[4:]) / 4])
    result = folder.result()
    assert result is not None and result.status is Status.FINISHED and result.test is not None
    assert result.test["loss"] == pytest.approx(evaluations["val_loss"][1])
    config = folder.config().plain()
    assert config["recorded"] == "lightning" and config["seed"] == 5
    assert config["params"] == {
        "lr": 0.1,
        "optimizer": "SGD",
        "weight_decay": 0.0,
        "scheduler": "ExponentialLR",
        "batch_size": 2,
        "max_epochs": 2,
        "model": "Line",
    }
    assert folder.environment().sizes.total_steps == 8


def test_accumulated_gradients_are_one_step() -> None:
    model = Line()
    with Truth() as truth:
        trainer(LrbenchCallback(), accumulate_grad_batches=3).fit(model, DATA, DATA)
    steps = table(only_run(), "steps")
    assert steps["step"] == [1, 2, 3, 4] and steps["lr"] == [rates[0] for rates in truth.rates]
    own = model.losses
    assert steps["loss"] == pytest.approx([sum(own[:3]) / 3, own[3], sum(own[4:7]) / 3, own[7]])


def test_validations_inside_an_epoch() -> None:
    trainer(LrbenchCallback(), val_check_interval=2).fit(Line(), DATA, DATA)
    evaluations = table(only_run(), "epochs")
    assert evaluations["step"] == [2, 4, 6, 8] and evaluations["epoch"] == [0.5, 1, 1.5, 2]


def test_the_monitored_metric_is_the_best_s() -> None:
    stop = lightning.callbacks.EarlyStopping("val_loss", mode="max", patience=1)
    trainer(LrbenchCallback(), stop, max_epochs=5).fit(Line(), DATA, DATA)
    folder = only_run()
    result = folder.result()
    assert folder.config().plain()["best_by"] == "val_loss"
    assert result is not None and result.status is Status.STOPPED_EARLY and result.steps == 8


def test_a_crash_is_a_failed_run() -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        trainer(LrbenchCallback()).fit(Line(crash=3), DATA, DATA)
    folder = only_run()
    result = folder.result()
    assert result is not None and result.status is Status.FAILED and result.reason == "RuntimeError: out of memory"
    assert table(folder, "steps")["step"] == [1, 2, 3]


def test_a_run_that_a_checkpoint_resumes_keeps_its_rows() -> None:
    lightning.seed_everything(5, verbose=False)
    whole = Line()
    trainer(LrbenchCallback(runs="whole")).fit(whole, DATA, DATA)
    checkpoint = lightning.callbacks.ModelCheckpoint("kept", every_n_epochs=1, save_top_k=-1, filename="{step}")
    with pytest.raises(RuntimeError, match="out of memory"):
        trainer(LrbenchCallback(), checkpoint, enable_checkpointing=True).fit(Line(crash=6), DATA, DATA)
    trainer(LrbenchCallback()).fit(Line(), DATA, DATA, ckpt_path="kept/step=4.ckpt")
    folder, uninterrupted = only_run(), RunFolder(next(Path("whole").iterdir()))
    assert (folder.path / "steps.csv").read_bytes() == (uninterrupted.path / "steps.csv").read_bytes()
    assert table(folder, "epochs")["val_loss"] == table(uninterrupted, "epochs")["val_loss"]
    assert folder.status() is Status.FINISHED


def test_several_optimizers_are_groups() -> None:
    class Pair(Line):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, index: int) -> Any:
            loss = self.loss(batch)
            self.manual_backward(loss)
            for optimizer in self.optimizers():
                optimizer.step()
                optimizer.zero_grad()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD([self.weight], lr=0.1), torch.optim.SGD([self.bias], lr=0.2)

    trainer(LrbenchCallback()).fit(Pair(), DATA, DATA)
    steps = table(only_run(), "steps")
    assert steps["lr_0"] == [0.1] * 8 and steps["lr_1"] == [0.2] * 8
    assert steps["step"] == list(range(2, 17, 2)) and all(map(math.isnan, steps["loss"]))


def test_the_logger_takes_what_lightning_logs() -> None:
    logger = LrbenchLogger(name="logged")
    monitor = lightning.callbacks.LearningRateMonitor("step")
    model, made = Line(), trainer(monitor, logger=logger, log_every_n_steps=2)
    with Truth() as truth:
        made.fit(model, DATA, DATA)
    made.test(model, DATA, verbose=False)
    folder = only_run()
    steps, evaluations = table(folder, "steps"), table(folder, "epochs")
    assert steps["step"] == [2, 4, 6, 8]
    assert steps["lr"] == [rates[0] for rates in truth.rates[1::2]]
    assert steps["lr_SGD_pg2"] == [rates[1] for rates in truth.rates[1::2]]
    assert steps["loss"] == pytest.approx(model.losses[1::2])
    assert evaluations["step"] == [4, 8] and evaluations["epoch"] == [1, 2] and evaluations["val_f1"] == [0.5] * 2
    result = folder.result()
    assert result is not None and result.test is not None and result.test["loss"] is not None
    assert folder.config().plain()["params"] == {"lr": 0.1}
    assert logger.version == folder.name and logger.name == "logged"


def test_the_logger_tells_a_crash() -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        trainer(logger=LrbenchLogger(), log_every_n_steps=1).fit(Line(crash=3), DATA, DATA)
    result = only_run().result()
    assert result is not None and result.status is Status.FAILED


def many(interval: str, length: int) -> Any:
    class Scheduled(Line):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.01)
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, length)
            return [optimizer], [{"scheduler": scheduler, "interval": interval}]

    x = torch.zeros(60, 1)
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x), batch_size=1)
    trainer(LrbenchCallback(), limit_val_batches=0).fit(Scheduled(), data)
    return only_run().recorded()["notes"]


@pytest.mark.parametrize(
    ("interval", "length", "warning"),
    [
        ("step", 120, None),
        ("epoch", 2, None),
        ("epoch", 120, "still 0.01 after 50 updates, though a schedule 'cosine' is set"),
        ("step", 55, "minimum after about 55 of 120 updates"),
    ],
)
def test_a_scheduler_at_the_wrong_pace_is_warned_of(
    interval: str, length: int, warning: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = many(interval, length)
    assert len(notes) == (warning is not None)
    if warning is not None:
        assert warning in notes[0] and f"lrbench: {notes[0]}" in capsys.readouterr().err


def test_two_fits_are_two_runs() -> None:
    made = LrbenchCallback()
    for _ in range(2):
        trainer(made).fit(Line(), DATA, DATA)
    assert [folder.status() for folder in folders()] == [Status.FINISHED] * 2


def test_a_command_s_run_is_written_by_the_callback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cell").mkdir()
    monkeypatch.setenv("LRBENCH_RUN", str(tmp_path / "cell"))
    trainer(LrbenchCallback()).fit(Line(), DATA, DATA)
    folder = RunFolder(tmp_path / "cell")
    assert len(table(folder, "steps")["step"]) == 8 and folder.recorded()["by"] == "lightning"
    assert not Path("runs").exists() and folder.result() is None
