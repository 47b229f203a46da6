"""Wrong arguments from Python: one sentence that names the argument and says what would be right, never a traceback."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import lrbench
from lrbench.errors import ArgumentError, LrbenchError, UsageError
from lrbench.training import RunOptions

SIZES: dict[str, Any] = {"total_steps": 10, "steps_per_epoch": 5}


def scheduler(part: Any = "cosine", **changes: Any) -> Any:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    return lrbench.torch_scheduler(changes.pop("optimizer", optimizer), part, **{**SIZES, **changes})


def schedule(part: Any = "cosine", **changes: Any) -> Any:
    return lrbench.build_schedule(part, **{"lr": 0.1, **SIZES, **changes})


def measured(value: Any) -> None:
    scheduler(plateau={}).step_plateau(value)


def test_runs_are_one_path_or_a_list(make_run: Callable[..., Path], tmp_path: Path) -> None:
    one, two = make_run([0.5, 0.4], seed=0), make_run([0.5, 0.4], seed=1)
    for load in (lrbench.load_runs, lrbench.load_steps, lrbench.load_evaluations):
        whole = len(load(one.parent))
        assert whole == len(load(one, two)) == len(load([one, str(two)])) == len(load([one], two)) == 2 * len(load(one))
        with pytest.raises(ArgumentError, match="must name at least one folder"):
            load([])
        with pytest.raises(ArgumentError, match=r"paths\[0\]\[1\] must be a path \(got 3\)"):
            load([one, 3])  # type: ignore[list-item]
    out = tmp_path / "out"
    assert len(lrbench.report(one.parent, out).records) == len(lrbench.report([one, two], out).records) == 2
    assert lrbench.figure("curves", one.parent) and lrbench.figure("curves", [one, two])


def test_no_runs_make_empty_tables_with_their_columns(tmp_path: Path) -> None:
    about = ["run", "name", "label", "family", "group", "seed", "peak_lr"]
    steps, evaluations = lrbench.load_steps(tmp_path), lrbench.load_evaluations(tmp_path)
    assert [*steps] == [*about, "step", "lr", "momentum", "loss", "grad_norm"] and not len(steps)
    assert [*evaluations][:10] == [*about, "step", "epoch", "lr"] and "val_loss" in evaluations
    runs = lrbench.load_runs(tmp_path)
    assert {"name", "folder", "seed", "state", "val_loss"} <= {*runs} and not len(runs)


def test_messages_name_what_the_user_named(make_run: Callable[..., Path], cli: Callable[..., Any]) -> None:
    """A parameter from Python, an option on the command line; after a command as before it."""
    runs = make_run([0.5, 0.4]).parent
    wrong = (("filter", "filters", ["epochs=77"]), ("columns", "columns", ["nope"]), ("metric", "metric", "nope"))
    for name, parameter, value in wrong:
        text = value if isinstance(value, str) else value[0]
        code, _, err = cli("report", runs, f"--{name}", text)
        assert code == 2 and f"Error: --{name} {text}: " in err
        with pytest.raises(UsageError, match=f"^{parameter} {text}: "):
            lrbench.report(runs, **{parameter: value})
    with pytest.raises(UsageError, match=r"^jobs must be at least 1"):
        RunOptions(jobs=0)


WRONG: list[tuple[Callable[[Any], Any], str, str]] = [
    (lambda e: schedule(None), "schedule", "a name or a mapping"),
    (lambda e: schedule(3), "schedule", "a name or a mapping"),
    (lambda e: schedule(lr="x"), "lr", "a number"),
    (lambda e: schedule(lr=None), "lr", "a number"),
    (lambda e: schedule(lr=True), "lr", "a number"),
    (lambda e: schedule(lr=float("nan")), "lr", "a number greater than 0"),
    (lambda e: schedule(total_steps=True), "total_steps", "a whole number, at least 1"),
    (lambda e: schedule(total_steps="9"), "total_steps", "a whole number, at least 1"),
    (lambda e: schedule(steps_per_epoch=0), "steps_per_epoch", "a whole number, at least 1"),
    (lambda e: schedule(steps_per_epoch=2.5), "steps_per_epoch", "a whole number, at least 1"),
    (lambda e: schedule(warmup=[1]), "warmup.for", "a duration such as"),
    (lambda e: schedule(as_of=1), "as_of", "2 or None"),
    (lambda e: scheduler(optimizer=[]), "optimizer", "a torch optimizer"),
    (lambda e: scheduler([1]), "schedule", "a name or a mapping"),
    (lambda e: scheduler(total_steps=None), "total_steps", "a whole number, at least 1"),
    (lambda e: scheduler(steps_per_epoch=0), "steps_per_epoch", "a whole number, at least 1"),
    (lambda e: scheduler(plateau="x"), "plateau", "a mapping of keys to values"),
    (lambda e: scheduler(plateau=[]), "plateau", "a mapping of keys to values"),
    (lambda e: scheduler(plateau={"mode": "up"}), "plateau.mode", "'min' or 'max'"),
    (lambda e: scheduler(plateau={"metric": "val_f1"}), "plateau.mode", "'min' or 'max'"),
    (lambda e: scheduler(plateau={"metric": 3, "mode": "min"}), "plateau.metric", "val_loss, or val_ and"),
    (lambda e: scheduler(warmup=-1), "warmup.for", "a duration such as"),
    (lambda e: scheduler(last_epoch="x"), "last_epoch", "a whole number, at least -1"),
    (lambda e: scheduler(last_epoch=3), "last_epoch", "needs `initial_lr`"),
    (lambda e: measured(None), "value", "a number"),
    (lambda e: measured("high"), "value", "a number"),
    (lambda e: measured(torch.zeros(2)), "value", "a number"),
    (lambda e: lrbench.load_config(None), "path", "a path"),  # type: ignore[arg-type]
    (lambda e: lrbench.load_config(3), "path", "a path"),  # type: ignore[arg-type]
    (lambda e: lrbench.load_config("none.yaml"), "none.yaml", "no such file"),
    (lambda e: lrbench.load_config("a.yaml", "lr=1"), "overrides", "a list of texts"),
    (lambda e: lrbench.load_config("a.yaml", [1]), r"overrides\[0\]", "text"),
    (lambda e: lrbench.run(None), "configs", "a list of YAML files and experiments"),  # type: ignore[arg-type]
    (lambda e: lrbench.run("a.yaml"), "configs", "a list of YAML files and experiments"),
    (lambda e: lrbench.run(e), "configs", "a list of YAML files and experiments"),
    (lambda e: lrbench.run([e, 3]), r"configs\[1\]", "a path or an Experiment"),  # type: ignore[list-item]
    (lambda e: lrbench.run(["none.yaml"]), "none.yaml", "no such file"),
    (lambda e: lrbench.run([e], runs=None), "runs", "a path"),  # type: ignore[arg-type]
    (lambda e: lrbench.run([e], jobs=0), "jobs", "at least 1"),
    (lambda e: lrbench.run([e], jobs="2"), "jobs", "a whole number"),  # type: ignore[arg-type]
    (lambda e: lrbench.run([e], seeds=-1), "seeds", "at least 1"),
    (lambda e: lrbench.run([e], seeds=[0, 1]), "seeds", "a whole number or None"),  # type: ignore[arg-type]
    (lambda e: lrbench.run([e], seeds=True), "seeds", "a whole number or None"),
    (lambda e: lrbench.run([e], device="nope"), "device", "auto"),
    (lambda e: lrbench.run([e], device=0), "device", "text or None"),  # type: ignore[arg-type]
    (lambda e: lrbench.run([e], again="yes"), "again", "True or False"),  # type: ignore[arg-type]
    (lambda e: lrbench.run([e], watch=1), "watch", "a function"),  # type: ignore[arg-type]
    (lambda e: lrbench.run([e], seed=1), "run", "unexpected keyword argument 'seed'"),  # type: ignore[call-arg]
    (lambda e: lrbench.sweep(3), "configs", "a list of YAML files and experiments"),  # type: ignore[arg-type]
    (lambda e: lrbench.sweep([e], lr="x"), "lr", "x"),
    (lambda e: lrbench.sweep([e], lr=[None]), "lr", "got nothing"),  # type: ignore[list-item]
    (lambda e: lrbench.sweep([e], seeds=-1), "seeds", "-1"),
    (lambda e: lrbench.sweep([e], schedules="cosine"), "schedules", "a list of schedules"),
    (lambda e: lrbench.sweep([e], schedules=[1]), r"schedules\[0\]", "a schedule's name or block"),  # type: ignore[list-item]
    (lambda e: lrbench.sweep([e], name=3), "name", "text or None"),  # type: ignore[arg-type]
    (lambda e: lrbench.sweep([e], jobs=0), "jobs", "at least 1"),
    (lambda e: lrbench.sweep([e], executor=3), "executor", "text or a function"),  # type: ignore[arg-type]
    (lambda e: lrbench.sweep([e], prune=0.5), "prune", "a Prune"),  # type: ignore[arg-type]
    (lambda e: lrbench.sweep([e], retries=-1), "retries", "a whole number, at least 0"),
    (lambda e: lrbench.sweep([e], confirm="1"), "confirm", "a whole number"),  # type: ignore[arg-type]
    (lambda e: lrbench.find_lr([e]), "config", "a path or an Experiment"),  # type: ignore[arg-type]
    (lambda e: lrbench.find_lr(e, seeds=0), "seeds", "at least 1"),
    (lambda e: lrbench.find_lr(e, seeds="3"), "seeds", "a whole number"),  # type: ignore[arg-type]
    (lambda e: lrbench.find_lr(e, options={}), "options", "a RunOptions or None"),  # type: ignore[arg-type]
    (lambda e: lrbench.find_lr(e, start="low"), "start", "a number"),
    (lambda e: lrbench.find_lr(e, iterations=2.5), "iterations", "a whole number"),
    (lambda e: lrbench.report(3), "runs", "a path or a list of paths"),  # type: ignore[arg-type]
    (lambda e: lrbench.report(None), "runs", "a path or a list of paths"),  # type: ignore[arg-type]
    (lambda e: lrbench.report([1]), r"runs\[0\]", "a path"),  # type: ignore[list-item]
    (lambda e: lrbench.report(["nowhere"]), "nowhere", "no such run or folder of runs"),
    (lambda e: lrbench.report([]), "runs", "at least one"),
    (lambda e: lrbench.report(["."], metric=1), "metric", "text"),  # type: ignore[arg-type]
    (lambda e: lrbench.report(["."], filters="a"), "filters", "a list of texts"),
    (lambda e: lrbench.load_runs(None), r"paths\[0\]", "a path"),  # type: ignore[arg-type]
    (lambda e: lrbench.load_runs([1]), r"paths\[0\]\[0\]", "a path"),  # type: ignore[list-item]
    (lambda e: lrbench.load_runs("nowhere"), "nowhere", "no such run or folder of runs"),
    (lambda e: lrbench.preview([None]), r"configs\[0\]", "a path or an Experiment"),  # type: ignore[list-item]
    (lambda e: lrbench.preview([e], steps_per_epoch=0), "steps_per_epoch", "a whole number, at least 1"),
    (lambda e: lrbench.build_optimizer("sgd", None), "model", "a torch module"),  # type: ignore[arg-type]
    (lambda e: lrbench.parameter_groups(3, lr=1), "model", "a torch module"),  # type: ignore[arg-type]
    (lambda e: RunOptions(jobs="x"), "jobs", "a whole number or None"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("call", "name", "right"), WRONG, ids=lambda v: v if isinstance(v, str) else "")
def test_a_wrong_argument_is_named_in_one_sentence(
    call: Callable[[Any], Any], name: str, right: str, tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LrbenchError, match=name) as caught:
        call(tiny())
    assert right in str(caught.value) and "\n" not in str(caught.value)
    assert isinstance(caught.value, UsageError), "exit code 2"
    assert not list(tmp_path.iterdir()), "nothing was written"


def test_wrong_kinds_are_type_errors_too_and_right_ones_pass(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"^runs must be a path or a list of paths \(got 3\)$"):
        lrbench.report(3)  # type: ignore[arg-type]
    assert issubclass(ArgumentError, UsageError)
    (shown,) = lrbench.preview(config for config in [tiny()])  # any iterable
    assert shown.rates
    assert inspect.signature(lrbench.run).parameters["seeds"].default is None
    assert (lrbench.run.__doc__ or "").startswith("Train configs.")
