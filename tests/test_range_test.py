"""`lrbench.RangeTest`: a range test in a loop of one's own, and everything as it was afterwards."""

from __future__ import annotations

import copy
import itertools
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import tiny_experiment
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import lrbench
from lrbench.errors import ArgumentError, ConfigError, FolderError, UsageError
from lrbench.lr_finder import Advice, FinderFolder, KeptState, Refusal, load_finding
from lrbench.training.build import assemble, seed_everything

pytestmark = pytest.mark.usefixtures("sketches")
WIDE = {"dataset": "digits", "model": {"name": "mlp", "hidden": [32]}, "optimizer": {"name": "adam"}, "batch_size": 64}


class Net(nn.Module):
    """Buffers, dropout, a frozen layer, a setting that the forward pass changes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Linear(16, 4)
        self.frozen = nn.Linear(16, 16).requires_grad_(False)
        self.drop = nn.Dropout(0.2)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.last(self.drop(self.frozen(self.norm(self.first(x).relu()))))


@pytest.fixture(autouse=True)
def in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and what class they are, from generators of its own."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(8, 4, generator=generator)
    while True:
        x = torch.randn(32, 8, generator=generator)
        yield x, (x @ weights).argmax(1)


def update(model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Tensor, Tensor]) -> Tensor:
    loss = cross_entropy(model(batch[0]), batch[1])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def run(test: lrbench.RangeTest, model: nn.Module, optimizer: torch.optim.Optimizer) -> lrbench.Finding:
    for batch in batches():
        if not test.step(update(model, optimizer, batch)):
            break
    return test.finish()


def whole(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """All that training changes, as values to compare."""
    return {
        "model": {name: value.clone() for name, value in model.state_dict().items()},
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "trained": [p.requires_grad for p in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "optimizer": copy.deepcopy(optimizer.state_dict()),
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].tolist(),
        "python": random.getstate(),
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


# -- the same as find-lr


@pytest.mark.parametrize("optimizer", [{"name": "adam"}, {"name": "sgd", "momentum": 0.9}], ids=["adam", "sgd"])
def test_the_curve_and_the_advice_are_those_of_find_lr(tmp_path: Path, optimizer: dict[str, Any]) -> None:
    experiment = tiny_experiment(**{**WIDE, "optimizer": optimizer})
    expected = lrbench.find_lr(experiment, seeds=1)
    parts = assemble(experiment, torch.device("cpu"))
    seed_everything(0)
    parts.training()
    test = lrbench.RangeTest(parts.optimizer, model=parts.model)
    for raw in itertools.chain.from_iterable(parts.data.training_batches(64, 0, epoch) for epoch in itertools.count()):
        loss, _ = parts.task.measure(parts.forward, parts.batch(raw))
        parts.optimizer.zero_grad()
        loss.backward()
        parts.optimizer.step()
        if not test.step(loss):
            break
    found = test.finish()
    (curve,), (other,) = found.curves, expected.curves
    assert (curve.rates, curve.losses, curve.momentum) == (other.rates, other.losses, other.momentum)
    assert curve.reason == other.reason
    assert isinstance(found.advice, Advice) and isinstance(expected.advice, Advice)
    assert (found.lr, found.advice.maximum, found.advice.low) == (
        expected.lr,
        expected.advice.maximum,
        expected.advice.low,
    )
    assert {name: one.median for name, one in found.suggestions.items()} == {
        name: one.median for name, one in expected.suggestions.items()
    }


def test_the_rates_rise_as_written() -> None:
    model = nn.Linear(8, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=3.0)
    test = lrbench.RangeTest(optimizer, 0.001, 1.0, 4, model=model)
    seen = []
    for batch in batches():
        seen.append(optimizer.param_groups[0]["lr"])
        assert seen[-1] == test.lr
        if not test.step(update(model, optimizer, batch)):
            break
    assert seen == pytest.approx([0.001, 0.01, 0.1, 1.0])
    assert test.step(1.0) is False, "it stays over"
    assert [*test.finish().curves[0].rates] == seen and optimizer.param_groups[0]["lr"] == 3.0


def test_parameter_groups_keep_their_ratios() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
    groups = [{"params": model[0].parameters(), "lr": 0.02}, {"params": model[1].parameters(), "lr": 0.005}]
    optimizer = torch.optim.SGD(groups, lr=torch.tensor(0.02))
    with lrbench.RangeTest(optimizer, 1e-3, 1e-1, 3, model=model) as test:
        seen = []
        for batch in batches():
            seen.append([float(group["lr"]) for group in optimizer.param_groups])
            if not test.step(update(model, optimizer, batch)):
                break
    assert seen == [pytest.approx([lr, lr / 4]) for lr in (1e-3, 1e-2, 1e-1)]
    assert [float(group["lr"]) for group in optimizer.param_groups] == pytest.approx([0.02, 0.005])


# -- everything as it was


@pytest.mark.parametrize("begun", [False, True], ids=["new", "trained before"])
@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD])
def test_everything_is_as_it_was(begun: bool, kind: Any) -> None:
    model = Net()
    optimizer = kind(model.parameters(), lr=0.01, **({"momentum": 0.9} if kind is torch.optim.SGD else {}))
    for batch in itertools.islice(batches(), 3 if begun else 0):
        update(model, optimizer, batch)
    model.norm.eval()
    before, tensors = whole(model, optimizer), [value.data_ptr() for value in model.state_dict().values()]
    run(lrbench.RangeTest(optimizer, steps=30, model=model, passes=2), model, optimizer)
    assert same(before, whole(model, optimizer))
    assert tensors == [value.data_ptr() for value in model.state_dict().values()], "the same tensors"
    assert model.calls == (3 if begun else 0)
    assert len(optimizer.state) == (len([p for p in model.parameters() if p.requires_grad]) if begun else 0)


def test_training_after_a_test_is_training_without_one() -> None:
    losses = []
    for tested in (False, True):
        torch.manual_seed(0)
        model = Net()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
        if tested:
            run(lrbench.RangeTest(optimizer, steps=40, model=model), model, optimizer)
        seen = []
        for batch in itertools.islice(batches(), 8):
            seen.append((update(model, optimizer, batch).item(), optimizer.param_groups[0]["lr"]))
            scheduler.step()
        losses.append(seen)
    assert losses[0] == losses[1]


def test_an_error_in_the_loop_leaves_everything_as_it_was() -> None:
    model = Net()
    optimizer = torch.optim.Adam(model.parameters())
    before = whole(model, optimizer)
    with (
        pytest.raises(KeyboardInterrupt),
        lrbench.RangeTest(optimizer, end=1.0, model=model) as test,
    ):
        for number, batch in enumerate(batches()):
            test.step(update(model, optimizer, batch))
            if number == 20:
                raise KeyboardInterrupt
    assert same(before, whole(model, optimizer))
    assert not Path("runs").exists()


def test_the_generator_of_a_loader_and_an_average_are_put_back_too() -> None:
    model = Net()
    optimizer, generator = torch.optim.SGD(model.parameters(), lr=0.1), torch.Generator().manual_seed(3)
    average = torch.optim.swa_utils.AveragedModel(model)
    before, states = generator.get_state(), copy.deepcopy(average.state_dict())
    test = lrbench.RangeTest(optimizer, steps=5, model=[model], also=[generator, average])
    for batch in batches():
        loss = update(model, optimizer, batch)
        torch.rand(3, generator=generator)
        average.update_parameters(model)
        if not test.step(loss):
            break
    test.finish()
    assert torch.equal(before, generator.get_state()) and same(states, dict(average.state_dict()))


def test_without_the_model_what_the_optimizer_trains_is_put_back() -> None:
    model = nn.Linear(8, 4)
    optimizer = torch.optim.Adam(model.parameters())
    before = whole(model, optimizer)
    found = run(lrbench.RangeTest(optimizer, steps=20), model, optimizer)
    assert same(before, whole(model, optimizer)) and found.experiment.name == "range-test"


def test_tied_weights_and_nested_states_are_kept_once() -> None:
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.state[model[0].weight] = {"history": [torch.zeros(2), {"deep": torch.ones(2)}], "count": 1}
    kept = KeptState([model], [optimizer], [])
    weight = model[0].weight.detach().clone()
    with torch.no_grad():
        model[0].weight.add_(1)
    optimizer.state[model[0].weight]["history"][1]["deep"].zero_()
    optimizer.state[model[0].weight]["history"].append(3)
    optimizer.state[model[0].weight]["new"] = 1
    kept.put_back()
    assert torch.equal(model[1].weight, weight) and model[1].weight is model[0].weight
    state = optimizer.state[model[0].weight]
    assert same(state, {"history": [torch.zeros(2), {"deep": torch.ones(2)}], "count": 1})


# -- passes


def test_passes_begin_with_the_same_weights_and_read_other_batches() -> None:
    model = Net()
    optimizer = torch.optim.Adam(model.parameters())
    test = lrbench.RangeTest(optimizer, steps=100, model=model, passes=3)
    firsts, count = [], 0
    for batch in batches():
        if test.lr == 1e-7:
            firsts.append(model.first.weight.detach().clone())
            assert not optimizer.state
        loss = update(model, optimizer, batch)
        count += 1
        if not test.step(loss):
            break
    found = test.finish()
    assert len(firsts) == len(found.curves) == 3 and count == sum(len(curve.rates) for curve in found.curves)
    assert all(torch.equal(firsts[0], first) for first in firsts)
    assert len({curve.losses[0] for curve in found.curves}) == 3
    assert found.lr is not None and all(one.seeds.keys() == {0, 1, 2} for one in found.suggestions.values())
    assert "3 passes" in str(found) and "lowest pass" in str(found) and "seed" not in str(found)


def test_one_pass_asks_for_more_in_the_words_of_python() -> None:
    model = Net()
    optimizer = torch.optim.Adam(model.parameters())
    found = run(lrbench.RangeTest(optimizer, steps=100, model=model), model, optimizer)
    assert isinstance(found.advice, Advice)
    assert "there is only one pass; more passes show how certain this is" in found.advice.notes


# -- what ends a pass, and refusals


def feed(losses: Iterator[float], **settings: Any) -> lrbench.Finding:
    """A test that only sees losses."""
    weight = nn.Parameter(torch.zeros(1))
    test = lrbench.RangeTest(torch.optim.SGD([weight], lr=0.1), **settings)
    for loss in losses:
        if not test.step(loss):
            break
    return test.finish()


def test_a_loss_that_is_not_finite_ends_a_pass() -> None:
    found = feed(itertools.chain([2.0] * 5, [math.nan], [1.0] * 100))
    (curve,) = found.curves
    assert len(curve.losses) == 6 and curve.reason == (
        "the loss was not finite at update 6, at a rate of 1.361e-07; the last finite loss was 2"
    )
    assert isinstance(found.advice, Refusal) and str(found.advice).endswith("; try start=1e-11, end=1e-07")


def test_a_loss_that_rises_ends_a_pass() -> None:
    found = feed(iter([1.0] * 10 + [9.0] * 50), smoothing=0.0)
    assert len(found.curves[0].losses) == 11
    assert found.curves[0].reason.startswith("the smoothed loss rose to 4 times its best at update 11, at a rate of")


@pytest.mark.parametrize(
    ("losses", "settings", "why"),
    [
        ([math.nan], {}, "not finite at the first step"),
        ([1.0] * 300, {}, "hardly changes over the whole range; try start=10, end=100000"),
        (
            [1.0] * 60,
            {},
            "ended after 60 of 300 steps, at a learning rate of 3.8e-06; start over with the first batch",
        ),
        ([1.0] * 5, {"steps": 5}, "5 steps are too few to show a trend; try steps=300"),
        ([2 - i / 300 for i in range(300)], {}, "still falls at the highest learning rate; try start=1e-07, end=10000"),
        ([1.0] * 30, {"steps": 30, "shape": "linear"}, "try shape='exponential'"),
    ],
    ids=["nan", "level", "too few batches", "too few steps", "falling", "linear"],
)
def test_no_suggestion(losses: list[float], settings: dict[str, Any], why: str) -> None:
    found = feed(iter(losses), **settings)
    assert isinstance(found.advice, Refusal) and why in str(found.advice) and found.lr is None
    assert "no suggestion" in str(found) and "--" not in str(found)


def test_another_scheduler_is_refused_and_everything_put_back() -> None:
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    before = whole(model, optimizer)
    test = lrbench.RangeTest(optimizer, model=model)
    stream = batches()
    assert test.step(update(model, optimizer, next(stream)))
    loss = update(model, optimizer, next(stream))
    scheduler.step()
    with pytest.raises(UsageError, match=r"group 0 was changed from .* do not step a scheduler until the test ends"):
        test.step(loss)
    assert same(before, whole(model, optimizer))


def test_mistakes_are_told() -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for settings, problem in (
        ({"start": 1.0, "end": 0.1}, "start must be less than end"),
        ({"steps": 1}, "steps must be 2 to"),
        ({"stop_factor": 0.5}, "stop_factor must be greater than 1"),
        ({"passes": 0}, "passes must be a whole number, at least 1"),
        ({"name": "a/b"}, "must be a folder name"),
        ({"model": 3}, "model must be a torch module or a list of them"),
        ({"also": [3]}, r"also must be objects with state_dict .* \(got a int\)"),
        ({"runs": __file__}, "is a file, not a folder"),
    ):
        with pytest.raises((UsageError, ConfigError, ArgumentError, TypeError), match=problem):
            lrbench.RangeTest(optimizer, **settings)
    assert optimizer.param_groups[0]["lr"] == 0.1
    with pytest.raises(ArgumentError, match="optimizer must be a torch optimizer"):
        lrbench.RangeTest(model)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="LBFGS can't be tested: it evaluates the loss several times"):
        lrbench.RangeTest(torch.optim.LBFGS(model.parameters()))
    with pytest.raises(UsageError, match="run a batch through it"):
        lrbench.RangeTest(optimizer, model=nn.LazyLinear(3))
    test = lrbench.RangeTest(optimizer)
    with pytest.raises(ArgumentError, match="loss must be a number or a tensor with one value"):
        test.step(torch.zeros(3))
    with pytest.raises(UsageError, match="has no steps"):
        test.finish()
    with pytest.raises(UsageError, match="is finished"):
        test.step(1.0)


def test_steps_that_the_gradient_scaler_skips_are_left_out() -> None:
    model = nn.Linear(8, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=16.0, growth_interval=3)
    test = lrbench.RangeTest(optimizer, 1e-3, 1e-1, 5, model=model, scaler=scaler)
    rates = []
    for number, (x, y) in enumerate(batches()):
        rates.append(optimizer.param_groups[0]["lr"])
        loss = cross_entropy(model(x), y)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        if number == 1:
            model.weight.grad.fill_(math.inf)
        scaler.step(optimizer)
        scaler.update()
        if not test.step(loss):
            break
    assert rates[1] == rates[2] and len(rates) == 6 and len(test.finish().curves[0].losses) == 5
    assert scaler.state_dict()["scale"] == 16.0


# -- the folder


def test_the_folder_reads_back_and_is_reported(rendered: None) -> None:
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), betas=(0.8, 0.99))
    found = run(lrbench.RangeTest(optimizer, steps=100, model=model, name="mine", passes=2), model, optimizer)
    folder = found.folder
    assert folder.path.parent == Path("runs/find-lr").absolute() and folder.name.startswith("mine-")
    assert {path.name for path in folder.path.iterdir()} == {"finder.csv", "finder.json", "finder.png"}
    plain = json.loads((folder.path / "finder.json").read_text())
    assert plain["config"]["params"]["optimizer"]["name"] == "adam"
    assert plain["config"]["params"]["optimizer"]["betas"] == [0.8, 0.99] and "lr" not in plain["config"]["params"]
    again = load_finding(FinderFolder(folder.path))
    assert (again.advice, again.suggestions, again.curves) == (found.advice, found.suggestions, found.curves)
    assert again.written == found.written, "when it was found, not when it was read"
    assert "<svg" in found._repr_html_() and found.plot().get_suptitle() == "Learning rate range test of mine"
    report = lrbench.report(["runs"], out="report")
    assert "2 passes" in report.page.read_text() and "mine" in report.page.read_text()


def test_the_same_test_again_replaces_the_folder_and_another_has_its_own() -> None:
    folders = [feed(iter([1.0] * 30)).folder.path for _ in range(2)]
    folders.append(feed(iter([1.0] * 30), steps=200).folder.path)
    folders.append(feed(iter([1.0] * 30), name="other").folder.path)
    assert folders[0] == folders[1] and len(set(folders)) == 3


def test_an_optimizer_that_finds_its_own_rate_is_noted() -> None:
    model = Net()
    optimizer = torch.optim.Adadelta(model.parameters())
    found = run(lrbench.RangeTest(optimizer, 1e-4, 1e4, 100, model=model), model, optimizer)
    if isinstance(found.advice, Advice):
        assert any("adadelta finds its own learning rate" in note for note in found.advice.notes)
    assert found.experiment.plain()["params"]["optimizer"]["name"] == "adadelta"


def test_a_damaged_folder_is_told() -> None:
    found = feed(iter([1.0] * 30))
    path = found.folder.path / "finder.json"
    plain = json.loads(path.read_text())
    plain["config"]["params"]["optimizer"] = "adam"
    path.write_text(json.dumps(plain))
    assert isinstance(load_finding(found.folder).advice, Refusal), "an optimizer may be told otherwise"
    plain["config"]["recorded"] = 3
    path.write_text(json.dumps(plain))
    with pytest.raises(FolderError, match="is damaged"):
        load_finding(found.folder)


# -- losses that are read later


def test_losses_that_are_read_later_give_the_same_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: the steps after the one that ends a pass don't count, and everything is put back."""
    curves = []
    for every in (1, 7):
        torch.manual_seed(0)
        monkeypatch.setattr(lrbench.RangeTest, "due", lambda self, n=every: len(self._pending) >= n)
        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        before = whole(model, optimizer)
        settings: dict[str, Any] = {"steps": 60, "stop_factor": 1.2, "smoothing": 0.5}
        found = run(lrbench.RangeTest(optimizer, model=model, **settings), model, optimizer)
        assert same(before, whole(model, optimizer)) and found.curves[0].reason and len(found.curves[0].losses) % 7
        curves.append(found.curves)
    assert curves[0] == curves[1]


def of_one_process(rank: int, folder: str) -> None:
    """Train with other batches than the other process; what it finds goes into a file."""
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    torch.manual_seed(0)
    model = nn.Linear(8, 4)
    shared = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(shared.parameters(), lr=0.1)
    test = lrbench.RangeTest(optimizer, steps=50, model=shared, name="shared", passes=2, runs=f"{folder}/runs{rank}")
    losses = []
    for number, batch in enumerate(batches()):
        if number % 2 == rank:
            loss = update(shared, optimizer, batch)
            losses.append(loss.item())
            if not test.step(loss):
                break
    found = test.finish()
    text = json.dumps({"own": losses, "mean": [list(curve.losses) for curve in found.curves]})
    Path(folder, f"{rank}.json").write_text(text)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_several_processes_average_their_losses_and_the_first_writes(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(of_one_process, (str(tmp_path),), nprocs=2)
    one, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert one["mean"] == other["mean"] and len(one["mean"]) == 2
    first = one["mean"][0]
    expected = [(a + b) / 2 for a, b in zip(one["own"], other["own"], strict=True)][: len(first)]
    assert first == pytest.approx(expected, rel=1e-6)
    assert list((tmp_path / "runs0/find-lr").iterdir()) and not (tmp_path / "runs1").exists()
