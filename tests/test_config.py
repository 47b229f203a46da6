"""From YAML to an experiment: shorthand, extends, overrides, and what is said about mistakes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lrbench.config import Experiment, identity, load_config, read_config, run_name, yaml_source
from lrbench.errors import ConfigError
from lrbench.sweeps.grid import Grid, all_cells
from lrbench.training.check import check
from lrbench.types import Duration, Part

CONFIGS = Path(__file__).parent.parent / "configs"

BASE = """\
dataset: digits
model: mlp
optimizer: {name: sgd, lr: 0.1}
epochs: 4
"""


@pytest.fixture
def write(tmp_path):
    """Write a file into tmp_path; its path."""

    def put(text, name="some.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return put


@pytest.fixture
def load(write):
    def read(text, *overrides):
        return load_config(write(text), overrides)

    return read


# --- what loads --------------------------------------------------------------------------------------------


SHIPPED = sorted(CONFIGS.rglob("*.yaml"))
GRIDS = [path for path in SHIPPED if path.parent.name == "sweeps"]


@pytest.mark.parametrize("path", GRIDS, ids=lambda p: str(p.relative_to(CONFIGS)))
def test_every_shipped_grid_has_valid_cells(path):
    grid = Grid.of(read_config(path))
    cells, duplicates = all_cells([grid], lambda _: pytest.fail("lr: auto trains"))
    assert len(cells) == grid.size > 1 and duplicates == 0


@pytest.mark.parametrize("path", [p for p in SHIPPED if p not in GRIDS], ids=lambda p: str(p.relative_to(CONFIGS)))
def test_every_shipped_config_loads(path):
    experiment = load_config(path)
    assert isinstance(experiment, Experiment)
    assert experiment.name != "baseline" or path.name == "baseline.yaml"


def test_a_bare_name_is_shorthand(load):
    short = load(BASE)
    long = load(
        "dataset: {name: digits}\nmodel: {name: mlp}\noptimizer: {name: sgd, lr: 0.1}\nepochs: 4\n"
        "schedule: {name: constant}\nloss: {name: cross_entropy}\n"
    )
    assert short == long
    assert short.model.params["hidden"] == [64, 64], "defaults are written out"
    assert short.schedule == Part("constant")


def test_a_nameless_config_has_its_files_name(write):
    assert load_config(write(BASE, "my rates.yaml")).name == "my rates"
    assert load_config(write("name: other\n" + BASE)).name == "other"


def test_blocks_become_rules(load):
    experiment = load(
        BASE + "warmup: {for: 5%, shape: cosine}\nplateau: {patience: 1}\nearly_stopping: {min_delta: 0.5}\n"
    )
    assert experiment.warmup.duration == Duration(5, "percent")
    assert experiment.warmup.shape == "cosine"
    assert (experiment.plateau.patience, experiment.plateau.factor) == (1, 0.5)
    assert experiment.early_stopping.min_delta == 0.5
    assert load(BASE).warmup is load(BASE).plateau is None


def test_data_sets_have_their_own_split(load):
    digits, mnist = load(BASE).dataset, load(BASE.replace("digits", "mnist")).dataset
    assert (digits.rules.validation.how, digits.rules.validation.fraction) == ("stratified", 0.25)
    assert (mnist.rules.validation.how, mnist.rules.validation.fraction) == ("tail", 0.2)
    changed = load(BASE.replace("digits", "{name: digits, validation: {fraction: 0.5}}")).dataset
    assert (changed.rules.validation.how, changed.rules.validation.fraction) == ("stratified", 0.5)


def test_replace_validates_anew(load):
    experiment = load(BASE)
    assert experiment.replace(seed=3).seed == 3
    assert experiment.replace(optimizer={"name": "adam"}).optimizer == Part("adam")
    with pytest.raises(ConfigError):
        experiment.replace(steps=10)


def test_an_experiment_knows_where_its_keys_were_written(load, tmp_path):
    experiment = load(BASE + "schedule:\n  name: step\n  every: 2\n", "seed=3")
    assert experiment.where("schedule.every") == f"{tmp_path / 'some.yaml'}:7"
    assert experiment.where("schedule.factor") == f"{tmp_path / 'some.yaml'}:5", "a default: the block's place"
    assert experiment.where("seed") == "overrides"


# --- numbers and text --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1e5", 100000.0),
        ("5e-4", 0.0005),
        ("1E+2", 100.0),
        (".5", 0.5),
        ("-.5e1", -5.0),
        ("3.", 3.0),
        ("1_000.5", 1000.5),
        ("0.1", 0.1),
        ("25", 25),
        ("-3", -3),
        ("true", True),
        ("~", None),
        ("2024-01-31", "2024-01-31"),
        ("2024-01-31 10:00:00", "2024-01-31 10:00:00"),
        ("'1e-3'", "1e-3"),
        ("1e", "1e"),
        ("e5", "e5"),
        (".", "."),
        ("1e-3x", "1e-3x"),
        ("10%", "10%"),
        ("15 epochs", "15 epochs"),
    ],
)
def test_scalars(text, value):
    found, _ = yaml_source.parse(f"key: {text}", "a test")
    assert found["key"] == value
    assert type(found["key"]) is type(value)


def test_infinity_is_a_number():
    assert yaml_source.parse("[.inf, -.inf, 1e999]", "a test")[0] == [float("inf"), -float("inf"), float("inf")]


def test_aliases_and_merges():
    value, places = yaml_source.parse(
        "a: &a {x: 1, y: 2}\nb: &b\n  z: 3\n  y: 4\nc:\n  <<: *a\n  x: 9\nd: {<<: [*a, *b]}\ne: *a\n", "f"
    )
    assert value == {
        "a": {"x": 1, "y": 2},
        "b": {"z": 3, "y": 4},
        "c": {"x": 9, "y": 2},  # what is written beside `<<` wins
        "d": {"x": 1, "y": 2, "z": 3},  # so does the first of a list
        "e": {"x": 1, "y": 2},
    }
    assert (places[("c", "x")], places[("c", "y")]) == ("f:7", "f:1")


@pytest.mark.parametrize("line", ["seed: 1.5", "batch_size: 25.5", "batch_size: '25'", "compile: 1", "epochs: 2.5"])
def test_text_and_fractions_are_not_whole_numbers(load, line):
    text = BASE.replace("epochs: 4\n", "") if line.startswith("epochs") else BASE
    with pytest.raises(ConfigError, match=line.split(":")[0]):
        load(text + line)


# --- extends -----------------------------------------------------------------------------------------------


def test_extends_says_only_what_differs(write):
    write(
        "name: parent\nreference: {test_loss: 0.5}\nseed: 3\nschedule: {name: step, every: 2}\n" + BASE,
        "p.yaml",
    )
    child = load_config(write("extends: p.yaml\noptimizer: {lr: 0.5}\nschedule: {factor: 0.1}\n", "child.yaml"))
    assert child.optimizer == Part("sgd", {"lr": 0.5})
    assert child.schedule.params["every"] == "2 epochs"
    assert child.schedule.params["factor"] == 0.1
    assert child.seed == 3
    assert (child.name, child.reference) == ("child", None), "neither is inherited"


def test_another_name_replaces_the_block(write):
    write(BASE + "schedule: {name: step, every: 2, factor: 0.1}\n", "p.yaml")
    child = load_config(write("extends: p.yaml\noptimizer: adam\nschedule: {name: exponential}\n"))
    assert child.optimizer == Part("adam"), "the rate belonged to sgd"
    assert child.schedule == Part("exponential", {"gamma": 0.9, "per": "epoch"})
    same = load_config(write("extends: p.yaml\noptimizer: {name: sgd, momentum: 0.9}\nschedule: step\n"))
    assert same.optimizer == Part("sgd", {"lr": 0.1, "momentum": 0.9})
    assert same.schedule.params["factor"] == 0.1


def test_null_takes_a_block_away(write):
    write(BASE + "warmup: {for: 1}\nplateau: {patience: 1}\n", "p.yaml")
    child = load_config(write("extends: p.yaml\nwarmup: null\n"))
    assert child.warmup is None
    assert child.plateau.patience == 1


def test_the_childs_budget_replaces_the_parents(write):
    write(BASE, "p.yaml")
    child = load_config(write("extends: p.yaml\nsteps: 100\n"))
    assert (child.epochs, child.steps) == (None, 100)


def test_three_generations_in_three_folders(write):
    write(BASE + "seed: 1\nbatch_size: 10\n", "a/first.yaml")
    write("extends: ../a/first.yaml\nseed: 2\noptimizer: {momentum: 0.5}\n", "b/second.yaml")
    third = load_config(write("extends: b/second.yaml\noptimizer: {lr: 0.7}\n", "third.yaml"))
    assert (third.seed, third.batch_size) == (2, 10)
    assert third.optimizer == Part("sgd", {"lr": 0.7, "momentum": 0.5})
    assert third.where("batch_size").endswith("first.yaml:6")
    assert third.where("optimizer.momentum").endswith("second.yaml:3")


def test_extends_that_lead_nowhere(write):
    circle = write("extends: b.yaml\n", "a.yaml")
    write("# a comment\nextends: a.yaml\n", "b.yaml")
    with pytest.raises(ConfigError, match=r"b\.yaml:2: extends: forms a cycle: .*a\.yaml → .*b\.yaml → .*a\.yaml"):
        load_config(circle)
    with pytest.raises(ConfigError, match="forms a cycle"):
        load_config(write("extends: self.yaml\n", "self.yaml"))
    with pytest.raises(ConfigError, match=r"c\.yaml:2: extends: no such file: .*sub/none\.yaml .*relative to"):
        load_config(write("seed: 1\nextends: sub/none.yaml\n", "c.yaml"))
    with pytest.raises(ConfigError, match="path of one YAML file"):
        load_config(write("extends: [a.yaml, b.yaml]\n", "d.yaml"))


# --- overrides ---------------------------------------------------------------------------------------------


def test_overrides_win_and_merge(load):
    experiment = load(
        BASE,
        "optimizer.lr=1e-3",
        "optimizer.momentum=0.9",
        "schedule.name=step",
        "schedule.every=2 epochs",
        "name=x=y",
    )
    assert experiment.optimizer == Part("sgd", {"lr": 0.001, "momentum": 0.9})
    assert experiment.schedule.params["every"] == "2 epochs"
    assert experiment.name == "x=y", "only the first = counts"


def test_an_overrides_new_name_replaces(load):
    assert load(BASE, "optimizer=adam").optimizer == Part("adam")
    assert load(BASE, "optimizer.name=adam", "optimizer.lr=0.2").optimizer == Part("adam", {"lr": 0.2})
    assert load(BASE, "optimizer.lr=0.2", "optimizer.name=adam").optimizer == Part("adam")
    assert load(BASE, "optimizer=sgd").optimizer == Part("sgd", {"lr": 0.1}), "the same name merges"
    assert load(BASE, "optimizer={name: adam, eps: 1e-7}").optimizer == Part("adam", {"eps": 1e-7})


def test_an_override_sets_either_epochs_or_steps(load):
    experiment = load(BASE, "steps=100")
    assert (experiment.epochs, experiment.steps) == (None, 100)
    with pytest.raises(ConfigError, match="either `epochs` or `steps`, not both"):
        load(BASE, "steps=100", "epochs=2")


def test_an_override_makes_the_blocks_it_needs(load):
    assert load(BASE, "dataset.validation.fraction=0.5").dataset.rules.validation.fraction == 0.5
    assert load(BASE, "warmup.for=10%").warmup.duration == Duration(10, "percent")
    assert load(BASE + "seed: 7", "seed=0").seed == 0


@pytest.mark.parametrize(
    ("override", "fragment"),
    [
        ("optimizer.lr", "overrides: must be key=value"),
        ("=3", "overrides: must be key=value"),
        ("optimizer..lr=3", "overrides: must be key=value"),
        ("", "overrides: must be key=value"),
        ("extends=other.yaml", "overrides: extends: can't be set"),
        ("sede=3", "overrides: sede: unknown key 'sede'; did you mean 'seed'"),
        ("seed=x", "overrides: seed: must be a whole number .got 'x'"),
        ("optimizer.lr=-1", "overrides: optimizer.lr: must be a number greater than 0 .got -1"),
        ("warmup.length=3", "overrides: warmup"),
        ("schedule={name: sequence, parts: 3}", "overrides: schedule.parts: must be a list"),
        ("seed=[1", "overrides seed:1: is not valid YAML"),
        ("seed=\x00", "overrides seed:1: contains the character"),
        ("seed.x=3", "overrides: seed"),
    ],
)
def test_wrong_overrides(load, override, fragment):
    with pytest.raises(ConfigError, match=fragment):
        load(BASE, override)


# --- mistakes ----------------------------------------------------------------------------------------------

LINES = BASE.count("\n")
AFTER = LINES + 1  # the line that is added to BASE below

MISTAKES = [
    # (what stands after BASE, line, key, what the message says)
    ("sede: 3", AFTER, "sede", "did you mean 'seed'"),
    ("rules: 3", AFTER, "rules", "unknown key 'rules'"),
    ("seed: three", AFTER, "seed", "must be a whole number (got 'three')"),
    ("seed: -1", AFTER, "seed", "at least 0 (got -1)"),
    ("batch_size: 0", AFTER, "batch_size", "at least 1 (got 0)"),
    ("batch_size: [1, 2]", AFTER, "batch_size", "must be a whole number"),
    ("clip_grad_norm: 0", AFTER, "clip_grad_norm", "greater than 0"),
    ("precision: fp8", AFTER, "precision", "'bf16' or 'fp16'"),
    ("compile: 'no'", AFTER, "compile", "true or false"),
    ("device: gpu", AFTER, "device", "auto, cpu, cuda"),
    ("steps: 10", AFTER - 1, "epochs", "either `epochs` or `steps`"),
    ("schedule: cosin", AFTER, "schedule.name", "did you mean 'cosine'"),
    ("schedule:\n  name: step\n  evry: 3", AFTER + 2, "schedule.evry", "did you mean 'every'"),
    ("schedule:\n  name: step\n  every: 3 weeks", AFTER + 2, "schedule.every", "must be a duration"),
    ("schedule: {name: step}", AFTER, "schedule", "needs the parameter 'every'"),
    ("schedule: {every: 3}", AFTER, "schedule", "no `name`"),
    ("schedule: 3", AFTER, "schedule", "a name or a mapping"),
    (
        "schedule:\n  name: sequence\n  parts:\n    - {name: constant, for: 1}\n    - {name: step, evry: 2}",
        AFTER + 4,
        "schedule.parts[1].evry",
        "did you mean 'every'",
    ),
    ("warmup: {for: soon}", AFTER, "warmup.for", "must be a duration"),
    ("warmup: {}", AFTER, "warmup.for", "is missing"),
    ("warmup: soon", AFTER, "warmup.for", "must be a duration"),
    ("warmup: [5%]", AFTER, "warmup", "must be a mapping"),
    ("warmup:\n  for: 1\n  shpae: linear", AFTER + 2, "warmup.shpae", "did you mean 'shape'"),
    ("warmup: {for: 1, part: 2}", AFTER, "warmup.part", "choices: for, from_factor, over, shape"),
    ("plateau: {factor: 1.0}", AFTER, "plateau.factor", "less than 1"),
    ("plateau: {patiense: 1}", AFTER, "plateau.patiense", "did you mean 'patience'"),
    (
        "early_stopping: {metric: loss}",
        AFTER,
        "early_stopping.metric",
        "such as val_accuracy; did you mean 'val_loss'?",
    ),
    ("plateau: {metric: val-accuracy}", AFTER, "plateau.metric", "did you mean 'val_accuracy'?"),
    ("best_by: 3", AFTER, "best_by", "must be val_loss, or val_ and a metric's name, such as val_accuracy (got 3)"),
    ("early_stopping: {patience: 0}", AFTER, "early_stopping.patience", "at least 1"),
    ("reference: {test_accuracy: 99.1}", AFTER, "reference.test_accuracy", "between 0 and 1 (got 99.1)"),
    ("reference: {accuracy: 0.9}", AFTER, "reference.accuracy", "did you mean 'test_accuracy'"),
    ("reference: {sauce: a book}", AFTER, "reference.sauce", "unknown key 'sauce'; did you mean 'source'?"),
    ("reference: {loss: 0.9}", AFTER, "reference.loss", "did you mean 'test_loss'"),
    ("reference: {x: 0.9}", AFTER, "reference.x", "unknown key 'x'; a reference has `source`, `test_loss`, or"),
    ("reference: {test_loss: low}", AFTER, "reference.test_loss", "must be a number (got 'low')"),
    ("reference: {test_loss: .nan}", AFTER, "reference.test_loss", "must be a finite number (got nan)"),
    ("name: ../../x", AFTER, "name", "must be a folder name"),
    ("name: .hidden", AFTER, "name", "must be a folder name"),
    ("name: 'x '", AFTER, "name", "must be a folder name"),
    ("name: a/b", AFTER, "name", "must be a folder name"),
    ("name: " + "x" * 101, AFTER, "name", "at most 100 characters"),
    ("name: ''", AFTER, "name", "must be a folder name"),
    ("name: 3", AFTER, "name", "must be text (got 3)"),
    ("name: yes", AFTER, "name", "must be text (got true)"),
    ("batch_size: null", AFTER, "batch_size", "must be a whole number (got nothing)"),
    ("seed: 1\nseed: 2", AFTER + 1, "seed", f"is given twice; the other is at {{file}}:{AFTER}"),
    ("dataset: mnist", AFTER, "dataset", "is given twice"),
    ("plateau: {patience: 1, patience: 2}", AFTER, "plateau.patience", "is given twice"),
    ("3: x", AFTER, "", "a key must be text (got 3)"),
    ("seed: !!int ''", AFTER, "seed", "does not fit its type, int"),
    ("compile: !!bool maybe", AFTER, "compile", "does not fit its type, bool"),
    ("seed: !!python/object:os.system x", AFTER, "", "is not valid YAML"),
    ("seed: {<<: 3}", AFTER, "seed", "`<<` takes a mapping"),
    ("seed: " + "9" * 5000, AFTER, "seed", "does not fit its type, int"),
    ("seed: [1, 2", AFTER + 1, "", "is not valid YAML"),  # it could have gone on in the next line
    ("\tseed: 1", AFTER, "", "is not valid YAML"),
    ("seed: *nothing", AFTER, "", "undefined alias 'nothing'"),
    ("seed: 1\x07", AFTER, "", "which YAML forbids"),
    ("seed: " + "[" * 60 + "]" * 60, AFTER, "", "nested too deeply"),
    ("seed: &a [*a]", AFTER, "", "nested too deeply"),
]


@pytest.mark.parametrize(("text", "line", "key", "fragment"), MISTAKES, ids=[m[0][:30] for m in MISTAKES])
def test_mistakes(write, text, line, key, fragment):
    path = write(BASE + text + "\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}:{line}: " + (f"{key}: " if key else ""))
    assert fragment.format(file=path) in str(caught.value)


CHANGED = [
    # (what in BASE is changed, to what, line, key, what the message says)
    ("dataset: digits", "datset: digits", 1, "datset", "did you mean 'dataset'"),
    ("dataset: digits", "dataset: digit", 1, "dataset.name", "did you mean 'digits'"),
    ("dataset: digits", "dataset: {name: digits, trainsize: 3}", 1, "dataset.trainsize", "no parameter"),
    ("dataset: digits", "dataset: {name: digits, train_size: 0}", 1, "dataset.train_size", "at least 1"),
    (
        "dataset: digits",
        "dataset: {name: digits, augment: [rotate]}",
        1,
        "dataset.augment.0",
        "'crop' or 'flip'",
    ),
    ("digits", "{name: digits, validation: {fraction: 1}}", 1, "dataset.validation.fraction", "less than 1"),
    (
        "digits",
        "{name: digits, validation: {part: 1}}",
        1,
        "dataset.validation.part",
        "choices: fraction, how, seed",
    ),
    ("digits", "{name: digits, normalize: 3}", 1, "dataset.normalize", "true or false"),
    (
        "model: mlp",
        "model: {name: mlp, hidden: [8, wide]}",
        2,
        "model.hidden",
        "item 1 must be a whole number",
    ),
    ("lr: 0.1", "lr: 0", 3, "optimizer.lr", "must be a number greater than 0 (got 0)"),
    ("lr: 0.1", "lr: fast", 3, "optimizer.lr", "must be a number greater than 0 (got 'fast')"),
    ("lr: 0.1", "lr: true", 3, "optimizer.lr", "must be a number greater than 0"),
    ("lr: 0.1", "lr: .inf", 3, "optimizer.lr", "must be a number greater than 0"),
    ("lr: 0.1", "lr: .nan", 3, "optimizer.lr", "must be a number greater than 0"),
    ("sgd", "lbfgs", 3, "optimizer", "can't be used"),
    ("sgd", "sdg", 3, "optimizer.name", "did you mean 'sgd'"),
    ("epochs: 4", "epochs: 0", 4, "epochs", "at least 1"),
    ("epochs: 4", "epochs: 1.5", 4, "epochs", "must be a whole number"),
]


@pytest.mark.parametrize(("old", "new", "line", "key", "fragment"), CHANGED, ids=[c[1][:40] for c in CHANGED])
def test_mistakes_in_the_base(write, old, new, line, key, fragment):
    path = write(BASE.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}:{line}: {key}: ")
    assert fragment in str(caught.value)


@pytest.mark.parametrize("key", ["dataset", "model", "optimizer", "epochs"])
def test_what_a_config_must_have(write, key):
    path = write("".join(line for line in BASE.splitlines(keepends=True) if not line.startswith(key)))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}:1: {key}: ")
    assert ("is missing" in str(caught.value)) or ("got neither" in str(caught.value))


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"", ": is empty"),
        (b"# only a comment\n", ": is empty"),
        (b"- dataset\n- model\n", ":1: must be a mapping (key: value), not a list"),
        (b"digits\n", ":1: must be a mapping (key: value), not a single value"),
        (b"a: 1\nb: \xff\n", ":2: is not UTF-8"),
        (b"a: 1\n---\nb: 2\n", ":2: is not valid YAML"),
        (b'a: "\\UFFFFFFFF"\n', ": is not valid YAML"),
        (b"a: " + b"x" * 1_000_000, ": cannot be read: it is larger than 1 MB"),
        (b"a: " + b"[" * 1200, ": is nested too deeply"),
    ],
)
def test_files_that_are_no_configs(write, content, fragment):
    path = write(content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}{fragment}")


@pytest.mark.parametrize("ways", ["[{}]", "{{<<: [{}]}}"])
def test_an_alias_bomb_is_refused(write, ways):
    lines = ["a0: &a0 {x: 1, y: 2}"]
    lines += [f"a{n}: &a{n} " + ways.format(", ".join([f"*a{n - 1}"] * 9)) for n in range(1, 12)]
    with pytest.raises(ConfigError, match=r"some\.yaml:\d+: has more than 20,000 values"):
        load_config(write("\n".join(lines)))


def test_a_byte_order_mark_is_skipped(load):
    assert load("\ufeff" + BASE) == load(BASE)


def test_a_file_that_is_not_there(write, tmp_path):
    write(BASE, "baseline.yaml")
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "basline.yaml")
    assert str(caught.value).startswith(f"{tmp_path / 'basline.yaml'}: no such file; did you mean ")
    assert str(tmp_path / "baseline.yaml") in str(caught.value)
    with pytest.raises(ConfigError, match=r"no such file\. `lrbench list configs`"):
        load_config(tmp_path / "other" / "zzz.yaml")
    with pytest.raises(ConfigError, match="is a folder; name a config in it"):
        load_config(tmp_path)


# --- round trip --------------------------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(["1e-3", "1e5", "12", "yes", "2024-01-31"])
names = st.from_regex(r"[a-z0-9][a-z0-9 .,+=@()_-]{0,20}[a-z0-9]", fullmatch=True) | st.sampled_from(
    ["1e5", "5e-4", "12"]
)
rates = st.floats(1e-300, 1e300)
spans = st.builds("{}{}".format, st.floats(1e-9, 1e9), st.sampled_from(["%", " steps", " epochs"]))
blocks = st.fixed_dictionaries(
    {
        "name": names,
        "dataset": st.just("mnist")
        | st.builds(lambda f, n: {"name": "digits", "validation": {"fraction": f}, "train_size": n},
                    st.floats(0.01, 0.99), st.integers(1, 500)),
        "model": st.sampled_from(["cnn", {"name": "mlp", "hidden": [3, 4]}, {"name": "my.nets:build", "size": "1e3"}]),
        "optimizer": st.builds(lambda lr: {"name": "adam", "lr": lr, "betas": [0.9, 0.99]}, rates),
        "epochs": st.integers(1, 10**6),
    },
    optional={
        "schedule": st.sampled_from(["cosine", "one_cycle", "triangular"])
        | st.builds(lambda span, f: {"name": "step", "every": span, "factor": f}, spans, rates)
        | st.builds(lambda span: {"name": "sequence", "parts": [{"name": "constant", "for": span}, "linear"]}, spans),
        "warmup": st.builds(lambda span: {"for": span, "from_factor": 0.25}, spans),
        "plateau": st.builds(lambda t: {"threshold": t}, rates),
        "early_stopping": st.just({"metric": "val_accuracy"}),
        "loss": st.sampled_from(["mse", {"name": "cross_entropy", "label_smoothing": 0.1}]),
        "seed": st.integers(0, 2**63 - 1),
        "clip_grad_norm": rates,
        "reference": st.builds(lambda loss, source: {"test_loss": loss, "source": source}, rates, texts),
    },
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(blocks)
@example({"name": "some", "dataset": "mnist", "model": "cnn", "optimizer": "adam", "epochs": 1,
          "reference": {"test_loss": 1.0, "source": "next\x85line\u2028\u2029\x85"}})  # fmt: skip
def test_a_resolved_config_reads_back_the_same(tmp_path_factory, plain):
    experiment = Experiment.model_validate(plain)
    path = tmp_path_factory.mktemp("round") / "config.yaml"
    path.write_text(experiment.yaml(), encoding="utf-8")
    again = load_config(path)
    assert again == experiment
    assert again.plain() == experiment.plain()
    assert again.warmup == experiment.warmup
    assert again.yaml() == experiment.yaml()


def test_experiments_are_equal_wherever_they_were_written(write):
    first, second = (
        load_config(write(BASE, "a/x.yaml")),
        load_config(write("# moved down\n" + BASE, "b/x.yaml")),
    )
    assert first == second
    assert first.where("model") != second.where("model")
    assert first != first.replace(seed=1)
    assert first != "something else"


# --- what it costs -----------------------------------------------------------------------------------------


def test_reading_a_config_does_not_import_torch(write):
    path = write(BASE + "schedule: {name: sequence, parts: [{name: constant, for: 1}, cosine]}\n")
    code = (
        "import sys; from lrbench.config import identity, load_config; identity(load_config(sys.argv[1])); "
        "print([m for m in ('torch', 'torchvision', 'pandas', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_numbers_are_decimal_and_a_block_of_parameters_is_of_the_default_loss(write):
    text = BASE.replace("seed:", "#seed:") + "\nseed: 010\nloss: {label_smoothing: 0.1}\nname: '1:30'\n"
    path = write(text.replace("name: some\n", "").replace("'1:30'", "a1"))
    experiment = load_config(path)
    assert experiment.seed == 10
    given = {"label_smoothing": 0.1, "weight": None, "ignore_index": None}
    assert (experiment.loss.name, experiment.loss.params) == ("cross_entropy", given)
    assert load_config(path, ["loss.label_smoothing=0.2"]).loss.params["label_smoothing"] == 0.2
    assert load_config(path, ["schedule={name: step, every: 1_0}"]).schedule.params["every"] == "10 epochs"
    with pytest.raises(ConfigError, match="'1:30'"):
        load_config(path, ["schedule={name: step, every: 1:30}"])


def test_halves_of_a_character_become_one_and_a_lone_half_is_refused(write):
    path = write(BASE + '\nreference: {source: "\\ud83d\\ude00"}\n')
    assert load_config(path).reference.source == "😀"
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(write(BASE + '\nreference: {source: "\\ud83d"}\n'))


# -- a peak given absolutely

ONE_CYCLE = {"name": "torch/OneCycleLR", "max_lr": 0.1, "per": "step"}


def test_an_absolute_peak_is_the_optimizers_rate(tiny):
    assert tiny(optimizer="sgd", schedule=ONE_CYCLE).optimizer.params["lr"] == 0.1
    assert tiny(optimizer={"name": "sgd", "lr": 0.1}, schedule=ONE_CYCLE) == tiny(optimizer="sgd", schedule=ONE_CYCLE)
    nested = {"name": "sequence", "parts": [{"name": "constant", "for": "1 epoch"}, ONE_CYCLE]}
    assert tiny(optimizer="sgd", schedule=nested).optimizer.params["lr"] == 0.1


def test_another_rate_than_an_absolute_peak_is_refused(tiny):
    """A sweep over the learning rate would change nothing."""
    with pytest.raises(ConfigError, match=r"schedule.max_lr: is 0.1, but optimizer.lr, .* remove max_lr"):
        tiny(optimizer={"name": "sgd", "lr": 0.2}, schedule=ONE_CYCLE)
    with pytest.raises(ConfigError, match=r"schedule.max_lr: can.t be scaled by lr_scaling"):
        tiny(optimizer="sgd", schedule=ONE_CYCLE, lr_scaling={})


def test_a_warm_up_may_be_its_duration_alone(tiny):
    assert tiny(warmup="10%") == tiny(warmup={"for": "10%"})
    assert tiny(warmup=2) == tiny(warmup={"for": "2 epochs"})


@pytest.mark.parametrize(
    ("plateau", "fragment"),
    [
        ({"min_lr": 5.0}, "plateau.min_lr: is above the peak, optimizer.lr = 0.1"),
        ({"growth": {"factor": 2.0, "max_lr": 0.01}}, "plateau.growth.max_lr: is below the peak"),
        ({"growth": 1.2}, "plateau.growth: must be a mapping"),
    ],
)
def test_bounds_of_a_plateau(tiny, plateau, fragment):
    with pytest.raises(ConfigError) as caught:
        tiny(optimizer={"name": "sgd", "lr": 0.1}, plateau=plateau)
    assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"best_by": "val_acuracy"}, "best_by: this task has no 'val_acuracy'; did you mean 'val_accuracy'? Choices: "),
        ({"plateau": {"metric": "val_f1"}}, "plateau.metric: this task has no 'val_f1'; choices: "),
        ({"early_stopping": {"metric": "val_los"}}, "early_stopping.metric: this task has no 'val_los'; did you mean "),
    ],
)
def test_a_metric_that_the_task_lacks_is_said_before_training(tiny, changes, message):
    """Which metrics there are is known once the data are."""
    with pytest.raises(ConfigError) as caught:
        check(tiny(**changes), torch.device("cpu"))
    assert str(caught.value).startswith(message) and str(caught.value).lower().endswith(
        "choices: val_accuracy, val_loss"
    )


def test_a_reference_for_a_metric_that_the_task_lacks_is_said_before_training(tiny):
    with pytest.raises(ConfigError) as caught:
        check(tiny(reference={"test_loss": 0.1, "test_acuracy": 0.9}), torch.device("cpu"))
    problem = "this task has no 'test_acuracy'; did you mean 'test_accuracy'? Choices: test_accuracy, test_loss"
    assert str(caught.value) == f"reference.test_acuracy: {problem}"


def test_a_budget_may_be_replaced_by_set(write_config):
    path = write_config()
    for overrides in (["epochs=null", "steps=100"], ["steps=100", "epochs=null"], ["steps=100"]):
        experiment = load_config(path, overrides)
        assert (experiment.epochs, experiment.steps) == (None, 100)


@pytest.mark.parametrize("parent", ["a\0b.yaml", "x" * 6000 + ".yaml", "x/" * 3000], ids=["NUL", "long", "deep"])
def test_extending_what_can_be_no_path(tmp_path, parent):
    (tmp_path / "c.yaml").write_text(json.dumps({"extends": parent}))
    with pytest.raises(ConfigError, match=r"c.yaml:1: extends: no such file") as caught:
        load_config(tmp_path / "c.yaml")
    assert len(str(caught.value)) < 1000


def test_a_long_chain_of_files_is_one_message(tmp_path):
    for number in range(1500):
        (tmp_path / f"{number}.yaml").write_text(f"extends: {number + 1}.yaml\n")
    with pytest.raises(ConfigError, match=r"100.yaml:1: extends: leads through more than 100 files"):
        load_config(tmp_path / "0.yaml")


@pytest.mark.parametrize(
    ("name", "right"), [("学" * 73, True), ("学" * 74, False), ("x" * 100, True), ("x" * 101, False)]
)
def test_a_name_fits_a_folder_in_bytes_too(tmp_path, tiny, name, right):
    if right:
        (tmp_path / run_name(tiny(name=name))).mkdir()
    else:
        with pytest.raises(ConfigError, match="at most 100 characters"):
            tiny(name=name)


def test_a_config_that_is_a_pipe_or_a_device(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "child.yaml").write_text("extends: pipe.yaml\n")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    for name in ("pipe", "child", "zero"):
        with pytest.raises(ConfigError, match="cannot be read: it is not a regular file"):
            load_config(tmp_path / f"{name}.yaml")


def test_keys_that_begin_with_x_are_the_user_s_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "x-sgd: &sgd {name: sgd, momentum: 0.9}\nx-note: [any, {thing: 1}]\n"
        "dataset: digits\nmodel: mlp\nepochs: 2\noptimizer:\n  <<: *sgd\n  lr: 0.1\n"
    )
    own = load_config(path, ["x-more=1"])
    plain = tmp_path / "plain.yaml"
    plain.write_text(
        "dataset: digits\nmodel: mlp\nepochs: 2\noptimizer: {name: sgd, momentum: 0.9, lr: 0.1}\nname: mine\n"
    )
    assert own == load_config(plain) and identity(own) == identity(load_config(plain))
    assert "x-" not in own.yaml()
    child = tmp_path / "child.yaml"
    child.write_text("extends: mine.yaml\nx-sgd: 3\nepochs: 1\n")
    assert load_config(child).plain()["epochs"] == 1


@pytest.mark.parametrize("key", ["x_sgd", "xsgd", "X-sgd"])
def test_other_unknown_keys_stay_mistakes(tmp_path: Path, key: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"{key}: 1\ndataset: digits\nmodel: mlp\nepochs: 2\noptimizer: {{name: sgd, lr: 0.1}}\n")
    with pytest.raises(ConfigError, match=rf"mine\.yaml:1: {key}: unknown key"):
        load_config(path)
    path.write_text("dataset: digits\nmodel: {name: mlp, x-a: 1}\nepochs: 2\noptimizer: {name: sgd, lr: 0.1}\n")
    with pytest.raises(ConfigError, match="'mlp' has no parameter 'x-a'"):
        load_config(path)
