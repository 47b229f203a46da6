"""`lrbench.run` and `find_lr` on Python objects: nothing of these changes, and the results are those of a config."""

from __future__ import annotations

import copy
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, Subset, TensorDataset, random_split

import lrbench
from lrbench.config import identity, load_config
from lrbench.errors import ConfigError, LrbenchError, UsageError
from lrbench.events import Event
from lrbench.objects import held
from lrbench.runs import RunFolder
from lrbench.training import Outcomes
from lrbench.training.build import build
from lrbench.training.objects.fingerprint import fingerprint

Make = Callable[..., Any]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def examples(n: int = 48, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Inputs (n, 6) whose class is the largest of the first three."""
    inputs = torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))
    return inputs, inputs[:, :3].argmax(1)


class Net(nn.Module):
    def __init__(self, hidden: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(hidden, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(inputs))
        return out


def net(hidden: int = 8) -> Net:
    torch.manual_seed(5)
    return Net(hidden)


def ours(**changes: Any) -> dict[str, Any]:
    """Arguments of a short run on the CPU."""
    usual = {"data": examples(), "optimizer": torch.optim.SGD, "lr": 0.1, "epochs": 2, "batch_size": 8}
    return {"device": "cpu", "progress": False, **usual, **changes}


def losses(outcome: Any) -> list[float]:
    found: list[float] = pd.read_csv(outcome.path / "steps.csv")["loss"].tolist()
    return found


# -- nothing changes


class Drawn(Sampler[int]):
    """Draws with a generator of its own."""

    def __init__(self, n: int) -> None:
        self.n, self.random = n, np.random.default_rng(3)

    def __iter__(self) -> Iterator[int]:
        return iter(self.random.permutation(self.n).tolist())

    def __len__(self) -> int:
        return self.n


class Objects:
    """A user's objects in the middle of their life: weights with gradients, a frozen layer, an optimizer with state."""

    def __init__(self, **loader: Any) -> None:
        self.model = net()
        self.model.body[0].bias.requires_grad_(False)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        head = {"params": list(self.model.head.parameters()), "lr": 0.2}
        rest = {"params": [p for p in trained if all(p is not one for one in head["params"])]}
        self.optimizer = torch.optim.SGD([rest, head], lr=0.05, momentum=0.9)
        data = TensorDataset(*examples())
        self.loader = DataLoader(data, 8, generator=torch.Generator().manual_seed(7), **(loader or {"shuffle": True}))
        self.loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))
        for inputs, targets in self.loader:
            self.loss(self.model(inputs), targets).backward()
            self.optimizer.step()
        self.model.eval()
        self.model.head.train()
        self.data = {"train": self.loader, "validation": examples(16, 2), "test": examples(16, 3)}

    @property
    def state(self) -> Any:
        """All that must not change, by value."""
        sampler = getattr(self.loader.sampler, "random", None)
        return copy.deepcopy(
            {
                "weights": [(n, p.data, p.grad, p.requires_grad) for n, p in self.model.named_parameters()],
                "which": [id(p) for p in self.model.parameters()],
                "buffers": list(self.model.named_buffers()),
                "modes": [module.training for module in self.model.modules()],
                "optimizer": self.optimizer.state_dict(),
                "groups": [[id(p) for p in group["params"]] for group in self.optimizer.param_groups],
                "loss": (self.loss.state_dict(), self.loss.training),
                "loader": self.loader.generator.get_state(),
                "sampler": None if sampler is None else sampler.bit_generator.state,
                "random": (torch.get_rng_state(), np.random.get_state(), random.getstate()),
                "torch": (torch.is_grad_enabled(), torch.get_num_threads(), torch.get_default_dtype()),
                "cudnn": (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark),
            }
        )


def assert_equal(one: Any, other: Any) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=0) if isinstance(one, Tensor) else None
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        one, other = list(one.values()), list(other.values())
    if isinstance(one, list | tuple):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            assert_equal(mine, theirs)
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    elif not isinstance(one, Tensor):
        assert one == other


def failing(outputs: Tensor, targets: Tensor) -> Tensor:
    if torch.is_grad_enabled() and len(targets) == 8 and outputs.requires_grad:
        failing.calls += 1  # type: ignore[attr-defined]
        if failing.calls == 4:  # type: ignore[attr-defined]
            raise ValueError("the loss of the user")
    return F.cross_entropy(outputs, targets)


def interrupting(event: Event) -> None:
    """Press Ctrl-C after the first epoch."""
    if event.kind == "epoch" and event.epoch == 1:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("loader", [{"shuffle": True}, {"sampler": Drawn(48)}], ids=["shuffled", "sampled"])
@pytest.mark.parametrize("how", ["finishes", "finds", "fails", "is interrupted", "is refused"])
def test_nothing_of_the_objects_changes(how: str, loader: dict[str, Any]) -> None:
    mine = Objects(**loader)
    asked = {"model": mine.model, "data": mine.data, "optimizer": mine.optimizer, "loss": mine.loss}
    asked |= {"device": "cpu", "progress": False}
    before = mine.state
    if how == "finishes":
        (outcome,) = lrbench.run(**asked, epochs=2)
        assert outcome.status == "finished", outcome.message
        assert outcome.result.metric("test_loss") > 0
    elif how == "finds":
        assert len(lrbench.find_lr(**asked, iterations=30).curves[0].rates) > 5
    elif how == "fails":
        failing.calls = 0  # type: ignore[attr-defined]
        (outcome,) = lrbench.run(**{**asked, "loss": failing}, epochs=2)
        assert outcome.status == "failed"
        assert "the loss of the user" in outcome.message
    elif how == "is interrupted":
        (outcome,) = lrbench.run(**{**asked, "watch": interrupting}, epochs=2)
        assert outcome.status == "interrupted"
    else:
        with pytest.raises(LrbenchError, match="size mismatch"):
            lrbench.run(**{**asked, "loss": lambda outputs, targets: outputs @ targets}, epochs=2)
    assert_equal(mine.state, before)


def test_persistent_workers_that_the_user_is_reading_from_go_on() -> None:
    loader = DataLoader(TensorDataset(*examples()), 8, num_workers=1, persistent_workers=True)
    reading = iter(loader)
    first = [next(reading)[1].tolist() for _ in range(2)]
    lrbench.find_lr(model=net(), data=loader, optimizer="sgd", iterations=25, progress=False)
    rest = [targets.tolist() for _, targets in reading]
    assert [each for batch in first + rest for each in batch] == examples()[1].tolist()
    assert loader._iterator is reading


def test_a_factory_that_returns_the_users_own_model_leaves_it_as_it_is() -> None:
    model = net()
    before = copy.deepcopy(model.state_dict())
    outcomes = lrbench.run(**ours(model=lambda: model, seeds=2))
    assert [outcome.status for outcome in outcomes] == ["finished"] * 2
    assert_equal(model.state_dict(), before)


# -- the numbers are right


def test_a_run_on_objects_does_what_a_loop_in_plain_pytorch_does() -> None:
    """In stored order, with two groups at a ratio and a loss with class weights."""
    mine = Objects(shuffle=False)
    mine.model.body[3] = nn.Identity()  # dropout draws numbers
    twin = copy.deepcopy(mine.model).train()
    (outcome,) = lrbench.run(
        model=mine.model, data=mine.data, optimizer=mine.optimizer, loss=mine.loss, epochs=2, device="cpu",
        progress=False,
    )  # fmt: skip
    names = {id(p): name for name, p in mine.model.named_parameters()}
    weights = dict(twin.named_parameters())
    groups = [
        {"params": [weights[names[id(p)]] for p in group["params"]], "lr": group["lr"]}
        for group in mine.optimizer.param_groups
    ]
    optimizer, expected = torch.optim.SGD(groups, momentum=0.9), []
    for _ in range(2):
        for inputs, targets in DataLoader(TensorDataset(*examples()), 8):
            optimizer.zero_grad()
            loss = mine.loss(twin(inputs), targets)
            loss.backward()
            optimizer.step()
            expected.append(loss.item())
    assert losses(outcome) == pytest.approx(expected, rel=1e-5)
    twin.eval()
    inputs, targets = mine.data["test"]
    assert outcome.result.metric("test_loss") == pytest.approx(mine.loss(twin(inputs), targets).item(), rel=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "sgd"},
        {"optimizer": lambda params: torch.optim.SGD(params, lr=0.4)},
        {"optimizer": {"name": "sgd", "lr": 0.4}},
        {"loss": nn.CrossEntropyLoss()},
        {"loss": nn.CrossEntropyLoss},
        {"loss": F.cross_entropy},
        {"loss": lambda outputs, targets: F.cross_entropy(outputs, targets)},
        {"task": "classification"},
        {"model": net},
        {"data": TensorDataset(*examples())},
        {"data": Subset(TensorDataset(*examples()), range(48))},
        {"data": DataLoader(TensorDataset(*examples()), 8, shuffle=True), "batch_size": None},
        {"data": tuple(one.numpy() for one in examples())},
        {"schedule": lambda step: 0.1},
        {"schedule": "constant"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_same_objects_in_other_forms_give_the_same_losses(changes: dict[str, Any]) -> None:
    (usual,) = lrbench.run(**ours(model=net(), runs="usual"))
    asked = ours(**{"model": net(), "runs": "other", **changes})
    (other,) = lrbench.run(**{key: value for key, value in asked.items() if value is not None})
    assert losses(other) == losses(usual)
    assert other.result.final.keys() == usual.result.final.keys(), "the accuracy too"


def test_names_alone_make_the_run_that_a_config_makes(tiny: Make) -> None:
    config = tiny()
    (outcome,) = lrbench.run(
        model={"name": "mlp", "hidden": [8]}, data={"name": "digits", "train_size": 64}, optimizer="sgd", lr=0.1,
        epochs=2, batch_size=32, device="cpu", progress=False, name="tiny",
    )  # fmt: skip
    assert identity(outcome.experiment) == identity(config)
    assert not outcome.experiment.of_objects
    assert "Python objects" not in (outcome.path / "config.yaml").read_text()


def test_installed_classes_keep_their_import_strings() -> None:
    (outcome,) = lrbench.run(
        **ours(model=lambda: nn.LazyLinear(3), optimizer=torch.optim.Adam, loss=nn.NLLLoss),
        schedule=torch.optim.lr_scheduler.ConstantLR,
    )
    plain = outcome.experiment.plain()
    assert plain["optimizer"]["name"] == "adam"
    assert plain["loss"]["name"] == "torch.nn.modules.loss:NLLLoss"
    assert plain["schedule"]["name"] == "torch.optim.lr_scheduler:ConstantLR"


class Momentum(torch.optim.SGD):
    """An optimizer of the user's own."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr=lr, momentum=0.5)


@pytest.mark.parametrize(
    "make",
    [
        lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5),
        lambda model: torch.optim.SGD(list(model.parameters())[::-1], lr=0.1, momentum=0.5),
        lambda model: torch.optim.SGD([{"params": [p]} for p in model.parameters()], lr=0.1, momentum=0.5),
        lambda model: Momentum,
        lambda model: lambda params: Momentum(params, lr=0.7),
    ],
)
def test_an_optimizer_in_any_form_takes_the_same_steps(make: Make) -> None:
    model = net()
    part = {"name": "sgd", "momentum": 0.5}
    (usual,) = lrbench.run(**ours(model=model, optimizer=part, runs="usual"))
    (other,) = lrbench.run(**ours(model=model, optimizer=make(model), runs="other"))
    assert losses(other) == pytest.approx(losses(usual), rel=1e-5)  # fused or not
    assert other.experiment.optimizer.params["lr"] == 0.1


def test_a_range_test_keeps_the_ratios_of_an_optimizers_groups() -> None:
    mine = Objects()
    found = lrbench.find_lr(
        model=mine.model, data=mine.loader, optimizer=mine.optimizer, loss=mine.loss, iterations=30, device="cpu",
        progress=False, end=1.0,
    )  # fmt: skip
    parts = build(found.ramp.over(found.experiment, 0), CPU)
    assert parts.ratios == [1.0, 4.0]
    assert parts.peak_lr == 1.0
    assert {group["momentum"] for group in parts.optimizer.param_groups} == {0.9}
    trained = {id(p) for group in parts.optimizer.param_groups for p in group["params"]}
    assert sum(not p.requires_grad for p in parts.model.parameters()) == 1
    assert len(trained) == len(list(parts.model.parameters())) - 1


class Numbers(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return zip(*examples(), strict=True)

    def __len__(self) -> int:
        return 48


@pytest.mark.parametrize(
    "data",
    [
        DataLoader(TensorDataset(*examples()), 8),
        DataLoader(TensorDataset(*examples()), 8, sampler=Drawn(48)),
        DataLoader(Numbers(), 8),
        Numbers(),
        DataLoader(TensorDataset(*examples()), 8, shuffle=True, collate_fn=lambda items: default(items)),
    ],
)
def test_a_range_test_needs_no_validation_data(data: Any) -> None:
    found = lrbench.find_lr(
        model=net(), data=data, optimizer="sgd", loss="cross_entropy", iterations=25, progress=False
    )
    assert len(found.curves) == 1


def default(items: Any) -> Any:
    inputs, targets = zip(*items, strict=True)
    return torch.stack(inputs), torch.stack(targets)


class Rows(Dataset[Any]):
    """A Dataset as users write them: without `targets`."""

    def __len__(self) -> int:
        return 48

    def __getitem__(self, index: int) -> Any:
        inputs, targets = examples()
        return inputs[index], int(targets[index])


class Images(Rows):
    targets = examples()[1].tolist()


def two_of(whole: Dataset[Any]) -> dict[str, Any]:
    train, validation = random_split(whole, [32, 16], generator=torch.Generator().manual_seed(0))
    return {"train": train, "validation": validation}


@pytest.mark.parametrize(
    ("data", "sizes", "accuracy"),
    [
        (Images(), (38, 10, 0), True),
        ({"train": Rows(), "classes": 3}, (38, 10, 0), True),
        (DataLoader(Rows(), 8, shuffle=True), (38, 10, 0), False),
        (DataLoader(Images(), 8, shuffle=True), (38, 10, 0), True),
        ((DataLoader(Rows(), 8, shuffle=True), DataLoader(Rows(), 8)), (38, 10, 48), False),
        (tuple(DataLoader(Images(), 8, shuffle=n == 0) for n in range(3)), (48, 48, 48), True),
        ({"train": DataLoader(Rows(), 8), "validation": examples(16)}, (48, 16, 0), False),
        ((*(TensorDataset(*examples()) for _ in range(2)),), (38, 10, 48), True),
        (two_of(TensorDataset(*examples())), (32, 16, 0), True),
        (two_of(Images()), (32, 16, 0), True),
        ({"train": DataLoader(Numbers(), 8), "validation": examples(16)}, (48, 16, 0), False),
    ],
)
def test_data_may_have_any_usual_form(data: Any, sizes: tuple[int, ...], accuracy: bool) -> None:
    (outcome,) = lrbench.run(**ours(model=net(), data=data))
    assert outcome.status == "finished", outcome.message
    told = RunFolder(outcome.path).environment().sizes
    assert (told.train_examples, told.validation_examples, told.test_examples) == sizes
    assert ("val_accuracy" in outcome.result.final) == accuracy


# -- identity


def test_the_same_call_finds_its_result_and_other_objects_make_another_run() -> None:
    first = lrbench.run(**ours(model=net()))
    again = lrbench.run(**ours(model=net()))
    assert [one.found for one in (*first, *again)] == [False, True]
    assert again[0].path == first[0].path
    assert "finished before" in again._repr_html_()
    other = net()
    other.head.bias.data[0] += 1e-6
    for changes in ({"model": other}, {"data": examples(seed=9)}, {"model": net}, {"loss": "mse"}):
        (one,) = lrbench.run(**ours(**{"model": net(), **changes}))
        assert not one.found, changes


def test_a_fingerprint_tells_code_and_its_variables() -> None:
    def loss(factor: float, code: str = "outputs") -> Any:
        space: dict[str, Any] = {"factor": factor}
        exec(f"def loss(outputs, targets):\n    return factor * {code}.mean()", space)
        return space["loss"]

    assert fingerprint(loss(1.0)) == fingerprint(loss(1.0))
    others = [loss(2.0), loss(1.0, "targets"), F.mse_loss, lambda a, b: a, lambda a, b: b]
    others += [Net, nn.Linear, nn.Linear(1, 1, bias=False), net(), net(9), [1], [1.0], ["1"], {1: 2}, {2: 1}, None]
    others += [torch.ones(3), torch.ones(1, 3), torch.ones(3).bool(), np.ones(3), np.zeros(3), {"a"}, (1,)]
    others += [torch.zeros(0), Drawn(3), Drawn(4), DataLoader([1, 2], 1), DataLoader([1, 2], 2)]  # type: ignore[arg-type]
    found = [fingerprint(one) for one in (loss(1.0), *others)]
    assert len(set(found)) == len(found)


def test_a_fingerprint_ends_at_a_value_that_contains_itself() -> None:
    whole: list[Any] = [1]
    whole.append(whole)
    assert fingerprint(whole) == fingerprint(whole)


@pytest.mark.slow
def test_fingerprints_are_the_same_in_every_process() -> None:
    script = (
        "import torch, test_objects as t; from lrbench.training.objects.fingerprint import fingerprint as f\n"
        "print(f(t.net), f(t.Net), f(t.net()), f(t.Drawn(3)), f({'a', 'b', 'c'}), f(t.examples()), f(t.Objects))"
    )
    printed = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=Path(__file__).parent, capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        printed.add(done.stdout)
    assert len(printed) == 1


# -- folders, commands and executors


def test_a_resumed_run_equals_an_uninterrupted_one() -> None:
    (whole,) = lrbench.run(**ours(model=net(), runs="whole", epochs=3))

    (stopped,) = lrbench.run(**ours(model=net(), runs="stopped", epochs=3, watch=interrupting))
    assert stopped.status == "interrupted"
    (resumed,) = lrbench.run(**ours(model=net(), runs="stopped", epochs=3))
    assert resumed.status == "finished"
    assert (resumed.path / "steps.csv").read_bytes() == (whole.path / "steps.csv").read_bytes()
    assert resumed.result.final["val_loss"] == whole.result.final["val_loss"]


def test_a_command_on_the_config_says_in_one_sentence_that_it_was_made_from_objects(
    cli: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    (outcome,) = lrbench.run(**ours(model=net()))
    config = outcome.path / "config.yaml"
    assert config.read_text().startswith("# Made from Python objects")
    assert load_config(config) == outcome.experiment
    code, out, _ = cli("run", config, "--runs", "runs")
    assert code == 0, "it is finished"
    assert "already finished" in out
    for name in ("report", "preview"):
        assert cli(name, *([config, "--steps-per-epoch", "6"] if name == "preview" else ["runs"]))[0] == 0
    monkeypatch.setattr("lrbench.training.objects.known._known", {})
    monkeypatch.setattr("lrbench.training.build.held", {})
    code, _, said = cli("run", config, "--runs", "elsewhere")
    assert code == 2
    assert "was a Python object of another process" in said
    assert "only lrbench.run" in said
    assert said.count("\n") == 1


def test_the_winners_code_names_objects_as_the_users_own() -> None:
    for lr in (0.1, 0.3):
        lrbench.run(**ours(model=net, seeds=2, lr=lr, loss=lambda outputs, targets: F.cross_entropy(outputs, targets)))
    lrbench.report(["runs"])
    code = Path("runs/report/winner.py").read_text()
    assert "# function: your own, as given to lrbench.run" in code
    assert "loss = function(model(inputs), targets)" in code
    assert "lrbench.objects" not in code


def test_no_pickle_of_an_object_lies_in_a_run_folder() -> None:
    (outcome,) = lrbench.run(**ours(model=net()))
    names = {path.name for path in outcome.path.iterdir()}
    assert names == {"config.yaml", "env.json", "epochs.csv", "steps.csv", "best.pt", "result.json"}
    net().load_state_dict(torch.load(outcome.path / "best.pt", weights_only=True))


def test_other_processes_refuse_objects() -> None:
    (outcome,) = lrbench.run(**ours(model=net()))
    experiment = outcome.experiment
    with pytest.raises(UsageError, match="made from Python objects, which other processes don't have; use jobs=1"):
        lrbench.sweep([experiment], lr=[0.3, 0.4], jobs=2)
    with pytest.raises(UsageError, match="made from Python objects"):
        lrbench.sweep([experiment], lr=[0.3, 0.4], executor="ray")
    with pytest.raises(UsageError, match="jobs is for configs"):
        lrbench.run(**ours(model=net(), jobs=2))
    assert len(lrbench.sweep([experiment], lr=[0.1, 0.2]).outcomes) == 2, "in this process by default"


def test_an_experiment_is_no_longer_that_of_a_model_trained_since(monkeypatch: pytest.MonkeyPatch) -> None:
    model = net()
    (outcome,) = lrbench.run(**ours(model=model))
    model.head.bias.data += 1
    with pytest.raises(ConfigError, match="the Net has changed since"):
        lrbench.run([outcome.experiment], runs="other")


def test_only_the_latest_objects_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["lrbench.training.objects.known"]
    monkeypatch.setattr(module, "KEPT", 2)
    monkeypatch.setattr(module, "_known", {})
    names = [module.hold("a b<c", f"{n:012x}", lambda n=n: n) for n in range(3)]  # type: ignore[attr-defined]
    assert names[2] == "lrbench.objects:a_b_c_000000000002"
    assert held("a_b_c_000000000002") == 2
    with pytest.raises(ConfigError, match="of another process or an earlier call"):
        held("a_b_c_000000000000")


# -- tasks


class Counting:
    """A task with a state: how many batches it has seen."""

    metrics = {"certainty": "higher"}  # noqa: RUF012

    def __init__(self) -> None:
        self.seen = 0

    def loss(self, model: Any, batch: Any) -> Any:
        self.seen += 1
        inputs, targets = batch
        outputs = model(inputs)
        return F.cross_entropy(outputs, targets), {"certainty": outputs.softmax(1).amax(1).mean()}

    def build(self, seed: int) -> nn.Module:
        return net()

    def data(self) -> Any:
        return {"train": examples(), "validation": examples(16, 2)}


def test_a_task_object_is_trained_and_stays_as_it_is() -> None:
    task = Counting()
    (own,) = lrbench.run(**ours(task=task, model=net()))
    (whole,) = lrbench.run(task=task, optimizer="sgd", epochs=1, device="cpu", progress=False)
    assert task.seen == 0
    assert own.status == whole.status == "finished"
    assert 0 < own.result.metric("val_certainty") < 1
    (usual,) = lrbench.run(**ours(model=net(), runs="usual"))
    assert losses(own) == losses(usual)
    assert whole.experiment.name == "Counting"


def test_a_step_function_is_a_task() -> None:
    def step(model: Any, batch: Any) -> dict[str, Any]:
        loss, values = Counting().loss(model, batch)
        return {"loss": loss, **values}

    (outcome,) = lrbench.run(**ours(task=step, model=net(), metrics={"certainty": "higher"}))
    assert outcome.result.metric("val_certainty") > 0


# -- bad input


class Locked(nn.Linear):
    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("cannot pickle '_thread.lock' object")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": net(), "seeds": 3}, "3 seeds need a fresh model each, and a Net is one model"),
        ({"model": 3}, "model: is a int: it must be an nn.Module or a function"),
        ({"model": Locked(6, 3)}, "a Locked can't be copied"),
        ({"model": None}, "model: is missing"),
        ({"optimizer": None}, "optimizer: is missing"),
        ({"optimizer": 0.1}, "optimizer: is a float: it must be a name, a class"),
        ({"optimizer": torch.optim.SGD(net().parameters())}, "has parameters that are not the model's"),
        ({"optimizer": lambda params: torch.optim.SGD(net().parameters())}, "over parameters other than"),
        ({"optimizer": lambda params: None}, "returned a NoneType"),
        ({"optimizer": lambda params: params.nothing}, "failed on the model's parameters"),
        ({"model": net, "optimizer": torch.optim.SGD(net().parameters())}, "is over one model's parameters"),
        ({"data": 3}, "is a int: it must be a name, a DataLoader"),
        ({"data": None}, "dataset: is missing"),
        ({"data": DataLoader(TensorDataset(*examples()), 4), "batch_size": None}, "can't be divided; give"),
        ({"data": DataLoader(TensorDataset(*examples()), 4, shuffle=True)}, "batch_size: is 8, but the DataLoader"),
        ({"data": {"train": examples(), "valid": examples()}}, "valid"),
        ({"loss": 3}, "loss: is a int: it must be a name, a function of"),
        ({"loss": nn.CrossEntropyLoss(reduction="sum")}, "is a sum over the batch"),
        ({"task": object()}, "task: is a object"),
        ({"batchsize": 3}, "did you mean 'batch_size'"),
        ({"epochs": None}, "give either `epochs` or `steps`"),
        ({"seeds": 0}, "seeds must be a whole number, at least 1"),
        ({"configs": ["a.yaml"]}, "give configs, or objects"),
        ({"overrides": ["lr=1"]}, "overrides is for configs"),
        ({"lr": 0.0}, "must be a number greater than 0"),
        ({"lr": "0.1"}, "lr must be a number or None"),
        ({"dataset": "digits"}, "dataset: is given as `data`"),
        ({"dataset": {"name": "digits"}}, "dataset: is given as `data`"),
        ({"optimizer": torch.optim.LBFGS}, "can't be used: it evaluates the loss several times"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_gets_one_clear_message_and_nothing_is_written(changes: dict[str, Any], said: str) -> None:
    asked = {key: value for key, value in ours(**{"model": net(), **changes}).items() if value is not None}
    with pytest.raises(LrbenchError) as caught:
        lrbench.run(**asked)
    assert said in str(caught.value)
    assert caught.value.exit_code == 2
    assert not Path("runs").exists()


# -- in a notebook


@pytest.mark.usefixtures("sketches")
def test_results_show_themselves_as_html_and_as_figures(tiny: Make) -> None:
    import matplotlib.pyplot as plt

    outcomes = lrbench.run(**ours(model=net, seeds=2, name="a+b"))
    found = lrbench.find_lr(
        model=net(), data=examples(2000), optimizer="sgd", iterations=150, start=1e-3, end=100.0, progress=False
    )
    swept = lrbench.sweep([outcomes[0].experiment], lr=[0.01, 0.1])
    previews = lrbench.preview([tiny(schedule="cosine"), tiny(name="other")])
    for shown, words in (
        (outcomes, ["<td>a+b</td>", "<td>2</td>", "val loss"]),
        (found, ["minimum/2", "steps", "seed"]),
        (swept, ["best learning rate", "<td>0.1 (highest)</td>"]),
        (previews, ["<td>tiny</td>", "<td>other</td>", "peak"]),
        (previews[0], ["<td>tiny</td>", "peak"]),
    ):
        page = shown._repr_html_()
        assert page.count("<svg ") == 1
        assert page.startswith('<div style="')
        assert "<script" not in page
        for word in words:
            assert word in page, (type(shown), word)
        figure = shown.plot()
        assert isinstance(figure, Figure)
        assert not plt.get_fignums()
    assert isinstance(outcomes, list)


def test_text_from_runs_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = lrbench.run(**ours(model=net()))
    outcomes[0].warnings.append("<img src=x onerror=alert(1)> \u202e&")
    page = outcomes._repr_html_()
    assert re.search(r'<svg role="img" aria-label="[\w ]+"[^>]*>.*Validation loss.*</svg>', page, re.DOTALL)
    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt; \ufffd&amp;" in page


def test_what_has_nothing_to_draw_still_tells_so() -> None:
    assert "<svg" not in Outcomes()._repr_html_()
    with pytest.raises(UsageError, match="no runs to draw"):
        Outcomes().plot()


def test_progress_is_shown_unless_it_is_not_wanted(capsys: pytest.CaptureFixture[str], tiny: Make) -> None:
    events: list[Event] = []
    lrbench.run(**ours(model=net(), runs="a"))
    lrbench.run(**ours(model=net(), runs="b", progress=None, watch=events.append))
    lrbench.run([tiny()], runs="c")
    assert capsys.readouterr().out == ""
    assert events[-1].kind == "end"
    lrbench.run(**ours(model=net(), runs="d", progress=None))
    lrbench.run([tiny()], runs="e", progress=True)
    said = capsys.readouterr().out
    assert "Net-seed0" in said
    assert "tiny-seed0" in said
    assert "finished; loss" in said


# -- the page for newcomers


def test_the_examples_of_the_page_run_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parent.parent / "docs" / "python.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 4
    space: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), space)
    assert 0.003 < space["found"].lr < 3
    assert space["outcomes"][0].result.metric("val_psnr") > 10
    runs = lrbench.load_runs()
    assert len(runs) == 4
    assert runs["val_accuracy"].dropna().min() > 0.85
    assert "finished" in capsys.readouterr().out
