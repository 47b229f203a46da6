"""What makes two runs the same run. A change that breaks the pinned ones orphans every run folder there is."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_milestones import made_old
from test_train import after, column, go

import lrbench
from lrbench.analysis import read_one
from lrbench.config import Experiment, canonical, group, identity, load_config, run_name
from lrbench.errors import Interrupted
from lrbench.runs import RunFolder

TUTORIAL = """
dataset: mnist
model: cnn
optimizer: {name: adam, lr: 0.001, eps: 1e-7}
epochs: 25
batch_size: 250
"""

DIGITS = """
dataset: {name: digits, train_size: 500}
model: {name: mlp, hidden: [32, 16]}
optimizer: {name: sgd, lr: 0.1, momentum: 0.9}
schedule: {name: step, every: 15, factor: 0.1}
warmup: {for: 5%}
plateau: {patience: 2}
early_stopping: {metric: val_accuracy}
loss: {name: cross_entropy, label_smoothing: 0.1}
steps: 4800
seed: 7
clip_grad_norm: 1
precision: bf16
"""

SEQUENCE = """
dataset: {name: cifar10, augment: [crop, flip], normalize: {mean: [0.5, 0.5, 0.5], std: [1, 1, 1]}}
model: {name: resnet20, width: 8}
optimizer: {name: sgd, lr: 1}
schedule: {name: sequence, parts: [{name: constant, for: 1}, {name: exponential, gamma: 0.99, per: step}]}
epochs: 10
"""

OWN = """
dataset: fashion_mnist
model: {name: "mypkg.nets:build", depth: 3, act: relu}
optimizer: adamw
schedule: {name: "torch.optim.lr_scheduler:StepLR", step_size: 5}
loss: mse
epochs: 3
"""

GOLDEN = {
    TUTORIAL: "ba2921b1554c5272bb2b473c2df0d625b4157817eadb0cf6ce2d9d63d03effdc",
    DIGITS: "f709233ff31d2e8aab48867b4db14aee728d867f1e63d455888628481a8bd503",
    SEQUENCE: "a8e359c6816df49fa240cec59e9ff9a80b0b9b9a343c9015320f7aa24f2407a4",
    OWN: "d700c9214671fbfaa9b4aa46f14a289c8a6211452830e2a465d02964d15fbfcf",
}


# As DIGITS was pinned before milestones counted from the start of the run, which `over: false` still means.
BEFORE_FORMAT_3 = "9b6d4943b8bc4d202a1da396d4a82e224bf398db0219809746df4e240cf87042"


@pytest.fixture
def load(tmp_path):
    def read(text, *overrides):
        path = tmp_path / "some.yaml"
        path.write_text(text, encoding="utf-8")
        return load_config(path, overrides)

    return read


@pytest.mark.parametrize(("text", "pinned"), GOLDEN.items(), ids=["tutorial", "digits", "sequence", "own"])
def test_golden_identities(load, text, pinned):
    assert identity(load(text)) == pinned


def test_a_warm_up_before_milestones_has_the_identity_it_always_had(load):
    assert identity(load(DIGITS, "warmup.over=false")) == BEFORE_FORMAT_3


def test_a_run_is_named_by_name_seed_and_identity(load):
    assert run_name(load(TUTORIAL, "name=baseline", "seed=0")) == "baseline-seed0-" + GOLDEN[TUTORIAL][:8]


@pytest.mark.parametrize(
    "override",
    ["name=other", "reference={test_loss: 0.1, source: a paper}", "device=cpu"],
)
def test_what_does_not_change_a_result_does_not_change_the_identity(load, override):
    assert identity(load(DIGITS, override)) == GOLDEN[DIGITS]


# Left and right say the same.
@pytest.mark.parametrize(
    ("text", "override"),
    [
        (TUTORIAL, "optimizer.lr=1e-3"),
        (TUTORIAL, "optimizer.eps=0.0000001"),
        (TUTORIAL, "schedule=constant"),
        (TUTORIAL, "loss={name: cross_entropy, label_smoothing: 0}"),
        (TUTORIAL, "model={name: cnn, dropout: 0.25, padding: 0}"),
        (TUTORIAL, "dataset={name: mnist, validation: {fraction: 0.2, how: tail, seed: 0}}"),
        (TUTORIAL, "dataset={name: mnist, normalize: false, augment: []}"),
        (TUTORIAL, "seed=0"),
        (TUTORIAL, "precision=fp32"),
        (TUTORIAL, "compile=false"),
        (TUTORIAL, "warmup=null"),
        (TUTORIAL, "early_stopping=null"),
        (TUTORIAL, "clip_grad_norm=null"),
        (DIGITS, "schedule.every=15 epochs"),
        (DIGITS, "schedule.every=15.0"),
        (DIGITS, "schedule.offset=0"),
        (DIGITS, "warmup={for: 5 %, from_factor: 0, shape: linear}"),
        (DIGITS, "warmup.over=true"),
        (DIGITS, "plateau={patience: 2, metric: val_loss, factor: 0.5, threshold: 1e-4, min_lr: 0}"),
        (DIGITS, "early_stopping={metric: val_accuracy, patience: 5}"),
        (DIGITS, "clip_grad_norm=1.0"),
        (DIGITS, "batch_size=64"),
        (DIGITS, "dataset.validation={how: stratified, fraction: 0.25}"),
        (SEQUENCE, "optimizer.lr=1.0"),
        (SEQUENCE, "model.width=8"),
    ],
)
def test_two_ways_to_say_the_same(load, text, override):
    assert identity(load(text, override)) == GOLDEN[text]


CHANGES = [
    "dataset=kmnist",
    "dataset.validation.fraction=0.1",
    "dataset.validation.how=stratified",
    "dataset.train_size=100",
    "dataset.normalize=true",
    "dataset.augment=[flip]",
    "model=mlp",
    "model.dropout=0.2",
    "optimizer.lr=0.002",
    "optimizer.eps=1e-8",
    "optimizer.name=adamw",
    "schedule=cosine",
    "schedule={name: cosine, final_factor: 0.1}",
    "warmup={for: 1}",
    "warmup={for: 2}",
    "warmup={for: 1, shape: cosine}",
    "plateau={}",
    "early_stopping={}",
    "early_stopping={patience: 9}",
    "loss=mse",
    "epochs=26",
    "steps=25",
    "batch_size=251",
    "seed=1",
    "clip_grad_norm=1",
    "precision=bf16",
    "compile=true",
]


def test_what_changes_a_result_changes_the_identity(load):
    found = {change: identity(load(TUTORIAL, change)) for change in CHANGES}
    assert len({*found.values(), GOLDEN[TUTORIAL]}) == len(CHANGES) + 1


def test_a_group_is_what_runs_share_but_for_the_seed(load):
    first, second = load(DIGITS, "seed=1"), load(DIGITS, "seed=2", "name=other")
    assert identity(first) != identity(second)
    assert group(first) == group(second) != group(load(DIGITS, "optimizer.lr=0.2"))
    assert group(first) not in (identity(first), identity(second))


@pytest.mark.parametrize("seed", [2**53, 2**53 + 1, 2**63 - 2])
def test_neighbouring_seeds_are_different_runs_however_large(load, seed):
    assert identity(load(TUTORIAL, f"seed={seed}")) != identity(load(TUTORIAL, f"seed={seed + 1}"))


def test_booleans_are_not_numbers(load):
    own = "model={name: 'mypkg.nets:build', act: %s}"
    assert len({identity(load(OWN, own % value)) for value in ("true", "1", "'1'", "null")}) == 4


def test_the_order_of_keys_does_not_matter(load):
    lines = [line for line in DIGITS.splitlines() if line]
    assert identity(load("\n".join(reversed(lines)))) == GOLDEN[DIGITS]
    assert identity(load(DIGITS, "optimizer={momentum: 0.9, lr: 0.1, name: sgd}")) == GOLDEN[DIGITS]


def test_the_canonical_form_is_versioned(load):
    assert canonical(load(TUTORIAL))["version"] == 1


@settings(max_examples=30, deadline=None)
@given(lr=st.floats(1e-9, 10), digits=st.integers(0, 3))
def test_how_a_rate_is_written_does_not_matter(tmp_path_factory, lr, digits):
    path = tmp_path_factory.mktemp("identity") / "some.yaml"
    mantissa, exponent = f"{lr:.17e}".split("e")
    found = set()
    for text in (repr(lr), f"{mantissa}e{int(exponent)}", f"{mantissa}{'0' * digits}E{int(exponent):+03d}"):
        path.write_text(TUTORIAL.replace("lr: 0.001", f"lr: {text}"), encoding="utf-8")
        found.add(identity(load_config(path)))
    assert len(found) == 1


TANH, EARLY = {"name": "timm/tanh"}, {"name": "timm/multistep", "decay_t": [1], "decay_rate": 0.1}
ROUNDED = {"name": "hf/linear", "num_warmup_steps": "30%"}  # 1.2 of 4 steps: 2 as in transformers, 1 before
REVISED = [  # with the identity that lrbench 0.1 gave, and the learning rates before and now, by hand
    (TANH, "184d3f89c5b2e8f6d5f6a4d0f402c2863c9da8cb7f149de8f6285f664474c58a",
     [0.05 * (1 - math.tanh(x)) for x in (-7, -7, -2, -2)], [0.1, 0.1, *[0.05 * (1 - math.tanh(-2))] * 2]),
    (EARLY, "204f0faffa4b4ef2674c1693845b6e940c1a89fc6ebb65b079b2d3d6fd605482", [0.01] * 4, [0.1, 0.1, 0.01, 0.01]),
    (ROUNDED, "9d2a0986e8cc846950f86e7476578a702358a625059739b8c061b117a9f0cabe",
     [0, 0.1, 0.2 / 3, 0.1 / 3], [0, 0.05, 0.1, 0.05]),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "before", "old_rates", "rates"), REVISED, ids=["tanh", "multistep", "hf"])
def test_other_learning_rates_are_another_run(
    schedule: Any, before: str, old_rates: list[float], rates: list[float], tiny: Callable[..., Experiment]
) -> None:
    now, old = tiny(schedule=schedule), tiny(schedule=schedule, as_of=2)
    assert identity(old) == before != identity(now)
    nested = {"name": "sequence", "parts": [{**schedule, "for": "2 epochs"}]}
    assert identity(tiny(schedule=nested)) != identity(tiny(schedule=nested, as_of=2))
    assert [made.rates for made in lrbench.preview([old, now])] == [pytest.approx(old_rates), pytest.approx(rates)]


@pytest.mark.parametrize(
    ("changes", "before"),
    [
        ({"schedule": {**TANH, "warmup_t": 1}}, "969e4c98c29d42ced47bfb06e52f4fb423f5dc5f2f81d776d7b3aa34a35de743"),
        ({"schedule": {**EARLY, "decay_t": [2]}}, "5b4d23051b9ab1ad131feb2d46c97c974611c287d4666b72139045346400f370"),
        (
            {"schedule": {**ROUNDED, "num_warmup_steps": "50%"}},
            "8dcf1911729948c43777d36c0f6e014638aab9b097fc05e534db587644114d38",
        ),
    ],
)
def test_equal_learning_rates_keep_the_identity(
    changes: dict[str, Any], before: str, tiny: Callable[..., Experiment]
) -> None:
    assert identity(tiny(**changes)) == identity(tiny(**changes, as_of=2)) == before


def test_an_old_folder_keeps_its_learning_rates(
    tmp_path: Path, tiny: Callable[..., Experiment], cli: Callable[..., tuple[int, str, str]]
) -> None:
    with pytest.raises(Interrupted):
        go(tmp_path / "runs", tiny(schedule=EARLY, as_of=2), after(3))
    (path,) = (tmp_path / "runs").iterdir()
    made_old(path)
    code, out, err = cli("run", path / "config.yaml", "--seeds", "2")
    assert code == 0 and "resumed after step 3" in out, err
    for folder in RunFolder(path), *(RunFolder(p) for p in (tmp_path / "runs").glob("tiny-seed1-*")):
        assert read_one(folder).problem == "" and column(folder, "lr") == pytest.approx([0.01] * 4)
    (outcome,) = lrbench.run([tiny(schedule=EARLY)], runs=tmp_path / "runs")
    assert outcome.path != path and column(RunFolder(outcome.path), "lr") == pytest.approx([0.1, 0.1, 0.01, 0.01])
