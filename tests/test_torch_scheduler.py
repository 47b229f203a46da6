"""The schedules in one's own loop: the same rates, and a scheduler that behaves as torch's do."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import lrbench
from lrbench import torch_scheduler
from lrbench.config import Experiment
from lrbench.errors import ConfigError

PARTS: list[Any] = [
    "cosine",
    {"name": "step", "every": 1, "factor": 0.5},
    {"name": "one_cycle", "cycle_momentum": [0.8, 0.9]},
    {"name": "cosine_restarts", "cycle": "5 steps", "cycle_factor": 1.5, "peak_factor": 0.5},
    {"name": "torch.optim.lr_scheduler:ExponentialLR", "gamma": 0.9, "per": "step"},
]


def optimizer_of(lr: float = 0.1, kind: type = torch.optim.SGD, **more: Any) -> torch.optim.Optimizer:
    weights = [torch.zeros(2, requires_grad=True) for _ in range(2)]
    return kind([{"params": [weights[0]]}, {"params": [weights[1]], "lr": lr / 10}], lr=lr, **more)


def rates_of(optimizer: torch.optim.Optimizer, scheduler: Any, updates: int) -> list[float]:
    rates = []
    for _ in range(updates):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("part", PARTS, ids=str)
@pytest.mark.parametrize("warmup", [None, {"for": "3 steps"}])
def test_rates_are_those_of_a_run(part: Any, warmup: Any, tmp_path: Path, tiny: Callable[..., Experiment]) -> None:
    experiment = tiny(
        schedule=part,
        warmup=warmup,
        optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.9},
        steps=20,
        epochs=None,
        batch_size=16,
    )
    (outcome,) = lrbench.run([experiment], runs=tmp_path)
    logged = pd.read_csv(outcome.path / "steps.csv")
    optimizer = optimizer_of(0.1, momentum=0.9)
    scheduler = torch_scheduler(optimizer, part, total_steps=20, steps_per_epoch=4, warmup=warmup)
    for row in logged.itertuples():
        assert optimizer.param_groups[0]["lr"] == row.lr
        assert optimizer.param_groups[0]["momentum"] == row.momentum
        assert scheduler.get_last_lr() == [row.lr, pytest.approx(row.lr / 10)]
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_going_on_from_a_state_dict_gives_the_same_rates(part: Any) -> None:
    whole = optimizer_of(momentum=0.9)
    expected = rates_of(whole, torch_scheduler(whole, part, total_steps=20, steps_per_epoch=4), 20)
    first = optimizer_of(momentum=0.9)
    scheduler = torch_scheduler(first, part, total_steps=20, steps_per_epoch=4)
    rates = rates_of(first, scheduler, 7)
    saved = {"optimizer": first.state_dict(), "scheduler": scheduler.state_dict()}
    second = optimizer_of(momentum=0.9)
    resumed = torch_scheduler(second, part, total_steps=20, steps_per_epoch=4)
    second.load_state_dict(saved["optimizer"])
    resumed.load_state_dict(saved["scheduler"])
    assert rates + rates_of(second, resumed, 13) == expected


def test_a_saved_state_loads_with_weights_only(tmp_path: Path) -> None:
    optimizer = optimizer_of()
    scheduler = torch_scheduler(optimizer, "cosine", total_steps=20, steps_per_epoch=4)
    torch.save(scheduler.state_dict(), tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt", weights_only=True)["last_epoch"] == 0


def test_adams_beta1_is_cycled_only_when_asked() -> None:
    optimizer = optimizer_of(kind=torch.optim.Adam)
    torch_scheduler(optimizer, "one_cycle", total_steps=20, steps_per_epoch=4)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)
    optimizer = optimizer_of(kind=torch.optim.Adam)
    torch_scheduler(optimizer, PARTS[2], total_steps=20, steps_per_epoch=4)
    assert optimizer.param_groups[1]["betas"] == (pytest.approx(0.9), 0.999)
    with pytest.raises(ConfigError, match="no momentum"):
        torch_scheduler(optimizer_of(kind=torch.optim.Adagrad), PARTS[2], total_steps=20, steps_per_epoch=4)


def test_the_rate_stays_after_the_last_update() -> None:
    optimizer = optimizer_of()
    scheduler = torch_scheduler(optimizer, "linear", total_steps=4, steps_per_epoch=4)
    assert rates_of(optimizer, scheduler, 7) == pytest.approx([0.1, 0.075, 0.05, 0.025, 0.025, 0.025, 0.025])


@pytest.mark.parametrize(
    ("part", "warmup", "fragment"),
    [
        ("cosin", None, "did you mean 'cosine'"),
        ("cosine", {"for": "5 eons"}, "duration"),
        ("cosine", {"shape": "linear"}, "warmup.for"),
        ("cosine", {"for": "100%"}, "must be shorter than the run"),
        ("cosine", {"for": "5%", "form": "linear"}, "form"),
    ],
)
def test_mistakes(part: Any, warmup: Any, fragment: str) -> None:
    with pytest.raises(ConfigError, match=fragment):
        torch_scheduler(optimizer_of(), part, total_steps=20, steps_per_epoch=4, warmup=warmup)


# -- within other tools' training loops


def test_with_accelerate() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from accelerate import Accelerator

    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    part = {"name": "one_cycle", "cycle_momentum": [0.8, 0.9]}
    scheduler = lrbench.torch_scheduler(optimizer, part, total_steps=10, steps_per_epoch=5, warmup={"for": "2 steps"})
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
    rate = lrbench.build_schedule(part, lr=0.5, total_steps=10, steps_per_epoch=5, warmup={"for": "2 steps"})
    found = []
    for _ in range(20):  # two batches an update: the rate moves with updates alone
        with accelerator.accumulate(model):
            accelerator.backward(model(torch.ones(4, 3)).sum())
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        found.append(scheduler.get_last_lr()[0])
    assert found[1::2] == [rate(t) for t in (*range(1, 10), 9)]
    saved = scheduler.state_dict()
    fresh = torch.optim.SGD(torch.nn.Linear(3, 2).parameters(), lr=0.5, momentum=0.9)
    again = lrbench.torch_scheduler(fresh, part, total_steps=10, steps_per_epoch=5, warmup={"for": "2 steps"})
    again.load_state_dict(saved)
    assert again.get_last_lr() == scheduler.get_last_lr()


@pytest.mark.filterwarnings("ignore")  # Lightning's own, about loggers and workers
def test_with_lightning(tmp_path: Path) -> None:
    import lightning

    rates: list[float] = []

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = torch.nn.Linear(3, 2)

        def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
            rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])
            return self.net(batch[0]).sum()

        def configure_optimizers(self) -> dict[str, Any]:
            optimizer = torch.optim.AdamW(self.parameters(), lr=0.5)
            scheduler = lrbench.torch_scheduler(optimizer, "cosine", total_steps=8, steps_per_epoch=4)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(16, 3)), batch_size=4)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(max_epochs=2, accelerator="cpu", default_root_dir=tmp_path, **quiet)
    trainer.fit(Module(), data)
    assert rates == lrbench.preview([experiment_of("cosine")])[0].rates


def experiment_of(schedule: str) -> Any:
    """The same training as a config: 8 updates, 4 an epoch."""
    from lrbench.config import validate

    plain = {"name": "same", "dataset": "digits", "model": "mlp", "optimizer": {"name": "adamw", "lr": 0.5}}
    return validate({**plain, "schedule": schedule, "steps": 8, "batch_size": 300}, {}, "a test")


def test_layer_wise_rates_in_ones_own_loop() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 2))
    groups = lrbench.parameter_groups(model, lr=0.4, layer_decay=0.5)
    optimizer = torch.optim.SGD(groups, lr=0.4)
    scheduler = lrbench.torch_scheduler(optimizer, "linear", total_steps=4, steps_per_epoch=2)
    found = []
    for _ in range(4):
        found.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    assert [rate for pair in found for rate in pair] == pytest.approx([0.2, 0.4, 0.15, 0.3, 0.1, 0.2, 0.05, 0.1])


def test_an_untuned_warm_up_takes_beta_from_the_optimizer() -> None:
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0, betas=(0.9, 0.9))
    sizes = {"total_steps": 100, "steps_per_epoch": 10}
    scheduler = lrbench.torch_scheduler(optimizer, "constant", warmup={"for": "untuned"}, **sizes)
    assert [scheduler.schedule(t) for t in (0, 9, 19, 20)] == [0.05, 0.5, 1.0, 1.0]
    sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    with pytest.raises(lrbench.LrbenchError, match=r"warmup\.for"):
        lrbench.torch_scheduler(sgd, "constant", warmup={"for": "untuned"}, **sizes)
