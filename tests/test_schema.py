"""The JSON schema of configs: what it accepts, lrbench accepts, and the other way round."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

import lrbench
from lrbench.cli.schema import save_schema
from lrbench.components import DATASETS, LOSSES, METRICS, MODELS, OPTIMIZERS, TASKS
from lrbench.config import TRACKERS, Experiment, branched, read_config, schema, trackers
from lrbench.config.yaml_source import parse
from lrbench.errors import LrbenchError
from lrbench.registry import Catalog
from lrbench.schedules import PLATEAUS, SCHEDULES, build_schedule
from lrbench.sweeps.grid import Grid
from lrbench.types import Part

ROOT = Path(__file__).parent.parent
SCHEMA = schema()
VALIDATOR = Draft202012Validator(SCHEMA)
TRAINING = {"dataset": "digits", "model": "mlp", "optimizer": {"name": "sgd", "lr": 0.1}, "epochs": 2}
COMMAND = {"command": "python train.py --lr {lr} --seed {seed}", "params": {"lr": 0.1}}


def problem(config: Any) -> str:
    """What the schema finds wrong; empty if nothing."""
    error = best_match(VALIDATOR.iter_errors(config))
    return "" if error is None else f"{error.json_path}: {error.message}"


def refusal(config: dict[str, Any], folder: Path) -> str:
    """What lrbench finds wrong before it trains, with every cell of a sweep; empty if nothing."""
    path = folder / "config.yaml"
    path.write_text(json.dumps(config, default=str))
    try:
        for cell in Grid.of(read_config(path)).cells(lambda _: [0.1]):
            for one in branched(cell.experiment):
                if isinstance(one, Experiment):
                    one.scaled_optimizer()
                    if not one.schedule.imported:
                        build_schedule(one.schedule, lr=1.0, total_steps=1000, steps_per_epoch=100)
    except LrbenchError as error:
        return str(error)
    return ""


def test_it_is_a_schema_and_is_made_without_torch(cli: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert lrbench.schema() == SCHEMA
    assert json.loads(cli("schema")[1]) == SCHEMA
    assert json.loads(save_schema(tmp_path / "x.json").read_text()) == SCHEMA
    command = [sys.executable, "-m", "lrbench", "schema", "--out", "mine.json"]
    done = subprocess.run(command, capture_output=True, text=True)
    code, out = done.returncode, done.stdout
    assert code == 0 and done.stderr == "" and "# yaml-language-server: $schema=mine.json" in out
    assert json.loads(Path("mine.json").read_text()) == SCHEMA
    code, _, err = cli("schema", "--out", "mine.json/x.json")
    assert code == 2 and err == "Error: --out mine.json is a file, not a folder\n"


FILES = [
    *sorted((ROOT / "configs").rglob("*.yaml")),
    *sorted((ROOT / "examples").rglob("*.yaml")),
    *sorted((ROOT / "runs" / "study").glob("*/config.yaml"))[::20],
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_config_here_fits(file: Path) -> None:
    assert problem(parse(file.read_text(), str(file))[0]) == ""


def documented() -> list[Any]:
    """The YAML blocks of the docs; parts of configs as configs that extend another, of repeated keys each line."""
    found = []
    for page in [ROOT / "README.md", *sorted({*(ROOT / "docs").glob("*.md")} - {ROOT / "docs" / "ray.md"})]:
        for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), flags=re.DOTALL)):
            lines = [line for line in block.splitlines() if re.match(r"\w+:", line)]
            keys = [line.partition(":")[0] for line in lines]
            texts = [block] if len({*keys}) == len(keys) else lines
            found += [pytest.param(text, id=f"{page.name}-{number}-{at}") for at, text in enumerate(texts) if keys]
    return found


@pytest.mark.parametrize("text", documented())
def test_the_configs_in_the_docs_fit(text: str) -> None:
    config = parse(text, "docs")[0]
    whole = {"optimizer", "dataset", "epochs"} <= config.keys() or "command" in config
    assert problem(config if whole else {"extends": "other.yaml", **config}) == ""


WRONG = (
    "optimiser: adam",
    "epochs: 0",
    "epochs: 2.5",
    "epochs: '3'",
    "epochs: true",
    "steps: 10",
    "epochs: null",
    "batch_size: -1",
    "batch_size: null",
    "seed: -1",
    "seed: none",
    "optimizer: {name: adma}",
    "optimizer: {name: adam, lr: -1}",
    "optimizer: {name: adam, lr: 0}",
    "optimizer: {name: adam, lr: '0.1'}",
    "optimizer: {name: adam, lr: null}",
    "optimizer: {name: adam, momentum: 0.9}",
    "optimizer: {name: sgd, momentum: -0.9}",
    "optimizer: {name: adam, betas: [0.9]}",
    "optimizer: {name: adam, betas: [0.9, 1.0]}",
    "optimizer: 3",
    "optimizer: {lr: 0.1}",
    "optimizer: {name: sgd, layer_decay: 2}",
    "optimizer: {name: sgd, freeze: []}",
    "optimizer: {name: sgd, unfreeze: {a: soon}}",
    "optimizer: null",
    "schedule: cosin",
    "schedule: step",
    "schedule: {name: step}",
    "schedule: {name: step, every: 15 epoch, gamma: 0.1}",
    "schedule: {name: step, every: soon}",
    "schedule: {name: step, every: -1}",
    "schedule: {name: step, every: 5 epochs, factor: 0}",
    "schedule: {name: cosine, final_factor: 2}",
    "schedule: {name: cosine, final_factor: '0.1'}",
    "schedule: {name: one_cycle, shape: round}",
    "schedule: {name: one_cycle, three_phase: 1}",
    "schedule: {name: sequence, parts: []}",
    "schedule: {name: sequence, parts: [{name: cosin}]}",
    "schedule: {name: sequence, parts: [{name: step, for: 3 epochs}]}",
    "schedule: {name: sequence, parts: [{name: constant, for: soon}, cosine]}",
    "schedule: {name: hf/cosin}",
    "schedule: {name: hf/cosine, warmup: 3}",
    "schedule: {name: hf/reduce_lr_on_plateau, patience: -1}",
    "schedule: {every: 3 epochs}",
    "schedule: {name: multistep, milestones: 3 epochs}",
    "schedule: null",
    "schedule: [cosine]",
    "schedule: {name: piecewise, points: [[1, 2, 3]]}",
    "dataset: digitz",
    "dataset: {name: digits, size: 3}",
    "dataset: {name: digits, validation: {fraction: 1}}",
    "dataset: {name: digits, validation: {how: head}}",
    "dataset: {name: digits, validation: 0.2}",
    "dataset: {name: digits, augment: [rotate]}",
    "dataset: {name: digits, train_size: 0}",
    "dataset: image_folder",
    "dataset: {name: image_folder, path: a, channels: 2}",
    "dataset: {name: image_folder, path: a, cache: lots}",
    "model: {name: mlp, hidden: 64}",
    "model: {name: mlp, hidden: [0]}",
    "model: {name: cnn, dropout: 1}",
    "model: {name: cnn, depth: 3}",
    "model: null",
    "loss: cross_entropie",
    "loss: {name: cross_entropy, label_smoothing: 1.5}",
    "loss: {name: cross_entropy, reduction: sum}",
    "task: vision",
    "task: {name: regression, x: 1}",
    "metrics: []",
    "metrics: [f2]",
    "metrics: 3",
    "warmup: soon",
    "warmup: {for: 5%, shape: square}",
    "warmup: {shape: linear}",
    "warmup: {for: 5%, from: 0.1}",
    "warmup: true",
    "warmup: -5",
    "plateau: {metric: loss}",
    "plateau: {factor: 1}",
    "plateau: {patience: -1}",
    "plateau: 3",
    "plateau: {growth: {factor: 1}}",
    "plateau: {growth: {}}",
    "plateau: {growth: {factor: 2, on: never}}",
    "early_stopping: {patience: 0}",
    "early_stopping: {metric: val-loss}",
    "early_stopping: {patiense: 3}",
    "early_stopping: true",
    "lr_scaling: linear",
    "lr_scaling: {rule: cubic}",
    "lr_scaling: {base_batch_size: 0}",
    "precision: fp64",
    "compile: 1",
    "device: gpu",
    "clip_grad_norm: 0",
    "keep: all",
    "as_of: 3",
    "on_non_finite: ignore",
    "max_skipped: 3",
    "best_by: accuracy",
    "accumulate: 0",
    "drop_last: 'yes'",
    "eval_every: sometimes",
    "name: a/b",
    "name: '.hidden'",
    "name: ''",
    "name: 3",
    "track: 3",
    "track: [1]",
    "reference: {accuracy: 1}",
    "reference: {test_loss: low}",
    "continue: {for: 3 epochs}",
    "continue: 10 epochs",
    "init_from: 3",
    "init_from: {weights: best}",
    "branches: {decay: 3}",
    "branches: {at: []}",
    "step: 100",
    "step: 'mine'",
    "params: {lr: 1}",
    "command: null",
    "sweep: {lrs: [1]}",
    "sweep: {lr: []}",
    "sweep: {lr: [0]}",
    "sweep: {lr: fast}",
    "sweep: {lr: '1:2'}",
    "sweep: {lr: {log: [0, 1], points: 3}}",
    "sweep: {lr: {log: [1e-3, 1]}}",
    "sweep: {lr: {log: [1e-3, 1], points: 1}}",
    "sweep: {seeds: 0}",
    "sweep: {seeds: -1}",
    "sweep: {name: [a, b]}",
    "sweep: {device: [cpu]}",
    "sweep: {schedule: []}",
    "sweep: {schedule: [cosin]}",
    "sweep: {schedule: [{name: cosine, every: 3}]}",
    "sweep: [1]",
    "sweep: {batch_size: [0]}",
    "sweep: {batch_size: [32, big]}",
    "sweep: {optimizer: {lr: [0]}}",
    "sweep: {optimizer.lr: [-1]}",
    "extends: 3",
)
WRONG_COMMANDS = (
    "command: ''",
    "command: []",
    "command: 3",
    "params: [1]",
    "params: {a b: 1}",
    "shell: 1",
    "read: {xml: a}",
    "read: {csv: a, jsonl: b}",
    "metrics: {f1: a}",
    "metrics: {val_f1: {column: a, better: up}}",
    "metrics: {val_f1: {col: a}}",
    "resume: 3",
    "timeout: soon",
    "timeout: 0",
    "gpus: 0",
    "files: 3",
    "files: ['']",
    "epochs: 3",
    "optimizer: adam",
    "seed: -1",
    "sweep: {name: [a]}",
    "sweep: {lr: [0]}",
)


@pytest.mark.parametrize(
    ("base", "text"), [*((TRAINING, text) for text in WRONG), *((COMMAND, text) for text in WRONG_COMMANDS)]
)
def test_what_lrbench_refuses_the_schema_refuses(base: dict[str, Any], text: str, tmp_path: Path) -> None:
    config = {**base, **parse(text, "")[0]}
    assert refusal(config, tmp_path) != ""
    assert problem(config) != ""


@pytest.mark.parametrize("key", ["dataset", "model", "optimizer", "epochs"])
def test_a_config_needs_its_parts_unless_it_extends_another_or_a_sweep_gives_them(key: str, tmp_path: Path) -> None:
    config = {name: value for name, value in TRAINING.items() if name != key}
    assert refusal(config, tmp_path) and problem(config)
    assert problem({**config, "extends": "other.yaml"}) == ""
    swept = {**config, "sweep": {key: [TRAINING[key]]}}
    assert refusal(swept, tmp_path) == problem(swept) == ""


def test_a_config_that_extends_another_may_give_a_part_of_a_block() -> None:
    for text in ("schedule: {factor: 0.1}", "warmup: {shape: cosine}", "optimizer: {lr: null}", "params: {lr: 1}"):
        assert problem({"extends": "other.yaml", **parse(text, "")[0]}) == ""
    for text in ("schedule: {name: step, factr: 0.1}", "warmup: {shape: round}", "optimizer: {lr: -1}"):
        assert problem({"extends": "other.yaml", **parse(text, "")[0]}) != ""


RIGHT = (
    "warmup: 5%", "warmup: 3", "warmup: untuned\noptimizer: adam", "warmup: {for: 300 steps, over: true}",
    "schedule: {name: 'mine:rate', any: [1, {two: 3}]}", "schedule: {name: torch/StepLR, step_size: 3, per: epoch}",
    "schedule: hf/reduce_lr_on_plateau", "schedule: wsd",
    "schedule: {name: sequence, parts: [{name: constant, for: 3}, {name: step, every: 1 epochs}]}",
    "model: {name: 'mine:net', depth: 3}", "task: 'mine:Vae'\nmetrics: {kl: lower}",
    "metrics: f1", "metrics: [f1, {name: 'torchmetrics.classification:BinaryAUROC', as: auroc}]", "track: tensorboard",
    "track: [{name: wandb, mode: offline, dir: x}, 'mine:Tool']", "plateau: {growth: {factor: 1.2, on: plateau}}",
    "lr_scaling: {rule: sqrt, base_batch_size: 64}",
    "optimizer: {name: adamw, lr: 1, freeze: 'a.*', unfreeze: {a: 2 epochs}}",
    "sweep: {lr: '1e-5:1:11', seeds: 3}", "sweep: {lr: auto}", "sweep: {optimizer: {lr: [1, 2], momentum: [0, 0.9]}}",
    "sweep: {schedule: [cosine, {name: one_cycle, lr: {log: [1e-3, 1], points: 7}}], optimizer.momentum: [0.9]}",
    "sweep: {optimizer: [{name: sgd, lr: {log: [1e-3, 1], points: 3}}, {name: adam, sweep: {lr: [0.1]}}]}",
    "sweep: {warmup: [1%, {for: 5%}], batch_size: {linear: [8, 16], points: 3}}",
    "sweep: {seed: [1, 5], epochs: [1, 2]}",
    "schedule: {name: wsd, warmup: 0, cooldown: 20 steps}\nsteps: 100\nepochs: null\n"
    "branches: {at: 50, decay: [20%, {for: 10 steps, shape: sqrt}]}",
    "loss: {label_smoothing: 0.1}", "loss: {name: 'torch.nn:HuberLoss', delta: 2}",
    "eval_every: 0.5 epochs", "name: 'é 1.5,+=@()_-x'", "reference: {test_f1: 0.5, source: a paper}",
    "device: 'cuda:1'",
    "dataset: {name: text, context: 8, workers: 2}\nmodel: gpt", "dataset: {name: 'a:b', validation: {how: own}, x: 1}",
)  # fmt: skip


@pytest.mark.parametrize("text", RIGHT)
def test_what_lrbench_accepts_the_schema_accepts(text: str, tmp_path: Path) -> None:
    config = {**TRAINING, **parse(text, "")[0]}
    assert refusal(config, tmp_path) == problem(config) == ""


def test_your_own_keys_are_allowed() -> None:
    assert problem({**TRAINING, "x-notes": {"any": ["thing"]}}) == problem({**COMMAND, "x-notes": 1}) == ""
    assert problem({**TRAINING, "notes": 1}) != ""


CATALOGS = {
    "dataset": DATASETS, "model": MODELS, "schedule": SCHEDULES, "loss": LOSSES, "task": TASKS, "metrics": METRICS,
    "track": trackers(TRACKERS),
}  # fmt: skip
NEEDED = {
    "every": "2 epochs",
    "milestones": ["1 epochs"],
    "parts": ["cosine"],
    "path": "images",
    "points": [["1 epochs", 0.5]],
}
"""Values of parameters without a default."""


def defaults(catalog: Catalog, name: str) -> dict[str, Any]:
    """An entry's block with every default written out."""
    own = catalog.settings(name)
    given = {key: NEEDED[key] for key, one in own.items() if one.default is one.empty and key in NEEDED}
    enough = len(given) == sum(one.default is one.empty for one in own.values())
    return catalog.complete(Part(name, given)).plain() if enough else {}


@pytest.mark.parametrize(
    ("key", "name"), [(key, name) for key, catalog in CATALOGS.items() for name in catalog.entries]
)
def test_the_defaults_of_every_entry_fit(key: str, name: str) -> None:
    block = defaults(CATALOGS[key], name)
    if block:
        assert problem({**TRAINING, key: [block] if key in ("metrics", "track") else block}) == ""
        assert problem({**TRAINING, key: {**block, "no_such": 1}}) != ""
    else:
        assert key == "schedule" and "/" in name, "other tools' entries with several required parameters"


@pytest.mark.parametrize("name", PLATEAUS.entries)
def test_the_defaults_of_plateau_rules_named_as_schedules_fit(name: str) -> None:
    assert problem({**TRAINING, "schedule": defaults(PLATEAUS, name)}) == ""


@pytest.mark.parametrize("name", OPTIMIZERS.entries)
def test_the_defaults_of_every_optimizer_fit(name: str) -> None:
    known = inspect.signature(OPTIMIZERS.factory(Part(name))).parameters
    own = SCHEMA["$defs"][f"optimizer.{name}"]["properties"]
    real = {key: json.loads(json.dumps(known[key].default)) for key in own}
    assert {key: one["default"] for key, one in own.items() if "default" in one} == {
        key: value for key, value in real.items() if value is not None and "default" in own[key]
    }
    assert {"betas", "momentum", "weight_decay"} & own.keys() <= {k for k, one in own.items() if "default" in one}
    block = {key: value for key, value in real.items() if value is not None}
    assert problem({**TRAINING, "optimizer": {"name": name, "lr": 0.1, **block}}) == ""


def every_key(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{name}.{key}", value)
        for name, one in schema["$defs"].items()
        for key, value in one.get("properties", {}).items()
        if isinstance(value, dict) and not name.startswith("axis")
    ]


def test_every_key_of_a_config_says_what_it_means() -> None:
    silent = [key for key, value in every_key(SCHEMA) if "description" not in value]
    assert [key for key in silent if not key.startswith("Law.")] == []


def test_symbols_and_values_keep_their_case() -> None:
    said = dict(every_key(SCHEMA))
    described = {key: said[key]["description"] for key in said if "description" in said[key]}
    assert described["schedule.exp_range.gamma"] == "γ, slightly below 1."
    assert described["schedule.step.every"].startswith("n, the time between drops")
    assert described["DecayRule.shape"].startswith("linear, cosine or sqrt")
    assert described["schedule.step.factor"].startswith("Multiplies the learning rate")


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 5), st.floats(0, 2),
    st.sampled_from(["5%", "3 epochs", "cosine", "sgd", "x"]),
    st.lists(st.integers(-1, 3), max_size=2),
    st.sampled_from([{"for": 3}, {"name": "step", "every": 1}, {"factor": 0.5}, {"patience": 2}, {"rule": "linear"}]),
)  # fmt: skip


@given(
    st.dictionaries(st.sampled_from(sorted(set(Experiment.model_fields) - {"continues", "track"})), VALUES, max_size=2)
)
def test_the_schema_refuses_nothing_that_lrbench_accepts(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]
) -> None:
    config = {**TRAINING, **changes}
    folder = tmp_path_factory.getbasetemp() / "refusals"
    folder.mkdir(exist_ok=True)
    if not refusal(config, folder):
        assert problem(config) == ""
