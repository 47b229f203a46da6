"""The callback of Hugging Face's Trainer, with the real Trainer on a tiny model."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from recording import Truth, folders, nothing_recorded, only_run, table

from lrbench.runs import Status

transformers = pytest.importorskip("transformers")

from lrbench.integrations.transformers import LrbenchCallback  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # the frameworks' own


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with nothing_recorded(monkeypatch, tmp_path):
        yield


class Line(torch.nn.Module):
    """y = wx + b, with its loss, as the Trainer wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))

    def forward(self, x: Any = None, labels: Any = None) -> dict[str, Any]:
        out = x * self.weight + self.bias
        return {"loss": ((out - labels) ** 2).mean(), "logits": out}


DATA = [{"x": torch.tensor([i / 8.0]), "labels": torch.tensor([i / 4.0 + 1.0])} for i in range(8)]


def trainer(callback: Any, model: Any = None, evaluation: Any = DATA, **arguments: Any) -> Any:
    chosen = {
        "output_dir": "out",
        "per_device_train_batch_size": 2,
        "num_train_epochs": 2,
        "learning_rate": 0.1,
        "lr_scheduler_type": "linear",
        "logging_steps": 1,
        "eval_strategy": "epoch",
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "seed": 7,
        "optim": "adamw_torch",
        "save_strategy": "no",
        **arguments,
    }
    return transformers.Trainer(
        model or Line(),
        transformers.TrainingArguments(**chosen),
        train_dataset=DATA,
        eval_dataset=evaluation,
        compute_metrics=lambda given: {"accuracy": 0.5, "mse": 0.25},
        callbacks=[callback],
    )


def test_everything_is_recorded() -> None:
    made = trainer(LrbenchCallback(name="line", config={"width": 8}), warmup_steps=2, weight_decay=0.1)
    with Truth() as truth:
        made.train()
    made.predict(DATA)
    folder = only_run()
    assert folder.name.startswith("line-seed7-")
    steps, evaluations = table(folder, "steps"), table(folder, "epochs")
    logs = made.state.log_history
    assert steps["step"] == list(range(1, 9))
    assert steps["lr"] == [rates[0] for rates in truth.rates]
    assert steps["lr"][:3] == pytest.approx([0.0, 0.05, 0.1])
    assert steps["loss"] == [log["loss"] for log in logs if "loss" in log]
    assert steps["grad_norm"] == [log["grad_norm"] for log in logs if "loss" in log]
    assert steps["lr_1"] == [rates[1] for rates in truth.rates]  # without weight decay: biases
    assert evaluations["step"] == [4, 8] and evaluations["epoch"] == [1, 2]
    assert evaluations["val_loss"] == [log["eval_loss"] for log in logs if "eval_loss" in log]
    assert evaluations["val_accuracy"] == [0.5, 0.5] and evaluations["val_mse"] == [0.25, 0.25]
    assert evaluations["train_loss"] == pytest.approx([sum(steps["loss"][:4]) / 4, sum(steps["loss"][4:]) / 4])
    assert set(evaluations) == {
        *("epoch", "step", "lr", "train_loss", "val_loss", "seconds", "examples_per_second"),
        *("val_accuracy", "val_mse"),
    }
    result = folder.result()
    assert result is not None and result.status is Status.FINISHED and result.steps == 8
    assert result.test is not None and result.test["accuracy"] == 0.5 and result.test["loss"] is not None
    config = folder.config().plain()
    assert config["recorded"] == "transformers" and config["seed"] == 7
    assert config["params"] == {
        "learning_rate": 0.1,
        "lr_scheduler_type": "linear",
        "warmup_steps": 2,
        "weight_decay": 0.1,
        "optim": "adamw_torch",
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 1,
        "max_grad_norm": 1.0,
        "num_train_epochs": 2,
        "model": "Line",
        "width": 8,
    }
    environment = folder.environment()
    assert environment.sizes.total_steps == 8
    assert environment.metrics is not None and environment.metrics["mse"]["better"] == "lower"


def test_means_over_steps_are_no_steps_losses() -> None:
    made = trainer(LrbenchCallback(), logging_steps=2, gradient_accumulation_steps=2, num_train_epochs=4)
    made.train()
    folder = only_run()
    steps, evaluations = table(folder, "steps"), table(folder, "epochs")
    assert steps["step"] == list(range(1, 9)) and all(map(math.isnan, steps["loss"]))
    assert [math.isnan(norm) for norm in steps["grad_norm"]] == [True, False] * 4
    assert evaluations["train_loss"] == [log["loss"] for log in made.state.log_history if "loss" in log]
    assert "means over several steps" in folder.recorded()["notes"][0]


def test_means_that_do_not_cover_the_steps_since_the_last_evaluation_are_left_out() -> None:
    made = trainer(LrbenchCallback(), logging_steps=3)
    made.train()
    assert all(map(math.isnan, table(only_run(), "epochs")["train_loss"][:1]))


def test_several_evaluation_sets_are_one_row() -> None:
    made = trainer(LrbenchCallback(), evaluation={"easy": DATA, "hard": DATA[:2]})
    made.train()
    folder = only_run()
    evaluations = table(folder, "epochs")
    assert evaluations["step"] == [4, 8]
    assert len(evaluations["val_easy_loss"]) == 2 and len(evaluations["val_hard_accuracy"]) == 2
    metrics = folder.environment().metrics
    assert metrics is not None
    assert metrics["easy_loss"]["better"] == "lower" and metrics["hard_accuracy"]["better"] == "higher"


def test_the_best_is_chosen_as_the_trainer_does() -> None:
    made = trainer(
        LrbenchCallback(),
        metric_for_best_model="mse",
        greater_is_better=True,
        load_best_model_at_end=True,
        save_strategy="epoch",
    )
    made.train()
    made.evaluate()
    made.evaluate(DATA, metric_key_prefix="test")
    folder = only_run()
    metrics = folder.environment().metrics
    assert metrics is not None and metrics["mse"]["better"] == "higher"
    assert folder.config().plain()["best_by"] == "val_mse"
    assert table(folder, "epochs")["step"] == [4, 8]
    assert "test values are of the best checkpoint, not of the last weights" in folder.recorded()["notes"]
    result = folder.result()
    assert result is not None and result.test is not None and result.test["mse"] == 0.25


def test_an_evaluation_after_training_counts_once() -> None:
    made = trainer(LrbenchCallback(), eval_strategy="no")
    made.train()
    for _ in range(2):
        made.evaluate()
    folder = only_run()
    assert table(folder, "epochs")["step"] == [8]
    result = folder.result()
    assert result is not None and result.final is not None and result.final["val_accuracy"] == 0.5


def test_stopping_early_is_no_failure() -> None:
    class Stop(transformers.TrainerCallback):  # type: ignore[name-defined,misc]
        def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_training_stop = True

    made = trainer(LrbenchCallback())
    made.add_callback(Stop())
    made.train()
    result = only_run().result()
    assert result is not None and result.status is Status.STOPPED_EARLY
    assert result.reason == "stopped after 4 of 8 steps"


def test_a_run_that_a_checkpoint_resumes_keeps_its_rows() -> None:
    class Crash(transformers.TrainerCallback):  # type: ignore[name-defined,misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 6:
                raise RuntimeError("out of memory")

    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 4}
    whole = trainer(LrbenchCallback(runs="whole"), output_dir="other", **options)
    whole.train()
    crashing = trainer(LrbenchCallback(), **options)
    crashing.add_callback(Crash())
    with pytest.raises(RuntimeError, match="out of memory"):
        crashing.train()
    trainer(LrbenchCallback(), **options).train(resume_from_checkpoint=True)
    folder = only_run()
    (uninterrupted,) = (type(folder)(path) for path in Path("whole").iterdir())
    assert (folder.path / "steps.csv").read_bytes() == (uninterrupted.path / "steps.csv").read_bytes()
    assert table(folder, "epochs")["val_loss"] == table(uninterrupted, "epochs")["val_loss"]
    assert folder.status() is Status.FINISHED


def test_a_batch_size_that_the_trainer_finds_is_the_run_s() -> None:
    class Large(Line):
        calls = 0

        def forward(self, x: Any = None, labels: Any = None) -> dict[str, Any]:
            self.calls += 1
            if self.calls == 3:
                raise RuntimeError("CUDA out of memory.")
            return super().forward(x, labels)

    trainer(LrbenchCallback(), Large(), auto_find_batch_size=True).train()
    before, folder = sorted(
        folders(), key=lambda folder: folder.config().plain()["params"]["per_device_train_batch_size"]
    )[::-1]
    assert before.status() is Status.INTERRUPTED and folder.status() is Status.FINISHED
    assert folder.config().plain()["params"]["per_device_train_batch_size"] == 1
    assert table(folder, "steps")["step"] == list(range(1, 17))


@pytest.mark.slow
def test_a_crash_is_a_failed_run() -> None:
    Path("train.py").write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            from test_callback_transformers import LrbenchCallback, trainer, transformers
            class Crash(transformers.TrainerCallback):
                def on_step_end(self, args, state, control, **kwargs):
                    raise RuntimeError("out of memory")
            made = trainer(LrbenchCallback())
            made.add_callback(Crash())
            made.train()
            """
        )
    )
    done = subprocess.run([sys.executable, "train.py"], capture_output=True, text=True)
    assert done.returncode == 1
    result = only_run().result()
    assert result is not None and result.status is Status.FAILED and result.reason == "RuntimeError: out of memory"


def test_a_command_s_run_is_written_by_the_callback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cell").mkdir()
    monkeypatch.setenv("LRBENCH_RUN", str(tmp_path / "cell"))
    monkeypatch.setenv("LRBENCH_PARAMS", '{"params": {"learning_rate": 0.1}, "seed": 7, "name": "x"}')
    trainer(LrbenchCallback()).train()
    from lrbench.runs import RunFolder

    folder = RunFolder(tmp_path / "cell")
    assert len(table(folder, "steps")["step"]) == 8 and folder.recorded()["by"] == "transformers"
    assert folder.recorded()["total_steps"] == 8 and not folder.recorded()["notes"]
    assert not Path("runs").exists() and folder.result() is None
