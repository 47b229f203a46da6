"""Audits: mistakes made with torch's own schedulers are told by their right names, and correct runs are clean."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from lrbench.analysis.audits.comparison import Comparison
from lrbench.analysis.audits.diagnosis import diagnosed
from lrbench.analysis.audits.meant import stated
from lrbench.analysis.audits.recorded import Recorded
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
    return diagnosed(Comparison(run, meant))


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
