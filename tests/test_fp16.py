"""`precision: fp16`. The gradient scaler runs on the CPU too, so all but the speed is tested there."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from test_train import OUTLIER, after, assert_same_run, column, go, go_on

import lrbench
from lrbench.config import identity
from lrbench.errors import ConfigError, Interrupted
from lrbench.lr_finder.folder import steps_of
from lrbench.training import build as building
from lrbench.training import check as checking
from lrbench.training.build import assemble
from lrbench.training.check import check
from lrbench.training.cuda_graphs import recordable
from lrbench.training.update import gradient

CPU = torch.device("cpu")


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let fp16 run on the CPU, where it is slow."""
    for module in (building, checking):
        monkeypatch.setattr(module, "exact_products", lambda precision, device: None)


def test_on_the_cpu_it_is_refused(tiny: Any) -> None:
    with pytest.raises(ConfigError, match="precision: fp16 needs a CUDA GPU, but the device is 'cpu'; use bf16"):
        check(tiny(precision="fp16"), CPU)
    assert identity(tiny(precision="fp16")) != identity(tiny())


@pytest.mark.usefixtures("on_cpu")
def test_the_gradient_is_unscaled_before_it_is_measured_and_clipped(tiny: Any) -> None:
    batches = None
    norms, clipped = [], []
    for precision in ("fp32", "fp16"):
        parts = assemble(tiny(precision=precision), CPU)
        batches = batches or list(parts.data.training_batches(32, 0, 0))
        norms.append(float(gradient(parts, batches[:2], 0.01)[1]))
        clipped.append(math.sqrt(sum(float((p.grad**2).sum()) for p in parts.model.parameters() if p.grad is not None)))
    assert norms[1] == pytest.approx(norms[0], rel=0.01) and norms[0] > 0.02
    assert clipped == pytest.approx([0.01, 0.01], rel=1e-3)
    assert not recordable(tiny(precision="fp16"), parts)


@pytest.mark.usefixtures("on_cpu")
@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop"])  # fused ones skip a step by themselves
def test_skipped_steps_do_not_advance_the_schedule(
    tmp_path: Path, tiny: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaler = torch.amp.GradScaler
    monkeypatch.setattr(torch.amp, "GradScaler", lambda device: scaler(device, init_scale=2.0**40))  # far too high
    settings = {"precision": "fp16", "optimizer": {"name": name, "lr": 0.001}, "schedule": "linear"}
    experiment = tiny(**settings, epochs=20, model={"name": "mlp", "hidden": [8]})  # 40 steps
    folder, result = go(tmp_path, experiment)
    losses, rates = column(folder, "loss"), column(folder, "lr")
    skipped = [step for step, loss in enumerate(losses) if math.isnan(loss)]
    assert result.status == "finished" and result.steps == 40 and result.skipped == len(skipped) > 3
    assert skipped[:4] == [0, 1, 2, 3], "until the scale is low enough"
    before = [sum(other < step for other in skipped) for step in range(40)]
    assert rates == pytest.approx([0.001 * (1 - (step - before[step]) / 40) for step in range(40)])
    assert all(math.isnan(column(folder, "grad_norm")[step]) for step in skipped)
    last = max(step for step in range(40) if step not in skipped)
    assert column(folder, "lr", "epochs")[-1] == rates[last]
    lr, found, _ = steps_of(folder)
    assert len(lr) == len(found) == 40 - len(skipped)
    with pytest.raises(Interrupted):
        go(tmp_path / "stopped", experiment, after(4))
    (stopped,) = (tmp_path / "stopped").iterdir()
    weights = torch.load(stopped / "checkpoint.pt", weights_only=True)["model"]
    assert all(torch.equal(value, weights[key]) for key, value in assemble(experiment, CPU).model.state_dict().items())


@pytest.mark.usefixtures("on_cpu")
def test_resumed_at_every_step(tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scaler = torch.amp.GradScaler
    monkeypatch.setattr(
        torch.amp, "GradScaler", lambda device: scaler(device, init_scale=2.0**34, growth_interval=3)
    )  # it grows, and falls again
    experiment = tiny(precision="fp16", schedule="cosine", epochs=6, keep="state")
    whole, result = go(tmp_path / "whole", experiment)
    assert result.skipped
    stopped, _, interruptions = go_on(tmp_path / "stopped", experiment, lambda: 1)
    assert interruptions == 12
    assert_same_run(whole, stopped)
    assert whole.load_final()["scaler"] == stopped.load_final()["scaler"]
    following = tiny(
        precision="fp16", schedule="cosine", epochs=None, **{"continue": {"run": str(whole.path), "for": 2}}
    )
    parts = assemble(following, CPU)
    assert parts.start.steps == result.steps - result.skipped
    assert parts.start.scaler == whole.load_final()["scaler"]
    folder, done = go(tmp_path, following)
    assert done.status == "finished"
    assert lrbench.preview([following])[0].rates[0] == column(folder, "lr")[0]


@pytest.mark.usefixtures("on_cpu")
def test_an_outlier_is_skipped_and_running_statistics_outlive_it(tmp_path: Path, tiny: Any) -> None:
    settings = {**OUTLIER, "model": "test_train:normed", "precision": "fp16"}
    folder, result = go(tmp_path, tiny(**settings))
    assert result.status == "finished" and result.skipped is not None and result.skipped >= 5
    assert all(torch.isfinite(w).all() for w in folder.load_best().values())
    skipped = [step for step, loss in enumerate(column(folder, "loss")) if math.isnan(loss)]
    assert {step // 6 for step in skipped} == {0, 1, 2, 3, 4}, "once an epoch, and where the scale was too high"


def infinite(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return outputs.mean() * (math.inf if outputs.requires_grad else 1.0)  # only in training


@pytest.mark.usefixtures("on_cpu")
def test_gradients_that_are_never_finite_are_divergence(tmp_path: Path, tiny: Any) -> None:
    folder, result = go(tmp_path, tiny(precision="fp16", loss=f"{__name__}:infinite", epochs=20))
    assert result.status == "diverged" and result.steps == result.skipped == 17, "from 65536 to 1/2"
    assert result.reason.startswith("the gradient was not finite in fp16 even with a loss scale of 0.5, at update 17")
    assert len(column(folder, "loss")) == 17


@pytest.mark.usefixtures("on_cpu")
def test_an_interrupted_run_has_its_scale_in_the_checkpoint(tmp_path: Path, tiny: Any) -> None:
    with pytest.raises(Interrupted):
        go(tmp_path, tiny(precision="fp16"), after(2))
    (path,) = tmp_path.iterdir()
    saved = torch.load(path / "checkpoint.pt", weights_only=True)
    assert saved["scaler"]["scale"] > 0 and saved["state"]["held"] == saved["state"]["skipped"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_a_gpu(tmp_path: Path, tiny: Any) -> None:
    experiment = tiny(precision="fp16", device="cuda", model={"name": "cnn", "padding": 1}, dataset="digits", epochs=5)
    (outcome,) = lrbench.run([experiment], runs=tmp_path)
    (exact,) = lrbench.run([experiment.replace(precision="fp32")], runs=tmp_path)
    assert outcome.result is not None and exact.result is not None
    assert outcome.result.status == "finished" and outcome.result.skipped is not None
    assert outcome.result.metric("val_accuracy") == pytest.approx(exact.result.metric("val_accuracy"), abs=0.05)
