"""The same loop on a GPU, where there is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import lrbench
from lrbench.config import Experiment

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def test_cuda_agrees_with_the_cpu_at_the_first_updates(tmp_path: Path, tiny: Callable[..., Experiment]) -> None:
    losses = {}
    for device in ("cpu", "cuda"):
        (outcome,) = lrbench.run([tiny(device=device, steps=5, epochs=None)], runs=tmp_path / device)
        rows = (outcome.path / "steps.csv").read_text().splitlines()[1:]
        losses[device] = [float(row.split(",")[3]) for row in rows]
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_runs_on_cuda_are_equal(tmp_path: Path, tiny: Callable[..., Experiment], precision: str) -> None:
    experiment = tiny(device="cuda", model={"name": "cnn", "padding": 1}, precision=precision)
    texts = []
    for folder in ("a", "b"):
        (outcome,) = lrbench.run([experiment], runs=tmp_path / folder)
        texts.append((outcome.path / "steps.csv").read_text())
    assert texts[0] == texts[1]
