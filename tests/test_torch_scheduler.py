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


# -- with other schedulers, later groups and plateaus


def one_group(lr: float = 0.1) -> torch.optim.SGD:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)


def test_the_peak_of_a_second_phase_is_the_rate_set_by_hand() -> None:
    optimizer = one_group()
    rates_of(optimizer, torch_scheduler(optimizer, "linear", total_steps=4, steps_per_epoch=4), 4)
    optimizer.param_groups[0]["lr"] = 0.02
    second = torch_scheduler(optimizer, "linear", total_steps=4, steps_per_epoch=4)
    assert rates_of(optimizer, second, 4) == pytest.approx([0.02, 0.015, 0.01, 0.005])
    assert second.state_dict()["peak"] == 0.02


def test_grouped_rates_set_by_hand_are_peaks_too() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 2))
    optimizer = torch.optim.SGD(lrbench.parameter_groups(model, lr=0.4, layer_decay=0.5), lr=0.4)
    for group, lr in zip(optimizer.param_groups, (0.01, 0.02), strict=True):
        group["lr"] = lr
    torch_scheduler(optimizer, "linear", total_steps=4, steps_per_epoch=4)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.01, 0.02])


@pytest.mark.parametrize("old", [False, True], ids=["now", "saved by lrbench 0.1"])
def test_a_state_brings_its_peak(old: bool) -> None:
    whole = one_group()
    scheduler = torch_scheduler(whole, "linear", total_steps=4, steps_per_epoch=4)
    rates_of(whole, scheduler, 2)
    state, weights = scheduler.state_dict(), whole.state_dict()
    if old:
        state = {k: v for k, v in state.items() if k not in ("peak", "plateau", "lr", "warned")}
    again = one_group()
    again.load_state_dict(weights)  # before the scheduler is built, which takes its present rate for the peak
    resumed = torch_scheduler(again, "linear", total_steps=4, steps_per_epoch=4)
    again.load_state_dict(weights)
    resumed.load_state_dict(state)
    assert rates_of(again, resumed, 2) == pytest.approx([0.05, 0.025])


def test_without_a_state_the_peak_is_torch_s_initial_lr() -> None:
    optimizer = one_group(0.05)
    optimizer.param_groups[0]["initial_lr"] = 0.1
    scheduler = torch_scheduler(optimizer, "linear", total_steps=4, steps_per_epoch=4, last_epoch=1)
    assert rates_of(optimizer, scheduler, 2) == pytest.approx([0.05, 0.025])


def test_a_later_group_is_scaled_as_by_torch() -> None:
    found = []
    for build in (
        lambda o: torch_scheduler(o, "linear", total_steps=10, steps_per_epoch=10),
        lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=10),
    ):
        optimizer = one_group()
        scheduler = build(optimizer)
        rates_of(optimizer, scheduler, 4)  # 0.06 comes next
        optimizer.add_param_group({"params": [torch.zeros(1, requires_grad=True)], "lr": 0.03})
        later = []
        for _ in range(3):
            later.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            scheduler.step()
        found.append(later)
    assert found[0] == [pytest.approx(pair) for pair in ([0.06, 0.03], [0.05, 0.025], [0.04, 0.02])]
    assert found[0] == [pytest.approx(pair) for pair in found[1]]
    optimizer, ours = one_group(), None
    ours = torch_scheduler(optimizer, "linear", total_steps=10, steps_per_epoch=10)
    rates_of(optimizer, ours, 4)
    optimizer.add_param_group({"params": [torch.zeros(1, requires_grad=True)], "lr": 0.03})
    ours.step()
    assert ours.state_dict()["ratios"] == pytest.approx([1.0, 0.5])


def test_a_plateau_rule_is_that_of_a_run(tmp_path: Path, tiny: Callable[..., Experiment]) -> None:
    rule = {"factor": 0.5, "patience": 0, "threshold": 0.9}  # which no epoch satisfies
    (outcome,) = lrbench.run([tiny(schedule="linear", plateau=rule, epochs=4)], runs=tmp_path)
    epochs = pd.read_csv(outcome.path / "epochs.csv")["val_loss"]
    logged = list(pd.read_csv(outcome.path / "steps.csv")["lr"])

    def trained(optimizer: torch.optim.Optimizer, scheduler: Any, losses: Any) -> list[float]:
        found = []
        for loss in losses:
            found += rates_of(optimizer, scheduler, 2)
            scheduler.step_plateau(loss)
        return found

    sizes = {"total_steps": 8, "steps_per_epoch": 2}
    optimizer = one_group()
    scheduler = torch_scheduler(optimizer, "linear", plateau=rule, **sizes)
    first = trained(optimizer, scheduler, epochs[:3])
    again = one_group()
    resumed = torch_scheduler(again, "linear", plateau=rule, **sizes)
    again.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    assert first + trained(again, resumed, epochs[3:]) == pytest.approx(logged)
    assert logged[4] == pytest.approx(0.1 * 0.5 * 0.5)  # half way, and halved after the second epoch


def test_a_rate_changed_by_another_scheduler_is_told_once() -> None:
    optimizer = one_group()
    scheduler = torch_scheduler(optimizer, "constant", total_steps=10, steps_per_epoch=10)
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    with pytest.warns(UserWarning, match=r"changed from 0\.1 to 0\.05 outside this scheduler.*plateau=") as told:
        for loss in (1.0, 1.0, 1.0, 1.0):
            optimizer.step()
            scheduler.step()
            other.step(loss)
    assert len(told) == 1


@pytest.mark.parametrize(
    ("plateau", "fragment"),
    [
        ({"factor": 2.0}, r"plateau\.factor: must be less than 1"),
        ({"wait": 3}, r"plateau\.wait.*known: metric, factor"),
        ({"metric": "val_f1"}, "plateau.mode: must be 'min' or 'max', for whether less or more val_f1 is better"),
    ],
)
def test_mistakes_in_a_plateau_rule(plateau: Any, fragment: str) -> None:
    with pytest.raises(ConfigError, match=fragment):
        torch_scheduler(one_group(), "cosine", total_steps=20, steps_per_epoch=4, plateau=plateau)


def test_a_plateau_step_needs_the_rule() -> None:
    scheduler = torch_scheduler(one_group(), "cosine", total_steps=20, steps_per_epoch=4)
    with pytest.raises(ConfigError, match="build the scheduler with plateau"):
        scheduler.step_plateau(1.0)


def test_a_restored_scheduler_takes_its_next_step_at_its_own_rate(recwarn: pytest.WarningsRecorder) -> None:
    """Whichever state is loaded first; building the scheduler sets the first rate of the warm-up."""
    sizes: dict[str, Any] = {"total_steps": 60, "steps_per_epoch": 20, "warmup": "15 steps"}
    whole = one_group()
    scheduler = torch_scheduler(whole, "cosine", **sizes)
    rates_of(whole, scheduler, 30)
    states = whole.state_dict(), scheduler.state_dict()
    wanted = rates_of(whole, scheduler, 5)
    for order in ("optimizer first", "scheduler first"):
        optimizer = one_group()
        if order == "optimizer first":
            optimizer.load_state_dict(states[0])
        restored = torch_scheduler(optimizer, "cosine", **sizes)
        restored.load_state_dict(states[1])
        if order == "scheduler first":
            optimizer.load_state_dict(states[0])
        assert rates_of(optimizer, restored, 5) == wanted, order
    assert not recwarn.list


@pytest.mark.parametrize(
    ("block", "values", "lowered"),
    [
        ({"metric": "val_f1", "mode": "max"}, [0.5, 0.6, 0.7, 0.6, 0.6], [False, False, False, False, True]),
        ({"metric": "val_f1", "mode": "min"}, [0.5, 0.6, 0.7, 0.4, 0.3], [False, False, True, True, True]),
        ({"metric": "val_accuracy"}, [0.5, 0.4, 0.3, 0.9, 0.9], [False, False, True, True, True]),
        ({"metric": "val_loss", "mode": "max"}, [0.5, 0.6, 0.7, 0.8, 0.9], [False] * 5),
    ],
)
def test_a_plateau_of_any_metric(block: Any, values: list[float], lowered: list[bool]) -> None:
    optimizer = one_group(0.1)
    plateau = {**block, "factor": 0.5, "patience": 1}
    scheduler = torch_scheduler(optimizer, "constant", total_steps=5, steps_per_epoch=1, plateau=plateau)
    mode = block.get("mode", "max")
    twin = one_group(0.1)
    torchs = torch.optim.lr_scheduler.ReduceLROnPlateau(twin, mode, factor=0.5, patience=1)
    for value, low in zip(values, lowered, strict=True):
        optimizer.step()
        scheduler.step()
        scheduler.step_plateau(value)
        torchs.step(value)
        assert optimizer.param_groups[0]["lr"] == (0.05 if low else 0.1) == twin.param_groups[0]["lr"]
    resumed = torch_scheduler(one_group(0.1), "constant", total_steps=5, steps_per_epoch=1, plateau=plateau)
    resumed.load_state_dict(scheduler.state_dict())
    assert (resumed.lower, resumed.plateau) == (mode == "min", scheduler.plateau)
