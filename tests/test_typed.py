"""A user's script against the package's types, as `mypy --strict` in another project checks it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import lrbench

SCRIPT = """
from typing import assert_type

import pandas as pd
import torch
from matplotlib.figure import Figure

import lrbench

outcomes = lrbench.run(["a.yaml"], seeds=2, overrides=["epochs=1"])
first: lrbench.Outcome = outcomes[0]
assert_type(lrbench.load_config("a.yaml").name, str)
swept = lrbench.sweep(["a.yaml"], lr="1e-3:1:4", seeds=2)
assert_type(swept, lrbench.Sweep)
assert_type(lrbench.load_runs("runs"), pd.DataFrame)
assert_type(lrbench.load_steps(["runs"]), pd.DataFrame)
assert_type(lrbench.load_evaluations("runs"), pd.DataFrame)
assert_type(lrbench.find_lr("a.yaml"), lrbench.Finding)
assert_type(lrbench.compare("a", "b", runs=["runs"], tries=2), lrbench.Decision | lrbench.TargetDecision)
assert_type(lrbench.figure("rates", runs=["runs"], width="3.3in"), Figure)
assert_type(lrbench.transfer(["runs"]), lrbench.Transfer)
assert_type(lrbench.audit(["runs"]), list[lrbench.Audit])
assert_type(lrbench.optima("runs"), dict[str, lrbench.Optimum | lrbench.NoOptimum])

model = torch.nn.Linear(2, 1)
optimizer = lrbench.build_optimizer({"name": "sgd", "lr": 0.1}, model)
assert_type(optimizer, torch.optim.Optimizer)
scheduler: torch.optim.lr_scheduler.LRScheduler = lrbench.torch_scheduler(
    optimizer, "cosine", total_steps=10, steps_per_epoch=5
)
assert_type(lrbench.build_schedule("cosine", lr=0.1, total_steps=10, steps_per_epoch=5)(3), float)
with lrbench.record("mine", config={"lr": 0.1}, runs="runs") as run:
    run.step(lr=0.1, loss=torch.tensor(0.5))
    run.evaluate(val_loss=0.4)
test = lrbench.RangeTest(optimizer, steps=3)
while not test.step(0.5):
    pass
lrbench.run(["a.yaml"], seeds="two")  # type: ignore[arg-type]
"""


UNNEEDED = (
    "accelerate alembic databricks fastai huggingface_hub IPython jax jaxlib keras lightning mlflow peft prodigyopt "
    "pytorch_lightning ray schedulefree skorch sqlalchemy submitit tensorboard timm trackio transformers wandb "
    "torch._dynamo torch._export torch._functorch torch._inductor torch._numpy torch._refs torch.ao torch.distributed "
    "torch.export torch.fx torch.jit torch.onnx torch.testing"
)
"""What users need not have installed, and parts of torch that the script does not touch: most of what mypy reads."""


@pytest.mark.slow
def test_a_user_s_script_is_strictly_typed(tmp_path: Path) -> None:
    """The ignored mistake must be one: strict mypy complains of an ignore that nothing needs."""
    package = Path(lrbench.__file__).parent
    assert (package / "py.typed").exists()
    (tmp_path / "mine.py").write_text(SCRIPT)
    unneeded = ",".join(f"{module}.*" for module in UNNEEDED.split())
    (tmp_path / "mypy.ini").write_text(
        f"[mypy]\nstrict = true\npython_version = 3.11\n[mypy-{unneeded}]\nfollow_imports = skip\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), "mine.py"],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "MYPYPATH": str(package.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
