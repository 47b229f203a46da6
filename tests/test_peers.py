"""Other tools' schedules, step by step against the tools themselves; where a tool departs from its own documentation,
a test says which of the two is followed."""

import dataclasses
import importlib
import math
import os
import random
import subprocess
import sys
import warnings

import pytest
import torch
from pydantic import TypeAdapter

from lrbench.config.normalize import written_out
from lrbench.errors import ConfigError
from lrbench.schedules import SCHEDULES, Context, PlateauRule, PlateauState, build_schedule
from lrbench.schedules.compat import installed
from lrbench.types import Part

SIZES = [(0.1, 30, 5), (1e-3, 101, 7), (2.5, 64, 64), (0.5, 2, 1)]


def rates(part, lr, total, per_epoch):
    rate = build_schedule(part, lr=lr, total_steps=total, steps_per_epoch=per_epoch)
    return [rate(t) for t in range(total)]


def same(found, expected, lr):
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-14 * lr)


def sgd(lr):
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)


# --- Hugging Face ------------------------------------------------------------------------------------------

HF = [
    ("constant", 0, {}),
    ("constant_with_warmup", 0, {}),
    ("constant_with_warmup", 1, {}),
    ("constant_with_warmup", 13, {}),
    ("linear", 0, {}),
    ("linear", 1, {}),
    ("linear", 13, {}),
    ("cosine", 0, {}),
    ("cosine", 5, {"num_cycles": 1.5}),
    ("cosine", 13, {"num_cycles": 0.25}),
    ("cosine_with_restarts", 0, {}),
    ("cosine_with_restarts", 4, {"num_cycles": 3}),
    ("cosine_with_restarts", 13, {"num_cycles": 2}),
    ("polynomial", 0, {}),
    ("polynomial", 4, {"power": 2.0, "lr_end": 1e-5}),
    ("polynomial", 13, {"power": 0.5, "lr_end": 0.0}),
    ("inverse_sqrt", 0, {}),
    ("inverse_sqrt", 4, {}),
    ("inverse_sqrt", 13, {"timescale": 20}),
    ("inverse_sqrt", 0, {"timescale": 3}),
    ("cosine_with_min_lr", 0, {"min_lr": 1e-4}),
    ("cosine_with_min_lr", 7, {"min_lr_rate": 0.1}),
    ("cosine_with_min_lr", 13, {"min_lr_rate": 0.5, "num_cycles": 1.0}),
    ("cosine_warmup_with_min_lr", 0, {"min_lr": 1e-4}),
    ("cosine_warmup_with_min_lr", 1, {"min_lr_rate": 0.1, "warmup_lr_rate": 0.2}),
    ("cosine_warmup_with_min_lr", 13, {"min_lr_rate": 0.1, "warmup_lr_rate": 0.2, "num_cycles": 0.75}),
    ("cosine_warmup_with_min_lr", 13, {"min_lr_rate": 0.0}),
    ("warmup_stable_decay", 0, {"num_decay_steps": 10}),
    ("warmup_stable_decay", 4, {"num_decay_steps": 10, "min_lr_ratio": 0.1, "warmup_type": "cosine"}),
    ("warmup_stable_decay", 4, {"num_decay_steps": 16, "warmup_type": "1-sqrt", "decay_type": "1-sqrt"}),
    ("warmup_stable_decay", 4, {"num_decay_steps": 7, "num_stable_steps": 5, "decay_type": "linear"}),
    ("warmup_stable_decay", 3, {"num_decay_steps": 0, "num_stable_steps": 5, "min_lr_ratio": 0.3}),
    ("warmup_stable_decay", 4, {"num_decay_steps": 10, "num_cycles": 1.5, "min_lr_ratio": 0.2}),
]


@pytest.fixture(scope="module")
def hugging_face():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import optimization
    return optimization


@pytest.mark.parametrize(("lr", "total", "per_epoch"), SIZES[:3])
@pytest.mark.parametrize(("name", "warmup", "params"), HF)
def test_hugging_faces(hugging_face, name, warmup, params, lr, total, per_epoch):
    ours = {"name": f"hf/{name}", **params}
    if name != "constant":
        ours["num_warmup_steps"] = warmup
    optimizer = sgd(lr)
    theirs = {"num_warmup_steps": warmup, "num_training_steps": total, "scheduler_specific_kwargs": params}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they warn where both a run's and a phase's length are known
        scheduler = hugging_face.get_scheduler(name, optimizer, **theirs)
    expected = []
    for _ in range(total):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    same(rates(ours, lr, total, per_epoch), expected, lr)


@pytest.mark.parametrize("name", ["cosine", "linear", "polynomial_decay", "inverse_sqrt"])
def test_its_functions_by_import(hugging_face, name):
    get = "get_inverse_sqrt_schedule" if name == "inverse_sqrt" else f"get_{name}_schedule_with_warmup"
    ours = {"name": f"hf/{name.removesuffix('_decay')}", "num_warmup_steps": "10%"}
    same(rates({"name": f"transformers:{get}", "num_warmup_steps": "10%"}, 0.1, 30, 5), rates(ours, 0.1, 30, 5), 0.1)


def test_every_name_of_hugging_faces_is_here(hugging_face):
    theirs = {str(name.value) for name in hugging_face.SchedulerType}
    ours = {name.removeprefix("hf/") for name in [*SCHEDULES.entries, *SCHEDULES.refused] if name.startswith("hf/")}
    assert theirs <= ours
    compared = {name for name, _, _ in HF}
    assert theirs == compared | {"reduce_lr_on_plateau", "greedy"} == set(installed.names_of("hf"))
    assert all(SCHEDULES.refused[f"hf/{name}"] for name in theirs - compared)


# --- what a tool has beyond the catalogue, through the tool itself -------------------------------------------

THEIRS = dataclasses.replace(SCHEDULES, entries={}, refused={})  # as if lrbench had none of its own


def from_the_tool(part, lr, total, per_epoch):
    rate = THEIRS.build(Part.of(part), run=Context(lr, total, per_epoch))
    return [rate(t) for t in range(total)]


@pytest.mark.parametrize(("name", "warmup", "params"), HF)
def test_hugging_faces_own(name, warmup, params):
    part = {"name": f"hf/{name}", **params, **({} if name == "constant" else {"num_warmup_steps": warmup})}
    same(from_the_tool(part, 0.1, 30, 5), rates(part, 0.1, 30, 5), 0.1)


OF_TIMMS_FACTORY = [  # its arguments, and ours
    ("cosine", {"min_lr": 1e-4, "warmup_epochs": 2}, {"lr_min": 1e-4, "warmup_t": 2}),
    ("tanh", {"min_lr": 1e-4, "warmup_epochs": 2}, {"lr_min": 1e-4, "warmup_t": 2}),
    ("poly", {"decay_rate": 2.0, "k_decay": 0.5}, {"power": 2.0, "k_decay": 0.5}),
    ("step", {"decay_epochs": 3, "decay_rate": 0.5}, {"decay_t": 3, "decay_rate": 0.5, "warmup_prefix": False}),
    ("multistep", {"decay_milestones": [2, 4]}, {"decay_t": [2, 4], "decay_rate": 0.1, "warmup_prefix": False}),
    ("constant", {"warmup_epochs": 3}, {"warmup_t": 3}),
    ("wsd", {"decay_epochs": 2}, {"decay_t": 2, "decay_fn": "1-sqrt"}),
    (
        "rsqrt",
        {"decay_epochs": 2, "warmup_epochs": 2},
        {"decay_t": 2, "warmup_t": 2, "stable_fn": "rsqrt", "decay_fn": "linear", "t_initial": 4},
    ),
]


@pytest.mark.parametrize("in_epochs", [True, False])
@pytest.mark.parametrize(("name", "theirs", "ours"), OF_TIMMS_FACTORY)
def test_timms_own(name, theirs, ours, in_epochs):
    part = {"name": f"timm/{name}", **theirs, "step_on_epochs": in_epochs}
    mine = {"name": "timm/wsd" if name == "rsqrt" else f"timm/{name}", **ours, "t_in_epochs": in_epochs}
    if ours.get("warmup_t"):
        mine["warmup_lr_init"] = 1e-5
    if not in_epochs:
        times = ("warmup_t", "decay_t", "t_initial")
        mine |= {key: [5 * t for t in value] if isinstance(value, list) else 5 * value for key, value in ours.items()
                 if key in times}  # fmt: skip
    found = from_the_tool(part, 0.1, 30, 5)
    same(found, rates(mine, 0.1, 30, 5), 0.1)
    if name == "rsqrt":  # it has no other way into a config yet
        same(rates(part, 0.1, 30, 5), found, 0.1)


def test_every_name_of_timms_is_here():
    theirs = set(installed.names_of("timm"))
    assert theirs == {name for name, _, _ in OF_TIMMS_FACTORY} | {"plateau", "none"}
    assert {f"timm/{name}" for name in ("plateau", "none")} <= SCHEDULES.refused.keys()
    assert set(SCHEDULES.of_others()) == {"timm/rsqrt"}


def test_kerass_own(keras):
    assert set(installed.names_of("keras")) == {name for name, _ in KERAS}
    for name, params in KERAS[::2]:
        part = {"name": f"keras/{name}", **params}
        if name == "PiecewiseConstantDecay":
            part["values"] = [0.1 * v for v in params["values"]]
        if "warmup_steps" not in params:  # where the peak has another name
            same(from_the_tool(part, 0.1, 30, 5), rates(part, 0.1, 30, 5), 0.1)


@pytest.mark.parametrize(
    ("part", "fragment"),
    [
        ("hf/greedy", "it needs the loss of every step; use the `plateau:` key"),
        ("timm/rsqrtt", "did you mean 'timm/rsqrt'"),
        ({"name": "timm/rsqrt", "num_epochs": 9}, "the length of the run is its `epochs` or `steps`"),
        ({"name": "timm/rsqrt", "decay_epochs": 90}, "refused decay_epochs: 90 .*: rsqrt schedule requires"),
        ({"name": "timm/rsqrt", "gamma": 0.9}, "has no parameter 'gamma'"),
    ],
)
def test_refusals_of_the_tools(part, fragment):
    with pytest.raises(ConfigError, match=fragment):
        rates(part, 0.1, 30, 5)


def test_a_scheduler_that_needs_results_says_so():
    with pytest.raises(ConfigError, match=r"'hf/greedy' can't be used: its step.. needs a result of the run"):
        from_the_tool("hf/greedy", 0.1, 30, 5)


def test_a_name_of_a_tool_that_is_not_installed(monkeypatch):
    """A run folder from elsewhere is read; training says what is missing."""
    monkeypatch.setattr(installed, "names_of", lambda prefix: frozenset())
    monkeypatch.setitem(sys.modules, "transformers.optimization", None)
    part = Part("hf/newest", {"num_warmup_steps": 3})
    assert SCHEDULES.complete(part) == part
    with pytest.raises(ConfigError, match="'hf/newest' is not among lrbench's own schedules; it needs transformers"):
        rates(part, 0.1, 30, 5)


def test_listing_them_imports_no_tool():
    script = "import sys\nfrom lrbench.cli.app import main\ntry:\n    main(['list', 'schedules'])\nexcept SystemExit:\n"
    script += "    print([m for m in ('torch', 'timm', 'transformers', 'keras') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "timm/rsqrt" in done.stdout and done.stdout.endswith("[]\n"), done.stderr


# --- timm --------------------------------------------------------------------------------------------------

CYCLES = [
    {"t_initial": 10},
    {"t_initial": 7, "lr_min": 1e-4, "warmup_t": 3, "warmup_lr_init": 1e-5},
    {"t_initial": 6, "warmup_t": 3, "warmup_prefix": True, "cycle_limit": 9, "cycle_decay": 0.5},
    {"t_initial": 4, "cycle_mul": 2.0, "cycle_limit": 3, "cycle_decay": 0.7, "lr_min": 1e-5},
    {"t_initial": 5, "cycle_mul": 1.5, "cycle_limit": 20},
    {"t_initial": 16, "cycle_mul": 0.5, "cycle_limit": 3},
]
TIMM = [
    *[("cosine", "CosineLRScheduler", params) for params in [*CYCLES, {"t_initial": 20, "k_decay": 2.0}]],
    *[("tanh", "TanhLRScheduler", params) for params in [*CYCLES, {"t_initial": 20, "lb": -4.0, "ub": 4.0}]],
    *[("poly", "PolyLRScheduler", params) for params in [*CYCLES, {"t_initial": 20, "power": 2.0, "k_decay": 0.5}]],
    ("step", "StepLRScheduler", {"decay_t": 3, "decay_rate": 0.5}),
    ("step", "StepLRScheduler", {"decay_t": 2.5, "decay_rate": 0.9, "warmup_t": 2, "warmup_lr_init": 1e-5}),
    ("step", "StepLRScheduler", {"decay_t": 3, "decay_rate": 0.1, "warmup_t": 2, "warmup_prefix": False}),
    ("constant", "StepLRScheduler", {"warmup_t": 4, "warmup_lr_init": 1e-4}),
    ("constant", "StepLRScheduler", {"warmup_t": 1}),
    ("constant", "StepLRScheduler", {}),
    ("multistep", "MultiStepLRScheduler", {"decay_t": [3, 5], "decay_rate": 0.5}),
    ("multistep", "MultiStepLRScheduler", {"decay_t": [1], "decay_rate": 0.5, "warmup_t": 2}),
    (
        "multistep",
        "MultiStepLRScheduler",
        {"decay_t": [2, 4, 9], "decay_rate": 0.9, "warmup_t": 2, "warmup_prefix": False},
    ),
    ("multistep", "MultiStepLRScheduler", {"decay_t": [1, 4], "decay_rate": 0.1}),
    ("tanh", "TanhLRScheduler", {"t_initial": 20, "lb": -1.0, "ub": 3.0}),
    ("wsd", "WSDLRScheduler", {"t_initial": 9, "decay_t": 4, "warmup_t": 2, "warmup_lr_init": 1e-5}),
    *[
        ("wsd", "WSDLRScheduler", {"t_initial": 10, "decay_t": 6, "lr_min": 1e-4, "decay_fn": fall})
        for fall in ("linear", "1-sqrt", "cosine", "power", "exp")
    ],
    ("wsd", "WSDLRScheduler", {"t_initial": 9, "decay_t": 3, "stable_fn": "rsqrt", "warmup_t": 2}),
    (
        "wsd",
        "WSDLRScheduler",
        {"t_initial": 9, "decay_t": 3, "stable_fn": "power", "stable_power": 0.7, "stable_timescale": 3.0},
    ),
]


@pytest.mark.parametrize(("lr", "total", "per_epoch"), SIZES[:2])
@pytest.mark.parametrize("in_epochs", [True, False])
@pytest.mark.parametrize(("name", "class_name", "params"), TIMM)
def test_timms(name, class_name, params, in_epochs, lr, total, per_epoch):
    import timm.scheduler

    theirs = params | ({"decay_t": 1} if name == "constant" else {})
    optimizer = sgd(lr)
    home = importlib.import_module("timm.scheduler.wsd_lr") if name == "wsd" else timm.scheduler
    scheduler = getattr(home, class_name)(optimizer, **theirs, t_in_epochs=in_epochs)
    unit = per_epoch if in_epochs else 1
    expected = []
    try:
        for t in range(total):  # as timm's train.py: the first rate is the constructor's, the next that of step(1)
            if t and t % unit == 0:
                (scheduler.step if in_epochs else scheduler.step_update)(t // unit)
            expected.append(optimizer.param_groups[0]["lr"])
    except ValueError:  # the logarithm of a negative number: cycles of half the length end, and time goes on
        assert params.get("cycle_mul", 1) < 1
        expected = None
    ours = rates({"name": f"timm/{name}", **params, "t_in_epochs": in_epochs}, lr, total, per_epoch)
    if expected is None:
        assert ours[-1] == 0.0, "after the last cycle the rate is the minimum, as timm documents"
    else:
        same(ours, expected, lr)


def test_timms_restarts_are_where_its_documentation_has_them():
    """Its logarithm rounds: 3⁵ cycles on, log(243, 3) is a little below 5, and timm restarts one update late."""
    from timm.scheduler import CosineLRScheduler

    restart = (3**5 - 1) // 2
    theirs = CosineLRScheduler(sgd(1.0), t_initial=1, cycle_mul=3.0, cycle_limit=9, t_in_epochs=False)
    part = {"name": "timm/cosine", "t_initial": 1, "cycle_mul": 3.0, "cycle_limit": 9, "t_in_epochs": False}
    ours = rates(part, 1.0, restart + 1, 1)
    assert theirs._get_lr(restart)[0] == pytest.approx(0.0)
    assert ours[restart] == 1.0
    assert ours[1] == 1.0 == theirs._get_lr(1)[0]


def test_timms_first_epoch_has_the_optimizers_rate():
    assert rates({"name": "timm/tanh", "lb": -1.0}, 1.0, 10, 2)[:2] == [1.0, 1.0]
    assert rates({"name": "timm/multistep", "decay_t": [1], "decay_rate": 0.1}, 1.0, 6, 2) == [1.0, 1.0] + [0.1] * 4


def test_timms_cycles_fill_the_run_unless_told():
    assert rates("timm/cosine", 1.0, 20, 5) == rates({"name": "timm/cosine", "t_initial": 4}, 1.0, 20, 5)
    prefixed = {"name": "timm/poly", "warmup_t": 2, "warmup_prefix": True, "t_in_epochs": False}
    assert rates(prefixed, 1.0, 20, 5) == rates({**prefixed, "t_initial": 18}, 1.0, 20, 5)


# --- Keras -------------------------------------------------------------------------------------------------

KERAS = [
    ("ExponentialDecay", {"decay_steps": 10, "decay_rate": 0.5}),
    ("ExponentialDecay", {"decay_steps": 7, "decay_rate": 0.9, "staircase": True}),
    ("ExponentialDecay", {"decay_steps": 1000, "decay_rate": 0.01}),
    ("PiecewiseConstantDecay", {"boundaries": [5], "values": [1.0, 0.1]}),
    ("PiecewiseConstantDecay", {"boundaries": [3, 9, 20], "values": [0.1, 1.0, 0.5, 0.0]}),
    ("PiecewiseConstantDecay", {"boundaries": [1, 2], "values": [0.2, 0.5, 1.0]}),
    ("PolynomialDecay", {"decay_steps": 20}),
    ("PolynomialDecay", {"decay_steps": 9, "end_learning_rate": 0.0, "power": 2.0, "cycle": True}),
    ("PolynomialDecay", {"decay_steps": 50, "end_learning_rate": 1e-3, "power": 0.5}),
    ("InverseTimeDecay", {"decay_steps": 1, "decay_rate": 0.5}),
    ("InverseTimeDecay", {"decay_steps": 7, "decay_rate": 2.0, "staircase": True}),
    ("InverseTimeDecay", {"decay_steps": 40, "decay_rate": 3.0}),
    ("CosineDecay", {"decay_steps": 20}),
    ("CosineDecay", {"decay_steps": 20, "alpha": 0.1, "warmup_steps": 6}),
    ("CosineDecay", {"decay_steps": 100, "alpha": 0.5, "warmup_steps": 1, "initial_learning_rate": 1e-4}),
    ("CosineDecayRestarts", {"first_decay_steps": 10}),
    ("CosineDecayRestarts", {"first_decay_steps": 6, "t_mul": 1.0, "m_mul": 0.8, "alpha": 0.1}),
    ("CosineDecayRestarts", {"first_decay_steps": 8, "t_mul": 1.5, "m_mul": 0.5}),
]


@pytest.fixture(scope="module")
def keras():
    os.environ["KERAS_BACKEND"] = "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield keras
    keras.config.set_floatx(before)


@pytest.mark.parametrize(("lr", "total", "per_epoch"), SIZES[:3])
@pytest.mark.parametrize(("name", "params"), KERAS)
def test_kerass(keras, name, params, lr, total, per_epoch):
    theirs = {"initial_learning_rate": lr, **params}
    if name == "PiecewiseConstantDecay":
        params = {**params, "values": [lr * v for v in params["values"]]}
        theirs = params
    elif "warmup_steps" in params:
        theirs = {**theirs, "warmup_target": lr, "initial_learning_rate": params.get("initial_learning_rate", 0.0)}
    make = getattr(keras.optimizers.schedules, name)(**theirs)
    expected = [float(make(t)) for t in range(total)]
    same(rates({"name": f"keras/{name}", **params}, lr, total, per_epoch), expected, lr)


def test_kerass_cycling_polynomial_begins_at_the_peak():
    """Its documented formula divides by zero at step 0; its code, which is followed, begins the first cycle there."""
    assert rates({"name": "keras/PolynomialDecay", "decay_steps": 4, "cycle": True}, 1.0, 10, 5)[0] == 1.0


def test_kerass_decays_are_as_long_as_the_run_unless_told():
    for name, params in (("PolynomialDecay", {}), ("CosineDecay", {}), ("ExponentialDecay", {"decay_rate": 0.5})):
        part = {"name": f"keras/{name}", **params}
        assert rates(part, 1.0, 20, 5) == rates({**part, "decay_steps": 20}, 1.0, 20, 5)
    warm = {"name": "keras/CosineDecay", "warmup_steps": 5}
    assert rates(warm, 1.0, 20, 5) == rates({**warm, "decay_steps": 15}, 1.0, 20, 5)


# --- LRBench, by the formulas of its paper and code ----------------------------------------------------------


def triangle(t, l):
    return 2 / math.pi * abs(math.asin(math.sin(math.pi * t / (2 * l))))


def sine(t, l):
    return abs(math.sin(math.pi * t / (2 * l)))


def between(k0, lr, height):
    return k0 + (lr - k0) * height


LRBENCH = {
    "FIX": lambda t, lr: lr,
    "STEP": lambda t, lr, gamma, l: lr * gamma ** math.floor(t / l),
    "NSTEP": lambda t, lr, gamma, l: lr * gamma ** sum(t >= m for m in l),
    "EXP": lambda t, lr, gamma: lr * gamma**t,
    "INV": lambda t, lr, gamma, p: lr * (1 + gamma * t) ** (-p),
    "POLY": lambda t, lr, k0, p, l: between(k0, lr, (1 - t / l) ** p),
    "TRI": lambda t, lr, k0, l: between(k0, lr, triangle(t, l)),
    "TRI2": lambda t, lr, k0, l: between(k0, lr, triangle(t, l) / 2 ** (t // (2 * l))),
    "TRIEXP": lambda t, lr, k0, l, gamma: between(k0, lr, triangle(t, l) * gamma**t),
    "SIN": lambda t, lr, k0, l: between(k0, lr, sine(t, l)),
    "SIN2": lambda t, lr, k0, l: between(k0, lr, sine(t, l) / 2 ** (t // (2 * l))),
    "SINEXP": lambda t, lr, k0, l, gamma: between(k0, lr, sine(t, l) * gamma**t),
    "COS": lambda t, lr, k0, l: between(k0, lr, 0.5 * (1 + math.cos(math.pi * t / l))),
}
VALUES = {
    "gamma": [0.1, 0.5, 0.99],
    "l": [2, 9, 15],
    "k0": [0.0, 1e-5, 5e-4],
    "p": [0.5, 1.0, 2.0],
}


@pytest.mark.parametrize(("lr", "total", "per_epoch"), SIZES[:3])
@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("name", LRBENCH)
def test_lrbenchs_policies(name, which, lr, total, per_epoch):
    formula = LRBENCH[name]
    wanted = formula.__code__.co_varnames[2 : formula.__code__.co_argcount]
    params = {key: VALUES[key][which] for key in wanted}
    if name == "POLY":
        params["l"] = total + which
    if name == "NSTEP":
        params["l"] = [[3], [5, 11], [1, 2, 20]][which]
    found = rates({"name": f"lrbench2019/{name}", **params}, lr, total, per_epoch)
    same(found, [formula(t, lr, **params) for t in range(total)], lr)


# --- plateau rules ---------------------------------------------------------------------------------------------


def losses():
    """Sixty epochs: three descents, two of them into a level that no patience outlasts, and noise."""
    noise = random.Random(7)
    for epoch in range(60):
        yield (math.exp(-(epoch % 25) / 5) if epoch % 25 < 12 else 0.09) + 0.02 * noise.random()


def ours(name, params, values, lr=0.1):
    """The rates of the epochs after each of the values, as a config's run would use them."""
    blocks = written_out({"schedule": {"name": name, **params}})
    rule = TypeAdapter(PlateauRule).validate_python(blocks["plateau"])
    schedule = build_schedule(blocks["schedule"], lr=lr, total_steps=len(values) + 1, steps_per_epoch=1)
    state, found = PlateauState(), []
    for epoch, value in enumerate(values):
        state.update(rule, value, lower=rule.metric == "val_loss")
        found.append(state.apply(rule, schedule(epoch + 1)))
    return found


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"patience": 2, "factor": 0.5, "cooldown": 2, "min_lr": 0.004},
        {"patience": 1, "threshold": 0.01, "threshold_mode": "abs", "factor": 0.7},
        {"patience": 3, "mode": "max", "factor": 0.5},
    ],
)
@pytest.mark.parametrize("name", ["torch/ReduceLROnPlateau", "hf/reduce_lr_on_plateau"])
def test_torchs_and_hugging_faces_plateau(hugging_face, name, params):
    optimizer = sgd(0.1)
    if name.startswith("hf"):
        kwargs = {"scheduler_specific_kwargs": params}
        scheduler = hugging_face.get_scheduler("reduce_lr_on_plateau", optimizer, **kwargs)
    else:
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **params)
    values, expected = list(losses()), []
    for value in values:
        scheduler.step(value)
        expected.append(optimizer.param_groups[0]["lr"])
    assert len(set(expected)) > 1
    same(ours(name, params, values), expected, 0.1)


@pytest.mark.parametrize(
    "params",
    [
        {"mode": "min"},
        {"mode": "min", "patience_t": 2, "decay_rate": 0.5, "cooldown_t": 1, "lr_min": 0.004},
        {"mode": "min", "patience_t": 3, "decay_rate": 0.5, "warmup_t": 5, "warmup_lr_init": 1e-3},
        {"patience_t": 4, "decay_rate": 0.7, "warmup_t": 1},
    ],
)
def test_timms_plateau(params):
    from timm.scheduler import PlateauLRScheduler

    optimizer = sgd(0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions call it deprecated
        scheduler = PlateauLRScheduler(optimizer, **params)
    values, expected = list(losses()), []
    for epoch, value in enumerate(values):
        scheduler.step(epoch + 1, value)
        expected.append(optimizer.param_groups[0]["lr"])
    assert len(set(expected)) > 1
    same(ours("timm/plateau", params, values), expected, 0.1)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # within Keras
@pytest.mark.parametrize(
    "params",
    [
        {"patience": 3},
        {"patience": 1, "factor": 0.5, "cooldown": 1, "min_lr": 0.004},
        {"patience": 2, "factor": 0.7, "cooldown": 3, "min_delta": 0.01},
        {"patience": 2, "monitor": "val_accuracy", "cooldown": 2},
    ],
)
def test_kerass_plateau(keras, params):
    mode = "max" if "monitor" in params else "auto"
    callback = keras.callbacks.ReduceLROnPlateau(**params, mode=mode)
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    callback.set_model(model)
    callback.on_train_begin()
    values, expected = list(losses()), []
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {params.get("monitor", "val_loss"): value})
        expected.append(float(model.optimizer.learning_rate))
    assert len(set(expected)) > 1
    assert ours("keras/ReduceLROnPlateau", params, values) == pytest.approx(expected, rel=1e-6)  # theirs is float32


def test_changes_too_small_for_torch_are_made():
    """Torch leaves out a change of less than its eps, 1e-8; a tiny rate of the user's own choosing can be meant."""
    optimizer = sgd(1e-8)
    peer = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    for value in (1.0, 1.0):
        peer.step(value)
    assert optimizer.param_groups[0]["lr"] == 1e-8
    assert ours("torch/ReduceLROnPlateau", {"patience": 0}, [1.0, 1.0], lr=1e-8)[-1] == pytest.approx(1e-9)


def test_a_plateau_rule_stands_alone():
    with pytest.raises(ConfigError, match="plateau: timm/plateau is already a plateau rule"):
        written_out({"schedule": "timm/plateau", "plateau": {"patience": 1}})
    assert written_out({"schedule": "cosine", "epochs": 3}) == {"schedule": "cosine", "epochs": 3}


# --- torch and other usual names -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part",
    [
        {"name": "StepLR", "step_size": 2},
        {"name": "MultiStepLR", "milestones": [1, 3]},
        {"name": "ExponentialLR", "gamma": 0.5},
        {"name": "CosineAnnealingLR", "T_max": 6},
        {"name": "CosineAnnealingWarmRestarts", "T_0": 2},
        {"name": "ConstantLR", "factor": 0.5},
        {"name": "LinearLR"},
        {"name": "PolynomialLR", "total_iters": 6},
        {"name": "CyclicLR", "base_lr": 0.01, "step_size_up": 4},
        {"name": "OneCycleLR"},
    ],
)
def test_torchs_names_are_torchs_classes(part):
    imported = {**part, "name": f"torch.optim.lr_scheduler:{part['name']}"}
    found = rates({**part, "name": f"torch/{part['name']}"}, 0.1, 30, 5)
    assert found == rates(imported, 0.1, 30, 5)
    assert len(set(found)) > 1


def test_every_scheduler_of_torchs_has_a_name():
    ours = {name.removeprefix("torch/") for name in [*SCHEDULES.aliases, *SCHEDULES.refused]}
    assert set(torch.optim.lr_scheduler.__all__) - {"LRScheduler"} <= ours


def test_other_usual_names():
    for other, name in SCHEDULES.aliases.items():
        assert other not in SCHEDULES.entries
        assert name in SCHEDULES.entries or name.startswith("torch.optim.lr_scheduler:")
    assert rates("sgdr", 1.0, 20, 5) == rates("cosine_restarts", 1.0, 20, 5)


def test_every_namespaced_schedule_is_compared():
    compared = {f"hf/{name}" for name, *_ in HF} | {f"timm/{name}" for name, *_ in TIMM}
    compared |= {f"keras/{name}" for name, _ in KERAS} | {f"lrbench2019/{name}" for name in LRBENCH}
    assert compared == {name for name in SCHEDULES.entries if "/" in name}


# --- wrong parameters ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "fragment"),
    [
        ({"name": "hf/linear", "num_warmup_steps": 20}, "schedule.num_warmup_steps: the warm-up .* must be shorter"),
        ({"name": "hf/linear", "num_warmup_steps": -1}, "must be a duration"),
        ({"name": "hf/linear", "warmup": 1}, "has no parameter 'warmup'"),
        ({"name": "hf/linaer"}, "did you mean 'hf/linear'"),
        ({"name": "hff/linear"}, "names from other tools start with hf/, keras/, lrbench2019/, timm/, torch/"),
        ({"name": "hf/polynomial", "lr_end": 1.0}, "schedule.lr_end: must be below optimizer.lr = 1"),
        ({"name": "hf/cosine_with_min_lr"}, "give either `min_lr`"),
        ({"name": "hf/cosine_with_min_lr", "min_lr": 0.1, "min_lr_rate": 0.1}, "give either `min_lr`"),
        ({"name": "hf/cosine_with_min_lr", "min_lr": 2.0}, "schedule.min_lr: the minimum 2 is above the peak"),
        ({"name": "hf/warmup_stable_decay"}, "needs the parameter 'num_decay_steps'"),
        ({"name": "hf/warmup_stable_decay", "num_decay_steps": 21}, "longer than the run"),
        ({"name": "hf/warmup_stable_decay", "num_decay_steps": 2, "decay_type": "sqrt"}, "schedule.decay_type: must"),
        ({"name": "hf/inverse_sqrt", "timescale": 0}, "schedule.timescale: must be longer than 0"),
        ({"name": "hf/reduce_lr_on_plateau"}, "needs validation results"),
        ({"name": "timm/cosine", "lr_min": 2.0}, "schedule.lr_min: is above the peak"),
        ({"name": "timm/cosine", "warmup_t": 4, "warmup_prefix": True}, "must be shorter than the run, 4"),
        ({"name": "timm/cosine", "t_initial": 1, "cycle_mul": 0.5, "cycle_limit": 99}, "before the run does"),
        ({"name": "timm/tanh", "lb": 3.0}, "schedule.lb: must be below ub = 3"),
        ({"name": "timm/multistep", "decay_t": [3, 2]}, "schedule.decay_t: must rise"),
        ({"name": "timm/step"}, "needs the parameter 'decay_t'"),
        ({"name": "timm/wsd", "decay_t": 9}, "schedule.decay_t: must be between 1 and t_initial"),
        ({"name": "timm/wsd", "stable_fn": "rsqrt"}, "schedule.stable_timescale: is needed by rsqrt"),
        ({"name": "keras/CosineDecay", "decay_steps": 0}, "schedule.decay_steps: must be longer than 0"),
        ({"name": "keras/CosineDecay", "warmup_steps": "100%"}, "must be shorter than the run .20 steps"),
        ({"name": "keras/CosineDecay", "initial_learning_rate": 2.0}, "is above the peak"),
        ({"name": "keras/PolynomialDecay", "end_learning_rate": 2.0}, "is above the peak"),
        ({"name": "keras/PiecewiseConstantDecay", "boundaries": [2], "values": [1.0]}, "one more than the 1 bound"),
        ({"name": "keras/PiecewiseConstantDecay", "boundaries": [2], "values": [0.1, 0.2]}, "must be the peak"),
        ({"name": "keras/PiecewiseConstantDecay", "boundaries": [2, 2], "values": [1.0, 0.2, 0.1]}, "must rise"),
        ({"name": "keras/CosineDecayRestarts", "first_decay_steps": 1, "t_mul": 0.5}, "before the run does"),
        ({"name": "lrbench2019/TRI", "k0": 2.0, "l": 5}, "schedule.k0: is above the peak"),
        ({"name": "lrbench2019/TRI", "k0": 0.0}, "needs the parameter 'l'"),
        ({"name": "lrbench2019/SIN", "k0": 0.0, "l": 0}, "schedule.l: must be longer than 0"),
        ({"name": "lrbench2019/POLY", "p": 1.0, "l": 10}, "is shorter than the run .20 steps"),
        ({"name": "lrbench2019/NSTEP", "gamma": 0.1, "l": [5, 5]}, "schedule.l: must rise"),
        (
            {"name": "keras/CosineDecay", "warmup_target": 0.1},
            "no parameter 'warmup_target'; the peak .* `optimizer.lr`",
        ),
        ({"name": "keras/CosineDecay", "initial_learning_rate": 0.1}, "the peak is optimizer.lr = 1 .got 0.1"),
        (
            {"name": "keras/ExponentialDecay", "initial_learning_rate": 0.1, "decay_rate": 0.5},
            "the peak .* `optimizer.lr`",
        ),
        ({"name": "lrbench2019/STEP", "k0": 0.1, "gamma": 0.5, "l": 5}, "the peak .* `optimizer.lr`"),
        ({"name": "lrbench2019/TRI", "k0": 0.1, "k1": 0.5, "l": 5}, "'k1'; the peak .* `optimizer.lr`"),
        ({"name": "one_cycle", "max_lr": 0.1}, "the peak .* `optimizer.lr`"),
        ({"name": "hf/linear", "num_training_steps": 20}, "the length of the run is its `epochs` or `steps`"),
        ({"name": "torch/LambdaLR"}, "it takes a function"),
        ({"name": "torch/StepLR"}, "missing a required argument: 'step_size'"),
    ],
)
def test_wrong_parameters(part, fragment):
    with pytest.raises(ConfigError, match=fragment):
        rates(part, 1.0, 20, 5)


@pytest.mark.parametrize(
    ("percent", "total", "steps"), [("3%", 337, 11), ("10%", 100, 10), ("7%", 100, 8), (5, 337, 5)]
)
def test_a_percentage_of_warm_up_is_rounded_up_as_by_transformers(percent, total, steps):
    if isinstance(percent, str):
        assert math.ceil(total * (float(percent[:-1]) / 100)) == steps  # TrainingArguments.get_warmup_steps
    for name in ("linear", "cosine", "constant_with_warmup", "inverse_sqrt"):
        found = rates({"name": f"hf/{name}", "num_warmup_steps": percent}, 1.0, total, 10)
        assert found.index(1.0) == steps
