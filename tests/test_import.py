"""`lrbench import`: other tools' runs become run folders, once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import lrbench
from lrbench.analysis import Record, read_runs
from lrbench.errors import UsageError
from lrbench.integrations.importers.rules import without_values
from lrbench.runs import Status

Cli = Callable[..., tuple[int, str, str]]

LIGHTNING = """epoch,lr-SGD,step,train_loss_step,train_loss_epoch,val_loss
,0.1,0,2.0,,
,0.1,1,1.0,,
0,,1,,,0.9
0,,1,,1.5,
1,,3,,,0.8
1,,3,,1.2,
"""
HISTORY = [
    {"epoch": 0.5, "step": 5, "loss": 2.0, "learning_rate": 1e-3, "grad_norm": 1.0},
    {"epoch": 1.0, "step": 10, "loss": 1.0, "learning_rate": 5e-4},
    {"epoch": 1.0, "step": 10, "eval_loss": 1.2, "eval_accuracy": 0.6, "eval_runtime": 1.0},
    {"epoch": 1.0, "step": 10, "train_loss": 1.5, "train_runtime": 12.5},
]


def lightning(folder: Path, *, lr: float, seed: int | None = None, version: int = 0, text: str = LIGHTNING) -> Path:
    place = folder / "lightning_logs" / f"version_{version}"
    place.mkdir(parents=True)
    (place / "metrics.csv").write_text(text)
    (place / "hparams.yaml").write_text(f"lr: {lr}\nwidth: 8\n" + ("" if seed is None else f"seed: {seed}\n"))
    return place


def trainer(folder: Path, *, steps: int = 10, most: int = 10) -> Path:
    for step in (5, steps):
        place = folder / f"checkpoint-{step}"
        place.mkdir(parents=True, exist_ok=True)
        rows = [row for row in HISTORY if row["step"] <= step]
        state = {"global_step": step, "max_steps": most, "log_history": rows}
        (place / "trainer_state.json").write_text(json.dumps(state))
    return folder


def records(tmp_path: Path) -> list[Record]:
    return read_runs([tmp_path / "runs"])


def test_lightning_s_csv_logs(tmp_path: Path) -> None:
    for version, (lr, seed) in enumerate([(0.1, 0), (0.1, 1), (0.2, 0)]):
        lightning(tmp_path / "mine", lr=lr, seed=seed, version=version)
    done = lrbench.import_runs(tmp_path / "mine", runs=tmp_path / "runs")
    assert str(done) == "3 new"
    found = records(tmp_path)
    assert sorted((r.experiment.lr, r.plain["seed"]) for r in found if r.experiment) == [(0.1, 0), (0.1, 1), (0.2, 0)]
    assert len({record.group for record in found}) == 2
    one = next(record for record in found if record.peak_lr == 0.1)
    assert one.name == "mine" and one.source == "Lightning" and one.status is Status.FINISHED
    assert one.metric("val_loss") == 0.8 and one.metric("train_loss") == 1.2
    assert one.plain["params"] == {"lr": 0.1, "width": 8}
    assert one.environment.plain["imported"]["format"] == "lightning"
    assert one.environment.processor is None, "it ran elsewhere"


def test_the_same_again_adds_nothing_and_what_has_grown_is_updated(tmp_path: Path) -> None:
    place = lightning(tmp_path / "mine", lr=0.1)
    for words in ("1 new", "1 unchanged", "1 unchanged"):
        assert str(lrbench.import_runs(tmp_path / "mine", runs=tmp_path / "runs")) == words
    (place / "metrics.csv").write_text(LIGHTNING + "2,,5,,,0.5\n")
    assert str(lrbench.import_runs(tmp_path / "mine", runs=tmp_path / "runs")) == "1 updated"
    (record,) = records(tmp_path)
    assert record.metric("val_loss") == 0.5
    (place / "hparams.yaml").write_text("lr: 0.3\n")  # another config, and so another folder
    assert str(lrbench.import_runs(tmp_path / "mine", runs=tmp_path / "runs")) == "1 updated"
    (record,) = records(tmp_path)
    assert record.experiment is not None and record.experiment.lr == 0.3


def test_a_dry_run_writes_nothing(cli: Cli, tmp_path: Path) -> None:
    lightning(tmp_path / "mine", lr=0.1)
    code, out, _ = cli("import", "mine", "--dry-run")
    assert code == 0 and "Would import: 1 new" in out and not (tmp_path / "runs").exists()


def test_of_a_trainer_s_checkpoints_the_last_counts(tmp_path: Path) -> None:
    lrbench.import_runs(trainer(tmp_path / "out"), runs=tmp_path / "runs")
    (record,) = records(tmp_path)
    assert record.name == "out" and record.result is not None
    assert record.metric("val_loss") == 1.2 and record.metric("val_accuracy") == 0.6
    assert record.result.seconds == 12.5 and record.result.steps == 10
    assert record.rates()[1].tolist() == [1e-3, 5e-4]


def test_a_training_that_has_not_ended_is_interrupted(tmp_path: Path) -> None:
    lrbench.import_runs(trainer(tmp_path / "out", steps=10, most=100), runs=tmp_path / "runs")
    (record,) = records(tmp_path)
    assert record.status is Status.INTERRUPTED and record.environment.sizes.total_steps == 100


def test_keras_and_json_lines(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "small.csv").write_text(
        "epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,1,0.5,1.1\n1,0.6,0.9,0.7,1\n"
    )
    rows = [{"step": step, "eval": {"loss": 1 / step}} for step in (1, 2)]
    (tmp_path / "logs" / "other.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "logs" / "data.csv").write_text("x,y\n1,2\n")  # no log
    assert str(lrbench.import_runs(tmp_path / "logs", runs=tmp_path / "runs")) == "2 new"
    found = {record.name: record for record in records(tmp_path)}
    assert found["small"].metric("val_accuracy") == 0.7 and found["small"].metric("train_loss") == 0.9
    assert found["other"].metric("val_loss") == 0.5


PANEL = """"Step","sky-1 - val/loss","sky-1 - val/loss__MIN","sky-1 - val/loss__MAX","sea-2 - val/loss"
"0","1.5","1.5","1.5","1.4"
"10","0.5","0.5","0.5",""
"""
TABLE = """"Name","State","Runtime","lr","seed","val/loss"
"a","finished","100","0.1","1","0.5"
"b","crashed","50","0.1","2","0.7"
"""


def test_csv_files_that_w_and_b_exports(tmp_path: Path) -> None:
    (tmp_path / "panel.csv").write_text(PANEL)
    (tmp_path / "table.csv").write_text(TABLE)
    assert str(lrbench.import_runs(tmp_path, runs=tmp_path / "runs")) == "4 new"
    found = {record.name: record for record in records(tmp_path)}
    assert found["sky-1"].metric("val_loss") == 0.5 and found["sea-2"].metric("val_loss") == 1.4
    assert found["a"].metric("val_loss") == 0.5 and found["a"].plain["params"] == {"lr": 0.1}
    assert found["b"].status is Status.FAILED
    assert "may sample its points" in found["sky-1"].folder.recorded()["notes"][0]


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for seed in (0, 1):
        writer = EventFileWriter(str(tmp_path / "tb" / f"net_lr0.1_seed{seed}"))
        for step in (1, 2):
            for tag, value in (("val/loss", seed + 1 / step), ("lr", 0.1)):
                summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
                writer.add_event(Event(wall_time=100.0 + step, step=step, summary=summary))
        writer.close()
        (tmp_path / "tb" / f"net_lr0.1_seed{seed}" / "hparams.yaml").write_text("lr: 0.1\n")
    lrbench.import_runs(tmp_path / "tb", runs=tmp_path / "runs")
    found = records(tmp_path)
    assert [(r.name, r.plain["seed"], r.metric("val_loss")) for r in found] == [("net", 0, 0.5), ("net", 1, 1.5)]
    assert len({record.group for record in found}) == 1


def test_names_seeds_groups_and_columns_are_chosen(cli: Cli, tmp_path: Path) -> None:
    text = "epoch,mine\n1,0.5\n2,0.25\n"
    for version, fold in enumerate((3, 4)):
        place = lightning(tmp_path / "mine", lr=0.1, version=version, text=text)
        (place / "hparams.yaml").write_text(f"lr: 0.1\neta: 0.7\nfold: {fold}\nnote: n{version}\n")
    words = (
        "--name",
        "{experiment} w",
        "--seed-key",
        "fold",
        "--group-by",
        "eta",
        "--lr-key",
        "eta",
        "--map",
        "val_loss=mine",
    )
    code, out, _ = cli("import", "mine", *words)
    assert code == 0, out
    found = records(tmp_path)
    assert [(r.name, r.plain["seed"], r.plain["params"], r.peak_lr) for r in found] == [
        ("mine w", 3, {"eta": 0.7}, 0.7), ("mine w", 4, {"eta": 0.7}, 0.7),
    ]  # fmt: skip
    assert found[0].metric("val_loss") == 0.25
    assert found[0].folder.recorded()["params"] == {"lr": 0.1, "fold": 3, "note": "n0"}


def test_runs_without_a_seed_are_repeats(tmp_path: Path) -> None:
    for version in (0, 1, 2):
        lightning(tmp_path / "mine", lr=0.1, version=version)
    lrbench.import_runs(tmp_path / "mine", runs=tmp_path / "runs")
    found = records(tmp_path)
    assert len(found) == 3 and len({record.group for record in found}) == 1
    assert all("seed" not in record.plain for record in found)


def test_two_runs_of_which_the_same_is_known_are_both_kept(tmp_path: Path) -> None:
    for version in (0, 1):
        lightning(tmp_path / "mine", lr=0.1, seed=0, version=version)
    for words in ("2 new", "2 unchanged"):
        assert str(lrbench.import_runs(tmp_path / "mine", runs=tmp_path / "runs")) == words
    assert len(records(tmp_path)) == 2


def test_damaged_files_are_told_and_stop_nothing(cli: Cli, tmp_path: Path) -> None:
    lightning(tmp_path / "mine", lr=0.1)
    lightning(tmp_path / "mine", lr=0.2, version=1, text="")
    (tmp_path / "mine" / "lightning_logs" / "version_0" / "hparams.yaml").write_bytes(b"\xff: [")
    out_folder = trainer(tmp_path / "mine" / "out")
    (out_folder / "checkpoint-10" / "trainer_state.json").write_text("{")
    code, out, _ = cli("import", "mine")
    assert code == 0
    assert "1 new, 2 unreadable" in out
    assert "version_1/metrics.csv: it is empty" in out
    assert "is damaged: its JSON breaks off in line 1" in out
    shutil.rmtree(tmp_path / "mine" / "lightning_logs" / "version_0")
    assert cli("import", "mine", "--runs", "others")[0] == 1, "nothing could be read"


def test_numbers_that_no_float_holds_and_mappings_that_are_none(tmp_path: Path) -> None:
    """Python's integers have no limit, and `{{}: 1}` is an expression but no value."""
    many = "9" * 400
    (tmp_path / "panel.csv").write_text(PANEL.replace('"10"', f'"{many}"'))
    (tmp_path / "table.csv").write_text(TABLE.replace('"100","0.1"', f'"100","{many}"').replace('"b"', '"{{}: 1}"'))
    lightning(tmp_path / "mine", lr=0.1)
    settings = tmp_path / "mine" / "lightning_logs" / "version_0" / "hparams.yaml"
    settings.write_text(f"width: {many}\nlr: " + "'{{}: 1}'\n")
    done = lrbench.import_runs(tmp_path, runs=tmp_path / "runs")
    assert str(done) == "4 new, 1 unreadable" and "impossible step inf" in done.unreadable[0][1]
    assert len(list((tmp_path / "runs").iterdir())) == 4, "nothing is left of what can't be kept"


def test_an_evaluation_of_nothing_but_nan_is_none(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"val_loss": 0.5}\n{"val_loss": NaN}\n')
    lrbench.import_runs(tmp_path / "log.jsonl", runs=tmp_path / "runs")
    (record,) = records(tmp_path)
    assert record.status is Status.DIVERGED and record.result is not None and record.result.evaluations == 1


def test_run_folders_of_lrbench_are_left_alone(cli: Cli, tmp_path: Path, make_run: Any) -> None:
    make_run([0.5, 0.25])
    code, _, err = cli("import", "runs", "--runs", "others")
    assert code == 2 and "runs has no logs of other tools, but what lrbench itself made: 1 run folder, such as" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere",), "nowhere: no such file or folder"),
        (("empty",), "empty has no runs of W&B, MLflow"),
        (("mine", "--from", "tensorbord"), "--from tensorbord: no such format; did you mean 'tensorboard'?"),
        (("mine", "--map", "val_loss"), "--map must be OURS=COLUMN"),
        (("mine", "--map", "f1=x"), "--map: 'f1' must be step, epoch, lr, or begin with train_"),
        (("mine", "--from", "mlflow"), "has no runs of MLflow"),
        (("note.txt",), "note.txt is not a file of a known format"),
        (("lines.jsonl", "--from", "csv"), "lines.jsonl is not a file of CSV; its name is that of --from jsonl"),
        (("pipe.csv",), "pipe.csv is not a regular file, but a pipe, a socket or a device"),
        (("lost.csv",), "lost.csv is a link to a file that does not exist"),
        (("mine", "--seed-key", "sed"), "--seed-key sed: the log has no setting 'sed'; there: lr, width"),
        (("mine", "--lr-key", "lrr"), "the log has no setting 'lrr'; did you mean 'lr'? There: lr, width"),
        (("mine", "--group-by", "lr,widht"), "--group-by widht: the log has no setting 'widht'; did you mean 'width'?"),
        (("mine", "--group-by", " , "), "--group-by names no setting; write it as lr,schedule"),
        (
            ("mine", "--map", "val_loss=nothing"),
            "--map val_loss=nothing: the log has no column 'nothing'; there: epoch",
        ),
        (("mine", "--map", "val_loss=a", "--map", "val_loss=b"), "--map gives val_loss two columns: a and b"),
        (("mine", "--name", "{widht}"), "--name {widht}: the log has no setting 'widht'; did you mean 'width'?"),
        (("mine", "--name", "a/b"), "--name 'a/b' has '/'; a name may contain letters"),
        (("mine", "--name", "{lr"), "--name '{lr' has a brace without its partner"),
        (("mine", "--name", "{}"), "--name '{}' has empty braces"),
        (("mine", "--name", " "), "--name is empty: --name TEXT"),
        (("mine", "--name", "..x"), "--name '..x' must begin and end with a letter or a digit"),
        (("mine", "--name", "x" * 81), "has 81 characters; a name has at most 80"),
        (("mine", "--runs", "note.txt"), "--runs note.txt is a file, not a folder"),
        ((), "PATH is missing (logs, or folders that hold them)"),
    ],
)
def test_wrong_requests(cli: Cli, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    lightning(tmp_path / "mine", lr=0.1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").touch()
    (tmp_path / "lines.jsonl").touch()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "lost.csv").symlink_to("nowhere")
    code, _, err = cli("import", *words)
    assert code == 2
    assert said in " ".join(err.split())
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("log.csv", "", "log.csv: it is empty"),
        ("log.csv", "epoch,val_loss\n", "log.csv: there are no numbers in it"),
        ("log.csv", "a,b\nx,y\n", "log.csv: there are no numbers in it, but texts (a has 'x'; b has 'y')"),
        (
            "log.csv",
            "epoch,val_loss\n1,n/a\n",
            "log.csv: its column 'val_loss' has no numbers, but texts such as 'n/a'",
        ),
        (
            "log.csv",
            "epoch,x\n1,2\n",
            "no column has a usual name of a metric; use --map val_loss=COLUMN (columns: epoch, x)",
        ),
        ("log.jsonl", "nothing\n", "log.jsonl: there are no numbers in it; line 1 is not a JSON object"),
        (
            "log.jsonl",
            '{"epoch": 1, "val_loss": "low"}\n',
            "its column 'val_loss' has no numbers, but texts such as 'low'",
        ),
    ],
)
def test_what_a_log_lacks_is_told(cli: Cli, tmp_path: Path, file: str, text: str, said: str) -> None:
    (tmp_path / file).write_text(text)
    code, out, err = cli("import", file)
    assert (code, err) == (1, "") and "1 unreadable" in out
    assert said in " ".join(out.split()), out


def test_lines_that_are_left_out_are_counted(cli: Cli, tmp_path: Path) -> None:
    lines = [
        '{"epoch": 1, "val_loss": 0.5}',
        '{"epoch": 2, "val_l',
        "[1]",
        "",
        '{"epoch": 4, "val_loss": 0.25}',
        '{"epo',
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    (tmp_path / "log.csv").write_text("epoch,val_loss\n1,0.5\n2\n3,0.25\n4,0.1")
    code, out, _ = cli("import", "log.jsonl", "log.csv")
    said = " ".join(out.split())
    assert code == 0 and "2 new" in said
    assert "log.jsonl: 2 lines are not JSON objects, the first is line 2" in said, "the last may be being written"
    assert "log.csv: line 3 does not have 2 fields, as the header" in said


def test_a_setting_that_only_some_logs_have_is_told(cli: Cli, tmp_path: Path) -> None:
    for version in (0, 1):
        lightning(tmp_path / "mine", lr=0.1, seed=version, version=version)
    (tmp_path / "mine" / "lightning_logs" / "version_1" / "hparams.yaml").write_text("lr: 0.1\ntrain:\n  fold: 3\n")
    code, out, _ = cli("import", "mine", "--seed-key", "fold", "--lr-key", "lr")
    assert code == 0 and "2 new" in out
    assert "--seed-key fold: 1 of 2 logs lacks it, such as mine/lightning_logs/version_0" in " ".join(out.split())
    assert {record.plain.get("seed") for record in records(tmp_path)} == {3, None}


def test_tables_that_lrbench_wrote_are_told_from_logs(cli: Cli, tmp_path: Path, write_config: Any) -> None:
    assert cli("sweep", write_config(), "--lr", "0.1,0.2", "--seeds", "2", "--confirm", "2", "--jobs", "1")[0] == 0
    assert cli("find-lr", "tiny.yaml", "--iterations", "20")[0] == 0
    assert cli("report")[0] == 0 and cli("export", "--to", "csv", "out")[0] == 0
    tables = [*tmp_path.glob("runs/report/*.csv"), *tmp_path.glob("runs/sweeps/*/*.csv"), *tmp_path.glob("out/*.csv")]
    tables += tmp_path.glob("runs/find-lr/*/finder.csv")
    assert len(tables) == 8
    for path in tables:
        code, _, err = cli("import", path)
        assert code == 2 and f"{path} is a table that lrbench wrote (" in err, err
    log = next(tmp_path.glob("runs/tiny-*/epochs.csv"))
    code, _, err = cli("import", log)
    assert code == 2 and "is part of a run of lrbench's own" in err
    code, _, err = cli("import", ".")
    assert code == 2 and "has no logs of other tools, but what lrbench itself made: " in err
    lightning(tmp_path / "mine", lr=0.1)
    code, out, _ = cli("import", ".", "--dry-run")
    assert code == 0 and "Would import: 1 new" in out and "left out what lrbench itself made: " in out
    assert "To compare them" not in out


def test_names_without_parameters() -> None:
    for name, params, wanted in (
        ("net_lr0.1", {"lr": 0.1}, "net"),
        ("net-lr1e-3-bs32", {"lr": 1e-3, "batch": 32}, "net"),
        ("resnet18", {"lr": 18.0}, "resnet18"),
        ("net_lr0.1", {"lr": 0.2}, "net_lr0.1"),
        ("lr0.1", {"lr": 0.1}, "lr0.1"),
    ):
        assert without_values(name, params) == wanted, name


def test_importing_needs_no_torch(tmp_path: Path) -> None:
    lightning(tmp_path / "mine", lr=0.1)
    code = "import sys, lrbench; lrbench.import_runs('mine'); assert not {'torch', 'pandas'} & sys.modules.keys()"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_python_s_arguments(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        lrbench.import_runs(tmp_path, kind="nothing")


MADE = {
    "mlflow": """
import mlflow
mlflow.set_tracking_uri("file:mlruns")
mlflow.set_experiment("mine")
for seed in (0, 1):
    with mlflow.start_run(run_name=f"r{seed}"):
        mlflow.log_params({"lr": 0.1, "seed": seed, "model.width": 8})
        for step in (1, 2, 3):
            mlflow.log_metrics({"val_loss": seed + 1 / step, "lr": 0.1}, step=step)
""",
    "wandb": """
import wandb
for seed in (0, 1):
    run = wandb.init(project="mine", mode="offline", config={"lr": 0.1, "seed": seed, "model": {"width": 8}})
    for step in (1, 2, 3):
        run.log({"val/loss": seed + 1 / step, "lr": 0.1})
    run.finish()
""",
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tool", MADE)
def test_runs_of_the_tools_themselves(tmp_path: Path, tool: str) -> None:
    if find_spec(tool) is None:
        pytest.skip(f"needs the package {tool}")
    environment = {**os.environ, "MLFLOW_ALLOW_FILE_STORE": "true", "WANDB_SILENT": "true"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", MADE[tool]], cwd=tmp_path, check=True, env=environment)
    for words in ("2 new", "2 unchanged"):
        assert (
            str(lrbench.import_runs(tmp_path / {"mlflow": "mlruns"}.get(tool, tool), runs=tmp_path / "runs")) == words
        )
    found = records(tmp_path)
    assert [(r.name, r.plain["seed"]) for r in found] == [("mine", 0), ("mine", 1)]
    assert all(record.plain["params"] == {"lr": 0.1, "model": {"width": 8}} for record in found)
    assert [record.metric("val_loss") for record in found] == [pytest.approx(1 / 3), pytest.approx(4 / 3)]
    assert all(record.status is Status.FINISHED for record in found)


@pytest.mark.slow
def test_the_arguments_of_a_real_trainer(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    import torch

    from lrbench.integrations.importers.trainer import arguments_in

    torch.save(
        transformers.TrainingArguments(str(tmp_path), learning_rate=3e-4, lr_scheduler_type="cosine", seed=7),
        tmp_path / "training_args.bin",
    )
    found = arguments_in(tmp_path)
    assert (found["learning_rate"], found["lr_scheduler_type"], found["seed"]) == (3e-4, "cosine", 7)
