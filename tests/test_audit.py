"""Audits: mistakes made with torch's own schedulers are told by their right names, and correct runs are clean."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from cases import OWN, PEERS, schedule
from torch.optim import lr_scheduler

import lrbench
from lrbench.analysis import RateMonitor
from lrbench.analysis.audits.diagnosis import diagnosed
from lrbench.analysis.audits.groups import resting
from lrbench.analysis.audits.meant import stated
from lrbench.analysis.audits.recorded import Recorded
from lrbench.analysis.audits.shape import Curve, has_floor, judged
from lrbench.analysis.audits.side_by_side import SideBySide
from lrbench.runs import RunFolder
from lrbench.types import Part

STEPS, PER_EPOCH = 390, 39


def ran(length, per_update=1, per_epoch=0, restart_at=None):
    """The learning rates of torch's cosine over `length`, in a loop that steps it so often."""

    def made():
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        return optimizer, lr_scheduler.CosineAnnealingLR(optimizer, length)

    optimizer, scheduler = made()
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for step in range(STEPS):
            if step == restart_at:
                optimizer, scheduler = made()
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            for _ in range(per_update + (per_epoch if (step + 1) % PER_EPOCH == 0 else 0)):
                scheduler.step()
    return Recorded(np.arange(1, STEPS + 1), np.array(rates))


def told(run):
    meant = stated(Part("cosine"), lr=0.1, warmup=None, sizes=(STEPS, True, PER_EPOCH), peak=0.1)
    return diagnosed(SideBySide(run, meant))


@pytest.mark.parametrize(
    ("run", "kind", "step", "words"),
    [
        ({"length": STEPS, "per_update": 2}, "steps", 2, "moves 2 steps per update"),
        ({"length": STEPS, "per_update": 0, "per_epoch": 1}, "steps", 2, "stepped once an epoch"),
        ({"length": 10}, "horizon", 2, "10 steps long, the number of epochs"),
        ({"length": STEPS, "per_update": 0}, "constant", 2, "the learning rate is constant"),
        ({"length": STEPS, "restart_at": 200}, "jump", 201, "starts again from its beginning"),
    ],
)
def test_mistakes_with_torch_s_scheduler(run, kind, step, words):
    (fault,) = told(ran(**run)).faults
    assert (fault.kind, fault.step) == (kind, step)
    assert words in fault.words


def test_the_schedule_itself_is_clean():
    assert not told(ran(STEPS)).faults


def test_the_command(cli, make_run):
    make_run([1.0, 0.5])
    code, out, _ = cli("audit", "runs")
    assert code == 0
    assert "as meant: constant" in out
    code, out, _ = cli("audit", "runs", "--schedule", "cosine", "--steps-per-epoch", 2)
    assert code == 1
    assert "the learning rate is constant, but cosine was meant" in out


# -- without a stated schedule


def course(part, *, every=1, total=STEPS, warmup=None):
    """The learning rates of a schedule of the catalogue, recorded every so many steps."""
    schedule = lrbench.build_schedule(part, lr=0.1, total_steps=total, steps_per_epoch=PER_EPOCH, warmup=warmup)
    steps = np.arange(every, total + 1, every)
    return Recorded(steps, np.array([schedule(int(step) - 1) for step in steps]))


def shown(run, name="", **keys):
    return judged(Curve(run, **{"total_steps": STEPS, "ended": True, "resumed": False, **keys}, name=name)).faults


@pytest.mark.parametrize("name", sorted({*OWN, *PEERS}))
@pytest.mark.parametrize("every", [1, 7, PER_EPOCH])
def test_a_sensible_schedule_raises_no_alarm(name, every):
    part = schedule(name, 0.1)
    run = course(part, every=every)
    for called in ("", name):
        assert not shown(run, called), (name, called)
        assert not shown(run, called, resumed=True), (name, called)


@pytest.mark.parametrize(
    ("rates", "name", "kind", "words"),
    [
        (0.05 * (1 + np.cos(np.pi * np.arange(STEPS) / 130)), "", "horizon", "a cosine that is stepped past its end"),
        (0.1 * np.clip(1 - np.arange(STEPS) / 40, 0, None), "linear", "zero", "for the last 90% of the run"),
        (np.full(STEPS, 0.1), "cosine", "constant", "is the scheduler stepped?"),
        (0.1 * (1 - np.arange(STEPS) / (STEPS * 10)), "linear", "minimum", "its length is not that of the run"),
        (np.zeros(STEPS), "", "zero", "the learning rate is 0 throughout"),
        (np.full(STEPS, -0.1), "", "other", "below 0"),
    ],
)  # fmt: skip
def test_what_a_curve_shows_by_itself(rates, name, kind, words):
    (fault,) = shown(Recorded(np.arange(1, STEPS + 1), rates), name)
    assert fault.kind == kind
    assert words in fault.words


def test_a_scheduler_that_a_resumption_forgot():
    first = 0.05 * (1 + np.cos(np.pi * np.arange(STEPS) / STEPS))
    rates = np.concatenate([first[:200], first[: STEPS - 200]])
    (fault,) = shown(Recorded(np.arange(1, STEPS + 1), rates), resumed=True)
    assert (fault.kind, fault.step) == ("jump", 201)
    assert not shown(Recorded(np.arange(1, STEPS + 1), rates)), "without a resumption it may be a warm restart"


def test_a_constant_learning_rate_is_no_mistake_by_itself():
    run = Recorded(np.arange(1, STEPS + 1), np.full(STEPS, 0.1))
    for name in ("", "constant", "none", "step"):
        assert not shown(run, name)


def test_a_run_that_goes_on_has_not_missed_its_minimum():
    run = Recorded(np.arange(1, 100), 0.1 * (1 - np.arange(99) / STEPS))
    assert not shown(run, "linear", ended=False)


# -- parameter groups


def test_a_group_that_does_not_move():
    moving = 0.1 * (1 - np.arange(STEPS) / STEPS)
    groups = {"lr_head": moving / 10, "lr_body": np.full(STEPS, 0.01), "lr_frozen": np.zeros(STEPS)}
    found = list(resting(Recorded(np.arange(1, STEPS + 1), moving, groups)))
    assert [(fault.group, fault.kind) for fault in found] == [("lr_body", "group"), ("lr_frozen", "group")]
    assert "was it added after the scheduler was made?" in found[0].words
    assert "is 0 throughout" in found[1].words


# -- while a run trains


def watched(length, *, per_update=1, per_epoch=0, monitor, steps=STEPS):
    """What a monitor says of torch's cosine over `length` that is stepped so often."""
    run = ran(length, per_update, per_epoch)
    told = [monitor.step(step, float(rate)) for step, rate in zip(run.steps[:steps], run.rates, strict=False)]
    return [(step, words) for step, words in enumerate(told, start=1) if words]


def test_a_monitor_says_nothing_of_a_right_schedule():
    def cosine(step):
        return 0.05 * (1 + np.cos(np.pi * step / STEPS))

    assert not watched(STEPS, monitor=RateMonitor(STEPS, PER_EPOCH, "cosine"))
    assert not watched(STEPS, monitor=RateMonitor(STEPS, PER_EPOCH, cosine))
    assert not watched(STEPS, per_update=0, monitor=RateMonitor(STEPS, PER_EPOCH, None))
    assert not watched(10, per_update=0, per_epoch=1, monitor=RateMonitor(STEPS, PER_EPOCH, "cosine", per_epoch=True))
    for name in ("constant", "step", "plateau"):
        assert not watched(STEPS, per_update=0, monitor=RateMonitor(STEPS, PER_EPOCH, name)), name


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ({"length": STEPS, "per_update": 0}, "is its scheduler not stepped?"),
        ({"length": STEPS, "per_update": 8}, "is its scheduler stepped too often, or its length in the wrong unit?"),
        ({"length": 60}, "reaches its minimum after about 60 of 390 updates"),
    ],
)
def test_a_monitor_warns_once_within_the_first_steps(run, words):
    ((step, told),) = watched(**run, monitor=RateMonitor(STEPS, PER_EPOCH, "cosine"))
    assert words in told
    assert step == RateMonitor.FIRST_STEPS


def test_a_monitor_compares_with_a_function():
    def cosine(step):
        return 0.05 * (1 + np.cos(np.pi * step / STEPS))

    ((_, told),) = watched(STEPS, per_update=4, monitor=RateMonitor(STEPS, PER_EPOCH, cosine))
    assert "the schedule moves 4 steps per update: it would end after 97 of 390 updates" in told


def test_the_report_tells_of_a_wrong_learning_rate(cli, make_run):
    path = make_run([1.0, 0.5, 0.4, 0.3], schedule="cosine")
    code, out, _ = cli("report", "runs")
    assert code == 0 and "see lrbench audit" in " ".join(out.split()), "its rows have a constant learning rate"
    assert "lrbench audit" in (path.parent / "report" / "report.html").read_text()
    code, out, _ = cli("audit", "runs")
    assert code == 1


# -- lrbench's own runs

REAL = {
    "accumulate": {"accumulate": 2, "batch_size": 8, "schedule": "cosine"},
    "plateau": {"plateau": {"patience": 1}, "schedule": "cosine", "warmup": "10%", "epochs": 8},
    "early stopping": {
        "early_stopping": {"patience": 1}, "schedule": "linear", "optimizer": {"name": "sgd", "lr": 3.0},
    },
    "unfreeze": {"optimizer": {"name": "sgd", "lr": 0.1, "unfreeze": {"*bias": "2 epochs"}}, "schedule": "cosine"},
    "group warm-up": {
        "optimizer": {"name": "sgd", "lr": 0.1, "group_warmup": {"*bias": "2 epochs"}}, "schedule": "one_cycle",
    },
    "scaling": {"lr_scaling": {"rule": "linear", "base_batch_size": 64}, "schedule": {"name": "step", "every": 1}},
    "steps": {"epochs": None, "steps": 11, "eval_every": "5 steps", "schedule": "triangular"},
    "another tool's": {"schedule": {"name": "hf/cosine", "num_warmup_steps": "20%"}},
}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_runs_are_as_meant(tmp_path, tiny, name):
    lrbench.run([tiny(**{"epochs": 4, **REAL[name]})], runs=tmp_path / "runs")
    (found,) = lrbench.audit([tmp_path / "runs"])
    assert not found.faults and not found.problem
    assert found.meant


def test_a_run_that_was_interrupted_and_resumed_is_as_meant(tmp_path, tiny):
    from lrbench.errors import Interrupted
    from lrbench.training.run_one import WorkItem, do_run

    experiment = tiny(schedule="cosine", epochs=6)
    folder = RunFolder.of(tmp_path / "runs", experiment)
    folder.path.mkdir(parents=True)
    folder.create(experiment, {})
    left = iter(range(4))
    item = WorkItem(folder.path, experiment)
    with pytest.raises(Interrupted):
        do_run(item, threads=None, watch=lambda event: None, stop=lambda: next(left, None) is None)
    do_run(item, threads=None, watch=lambda event: None, stop=lambda: False)
    (found,) = lrbench.audit([folder.path])
    assert not found.faults and found.steps == 12


def test_a_run_whose_rows_were_changed_is_found(tmp_path, tiny):
    (outcome,) = lrbench.run([tiny(schedule="cosine", epochs=6)], runs=tmp_path / "runs")
    path = outcome.path / "steps.csv"
    lines = path.read_text().splitlines()
    cells = lines[7].split(",")
    path.write_text("\n".join([*lines[:7], ",".join([cells[0], "0.07", *cells[2:]]), *lines[8:]]) + "\n")
    (found,) = lrbench.audit([outcome.path])
    assert found.faults and found.faults[0].step == 7


@pytest.mark.slow
def test_mistakes_with_schedulers_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")

    def course(warmup, total, times=1):
        optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=1e-3)
        scheduler = transformers.get_cosine_schedule_with_warmup(optimizer, warmup, total)
        rates = []
        for _ in range(STEPS):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            for _ in range(times):
                scheduler.step()
        return rates

    for number, (given, words) in enumerate(
        [
            ((39, STEPS), ""),
            ((0, STEPS), "warm-up"),
            ((100, STEPS), "warm-up"),
            ((39, STEPS, 2), "2 steps per update"),
            ((39, STEPS * 4), "long"),
        ]
    ):
        with lrbench.record(f"run{number}", config={"lr": 1e-3}, seed=0, runs=tmp_path / "runs") as run:
            for rate in course(*given):
                run.step(lr=rate, loss=1.0)
            run.evaluate(val_loss=1.0)
        found = lrbench.audit([run.path], schedule="hf/cosine", warmup="39 steps", lr=1e-3)[0]
        assert bool(found.faults) == bool(words), (given, found)
        assert not words or words in found.faults[0].words, found.faults


@pytest.mark.parametrize(
    "made",
    [
        lambda optimizer: lr_scheduler.CyclicLR(optimizer, 1e-5, 0.1, step_size_up=50, cycle_momentum=False),
        lambda optimizer: lr_scheduler.ExponentialLR(optimizer, 0.95),
        lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 60),
        lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.1, STEPS),
        lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [100, 200]),
    ],
)
def test_torch_s_own_schedulers_raise_no_alarm_without_a_name(made):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = made(optimizer)
    rates = []
    for _ in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert not shown(Recorded(np.arange(1, STEPS + 1), np.array(rates)))


def test_a_decay_that_is_to_end_high_is_no_mistake():
    rates = 0.1 * (1 - 0.3 * np.arange(STEPS) / STEPS)
    run = Recorded(np.arange(1, STEPS + 1), rates)
    assert shown(run, "cosine")
    assert not shown(run, "cosine", floor=True) and not shown(run, "cosine_with_min_lr")
    assert has_floor({"params": {"optim": {"min_lr": 0.07}}}) and not has_floor({"params": {"lr": 0.1}})


def test_a_monitor_that_begins_late_or_knows_of_restarts_says_nothing():
    for name in ("cosine_with_restarts", "constant_with_warmup", "warmup_stable_decay"):
        steps = 1 if "restarts" in name else 0
        assert not watched(STEPS, per_update=steps, monitor=RateMonitor(STEPS, PER_EPOCH, name)), name
    late = RateMonitor(1000, 100, "cosine")
    assert not any(late.step(step, 0.1 * (1 - step / 1000)) for step in range(900, 1000))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--schedule", "nope"), "--schedule: unknown schedule 'nope'"),
        (("--schedule", "{name: hf/cosine, foo: 1}"), "foo"),
        (("--schedule", "{"), "--schedule"),
        (("--schedule", "cosine", "--warmup", "x"), "--warmup: must be a duration"),
        (("--lr", "0.1"), "--lr and --warmup describe a schedule; give --schedule too"),
        (("--schedule", "cosine", "--total-steps", "0"), "--total-steps"),
    ],
)
def test_wrong_requests(cli, make_run, words, said):
    make_run([1.0, 0.5])
    code, _, err = cli("audit", "runs", *words)
    assert code == 2
    assert said in " ".join(err.split())
