"""The same loop on a GPU, where there is one: what is recorded equals what is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import lrbench
from lrbench.components.data.batches import Tensors
from lrbench.config import Experiment, run_name
from lrbench.errors import Interrupted
from lrbench.events import silent
from lrbench.runs import RunFolder
from lrbench.training import Training, cuda_graphs
from lrbench.training.build import assemble
from lrbench.training.run_one import WorkItem, do_run

Make = Callable[..., Experiment]

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
CNN = {"name": "cnn", "padding": 1}


def rows(root: Path, experiment: Experiment, **options: Any) -> str:
    (outcome,) = lrbench.run([experiment], runs=root, **options)
    assert outcome.result.status == "finished", outcome.result.reason
    return (outcome.path / "steps.csv").read_text()


def never() -> bool:
    return False


def after(updates: int) -> Callable[[], bool]:
    asked = iter(range(10_000))
    return lambda: next(asked) >= updates


class Waits(nn.Module):
    """A model that says it can be recorded, and then asks the device for a number."""

    cuda_graph = True

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(64, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.dense(nn.functional.dropout(x.flatten(1), 0.5, self.training))
        return out * (2.0 if float(out.detach().abs().max()) > 1e9 else 1.0)


@gpu
def test_cuda_agrees_with_the_cpu_at_the_first_updates(tmp_path: Path, tiny: Make) -> None:
    losses = {}
    for device in ("cpu", "cuda"):
        (outcome,) = lrbench.run([tiny(device=device, steps=5, epochs=None)], runs=tmp_path / device)
        lines = (outcome.path / "steps.csv").read_text().splitlines()[1:]
        losses[device] = [float(line.split(",")[3]) for line in lines]
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-5)


@gpu
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_two_runs_on_cuda_are_equal(tmp_path: Path, tiny: Make, precision: str) -> None:
    experiment = tiny(device="cuda", model=CNN, precision=precision)
    assert rows(tmp_path / "a", experiment) == rows(tmp_path / "b", experiment)


@gpu
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": CNN, "batch_size": 25, "epochs": 6},
        {"model": "resnet20", "epochs": 3},
        {"model": {"name": "vit", "dropout": 0.1}, "optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.1}},
        {"model": CNN, "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9}, "clip_grad_norm": 0.5},
        {"model": CNN, "schedule": "one_cycle", "precision": "bf16"},
        {"model": CNN, "plateau": {"factor": 0.5, "patience": 1}, "epochs": 8},
    ],
    ids=lambda changes: " ".join(changes) or "as it is",
)
def test_recorded_updates_equal_plain_ones(
    tmp_path: Path, tiny: Make, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    experiment = tiny(**{"device": "cuda", "batch_size": 10, **changes})
    played = []
    replay = torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda graph: played.append(1) or replay(graph))
    fast = rows(tmp_path / "recorded", experiment)
    assert len(played) == len(fast.splitlines()) - 1 - cuda_graphs.FIRST_PLAIN
    monkeypatch.setattr(cuda_graphs, "ENABLED", False)
    assert rows(tmp_path / "plain", experiment) == fast


@gpu
@pytest.mark.parametrize("at", [2, 5, 17])
def test_a_resumed_run_on_cuda_equals_an_uninterrupted_one(tmp_path: Path, tiny: Make, at: int) -> None:
    experiment = tiny(device="cuda", model=CNN, batch_size=10, epochs=4)
    whole = rows(tmp_path / "whole", experiment)
    folder = RunFolder(tmp_path / "part")
    folder.create(experiment, {})
    with pytest.raises(Interrupted):
        do_run(WorkItem(folder.path, experiment), threads=None, watch=silent, stop=after(at))
    do_run(WorkItem(folder.path, experiment), threads=None, watch=silent, stop=never)
    assert (folder.path / "steps.csv").read_text() == whole


@gpu
def test_a_checkpoint_of_cuda_goes_on_on_the_cpu(tmp_path: Path, tiny: Make) -> None:
    experiment = tiny(device="cuda", model=CNN, batch_size=10, epochs=4)
    folder = RunFolder(tmp_path / run_name(experiment))
    folder.create(experiment, {})
    with pytest.raises(Interrupted):
        do_run(WorkItem(folder.path, experiment), threads=None, watch=silent, stop=after(12))
    (outcome,) = lrbench.run([experiment], runs=tmp_path, device="cpu")
    assert outcome.result.status == "finished"
    assert outcome.path == folder.path and len(folder.environment().plain["resumed"]) == 1


@gpu
def test_a_model_that_cannot_be_recorded_trains_plainly(
    tmp_path: Path, tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = tiny(device="cuda", model=f"{__name__}:Waits", batch_size=10)
    first = rows(tmp_path / "a", experiment)
    monkeypatch.setattr(cuda_graphs, "ENABLED", False)
    assert rows(tmp_path / "b", experiment) == first


@gpu
def test_runs_at_once_on_a_gpu_equal_runs_one_after_another(tmp_path: Path, tiny: Make) -> None:
    experiments = [tiny(device="cuda", model=CNN, seed=seed) for seed in range(4)]
    for jobs in (1, 3):
        lrbench.run(experiments, runs=tmp_path / str(jobs), jobs=jobs)
    for folder in sorted((tmp_path / "1").glob("tiny*")):
        assert (folder / "steps.csv").read_text() == (tmp_path / "3" / folder.name / "steps.csv").read_text()


@gpu
def test_fp32_means_all_its_bits(tiny: Make) -> None:
    assemble(tiny(device="cuda"), torch.device("cuda"))
    assert not torch.backends.cudnn.allow_tf32
    assemble(tiny(device="cuda", precision="tf32"), torch.device("cuda"))
    assert torch.backends.cudnn.allow_tf32 and torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize(
    "changes",
    [
        {"accumulate": 2},
        {"on_non_finite": "skip"},
        {"loss": "torch.nn:CrossEntropyLoss"},
        {"schedule": {"name": "one_cycle", "cycle_momentum": [0.85, 0.95]}},
        {"optimizer": {"name": "nadam", "lr": 0.01}},
        {"model": "torch.nn:Linear"},
    ],
    ids=str,
)
def test_what_is_not_the_same_work_each_time_is_not_recorded(tiny: Make, changes: dict[str, Any]) -> None:
    usual = assemble(tiny(), torch.device("cpu"))
    there = SimpleNamespace(**{**vars(usual), "device": torch.device("cuda")})
    assert cuda_graphs.recordable(tiny(), there)
    if "model" not in changes:
        other = assemble(tiny(**changes), torch.device("cpu"))
        there = SimpleNamespace(**{**vars(other), "device": torch.device("cuda")})
    assert not cuda_graphs.recordable(tiny(**changes), there)


def test_data_that_would_fill_a_gpu_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 10**9))
    large = Tensors(torch.zeros(100, 8), torch.zeros(100))
    assert large.to(torch.device("cuda")) is large


def test_rates_on_a_device_and_back() -> None:
    weights = [torch.zeros(2, requires_grad=True)]
    optimizer = torch.optim.Adam(weights, lr=0.1, fused=True)
    cuda_graphs.place_rates(optimizer, torch.device("cpu"))
    assert optimizer.param_groups[0]["lr"].dtype == torch.float32 and optimizer.param_groups[0]["capturable"]
    cuda_graphs.place_rates(optimizer, None)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1) and not optimizer.param_groups[0]["capturable"]


def test_a_full_reading_is_fetched(tmp_path: Path, tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rows(tmp_path / "whole", tiny(batch_size=5))
    monkeypatch.setattr("lrbench.training.update.CAPACITY", 3)
    fetched: list[int] = []
    read_back = Training.read_back
    monkeypatch.setattr(Training, "read_back", lambda self: fetched.append(len(self.pending)) or read_back(self))
    assert rows(tmp_path / "parts", tiny(batch_size=5)) == whole
    assert max(fetched) == 3


@gpu
def test_streamed_images_are_pinned_and_train_as_those_in_memory(tmp_path: Path, tiny: Make) -> None:
    for split, number in ((split, number) for split in ("train", "test") for number in range(24)):
        path = tmp_path / "images" / split / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (9 * number, 100, 200 - 7 * number)).save(path)
    block = {"name": "image_folder", "path": str(tmp_path / "images"), "size": 8, "normalize": True}
    found = []
    for name, how in {"memory": {"in_memory": True}, "all": {}, "some": {"cache": 2000}, "none": {"cache": 0}}.items():
        experiment = tiny(device="cuda", dataset={**block, "in_memory": False, **how}, batch_size=5)
        found.append(rows(tmp_path / name, experiment))
        if name != "memory":
            train = assemble(experiment, torch.device("cuda")).data.train
            assert all(inputs.is_pinned() for _ in range(2) for inputs, _ in train.batches(5))
    assert found == [found[0]] * 4
