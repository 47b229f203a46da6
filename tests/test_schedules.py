"""Schedules against numbers worked out by hand, the tutorial's own loops and torch's schedulers."""

import doctest
import importlib
import itertools
import math
import pkgutil
import random
import sys

import numpy
import pytest
import torch
from cases import NEEDING_PARAMETERS, OWN, PEERS, schedule
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import lrbench.schedules
from lrbench import torch_scheduler
from lrbench.errors import ConfigError, UserCodeError
from lrbench.schedules import (
    SCHEDULES,
    Growth,
    PlateauRule,
    PlateauState,
    WarmUpRule,
    build_schedule,
    momentum_of,
    warm_up,
)
from lrbench.training.early_stopping import EarlyStoppingRule, EarlyStoppingState
from lrbench.types import Duration


def built(part, lr=1.0, total_steps=20, steps_per_epoch=5):
    return build_schedule(part, lr=lr, total_steps=total_steps, steps_per_epoch=steps_per_epoch)


# --- numbers worked out by hand: 20 updates, 5 an epoch, peak 1 -------------------------------------------

BY_HAND = [
    ("constant", {0: 1.0, 10: 1.0, 19: 1.0}),
    ("linear", {0: 1.0, 5: 0.75, 19: 0.05}),
    ({"name": "linear", "final_factor": 0.2}, {0: 1.0, 10: 0.6, 19: 0.24}),
    ({"name": "linear", "final_lr": 0.5}, {0: 1.0, 10: 0.75, 19: 0.525}),
    ({"name": "linear", "decrement": 0.1}, {0: 0.9, 4: 0.9, 5: 0.8, 19: 0.6}),
    ({"name": "linear", "decrement": 0.3}, {0: 0.7, 5: 0.4, 10: 0.1, 15: 0.0, 19: 0.0}),
    ({"name": "step", "every": 2}, {0: 1.0, 9: 1.0, 10: 0.5, 19: 0.5}),
    ({"name": "step", "every": 1}, {0: 1.0, 4: 1.0, 5: 0.5, 19: 0.125}),
    ({"name": "step", "every": 2, "offset": 1}, {0: 1.0, 4: 1.0, 5: 0.5, 14: 0.5, 15: 0.25, 19: 0.25}),
    ({"name": "step", "every": "7 steps", "factor": 0.1}, {0: 1.0, 6: 1.0, 7: 0.1, 14: 0.01, 19: 0.01}),
    ({"name": "time", "k": 1.0}, {0: 1.0, 5: 1 / 2, 10: 1 / 6, 19: 1 / 24}),
    ({"name": "exponential", "gamma": 0.5}, {0: 1.0, 4: 1.0, 5: 0.5, 19: 0.125}),
    (
        {"name": "exponential", "gamma": 0.5, "per": "step"},
        {0: 1.0, 3: 0.125, 10: 0.0009765625, 19: 0.0000019073486328125},
    ),
    ("exponential", {0: 1.0, 5: 0.9, 19: 0.729}),
    ("cosine", {0: 1.0, 5: 0.8535533905932737, 10: 0.5, 19: 0.0061558297024311}),
    ({"name": "cosine", "final_factor": 0.1}, {0: 1.0, 10: 0.55, 19: 0.10554024673218800}),
    ({"name": "cosine", "final_lr": 0.5}, {0: 1.0, 10: 0.75}),
    ("triangular", {0: 0.1, 1: 0.55, 2: 1.0, 3: 0.55, 4: 0.1, 18: 1.0, 19: 0.55}),
    (
        {"name": "triangular", "base_factor": 0.0, "step_size_up": 4},
        {0: 0.0, 1: 0.25, 4: 1.0, 6: 0.5, 8: 0.0, 12: 1.0, 19: 0.75},
    ),
    (
        {"name": "triangular", "base_lr": 0.2, "step_size_up": 2, "step_size_down": 6},
        {0: 0.2, 2: 1.0, 5: 0.6, 8: 0.2, 19: 0.8666666666666667},
    ),
    ("one_cycle", {0: 0.04, 1: 0.1316718427000252, 5: 1.0, 12: 0.500002, 19: 4e-6}),
    ({"name": "one_cycle", "shape": "linear"}, {0: 0.04, 1: 0.232, 5: 1.0, 12: 0.500002, 19: 4e-6}),
    (
        {"name": "one_cycle", "shape": "linear", "three_phase": True, "final_factor": 0.01},
        {0: 0.04, 5: 1.0, 10: 0.04, 13: 0.03, 19: 0.01},
    ),
    (
        {"name": "multistep", "milestones": [1, "50%", "15 steps"], "factor": 0.5},
        {0: 1.0, 4: 1.0, 5: 0.5, 9: 0.5, 10: 0.25, 15: 0.125, 19: 0.125},
    ),
    ({"name": "multistep", "milestones": [3]}, {0: 1.0, 14: 1.0, 15: 0.1}),
    ({"name": "inverse", "gamma": 0.5}, {0: 1.0, 2: 0.5, 6: 0.25, 18: 0.1}),
    (
        {"name": "inverse", "gamma": 3.0, "power": 0.5, "per": "epoch"},
        {0: 1.0, 4: 1.0, 5: 0.5, 19: 0.31622776601683794},
    ),
    ("range_test", {0: 1e-8, 19: 1.0}),
    (
        {"name": "range_test", "start_factor": 0.001},
        {0: 0.001, 1: 0.0014384498882876629, 10: 0.03792690190732251, 19: 1.0},
    ),
    (
        {"name": "range_test", "start_factor": 0.05, "shape": "linear"},
        {0: 0.05, 1: 0.1, 9: 0.5, 19: 1.0},
    ),
    ("polynomial", {0: 1.0, 5: 0.75, 19: 0.05}),
    ({"name": "polynomial", "power": 2.0, "final_factor": 0.2}, {0: 1.0, 10: 0.4, 19: 0.202}),
    ({"name": "polynomial", "power": 0.5, "final_lr": 0.5}, {0: 1.0, 15: 0.75}),
    ({"name": "inverse_sqrt", "timescale": 4}, {0: 1.0, 4: 1.0, 9: 0.6666666666666667, 16: 0.5}),
    ("inverse_sqrt", {0: 1.0, 2: 1.0, 8: 0.5, 18: 0.3333333333333333}),
    ("tanh", {0: 0.9999991684719722, 14: 0.5, 16: 0.11920292202211755, 19: 0.006692850924284856}),
    ({"name": "tanh", "lower": -1.0, "upper": 1.0, "final_factor": 0.2}, {10: 0.6, 5: 0.7848468629040293}),
    ("rex", {0: 1.0, 5: 0.8571428571428571, 10: 0.6666666666666666, 15: 0.4, 19: 0.09523809523809523}),
    ("warmup_stable_decay", {0: 1.0, 15: 1.0, 16: 1.0, 17: 0.75, 19: 0.25}),
    (
        {"name": "warmup_stable_decay", "warmup": "4 steps", "cooldown": "50%", "shape": "sqrt"},
        {0: 0.25, 3: 1.0, 10: 1.0, 11: 0.683772233983162, 19: 0.05131670194948623},
    ),
    (
        {"name": "warmup_stable_decay", "warmup": 0, "cooldown": 2, "shape": "cosine", "final_factor": 0.1},
        {0: 1.0, 10: 1.0, 15: 0.55, 19: 0.12202456766718048},
    ),
    (
        {"name": "triangular2", "base_factor": 0.0, "step_size_up": 4},
        {0: 0.0, 4: 1.0, 6: 0.5, 8: 0.0, 10: 0.25, 12: 0.5, 19: 0.1875},
    ),
    (
        {"name": "exp_range", "base_factor": 0.5, "step_size_up": 2, "gamma": 0.5},
        {0: 0.5, 1: 0.625, 2: 0.625, 6: 0.5078125},
    ),
    ({"name": "sin", "base_factor": 0.0, "half_cycle": 3}, {0: 0.0, 1: 0.5, 3: 1.0, 5: 0.5, 6: 0.0, 7: 0.5, 15: 1.0}),
    ({"name": "sin2", "base_factor": 0.2, "half_cycle": 3}, {0: 0.2, 1: 0.6, 3: 1.0, 6: 0.2, 9: 0.6, 15: 0.4}),
    ({"name": "sinexp", "base_factor": 0.0, "half_cycle": 3, "gamma": 0.5}, {0: 0.0, 1: 0.25, 3: 0.125, 6: 0.0}),
    ("cosine_restarts", {0: 1.0, 1: 0.8535533905932737, 2: 0.5, 3: 0.1464466094067262, 4: 1.0, 8: 1.0, 18: 0.5}),
    (
        {"name": "cosine_restarts", "cycle": "8 steps", "cycle_factor": 0.5, "peak_factor": 0.5, "final_factor": 0.1},
        {0: 1.0, 4: 0.55, 8: 0.5, 10: 0.3, 12: 0.25, 13: 0.175, 14: 0.125, 15: 0.1, 19: 0.1},
    ),
    (
        {"name": "piecewise", "points": [[0, 0.1], [2, 1.0], ["75%", 0.5]]},
        {0: 0.1, 5: 0.55, 10: 1.0, 13: 0.7, 15: 0.5, 19: 0.5},
    ),
    (
        {"name": "piecewise", "points": [[1, 0.5], ["10 steps", 1.0]], "how": "step"},
        {0: 0.5, 5: 0.5, 9: 0.5, 10: 1.0, 19: 1.0},
    ),
    (
        {"name": "piecewise", "points": [[0, 0.0], ["12 steps", 1.0]], "how": "cosine"},
        {0: 0.0, 4: 0.25, 6: 0.5, 8: 0.75, 12: 1.0},
    ),
    (
        {"name": "sequence", "parts": [{"name": "constant", "for": 1}, {"name": "cosine"}]},
        {0: 1.0, 4: 1.0, 5: 1.0, 10: 0.75, 15: 0.25, 19: 0.0109261996330972},
    ),
    (
        {
            "name": "sequence",
            "parts": [{"name": "linear", "for": "10 steps"}, {"name": "linear", "for": "50%"}],
        },
        {0: 1.0, 9: 0.1, 10: 1.0, 15: 0.5, 19: 0.1},
    ),
    # What is left of the run after the last part's `for` stays at that part's last rate.
    (
        {"name": "sequence", "parts": [{"name": "linear", "for": "4 steps"}]},
        {0: 1.0, 3: 0.25, 4: 0.25, 19: 0.25},
    ),
]


def name_of(part):
    return part if isinstance(part, str) else part["name"]


@pytest.mark.parametrize("lr", [1.0, 0.003])
@pytest.mark.parametrize(("part", "numbers"), BY_HAND)
def test_numbers_by_hand(part, numbers, lr):
    if isinstance(part, dict):  # what is given absolutely scales with the peak here, so that one table serves
        part = {k: v * lr if k in ("final_lr", "base_lr", "decrement") else v for k, v in part.items()}
    rate = built(part, lr=lr)
    found = {step: rate(step) for step in numbers}
    assert found == {step: pytest.approx(lr * value, rel=1e-12, abs=1e-15) for step, value in numbers.items()}


def test_every_schedule_has_its_numbers():
    assert {name_of(part) for part, _ in BY_HAND} == set(OWN)


@pytest.mark.parametrize(
    ("shape", "from_factor", "rise"),
    [
        ("linear", 0.0, [0.25, 0.5, 0.75, 1.0]),
        ("linear", 0.5, [0.625, 0.75, 0.875, 1.0]),
        ("cosine", 0.0, [0.1464466094067262, 0.5, 0.8535533905932737, 1.0]),
        ("exponential", 0.01, [0.03162277660168379, 0.1, 0.31622776601683794, 1.0]),
    ],
)
def test_warm_up_by_hand(shape, from_factor, rise):
    rate = warm_up(lambda step: 0.8 - 0.1 * step, 4, from_factor=from_factor, shape=shape)
    expected = [0.8 * x for x in rise] + [0.8, 0.7, 0.6]
    assert [rate(t) for t in range(7)] == pytest.approx(expected, rel=1e-12)


def test_warm_up_takes_its_updates_from_the_budget():
    rule = WarmUpRule(Duration.parse("20%", "epochs"))
    lengths = []

    def build(steps):
        lengths.append(steps)
        return built("cosine", total_steps=steps)

    rate = rule.around(build, total_steps=20, steps_per_epoch=5)
    assert lengths == [16]
    assert [rate(t) for t in (0, 3, 4, 12)] == pytest.approx([0.25, 1.0, 1.0, 0.5])
    assert rate(19) == pytest.approx(0.0096073597983848)  # (1 + cos 15π/16)/2


def test_warm_up_of_no_length_is_none():
    schedule = built("cosine")
    rule = WarmUpRule(Duration.parse(0, "epochs"))
    assert rule.around(lambda steps: schedule, total_steps=20, steps_per_epoch=5) is schedule


@pytest.mark.parametrize(
    ("length", "shape", "fragment"),
    [
        ("100%", "linear", "must be shorter than the run"),
        ("4 epochs", "linear", "must be shorter than the run"),
        (1, "exponential", "start at 0"),
    ],
)
def test_impossible_warm_ups(length, shape, fragment):
    rule = WarmUpRule(Duration.parse(length, "epochs"), shape=shape)
    with pytest.raises(ConfigError, match=fragment) as caught:
        rule.around(lambda steps: built("constant"), total_steps=20, steps_per_epoch=5)
    assert caught.value.key.startswith("warmup.")


def test_momentum_by_hand():
    cycle = {"cycle_momentum": [0.85, 0.95]}
    one = momentum_of(built({"name": "one_cycle", "shape": "linear", **cycle}))
    assert [one(t) for t in (0, 5, 12, 19)] == pytest.approx([0.95, 0.85, 0.9, 0.95])
    triangle = momentum_of(built({"name": "triangular", "step_size_up": 4, **cycle}))
    assert [triangle(t) for t in (0, 4, 6, 8)] == pytest.approx([0.95, 0.85, 0.9, 0.95])


def test_momentum_is_left_alone_unless_asked_for():
    assert [part for part, _ in BY_HAND if momentum_of(built(part)) is not None] == []


def test_momentum_through_warm_up_and_sequence():
    cycling = {"name": "triangular", "step_size_up": 4, "cycle_momentum": [0.8, 0.9]}
    warmed = momentum_of(warm_up(built(cycling), 3))
    assert [warmed(t) for t in (0, 2, 3, 5, 7)] == pytest.approx([0.9, 0.9, 0.9, 0.85, 0.8])
    joined = momentum_of(built({"name": "sequence", "parts": [{"name": "constant", "for": "2 steps"}, cycling]}))
    assert [joined(0), joined(1)] == [None, None]
    assert [joined(2), joined(6)] == pytest.approx([0.9, 0.8])


# --- the tutorial's decays, by loops that do what it says --------------------------------------------------


def tutorial_linear(lr):
    for _ in itertools.count():
        lr = max(lr - 1e-5, 0)
        yield lr


def tutorial_step(lr):
    for e in itertools.count():
        yield lr * 0.5 ** math.floor((1 + e) / 15)


def tutorial_time(lr):
    for e in itertools.count():
        lr = lr * (1 / (1 + 1.5e-6 * e))
        yield lr


def tutorial_exponential(lr):
    while True:
        yield lr
        lr *= 0.9


@pytest.mark.parametrize(
    ("part", "rule"),
    [
        ({"name": "linear", "decrement": 1e-5}, tutorial_linear),
        ({"name": "step", "factor": 0.5, "every": "15 epochs", "offset": "1 epoch"}, tutorial_step),
        ({"name": "time", "k": 1.5e-6}, tutorial_time),
        ({"name": "exponential", "gamma": 0.9}, tutorial_exponential),
    ],
    ids=["linear", "step", "time", "exponential"],
)
@pytest.mark.parametrize("steps_per_epoch", [1, 3])
def test_the_tutorials_decays(part, rule, steps_per_epoch):
    rate = built(part, lr=1e-3, total_steps=100 * steps_per_epoch, steps_per_epoch=steps_per_epoch)
    for epoch, expected in zip(range(100), rule(1e-3), strict=False):
        first = epoch * steps_per_epoch
        for step in (first, first + steps_per_epoch - 1):
            assert rate(step) == pytest.approx(expected, rel=1e-9, abs=1e-16), f"epoch {epoch}"


def test_the_tutorials_constants_hardly_move_the_rate():
    last = 24 * 192
    context = {"lr": 1e-3, "total_steps": 25 * 192, "steps_per_epoch": 192}
    assert built({"name": "time", "k": 1.5e-6}, **context)(last) == pytest.approx(0.99955e-3, rel=1e-6)
    assert built({"name": "linear", "decrement": 1e-5}, **context)(last) == pytest.approx(0.75e-3)


# --- torch's schedulers, update by update ------------------------------------------------------------------


def torch_values(make, lr, updates, unit=1):
    """Rates (in closed form where there is one) and momenta of a torch scheduler stepped every `unit` updates."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr, momentum=0.9)
    scheduler = make(optimizer)
    rates, momenta = [], []
    for update in range(updates):
        if update and update % unit == 0:
            optimizer.step()
            scheduler.step()
        closed = getattr(scheduler, "_get_closed_form_lr", None)
        rates.append(float(closed()[0] if closed else optimizer.param_groups[0]["lr"]))
        momenta.append(optimizer.param_groups[0]["momentum"])
    return rates, momenta


def same(found, expected, lr):
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-14 * lr)


SIZES = [(0.1, 30, 5), (1e-3, 101, 7), (2.5, 64, 64)]
schedulers = torch.optim.lr_scheduler


@pytest.mark.parametrize(("lr", "total", "per_epoch"), SIZES)
@pytest.mark.parametrize(("every", "factor"), [(1, 0.5), (2, 0.1), (3, 0.97)])
def test_step_is_torchs(lr, total, per_epoch, every, factor):
    rate = built({"name": "step", "every": every, "factor": factor}, lr, total, per_epoch)
    expected, _ = torch_values(lambda o: schedulers.StepLR(o, every, factor), lr, total, per_epoch)
    same([rate(t) for t in range(total)], expected, lr)


@pytest.mark.parametrize(("lr", "total", "per_epoch"), SIZES)
@pytest.mark.parametrize(("per", "gamma"), [("epoch", 0.9), ("step", 0.99), ("step", 0.5)])
def test_exponential_is_torchs(lr, total, per_epoch, per, gamma):
    rate = built({"name": "exponential", "gamma": gamma, "per": per}, lr, total, per_epoch)
    unit = per_epoch if per == "epoch" else 1
    expected, _ = torch_values(lambda o: schedulers.ExponentialLR(o, gamma), lr, total, unit)
    same([rate(t) for t in range(total)], expected, lr)


@pytest.mark.parametrize(("lr", "total", "per_epoch"), SIZES)
@pytest.mark.parametrize("final_factor", [0.0, 0.01, 0.5])
def test_cosine_and_linear_are_torchs(lr, total, per_epoch, final_factor):
    steps = range(total)  # the end value itself would come one past the last update
    rate = built({"name": "cosine", "final_factor": final_factor}, lr, total, per_epoch)
    expected, _ = torch_values(
        lambda o: schedulers.CosineAnnealingLR(o, T_max=total, eta_min=lr * final_factor), lr, total
    )
    same([rate(t) for t in steps], expected, lr)
    rate = built({"name": "linear", "final_factor": final_factor}, lr, total, per_epoch)
    expected, _ = torch_values(lambda o: schedulers.LinearLR(o, 1.0, final_factor, total), lr, total)
    same([rate(t) for t in steps], expected, lr)


@pytest.mark.parametrize(("lr", "total", "per_epoch"), SIZES)
@pytest.mark.parametrize(("base", "up", "down"), [(0.1, 4, 4), (0.0, 7, 3), (0.5, 1, 9)])
def test_triangular_is_torchs(lr, total, per_epoch, base, up, down):
    part = {"name": "triangular", "base_factor": base, "step_size_up": up, "step_size_down": down}
    rate = built({**part, "cycle_momentum": [0.8, 0.93]}, lr, total, per_epoch)
    expected, momenta = torch_values(
        lambda o: schedulers.CyclicLR(o, base * lr, lr, up, down, base_momentum=0.8, max_momentum=0.93),
        lr,
        total,
    )
    same([rate(t) for t in range(total)], expected, lr)
    same([momentum_of(rate)(t) for t in range(total)], momenta, 1.0)


@pytest.mark.parametrize(("lr", "total", "per_epoch"), SIZES)
@pytest.mark.parametrize(("base", "up", "down", "gamma"), [(0.1, 4, 4, 0.99), (0.0, 7, 3, 0.9), (0.5, 1, 9, 1.0)])
@pytest.mark.parametrize("mode", ["triangular2", "exp_range"])
def test_damped_triangles_are_torchs(lr, total, per_epoch, base, up, down, gamma, mode):
    part = {"name": mode, "base_factor": base, "step_size_up": up, "step_size_down": down}
    part |= {"gamma": gamma} if mode == "exp_range" else {}
    rate = built(part, lr, total, per_epoch)
    expected, _ = torch_values(
        lambda o: schedulers.CyclicLR(o, base * lr, lr, up, down, mode, gamma, cycle_momentum=False), lr, total
    )
    same([rate(t) for t in range(total)], expected, lr)


@pytest.mark.parametrize(("lr", "total", "per_epoch"), SIZES)
@pytest.mark.parametrize(("milestones", "factor"), [([1], 0.1), ([1, 3], 0.5), ([2, 3, 9], 0.9)])
def test_multistep_is_torchs(lr, total, per_epoch, milestones, factor):
    rate = built({"name": "multistep", "milestones": milestones, "factor": factor}, lr, total, per_epoch)
    expected, _ = torch_values(lambda o: schedulers.MultiStepLR(o, milestones, factor), lr, total, per_epoch)
    same([rate(t) for t in range(total)], expected, lr)


@pytest.mark.parametrize(("lr", "total", "per_epoch"), SIZES)
@pytest.mark.parametrize("power", [1.0, 2.0, 0.5])
def test_polynomial_is_torchs(lr, total, per_epoch, power):
    rate = built({"name": "polynomial", "power": power}, lr, total, per_epoch)
    expected, _ = torch_values(lambda o: schedulers.PolynomialLR(o, total, power), lr, total)
    same([rate(t) for t in range(total)], expected, lr)


@pytest.mark.parametrize(("lr", "total", "per_epoch"), SIZES)
@pytest.mark.parametrize(("first", "times", "final"), [(4, 1, 0.0), (3, 2, 0.1), (1, 3, 0.5), (500, 1, 0.0)])
def test_cosine_restarts_is_torchs(lr, total, per_epoch, first, times, final):
    part = {"name": "cosine_restarts", "cycle": f"{first} steps", "cycle_factor": times, "final_factor": final}
    rate = built(part, lr, total, per_epoch)
    expected, _ = torch_values(lambda o: schedulers.CosineAnnealingWarmRestarts(o, first, times, final * lr), lr, total)
    same([rate(t) for t in range(total)], expected, lr)


@pytest.mark.parametrize(("lr", "total", "per_epoch"), SIZES)
@pytest.mark.parametrize("shape", ["cosine", "linear"])
@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize(
    ("warmup", "initial", "final"), [(0.3, 1 / 25, 1 / 25 / 1e4), (0.5, 0.1, 0.001), (0.13, 0.5, 0.25)]
)
def test_one_cycle_is_torchs(lr, total, per_epoch, shape, three_phase, warmup, initial, final):
    part = {"name": "one_cycle", "warmup_fraction": warmup, "initial_factor": initial, "final_factor": final}
    part |= {"shape": shape, "three_phase": three_phase, "cycle_momentum": [0.85, 0.95]}
    rate = built(part, lr, total, per_epoch)

    def make(optimizer):
        return schedulers.OneCycleLR(
            optimizer,
            max_lr=lr,
            total_steps=total,
            pct_start=warmup,
            anneal_strategy={"cosine": "cos"}.get(shape, shape),
            three_phase=three_phase,
            div_factor=1 / initial,
            final_div_factor=initial / final,
            base_momentum=0.85,
            max_momentum=0.95,
        )

    expected, momenta = torch_values(make, lr, total)
    same([rate(t) for t in range(total)], expected, lr)
    same([momentum_of(rate)(t) for t in range(total)], momenta, 1.0)


def test_one_cycles_defaults_are_torchs():
    expected, _ = torch_values(lambda o: schedulers.OneCycleLR(o, max_lr=0.2, total_steps=50), 0.2, 50)
    rate = built("one_cycle", 0.2, 50)
    same([rate(t) for t in range(50)], expected, 0.2)


# --- import strings ----------------------------------------------------------------------------------------

TORCH = "torch.optim.lr_scheduler:"


def values(part, updates, **sizes):
    rate = built(part, **sizes)
    return [rate(t) for t in range(updates)]


def test_torch_schedulers_step_every_epoch_unless_told():
    step_lr = {"name": TORCH + "StepLR", "step_size": 2, "gamma": 0.5}
    sizes = {"total_steps": 10, "steps_per_epoch": 2}
    assert values(step_lr, 10, **sizes) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert values({**step_lr, "per": "epoch"}, 10, **sizes) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert values({**step_lr, "per": "step"}, 6, **sizes) == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_torchs_cyclic_schedulers_step_every_update_and_leave_momentum_alone():
    cyclic = {"name": TORCH + "CyclicLR", "base_lr": 0.0, "step_size_up": 2}
    assert values(cyclic, 6) == pytest.approx([0, 0.5, 1, 0.5, 0, 0.5])
    one = built({"name": TORCH + "OneCycleLR", "anneal_strategy": "linear"})
    assert [one(0), one(5), one(19)] == pytest.approx([0.04, 1.0, 4e-6])
    assert momentum_of(one) is None
    assert momentum_of(built(cyclic)) is None
    asked = momentum_of(built({"name": TORCH + "OneCycleLR", "cycle_momentum": True}))
    assert [asked(0), asked(5), asked(19)] == pytest.approx([0.95, 0.85, 0.95])


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"name": TORCH + "MultiStepLR", "milestones": [1, 3], "gamma": 0.1}, [1, 0.1, 0.1, 0.01]),
        ({"name": TORCH + "ConstantLR", "factor": 0.5, "total_iters": 2}, [0.5, 0.5, 1, 1]),
        ({"name": TORCH + "PolynomialLR", "total_iters": 4, "power": 2}, [1, 0.5625, 0.25, 0.0625]),
        ({"name": TORCH + "CosineAnnealingWarmRestarts", "T_0": 2}, [1, 0.5, 1, 0.5]),
    ],
)
def test_other_torch_schedulers(part, expected):
    found = values(part, 20)
    assert found[::5] == pytest.approx(expected)
    assert all(found[t] == found[t - t % 5] for t in range(20))


@pytest.mark.parametrize(
    ("part", "fragment"),
    [
        ("ReduceLROnPlateau", "`plateau:` key"),
        ("SequentialLR", "name: sequence"),
        ("ChainedScheduler", "scheduler objects"),
        ("LambdaLR", "name the function itself"),
        ("MultiplicativeLR", "name the function itself"),
        ("StepLR", "step_size"),
        ("LRScheduler", "NotImplementedError"),
        ({"name": "StepLR", "step_size": 0}, "zero"),
        ({"name": "StepLR", "step_size": 2, "per": "batch"}, "'step' or 'epoch'"),
        ({"name": "StepLR", "step_size": 2, "gama": 2}, "gama"),
        ({"name": "OneCycleLR", "pct_start": 3}, "pct_start"),
    ],
)
def test_refused_torch_schedulers(part, fragment):
    part = {"name": part} if isinstance(part, str) else part
    with pytest.raises(ConfigError, match=fragment):
        built({**part, "name": TORCH + part["name"]})


def halving(optimizer, num_training_steps, num_warmup_steps, steps_per_epoch, factor=0.5):
    """A scheduler of the user's own: a warm-up, then `factor` after each epoch, 0 from the end of the run on."""

    def height(step):
        if step < num_warmup_steps:
            return step / num_warmup_steps
        return factor ** (step // steps_per_epoch) if step < num_training_steps else 0.0

    return schedulers.LambdaLR(optimizer, height)


def of_epochs(optimizer, num_training_steps):
    return schedulers.LambdaLR(optimizer, lambda epoch: 1 - epoch / num_training_steps)


def of_results(optimizer, patience=1):
    return schedulers.ReduceLROnPlateau(optimizer, patience=patience)


def no_scheduler(optimizer):
    return 3


def breaking(optimizer):
    raise RuntimeError("boom")


def test_functions_that_take_the_optimizer():
    sizes = {"total_steps": 10, "steps_per_epoch": 4}
    found = values(f"{__name__}:halving", 10, **sizes)
    assert found == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]
    warm = {"name": f"{__name__}:halving", "num_warmup_steps": "25%", "factor": 0.1}  # 2.5 steps, rounded up
    assert values(warm, 10, **sizes)[:5] == pytest.approx([0, 1 / 3, 2 / 3, 1, 0.1])
    per_epoch = {"name": f"{__name__}:of_epochs", "per": "epoch"}
    assert values(per_epoch, 10, **sizes) == pytest.approx([1] * 4 + [2 / 3] * 4 + [1 / 3] * 2)
    rate = built(warm, **sizes)
    assert [rate(t) for t in (9, 0, 5, 0)] == pytest.approx([0.01, 0, 0.1, 0]), "in any order"


@pytest.mark.parametrize(
    ("part", "fragment"),
    [
        ({"name": "halving", "gamma": 2}, "'test_schedules:halving' does not take these parameters.*'gamma'"),
        ({"name": "halving", "optimizer": "adam"}, "can't be set in a config; the run sets it"),
        ({"name": "halving", "num_warmup_steps": "soon"}, "must be a duration"),
        ({"name": "halving", "per": "batch"}, "'step' or 'epoch'"),
        ({"name": "of_results"}, "its step.. needs a result of the run .*'metrics'.*use the `plateau:` key"),
        ({"name": "no_scheduler"}, "must return a scheduler with a method step.. .got int"),
    ],
)
def test_refused_functions_of_the_optimizer(part, fragment):
    with pytest.raises(ConfigError, match=fragment) as caught:
        built({**part, "name": f"{__name__}:{part['name']}"})
    assert caught.value.key.startswith("schedule")
    with pytest.raises(UserCodeError, match="boom"):
        built(f"{__name__}:breaking")


USERS_OWN = """
def rate(step, lr, total_steps, power=1):
    return lr * (1 - step / total_steps) ** power

def whole(step):
    return 3

def told(step, context, floor=0.0):
    return max(context.lr * (1 - context.progress(step)) / (1 + context.epoch(step)), floor)

def unnamed(t):
    return 0.1

def make(steps_per_epoch, lr, factor=0.5):
    return lambda step: lr * factor ** (step // steps_per_epoch)

def raising(step):
    raise RuntimeError("boom")

def text(step):
    return "fast"

def nothing(step):
    return None

def not_a_number(step):
    return float("nan")

def negative(step):
    return -0.1

def broken_factory(lr):
    raise RuntimeError("boom")

def not_a_schedule(lr):
    return 0.1

number = 7

from torch.optim.lr_scheduler import LRScheduler

class Mine(LRScheduler):
    def get_lr(self):
        return [lr / (1 + self.last_epoch) for lr in self.base_lrs]

class Broken(LRScheduler):
    def get_lr(self):
        raise RuntimeError("boom")
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The prefix of an import string: a module of the user's, in a folder that is on the path."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "users_own_schedules", raising=False)
    (tmp_path / "users_own_schedules.py").write_text(USERS_OWN)
    yield "users_own_schedules:"
    sys.modules.pop("users_own_schedules", None)


def test_a_users_function_of_the_step(own):
    assert values(own + "rate", 3, lr=2.0, total_steps=4) == [2.0, 1.5, 1.0]
    assert values({"name": own + "rate", "power": 2}, 3, lr=2.0, total_steps=4) == [2.0, 1.125, 0.5]
    assert values({"name": own + "rate", "total_steps": 10}, 2) == [1.0, 0.9]  # the config has the last word
    assert isinstance(built(own + "whole")(0), float)


def test_a_users_function_of_the_step_and_the_run(own):
    found = values({"name": own + "told", "floor": 0.3}, 4, lr=2.0, total_steps=4, steps_per_epoch=2)
    assert found == [2.0, 1.5, 0.5, 0.3]


def test_a_users_function_of_something_else(own):
    with pytest.raises(ConfigError, match="the first parameter of a function of the step must be `step`"):
        built(own + "unnamed")


def test_a_users_factory(own):
    assert values({"name": own + "make", "factor": 0.1}, 6, steps_per_epoch=3) == pytest.approx(
        [1, 1, 1, 0.1, 0.1, 0.1]
    )


def test_a_users_scheduler_class(own):
    assert values(own + "Mine", 8, total_steps=8, steps_per_epoch=2) == pytest.approx(
        [1, 1, 1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 4, 1 / 4]
    )


def test_a_users_function_that_fails(own):
    rate = built(own + "raising")
    with pytest.raises(UserCodeError, match="users_own_schedules:raising' raised RuntimeError: boom"):
        rate(0)


@pytest.mark.parametrize(
    ("name", "fragment"),
    [
        ("text", "returns 'fast' at step 0; it must return a number"),
        ("nothing", "returns None at step 0; it must return a number"),
        ("not_a_number", "gives learning rate nan at step 0; it must be finite and at least 0"),
        ("negative", "gives learning rate -0.1 at step 0; it must be finite and at least 0"),
    ],
)
def test_a_users_function_that_gives_no_rate(own, name, fragment):
    with pytest.raises(ConfigError, match=fragment):
        built(own + name)(0)


@pytest.mark.parametrize("name", ["broken_factory", "Broken"])
def test_a_users_factory_that_fails(own, name):
    with pytest.raises(UserCodeError, match="boom"):
        built(own + name)


@pytest.mark.parametrize(
    ("name", "params", "fragment"),
    [
        ("number", {}, "not a function"),
        ("not_a_schedule", {}, "must return a function of the step .got float"),
        ("rate", {"pwoer": 2}, "does not take these parameters: .*pwoer"),
        ("make", {"power": 2}, "does not take these parameters: .*power"),
        ("absent", {}, "has no 'absent'"),
    ],
)
def test_users_mistakes(own, name, params, fragment):
    with pytest.raises(ConfigError, match=fragment):
        built({"name": own + name, **params})


def test_a_function_without_a_signature():
    with pytest.raises(ConfigError, match="has no signature"):
        built("math:hypot")


# --- wrong parameters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "fragment"),
    [
        ("cosin", "did you mean 'cosine'"),
        ({"factor": 0.5}, "no `name`"),
        (None, "must be a name"),
        ({"name": "cosine", "lr": 3.0}, "no parameter 'lr'"),
        ({"name": "cosine", "final_facter": 0.1}, "did you mean 'final_factor'"),
        ({"name": "cosine", "final_factor": 1.5}, "at most 1"),
        ({"name": "cosine", "final_factor": 0.1, "final_lr": 0.1}, "not both"),
        ({"name": "cosine", "final_lr": 5.0}, "above the peak"),
        ({"name": "linear", "final_lr": -1.0}, "at least 0"),
        ({"name": "linear", "decrement": 0.1, "final_lr": 0.0}, "either `decrement` or a final value"),
        ({"name": "linear", "decrement": 0}, "greater than 0"),
        ({"name": "step"}, "needs the parameter 'every'"),
        ({"name": "step", "every": 0}, "longer than 0"),
        ({"name": "step", "every": "3 weeks"}, "must be a duration"),
        ({"name": "step", "every": -2}, "must be a duration"),
        ({"name": "step", "every": True}, "must be a duration"),
        ({"name": "step", "every": 2, "factor": -1}, "greater than 0"),
        ({"name": "step", "every": 2, "factor": "0.5"}, "must be a number"),
        ({"name": "exponential", "gamma": True}, "must be a number"),
        ({"name": "exponential", "gamma": math.inf}, "finite"),
        ({"name": "exponential", "per": "batch"}, "'step' or 'epoch'"),
        ({"name": "time", "k": math.nan}, "finite"),
        ({"name": "triangular", "step_size_up": 0}, "longer than 0"),
        ({"name": "triangular", "step_size_up": 2, "step_size_down": "0%"}, "longer than 0"),
        ({"name": "triangular", "base_lr": 2.0}, "above the peak"),
        ({"name": "triangular", "cycle_momentum": [0.9]}, "cycle_momentum"),
        ({"name": "triangular", "cycle_momentum": [0.9, 1.9]}, "at most 1"),
        ({"name": "one_cycle", "shape": "square"}, "'cosine' or 'linear'"),
        ({"name": "one_cycle", "three_phase": "yes"}, "true or false"),
        ({"name": "one_cycle", "three_phase": True, "warmup_fraction": 0.6}, "at most 0.5"),
        ({"name": "sequence", "parts": []}, "at least one part"),
        ({"name": "sequence", "parts": "cosine"}, "list"),
        ({"name": "sequence", "parts": [{"for": 3}]}, "no `name`"),
        ({"name": "sequence", "parts": ["cosine", "linear"]}, "needs a duration, `for`"),
        ({"name": "sequence", "parts": [{"name": "cosine", "for": 0}]}, "longer than 0"),
        (
            {"name": "sequence", "parts": [{"name": "cosine", "for": "4 epochs"}, "linear"]},
            "after the end of the run",
        ),
        ({"name": "sequence", "parts": [{"name": "step", "evry": 2}]}, "did you mean 'every'"),
        ({"name": "multistep", "milestones": [3, 2]}, "must rise"),
        ({"name": "multistep", "milestones": [0, 2]}, "must rise"),
        ({"name": "multistep", "milestones": []}, "must rise"),
        ({"name": "multistep", "milestones": 3}, "must be a list"),
        ("multistep", "needs the parameter 'milestones'"),
        ({"name": "inverse_sqrt", "timescale": 0}, "longer than 0"),
        ({"name": "range_test", "start_lr": 2.0}, "above the peak"),
        ({"name": "range_test", "start_factor": 0}, "greater than 0"),
        ({"name": "range_test", "start_lr": 0}, "greater than 0"),
        ({"name": "tanh", "lower": 3.0, "upper": 1.0}, "must be below"),
        ({"name": "warmup_stable_decay", "warmup": "60%", "cooldown": "60%"}, "longer than the run"),
        ({"name": "cosine_restarts", "cycle": 0}, "longer than 0"),
        ({"name": "cosine_restarts", "cycle_factor": 0}, "greater than 0"),
        ({"name": "piecewise", "points": []}, "must be .time, factor. pairs"),
        ({"name": "piecewise", "points": [[3, 1.0], [1, 0.5]]}, "rising times"),
        ({"name": "piecewise", "points": [[3, -1.0]]}, "at least 0"),
        ({"name": "sin", "half_cycle": 0}, "longer than 0"),
        ({"name": "triangular2", "base_lr": 3.0}, "above the peak"),
        ({"name": "triangular", "step_size_up": "5 epochs"}, "longer than the run \\(20\\), so it would never"),
        ({"name": "sinexp", "half_cycle": 21}, "would never reach its peak"),
    ],
)
def test_wrong_parameters(part, fragment):
    with pytest.raises(ConfigError, match=fragment) as caught:
        built(part)
    assert caught.value.key.startswith("schedule")


@pytest.mark.parametrize(
    "sizes", [{"total_steps": 0}, {"steps_per_epoch": 0}, {"total_steps": 1.5}, {"steps_per_epoch": "5"}]
)
def test_an_empty_run(sizes):
    with pytest.raises(ConfigError, match="at least 1"):
        built("cosine", **sizes)


@pytest.mark.parametrize("lr", [0.0, -1.0, math.nan, math.inf])
def test_a_peak_that_is_none(lr):
    with pytest.raises(ConfigError, match="lr: must be a number greater than 0"):
        built("cosine", lr=lr)


@pytest.mark.parametrize(
    "part", [{"name": "hf/cosine", "num_warmup_steps": 3}, {"name": "lrbench2019/SIN", "k0": 0.0, "l": 5}]
)
def test_a_warm_up_before_a_schedule_that_begins_at_0(part):
    with pytest.raises(ConfigError, match="warmup: would hold the learning rate at 0"):
        build_schedule(part, lr=1.0, total_steps=20, steps_per_epoch=5, warmup={"for": "2 steps"})


@pytest.mark.parametrize(
    "part",
    [{"name": "step", "every": "1 step", "factor": 10}, {"name": "exponential", "gamma": 10, "per": "step"}],
)
def test_a_rate_without_bound(part):
    rate = built(part, total_steps=1000)
    assert rate(2) == pytest.approx(100)
    with pytest.raises(ConfigError, match="makes the learning rate overflow"):
        rate(999)


# --- properties --------------------------------------------------------------------------------------------

fractions = st.floats(0, 1)
lengths = st.one_of(
    st.integers(1, 9),
    st.integers(1, 300).map("{} steps".format),
    st.floats(0.1, 100).map("{:.3f}%".format),
)
simple = st.one_of(
    st.sampled_from(sorted(set(OWN) - NEEDING_PARAMETERS)).map(lambda name: {"name": name}),
    st.fixed_dictionaries({"name": st.just("polynomial"), "power": st.floats(0.01, 9), "final_factor": fractions}),
    st.fixed_dictionaries({"name": st.just("inverse"), "gamma": st.floats(0, 1e6), "power": st.floats(0.01, 9)}),
    st.fixed_dictionaries({"name": st.just("inverse_sqrt"), "timescale": lengths}),
    st.fixed_dictionaries({"name": st.just("tanh"), "lower": st.floats(-9, -1), "upper": st.floats(0, 9)}),
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["triangular2", "exp_range"]),
            "base_factor": fractions,
            "step_size_up": lengths,
            "step_size_down": lengths,
        }
    ),
    st.fixed_dictionaries(
        {"name": st.sampled_from(["sin", "sin2", "sinexp"]), "base_factor": fractions, "half_cycle": lengths}
    ),
    st.fixed_dictionaries(
        {
            "name": st.just("cosine_restarts"),
            "cycle": lengths,
            "cycle_factor": st.floats(0.1, 4),
            "peak_factor": st.floats(0.1, 1),
            "final_factor": fractions,
        }
    ),
    st.fixed_dictionaries(
        {
            "name": st.just("piecewise"),
            "points": st.lists(fractions, min_size=1, max_size=5).map(
                lambda factors: [[f"{i * 7} steps", factor] for i, factor in enumerate(factors)]
            ),
            "how": st.sampled_from(["step", "linear", "cosine"]),
        }
    ),
    st.fixed_dictionaries({"name": st.sampled_from(["linear", "cosine"]), "final_factor": fractions}),
    st.fixed_dictionaries({"name": st.just("linear"), "decrement": st.floats(1e-6, 10)}),
    st.fixed_dictionaries({"name": st.just("step"), "every": lengths, "offset": lengths, "factor": st.floats(0.01, 1)}),
    st.fixed_dictionaries({"name": st.just("time"), "k": st.floats(0, 1e6)}),
    st.fixed_dictionaries(
        {
            "name": st.just("exponential"),
            "gamma": st.floats(0.01, 1),
            "per": st.sampled_from(["step", "epoch"]),
        }
    ),
    st.fixed_dictionaries(
        {
            "name": st.just("triangular"),
            "base_factor": fractions,
            "step_size_up": lengths,
            "step_size_down": lengths,
        }
    ),
    st.fixed_dictionaries(
        {
            "name": st.just("one_cycle"),
            "warmup_fraction": st.floats(0, 0.5),
            "initial_factor": fractions,
            "final_factor": fractions,
            "shape": st.sampled_from(["cosine", "linear"]),
            "three_phase": st.booleans(),
        }
    ),
)
joined = st.builds(
    lambda first, second: {"name": "sequence", "parts": [{**first, "for": "30 steps"}, second]},
    simple,
    simple,
)
rates = st.floats(1e-8, 100)
few = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much]
)  # busy machines are slow at random


def built_if_possible(part, lr, total, per_epoch):
    """Random lengths may be too long for a run: that is refused, and another example is tried."""
    try:
        return built(part, lr, total, per_epoch)
    except ConfigError as error:
        assume("would never reach its peak" not in str(error))
        raise


@few
@given(part=simple, lr=rates, total=st.integers(1, 150), per_epoch=st.integers(1, 50))
def test_rates_are_finite_and_between_zero_and_the_peak(part, lr, total, per_epoch):
    rate = built_if_possible(part, lr, total, per_epoch)
    for step in range(total):
        assert 0 <= rate(step) <= lr * (1 + 1e-12)


@few
@given(part=simple | joined, total=st.integers(31, 120), per_epoch=st.integers(1, 50), data=st.data())
def test_a_rate_is_a_function_of_the_step_alone(part, total, per_epoch, data):
    rate = built_if_possible(part, 0.1, total, per_epoch)
    forwards = [rate(t) for t in range(total)]
    asked = data.draw(st.lists(st.integers(0, total - 1), max_size=20))
    assert [rate(t) for t in asked] == [forwards[t] for t in asked]
    again = built(part, 0.1, total, per_epoch)
    assert [again(t) for t in reversed(range(total))] == forwards[::-1]


@few
@given(
    part=simple,
    lr=rates,
    steps=st.integers(1, 60),
    from_factor=st.floats(1e-6, 1),
    shape=st.sampled_from(["linear", "cosine", "exponential"]),
)
def test_warm_up_rises_and_joins_without_a_jump(part, lr, steps, from_factor, shape):
    schedule = built_if_possible(part, lr, 40, 7)
    rate = warm_up(schedule, steps, from_factor=from_factor, shape=shape)
    rise = [rate(t) for t in range(steps)]
    slack = 1e-12 * lr
    assert all(a <= b + slack for a, b in itertools.pairwise(rise))
    assert rate(steps - 1) == pytest.approx(schedule(0), rel=1e-12)
    assert rise[0] >= from_factor * schedule(0) - slack
    assert [rate(steps + t) for t in range(40)] == [schedule(t) for t in range(40)]


@few
@given(epochs=st.integers(1, 20), of=st.sampled_from([20, 25, 50, 100]), per_epoch=st.integers(1, 500))
def test_epochs_steps_and_percent_say_the_same(epochs, of, per_epoch):
    total = of * per_epoch
    texts = [f"{epochs} epochs", f"{epochs * per_epoch} steps", f"{100 * epochs / of:g}%"]
    sizes = {"total_steps": total, "steps_per_epoch": per_epoch}
    assert {Duration.parse(text, "steps").steps(**sizes) for text in texts} == {epochs * per_epoch}
    probes = [0, total // 3, epochs * per_epoch - 1, min(epochs * per_epoch, total - 1), total - 1]
    for name in ("step", "triangular"):
        key = "every" if name == "step" else "step_size_up"
        found = [[built({"name": name, key: text}, **sizes)(t) for t in probes] for text in texts]
        assert found[0] == found[1] == found[2]


def ends(name, lr, total, factor):
    """First and last rate as the docstrings have them, for an end value of factor·lr."""
    left = 1 / total  # what is left of the run at its last update
    falls = {
        "constant": (lr, lr),
        "linear": (lr, lr * (factor + (1 - factor) * left)),
        "polynomial": (lr, lr * (factor + (1 - factor) * left)),
        "cosine": (lr, lr * (factor + (1 - factor) * (1 + math.cos(math.pi * (1 - left))) / 2)),
        "cosine_restarts": (lr, lr * (factor + (1 - factor) * (1 + math.cos(math.pi * (1 - left))) / 2)),
        "tanh": (lr * (factor + (1 - factor) * (1 - math.tanh(-7)) / 2), None),
        "rex": (lr, lr * left / (0.5 + left / 2)),
        "one_cycle": (0.04 * lr, factor * lr),
        "inverse": (lr, lr / (1 + 0.001 * (total - 1))),
        "warmup_stable_decay": (lr, lr * (factor + (1 - factor) * left)),
    }
    return falls[name]


ENDS = ("linear", "polynomial", "cosine", "cosine_restarts", "tanh", "rex", "one_cycle", "inverse", "constant")
WITHOUT_AN_END = ("constant", "rex", "inverse")


@few
@given(name=st.sampled_from([*ENDS, "warmup_stable_decay"]), lr=rates, total=st.integers(2, 400), factor=fractions)
def test_the_first_and_the_last_rate_are_those_documented(name, lr, total, factor):
    part = {"name": name} | ({} if name in WITHOUT_AN_END else {"final_factor": factor})
    part |= {"cosine_restarts": {"cycle": "100%"}, "warmup_stable_decay": {"warmup": 0, "cooldown": "100%"}}.get(
        name, {}
    )
    rate = built(part, lr, total, 7)
    first, last = ends(name, lr, total, factor)
    if not (name == "one_cycle" and total < 7):  # of which the rise takes less than one update
        assert rate(0) == pytest.approx(first, rel=1e-9)
    if last is not None:
        assert rate(total - 1) == pytest.approx(last, rel=1e-9, abs=1e-12 * lr)


@few
@given(name=st.sampled_from(PEERS), lr=st.floats(1e-3, 10), total=st.integers(20, 150), data=st.data())
def test_other_tools_rates_too(name, lr, total, data):
    per_epoch = data.draw(st.integers(1, total // 5))
    rate = built(schedule(name, lr), lr, total, per_epoch)
    forwards = [rate(t) for t in range(total)]
    assert all(0 <= r <= lr * (1 + 1e-12) for r in forwards)
    asked = data.draw(st.lists(st.integers(0, total - 1), max_size=20))
    assert [rate(t) for t in asked] == [forwards[t] for t in asked]


@pytest.mark.parametrize("name", [*OWN, *PEERS])
def test_a_run_of_one_update(name):
    part = schedule(name, 0.5) if name != "sequence" else {"name": name, "parts": ["cosine"]}
    rate = built(part, lr=0.5, total_steps=1, steps_per_epoch=1)
    bases = ("triangular", "triangular2", "exp_range", "sin", "sin2", "sinexp")
    lowest = [f"lrbench2019/{base}" for base in ("TRI", "TRI2", "TRIEXP", "SIN", "SIN2", "SINEXP")]
    expected = {**dict.fromkeys(bases, 0.05), **dict.fromkeys(lowest, 1e-4), "one_cycle": 2e-6}
    expected["range_test"] = 5e-9
    expected |= {"hf/warmup_stable_decay": 0.5}
    assert rate(0) == pytest.approx(expected.get(name, 0.5))


# --- plateau and early stopping ----------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["val_loss", "val_accuracy"])
@pytest.mark.parametrize(("patience", "cooldown"), [(0, 0), (1, 2), (3, 0), (2, 1)])
@pytest.mark.parametrize(("threshold", "min_lr"), [(1e-4, 0.0), (0.1, 0.02)])
def test_plateau_is_torchs(metric, patience, cooldown, threshold, min_lr):
    rule = PlateauRule(metric, 0.5, patience, threshold, cooldown, min_lr)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    peer = schedulers.ReduceLROnPlateau(
        optimizer,
        mode="min" if metric == "val_loss" else "max",
        factor=0.5,
        patience=patience,
        threshold=threshold,
        threshold_mode="rel",
        cooldown=cooldown,
        min_lr=min_lr,
        eps=0.0,
    )
    state, noise = PlateauState(), random.Random(7)
    found, expected = [], []
    for epoch in range(60):
        level = math.exp(-epoch / 5) if epoch % 20 < 12 else 0.5
        value = level + 0.02 * noise.random() if metric == "val_loss" else 1 - 0.9 * level - 0.02 * noise.random()
        value = math.nan if epoch == 9 else value
        state.update(rule, value, lower=metric == "val_loss")
        peer.step(value)
        found.append(state.apply(rule, 0.1))
        expected.append(optimizer.param_groups[0]["lr"])
    assert found == pytest.approx(expected, rel=1e-12)
    assert len(set(expected)) > 2, "the comparison is empty unless the rate falls"


def test_plateau_by_hand():
    rule = PlateauRule(patience=1, factor=0.5, cooldown=1)
    state, scales = PlateauState(), []
    # best, worse (1 of 1), worse: drop and rest, worse but resting, worse (1), better, worse (1), worse: drop
    for value in (1.0, 1.1, 1.1, 1.1, 1.1, 0.9, 0.95, 0.95):
        state.update(rule, value)
        scales.append(state.scale)
    assert scales == [1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_plateau_raises_after_improvement_by_hand():
    rule = PlateauRule(patience=1, factor=0.5, threshold=0.0, growth=Growth(factor=2.0, patience=2, max_lr=0.3))
    state, rates = PlateauState(), []
    # better, better: up; better, worse, worse: down; better, better: up; better, better: at the bound; worse, worse
    for value in (1.0, 0.9, 0.8, 0.85, 0.85, 0.7, 0.6, 0.5, 0.4, 0.5, 0.5):
        state.update(rule, value, lr=0.1)
        rates.append(state.apply(rule, 0.1))
    assert rates == pytest.approx([0.1, 0.2, 0.2, 0.2, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.15])


def test_plateau_raises_early_and_lowers_late_by_hand():
    rule = PlateauRule(patience=0, factor=0.5, min_lr=0.05, growth=Growth(factor=3.0, on="plateau", until=0.6))
    state, rates = PlateauState(), []
    for epoch in range(10):
        state.update(rule, 1.0, lr=0.1, done=(epoch + 1) / 10)
        rates.append(state.apply(rule, 0.1))
    # The first is the best there is; five more raise the rate, one of them at 0.6 already lowers it.
    assert rates == pytest.approx([0.1, 0.3, 0.9, 2.7, 8.1, 4.05, 2.025, 1.0125, 0.50625, 0.253125])


def test_plateau_rises_from_its_minimum_at_once():
    rule = PlateauRule(patience=0, factor=0.1, min_lr=0.05, threshold=0.0, growth=Growth(factor=2.0))
    state, rates = PlateauState(), []
    for value in (1.0, 2.0, 2.0, 2.0, 0.5):
        state.update(rule, value, lr=0.1)
        rates.append(state.apply(rule, 0.1))
    assert rates == pytest.approx([0.2, 0.05, 0.05, 0.05, 0.1])
    state.update(rule, 0.1, lr=0.0)  # a schedule may be at 0 when the epoch ends
    assert state.apply(rule, 0.0) == 0.0


def test_plateau_begins_when_it_is_told_to():
    rule, state, scales = PlateauRule(patience=0, start=3), PlateauState(), []
    for value in (0.1, 5.0, 5.0, 1.0, 1.0):
        state.update(rule, value)
        scales.append(state.scale)
    assert scales == [1.0, 1.0, 1.0, 1.0, 0.5]


def test_plateau_never_lifts_a_rate_to_its_minimum():
    rule, state = PlateauRule(min_lr=0.01), PlateauState(scale=0.25)
    assert state.apply(rule, 0.1) == 0.025
    assert state.apply(rule, 0.02) == 0.01
    assert state.apply(rule, 0.001) == 0.001
    assert PlateauState().apply(rule, 0.001) == 0.001


@pytest.mark.parametrize(
    ("rule", "metrics", "stops"),
    [
        ({"patience": 2}, [1.0, 0.9, 0.95, 0.92], 4),
        ({"patience": 2}, [1.0, 1.1, 0.9, 1.0, 0.8, 0.9], None),
        ({"patience": 1}, [1.0, 1.0], 2),
        ({"patience": 2, "min_delta": 0.25}, [1.0, 0.875, 0.75], 3),
        ({"patience": 2, "min_delta": 0.25}, [1.0, 0.875, 0.74, 0.7], None),
        ({"patience": 2, "metric": "val_accuracy"}, [0.5, 0.6, 0.6, 0.55], 4),
        ({"patience": 2, "metric": "val_accuracy"}, [0.5, 0.6, 0.5, 0.7, 0.6], None),
        ({"patience": 1, "metric": "val_accuracy", "min_delta": 0.125}, [0.5, 0.625], 2),
        ({"patience": 2, "start": 3}, [1.0, 1.1, 1.1, 1.1, 1.1], 5),
        ({"patience": 1, "start": 3}, [0.5, 1.0, 0.9, 0.8], 4),
        ({"patience": 2}, [math.nan, math.inf, 1.0], 2),
        ({"patience": 2}, [1.0, math.nan, 0.9, math.nan, math.nan], 5),
        ({"patience": 3, "metric": "val_accuracy"}, [0.5, math.inf, 0.6, 0.5, 0.5], None),
    ],
)
def test_early_stopping_by_hand(rule, metrics, stops):
    chosen, state = EarlyStoppingRule(**rule), EarlyStoppingState()
    for epoch, value in enumerate(metrics, start=1):
        if state.update(chosen, epoch, value, lower=chosen.metric == "val_loss"):
            break
    else:
        epoch = None
    assert epoch == stops


# --- the examples in the docs ------------------------------------------------------------------------------

MODULES = [
    "lrbench.schedules",
    *(m.name for m in pkgutil.walk_packages(lrbench.schedules.__path__, "lrbench.schedules.")),
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_every_schedule_shows_an_example():
    assert [name for name, factory in SCHEDULES.entries.items() if ">>>" not in (factory.__doc__ or "")] == []


# --- steps outside the run ---------------------------------------------------------------------------------


def table(step):
    return [0.3, 0.2, 0.1][step]


OUTSIDE = [
    *(schedule(name, 0.1) for name in (*OWN, *PEERS)),
    {"name": "one_cycle", "cycle_momentum": [0.8, 0.9]},
    {"name": "sequence", "parts": [{"name": "constant", "for": "2 steps"}, {"name": "linear", "for": "10 steps"}]},
    {"name": "torch.optim.lr_scheduler:CosineAnnealingLR", "T_max": 2, "per": "step"},
]


@pytest.mark.parametrize("part", OUTSIDE, ids=lambda part: part["name"])
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(total=st.integers(21, 60), beyond=st.integers(0, 10**6), warmup=st.sampled_from([None, "10%"]))
def test_after_the_end_the_last_learning_rate_is_held(part, total, beyond, warmup):
    try:
        rate = build_schedule(part, lr=0.1, total_steps=total, steps_per_epoch=7, warmup=warmup)
    except ConfigError:  # it warms up by itself
        assert warmup is not None
        return
    rates = [rate(step) for step in range(total)]
    assert rate(total + beyond) == rates[-1] >= 0
    momentum = momentum_of(rate)
    assert momentum is None or momentum(total + beyond) == momentum(total - 1)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1, momentum=0.9)
    given = torch_scheduler(optimizer, part, total_steps=total, steps_per_epoch=7, warmup=warmup)
    optimizer.step()
    for expected in [*rates, rate(total), rate(total + 1)]:
        assert given.get_last_lr() == [expected]
        given.step()


@pytest.mark.parametrize("part", OUTSIDE, ids=lambda part: part["name"])
def test_steps_that_can_not_be_are_refused(part):
    rate = built(part, 0.1)
    momentum = momentum_of(rate)
    for step in (-1, -0.5, 2.5, math.nan, math.inf, None, "3", [1], torch.zeros(2)):
        for asked in (rate, momentum or rate):
            with pytest.raises(ValueError, match="a step must be a whole number, at least 0"):
                asked(step)
    assert rate(3.0) == rate(numpy.int64(3)) == rate(torch.tensor(3)) == rate(3)


def test_by_hand_and_a_function_is_never_asked_beyond_the_run():
    # 1 − t/4 ends at step 3; at steps 4 and 6 its formula would give 0 and −0.5
    assert [built("linear", 1.0, 4)(step) for step in (3, 4, 6)] == [0.25] * 3
    # a restart at step 4 would rise to 1
    restarts = built({"name": "cosine_restarts", "cycle": "4 steps"}, 1.0, 4)
    assert restarts(4) == restarts(3) == pytest.approx((1 + math.cos(0.75 * math.pi)) / 2)
    assert built(f"{__name__}:table", 1.0, 3)(3) == 0.1


def test_a_warm_up_in_steps_is_told_once() -> None:
    duration = Duration(2000, "steps")
    assert duration.told(2000) == "2,000 steps" and Duration(5, "epochs").told(150) == "5 epochs, 150 steps"
