"""Milestones under a warm-up: they count from the start of the run, as other tools have it, and as `over` says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from test_train import after, go, table

import lrbench
from lrbench.analysis import read_one
from lrbench.config import Experiment, identity, load_config
from lrbench.errors import Interrupted
from lrbench.runs import RunFolder
from lrbench.schedules import build_schedule

LONG = {"name": "multistep", "milestones": [170, 200]}
WARMUP = {"for": "500 steps"}


def rates(part: Any, warmup: Any, total: int = 40, per_epoch: int = 4) -> list[float]:
    rate = build_schedule(part, lr=1.0, total_steps=total, steps_per_epoch=per_epoch, warmup=warmup)
    return [rate(step) for step in range(total)]


def test_milestones_count_from_the_start_of_the_run() -> None:
    """210 epochs of 20 updates, a warm-up of 500 and drops at epochs 170 and 200, as in detectron2 and mmengine."""
    found = rates(LONG, WARMUP, 4200, 20)
    at = [found[step] for step in (0, 249, 499, 500, 3399, 3400, 3999, 4000, 4199)]
    assert at == pytest.approx([0.002, 0.5, 1.0, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01])


def test_they_are_those_of_torch_s_schedulers_chained() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    rise = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / 8, total_iters=7)
    drop = torch.optim.lr_scheduler.MultiStepLR(optimizer, [4, 20, 32])
    both, found = torch.optim.lr_scheduler.ChainedScheduler([rise, drop]), []
    for _ in range(40):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        both.step()
    assert rates({"name": "multistep", "milestones": [1, 5, 8]}, {"for": 2}) == pytest.approx(found)


@pytest.mark.parametrize(
    ("part", "first_drop"),
    [
        ({"name": "step", "every": 5}, 20),
        ({"name": "step_decay", "every": "50%"}, 20),
        ({"name": "piecewise", "points": [[0, 1.0], [5, 0.1]], "how": "step"}, 20),
        ({"name": "sequence", "parts": [{"name": "constant", "for": 5}, {"name": "linear"}]}, 21),
        ({"name": "keras/PiecewiseConstantDecay", "boundaries": [19], "values": [1.0, 0.1]}, 20),
        ({"name": "lrbench2019/STEP", "gamma": 0.5, "l": 20}, 20),
        ({"name": "lrbench2019/NSTEP", "gamma": 0.5, "l": [20]}, 20),
        ({"name": "timm/step", "decay_t": 5, "decay_rate": 0.1}, 20),
        ({"name": "timm/multistep", "decay_t": [6], "decay_rate": 0.1}, 20),
        ({"name": "torch/StepLR", "step_size": 5}, 20),
        ({"name": "torch.optim.lr_scheduler:MultiStepLR", "milestones": [5]}, 20),
        ({"name": "cosine", "final_factor": 1.0}, None),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_for_every_schedule_with_milestones(part: Any, first_drop: int | None) -> None:
    found = rates(part, "4 steps")
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    fallen = [step for step in range(4, 40) if found[step] < 1.0]
    assert next(iter(fallen), None) == first_drop


@pytest.mark.parametrize(
    ("part", "top"),
    [
        ({"name": "cosine_restarts", "cycle": 3}, 12),  # three epochs of the run
        ({"name": "torch/CosineAnnealingWarmRestarts", "T_0": 3}, 12),
        ({"name": "keras/CosineDecayRestarts", "first_decay_steps": 12, "t_mul": 1.0}, 12),
        ({"name": "cosine_restarts", "cycle": "25%"}, 4 + 9),  # a quarter of what the warm-up leaves
    ],
    ids=str,
)
def test_restarts_given_in_epochs_count_from_the_start_too(part: Any, top: int) -> None:
    found = rates(part, "4 steps")
    assert max(range(4, 20), key=lambda step: found[step] - found[step - 1]) == top
    assert found[top] == 1.0


def test_over_says_it_explicitly() -> None:
    part = {"name": "multistep", "milestones": [5]}
    assert rates(part, {"for": "4 steps", "over": False})[23:25] == pytest.approx([1.0, 0.1])
    assert rates(part, {"for": "4 steps", "over": True}) == rates(part, {"for": "4 steps"})
    # 1 − t/T from the start of the run, times the rise; without `over`, the line starts at step 4.
    assert rates("linear", {"for": "4 steps", "over": True})[:6] == pytest.approx(
        [0.25, 0.5 * 0.975, 0.75 * 0.95, 0.925, 0.9, 0.875]
    )
    assert rates("linear", {"for": "4 steps", "over": False}) == rates("linear", "4 steps")
    with pytest.raises(lrbench.LrbenchError, match=r"warmup\.over: must be true or false"):
        rates(part, {"for": "4 steps", "over": "yes"})


def test_momentum_counts_as_the_rate_does() -> None:
    part = {"name": "one_cycle", "cycle_momentum": [0.8, 0.9]}
    sizes: dict[str, Any] = {"lr": 1.0, "total_steps": 40, "steps_per_epoch": 4}
    alone = build_schedule(part, **sizes)
    over = build_schedule(part, **sizes, warmup={"for": "4 steps", "over": True})
    assert [over.momentum(t) for t in range(40)] == [alone.momentum(t) for t in range(40)]  # type: ignore[attr-defined]


STEPPED = {"schedule": {"name": "multistep", "milestones": [1]}, "warmup": {"for": "1 steps"}, "epochs": 2}


def test_the_identity_follows_the_meaning(tiny: Callable[..., Experiment]) -> None:
    def of(schedule: Any, **warmup: Any) -> str:
        return identity(tiny(schedule=schedule, warmup={"for": "1 steps", **warmup}))

    stepped = STEPPED["schedule"]
    assert of(stepped) == of(stepped, over=True) != of(stepped, over=False)
    assert of("cosine") == of("cosine", over=False) != of("cosine", over=True)
    # as lrbench 0.1 pinned it, when milestones counted from the end of the warm-up
    before = "136f61d6acd20c56cb821cdc44f7ddc10c6f0b5b1f1322e1e117cb89d410717f"
    assert of(stepped, over=False) == before


def made_old(path: Path) -> Path:
    """Turn a run folder into one of format 2, whose config says nothing of `over` and `as_of`."""
    config = yaml.safe_load((path / "config.yaml").read_text())
    config.pop("as_of", None)
    config.get("warmup", {}).pop("over", None)
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    for file in (path / "env.json", path / "result.json"):
        if file.exists():
            plain = json.loads(file.read_text())
            plain.pop("config", None)
            file.write_text(json.dumps({**plain, "format": 2}))
    return path


OLD_MEANING = {**STEPPED, "warmup": {"for": "1 steps", "over": False}}


@pytest.fixture
def old(tmp_path: Path, tiny: Callable[..., Experiment]) -> Path:
    (outcome,) = lrbench.run([tiny(**OLD_MEANING)], runs=tmp_path / "runs")
    return made_old(outcome.path)


def test_an_old_interrupted_run_is_resumed_with_its_meaning(
    tmp_path: Path, tiny: Callable[..., Experiment], cli: Callable[..., tuple[int, str, str]]
) -> None:
    with pytest.raises(Interrupted):
        go(tmp_path / "runs", tiny(**OLD_MEANING), after(2))
    (path,) = (tmp_path / "runs").iterdir()
    code, out, err = cli("run", made_old(path) / "config.yaml")
    assert code == 0 and "resumed after step 2" in out, err
    assert [p for p in (tmp_path / "runs").iterdir() if p.is_dir()] == [path]
    assert [float(row["lr"]) for row in table(RunFolder(path).steps.path)] == pytest.approx([0.1, 0.1, 0.1, 0.01])
    assert read_one(RunFolder(path)).problem == ""


def test_an_old_run_folder_keeps_its_meaning(old: Path, cli: Callable[..., tuple[int, str, str]]) -> None:
    config = old / "config.yaml"
    assert identity(load_config(config)) == json.loads((old / "env.json").read_text())["identity"]
    assert read_one(RunFolder(old)).problem == ""
    (made,) = lrbench.preview([config])
    assert made.rates == pytest.approx([0.1, 0.1, 0.1, 0.01])  # 64 examples in batches of 32
    code, out, _ = cli("run", config, "--runs", old.parent, "--seeds", 2)
    assert code == 0 and "1 of 2 was already finished" in out
    (added,) = [path for path in old.parent.iterdir() if path != old]
    topped_up = yaml.safe_load((added / "config.yaml").read_text())
    assert topped_up["warmup"]["over"] is False
    assert json.loads((added / "env.json").read_text())["format"] == 3
    assert len({read_one(RunFolder(path)).group for path in (old, added)}) == 1
    assert read_one(RunFolder(added)).rates()[1].tolist() == pytest.approx(made.rates)


def test_elsewhere_the_same_config_has_the_new_meaning(old: Path, tmp_path: Path) -> None:
    copied = tmp_path / "config.yaml"
    copied.write_text((old / "config.yaml").read_text())
    (tmp_path / "env.json").write_text("[1]")  # not lrbench's
    (made,) = lrbench.preview([copied])
    assert made.rates == pytest.approx([0.1, 0.1, 0.01, 0.01])
    assert identity(made.experiment) != identity(load_config(old / "config.yaml"))


def test_preview_marks_the_warm_up_and_the_drops(
    write_config: Callable[..., Path], cli: Callable[..., tuple[int, str, str]]
) -> None:
    part = {"name": "multistep", "milestones": [3, 6]}
    path = write_config(schedule=part, warmup={"for": "2 steps"}, epochs=8)
    (made,) = lrbench.preview([path])
    assert (made.seam, made.over, made.drops) == (2, True, [6, 12])
    code, out, _ = cli("preview", path)
    assert code == 0
    assert "warm-up until step 2, during the start of the schedule; drops at steps 6, 12" in out
    code, out, _ = cli("preview", path, "--set", "warmup.over=false")
    assert "warm-up until step 2, before the schedule; drops at steps 8, 14" in out


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"name": "multistep", "milestones": [1, 4]}, "4 epochs lies beyond"),  # no update follows epoch 4 of 4
        ({"name": "multistep", "milestones": [1, 3]}, ""),
        ({"name": "torch/MultiStepLR", "milestones": [2, 30]}, "30 epochs lies beyond"),
        ({"name": "torch/StepLR", "step_size": 30, "per": "step"}, "30 steps lies beyond"),
        ({"name": "piecewise", "points": [[0, 1.0], ["100%", 0.5]]}, ""),
    ],
    ids=str,
)
def test_a_milestone_beyond_the_end_of_the_run_is_told(part: Any, told: str, tiny: Callable[..., Experiment]) -> None:
    (made,) = lrbench.preview([tiny(schedule=part, warmup={"for": "1 steps"}, epochs=4)])
    assert (told in "".join(made.warnings())) if told else made.warnings() == []


@pytest.mark.parametrize("words", [("run", "--seeds", "2"), ("sweep", "--lr", "0.1,0.2", "--jobs", "1")], ids=str)
def test_training_tells_of_a_milestone_beyond_the_end_once(
    words: tuple[str, ...], cli: Callable[..., Any], write_config: Callable[..., Path]
) -> None:
    path = write_config(schedule={"name": "multistep", "milestones": [1, 30]}, epochs=2)
    told = "tiny: schedule.milestones: 30 epochs lies beyond the schedule's 4 steps, so it is never reached"
    code, out, err = cli(words[0], path, *words[1:])
    assert code == 0, err
    assert out.count(told) == 1, out
    assert "lies beyond" not in cli(words[0], path, *words[1:])[1], "nothing is trained"
