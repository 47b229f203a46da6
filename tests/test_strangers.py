"""Run folders and logs of somebody who means harm: every command that reads them answers, and none does what they want.

See `hostile.py` for what is in them.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hostile
import pytest
import torch
from hostile import MARKUP, SECRET

import lrbench
from lrbench.analysis import read_one, read_runs
from lrbench.errors import FolderError
from lrbench.runs import RunFolder, Status, find_runs
from lrbench.runs.files import load_tensors
from lrbench.server.content import Runs

Cli = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("sketches")
FORBIDDEN = ("\x1b", "\u202e", "\u2066", "\x07", "\0")
"""What a terminal would obey."""


def chosen() -> list[tuple[str, str]]:
    """One attack of each kind, each on another file, and the links out of the folder in the place of every file."""
    rest = [one for one in hostile.attacks() if one[1] != "outside"]
    kinds = dict.fromkeys(how for _, how in rest if how != "many")  # which takes a second each time
    some = [next(one for one in rest[7 * at :] + rest if one[1] == how) for at, how in enumerate(kinds)]
    return [*some, *((file, "outside") for file in hostile.FILES)]


@pytest.fixture(scope="module")
def folder(make_run_in: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`runs` with two good groups, and a run folder for each attack."""
    top = tmp_path_factory.mktemp("strangers")
    runs = top / "runs"
    good = [make_run_in(runs, [1.0, loss + seed / 100], name=name, seed=seed, clip_grad_norm=loss)
            for name, loss in (("a", 0.5), ("b", 0.9)) for seed in range(2)]  # fmt: skip
    hostile.steal(top, good[0])
    for name in ("plan.json", "finder.json", "finder.csv"):
        (top / "outside" / name).write_text(json.dumps({"format": 1, "name": SECRET, "cells": []}))
    for number, (file, how) in enumerate(chosen()):
        path = make_run_in(runs, [1.0, 0.7], name="theirs", seed=number)
        hostile.replace(path / file, how)
    for number, text in enumerate(MARKUP):
        make_run_in(runs, [1.0, 0.7], name="named", seed=number, clip_grad_norm=5.0).rename(
            runs / text.replace("/", "_")
        )
        status = "diverged" if number % 4 else "finished"
        path = make_run_in(runs, [1.0, 0.7], name="spoken", seed=number, clip_grad_norm=3.0, status=status)
        hostile.speak(path, text)
        hostile.commented(path, text)
    (runs / "away").symlink_to(top / "outside")
    (runs / "up").symlink_to("..")
    (runs / "around").symlink_to("around")
    (runs / "slurm").symlink_to(top / "outside")
    _beside(runs, top)
    return top


def _beside(runs: Path, top: Path) -> None:
    """Add sweeps and range tests, whose files are attacks too."""
    for number, (how, content) in enumerate(hostile.JSON.items()):
        for place, name in (("sweeps", "plan.json"), ("find-lr", "finder.json")):
            (runs / place / f"{how}-{number}").mkdir(parents=True)
            (runs / place / f"{how}-{number}" / name).write_bytes(content)
    for how, act in hostile.ODD.items():
        for place, name in (("sweeps", "plan.json"), ("find-lr", "finder.json"), ("find-lr", "finder.csv")):
            path = runs / place / f"{how}-{name}" / name
            path.parent.mkdir(parents=True)
            path.symlink_to(top / "outside" / name) if how == "outside" else act(path)
    cells = [{"run": path.name, "identity": "1" * 64, "group": "2" * 64, "series": MARKUP[n % len(MARKUP)], "lr": 0.1,
              "seed": n} for n, path in enumerate(sorted(runs.glob("theirs-*")))]  # fmt: skip
    sweep = runs / "sweeps" / "grid"
    (sweep / "requests").mkdir(parents=True)
    (sweep / "plan.json").write_text(json.dumps({"format": 1, "name": "grid", "cells": cells}))
    for how, act in hostile.ODD.items():
        if how != "outside":
            act(sweep / "requests" / f"seeds-{how}")


@pytest.fixture
def strangers(folder: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Iterator[Path]:
    """The working folder is the one with `runs`; afterwards nothing in it is new but what commands write."""
    monkeypatch.chdir(folder)
    before = set(folder.iterdir())
    yield folder
    assert not list(folder.rglob("pwned"))
    for path in set(folder.iterdir()) - before:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


COMMANDS: dict[str, list[str]] = {
    "report in LaTeX": ["report", "--out", "out", "--format", "latex"],
    "compare": ["compare", "a", "b"],
    "figure": ["figure", "curves", "runs", "--out", "out/figure.svg"],
    "audit": ["audit", "runs"],
    "import": ["import", "runs", "--runs", "out"],
    "transfer": ["transfer", "runs"],
    "watch": ["watch", "--once"],
    "sweep --status": ["sweep", "--status"],
    "sweep --status --json": ["sweep", "--status", "--json"],
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_answers_and_tells_no_secret(command: str, strangers: Path, cli: Cli) -> None:
    answered(strangers, *cli(*COMMANDS[command]))


def answered(strangers: Path, code: int, out: str, said: str) -> None:
    """Check what a command said and wrote."""
    assert code in (0, 1, 2, 3, 4) and "unexpectedly" not in said, said
    assert not any(sign in out + said for sign in FORBIDDEN)
    assert SECRET not in out + said
    for path in [*(strangers / "out").rglob("*"), strangers / "runs" / ".cache" / "records.jsonl"]:
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("file", hostile.FILES)
def test_any_attack_on_a_file_makes_a_record(file: str, make_run_in: Callable[..., Path], tmp_path: Path) -> None:
    good = make_run_in(tmp_path / "good", [1.0, 0.5])
    hostile.steal(tmp_path, good)
    hows = [how for name, how in hostile.attacks() if name == file]
    for number, how in enumerate(hows):
        path = make_run_in(tmp_path / "runs", [1.0, 0.7], seed=number)
        hostile.replace(path / file, how)
        record = read_one(RunFolder(path))
        assert record.status in (Status.DAMAGED, Status.FINISHED, Status.INTERRUPTED, Status.PENDING), how
        assert (record.status is Status.DAMAGED) == bool(record.problem) and len(record.problem) < 1000, how
        assert SECRET not in record.problem and record.rates()


@pytest.mark.slow
def test_what_is_written_is_inert(strangers: Path, cli: Cli) -> None:
    for words in (["report", "--out", "out"], ["export", "--to", "csv", "out/tables"]):
        code, out, said = cli(*words)
        answered(strangers, code, out, said)
        assert code == 0, said
    page, markdown = (strangers / "out" / "report.html").read_text(), (strangers / "out" / "report.md").read_text()
    assert "<script>alert" not in page and "<img src=x" not in page and "49" not in page.partition("{{7")[2][:9]
    assert "<script>" not in markdown and "<img" not in markdown and "\n# heading" not in markdown
    for file in (strangers / "out").rglob("*.csv"):
        lines = file.read_text().splitlines()
        assert not any(cell.startswith(("=", "@", '"=', '"@')) for line in lines for cell in line.split(",")), file
    for text in (page, markdown):
        assert not any(sign in text for sign in FORBIDDEN)


@pytest.mark.slow
def test_good_runs_are_read_whatever_lies_beside_them(strangers: Path) -> None:
    frame = lrbench.load_runs("runs")
    good = frame[frame["name"].isin(["a", "b"])]
    assert len(good) == 4 and set(good["state"]) == {"finished"}
    assert len(lrbench.load_steps("runs", filters=["name=a"])) and len(lrbench.load_evaluations("runs"))
    assert SECRET not in frame.to_csv()


@pytest.mark.slow
def test_the_live_page_answers(strangers: Path) -> None:
    made = Runs([strangers / "runs"])
    parts = "".join(map(str, made.page().parts.values())) + json.dumps(made.progress())
    assert SECRET not in parts and "<script>alert" not in parts
    assert not any(sign in parts for sign in FORBIDDEN)


@pytest.mark.slow
def test_links_out_of_the_folder_are_told_and_not_followed(strangers: Path) -> None:
    found = {record.folder.name: record for record in read_runs([strangers / "runs"])}
    linked = [
        path for path in (strangers / "runs").glob("*/*") if path.is_symlink() and "outside" in str(path.readlink())
    ]
    assert len(linked) == len(hostile.FILES)
    for path in linked:
        record = found[path.parent.name]
        assert record.status is Status.DAMAGED and record.experiment is None
        assert record.problem.startswith(
            f"{path} is a link that leads out of {strangers / 'runs'}, so it is not followed"
        )
    assert found["away"].status is Status.DAMAGED and found["away"].problem.startswith(
        f"{strangers / 'runs' / 'away'} is"
    )


@pytest.mark.slow
def test_a_link_that_is_named_or_stays_in_the_folder_is_followed(strangers: Path, tmp_path: Path) -> None:
    good = next((strangers / "runs").glob("a-*"))
    (tmp_path / "link").symlink_to(good)
    (found,) = find_runs([tmp_path / "link"])
    assert found.path == good and read_runs([tmp_path / "link"])[0].status is Status.FINISHED
    shutil.copytree(good, tmp_path / "runs" / "one")
    (tmp_path / "runs" / "shared.csv").write_bytes((good / "epochs.csv").read_bytes())
    (tmp_path / "runs" / "one" / "epochs.csv").unlink()
    (tmp_path / "runs" / "one" / "epochs.csv").symlink_to("../shared.csv")
    assert [record.status for record in read_runs([tmp_path / "runs"])] == [Status.FINISHED]


def test_a_run_writes_through_no_link(tmp_path: Path, tiny: Any) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (outcome,) = lrbench.run([tiny()], runs=tmp_path / "runs")
    (outcome.path / "result.json").unlink()
    (outcome.path / "more.log").symlink_to(outside)
    (again,) = lrbench.run([tiny()], runs=tmp_path / "runs")
    assert again.status is Status.FAILED and "is a link that leads out of" in again.message
    assert outside.read_text() == "mine"


@pytest.mark.parametrize("link", ["run", "sweeps", "sweeps/tiny", "find-lr", "report", "slurm"])
def test_no_folder_is_written_through_a_link(tmp_path: Path, tiny: Any, link: str) -> None:
    runs, outside, one = tmp_path / "runs", tmp_path / "outside", tiny()
    outside.mkdir()
    place = RunFolder.of(runs, one).path if link == "run" else runs / link
    place.parent.mkdir(parents=True)
    place.symlink_to(outside)
    if link == "run":
        (outcome,) = lrbench.run([one], runs=runs)
        assert outcome.status is Status.FAILED and "is a link that leads out of" in outcome.message
    elif link == "report":
        lrbench.run([one], runs=runs)
        with pytest.raises(FolderError, match="is a link that leads out of"):
            lrbench.report(runs)
        assert lrbench.report(runs, out=tmp_path / "mine").page.exists()
    elif link == "find-lr":
        with pytest.raises(FolderError, match="is a link that leads out of"):
            lrbench.find_lr(one, runs=runs)
    else:
        more: dict[str, Any] = {"executor": "slurm", "slurm": "cluster=local"} if link == "slurm" else {}
        with pytest.raises(FolderError, match="is a link that leads out of"):
            lrbench.sweep([one], runs=runs, lr=[0.1], **more)
    assert not [*outside.iterdir()]


def test_a_name_of_100_000_letters_is_shown_short(tmp_path: Path, tiny: Any) -> None:
    (outcome,) = lrbench.run([tiny()], runs=tmp_path / "runs")
    config = tmp_path / "runs" / "long" / "config.yaml"
    config.parent.mkdir()
    config.write_text((outcome.path / "config.yaml").read_text().replace("name: tiny", f"name: {'A' * 100_000}"))
    page = lrbench.report(tmp_path / "runs").page
    texts = {file.name: file.read_text() for file in page.parent.iterdir() if file.suffix != ".png"}
    whole = {name: len(re.findall("A{301,}", text)) for name, text in texts.items()}
    assert whole == {**dict.fromkeys(texts, 0), "report.html": 1}, "where its config.yaml is shown"


# -- other tools' logs


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each kind of attack."""
    pytest.importorskip("tensorboard", reason="needs the package tensorboard")
    top = tmp_path_factory.mktemp("logs")
    (top / "outside").mkdir()
    found = {}
    for number, (how, files) in enumerate(hostile.logs().items()):
        found[how] = top / "logs" / f"log{number}"
        found[how].mkdir(parents=True)
        for name, content in files.items():
            (top / "outside" / name).write_text(f"step,val_loss,{SECRET}\n1,0.5,1\n")
            if isinstance(content, bytes):
                (found[how] / name).write_bytes(content)
            else:
                content(found[how] / name)
    return found


KINDS = ["csv", "hparams", "args", "state", "lines", "arguments", "events", "wandb", "panel", "table", "seed",
         "metrics.csv", "train.jsonl", "trainer_state.json", hostile.EVENTS, "run-1.wandb", "mlflow.db"]  # fmt: skip


@pytest.mark.slow
def test_any_log_is_imported_or_told(logs: dict[str, Path], cli: Cli, tmp_path: Path) -> None:
    assert {how.partition(" ")[0] for how in logs} == set(KINDS)
    for path in logs.values():
        code, out, said = cli("import", path, "--runs", "made")
        assert code in (0, 1, 2) and "unexpectedly" not in said, (path, said)
        assert not any(sign in out + said for sign in FORBIDDEN) and SECRET not in out + said
    assert not any(SECRET in path.read_text() for path in tmp_path.rglob("*.csv"))
    assert not (tmp_path / "pwned").exists() and not (Path.cwd() / "pwned").exists()
    code, out, said = cli("report", "--runs", "made")
    assert code == 0 and "unexpectedly" not in said and not any(sign in out + said for sign in FORBIDDEN)


@pytest.mark.slow
def test_good_logs_are_imported_beside_hostile_ones(logs: dict[str, Path], tmp_path: Path) -> None:
    top = next(iter(logs.values())).parent
    (top / "good").mkdir(exist_ok=True)
    (top / "good" / "metrics.csv").write_bytes(hostile.ROWS)
    done = lrbench.import_runs(top, runs=tmp_path / "made")
    assert any("good" in path.name for path in done.new), done
    assert all(str(path).startswith(str(top)) and reason for path, reason in done.unreadable)


# -- weights


@pytest.mark.parametrize(
    "content", [hostile.bomb(), hostile.zipped(hostile.pickle.dumps(hostile.Touch())), b"", b"PK\x03\x04"],
    ids=["bomb", "pickle", "empty", "torn"],
)  # fmt: skip
def test_weights_that_are_none_are_refused(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best.pt").write_bytes(content)
    with pytest.raises(Exception, match=r".+"):
        RunFolder(tmp_path).load_best()
    assert not (tmp_path / "pwned").exists()


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "best.pt").write_bytes(hostile.bomb())
    with pytest.raises(ValueError, match="it would unpack to more than its size"):
        load_tensors(tmp_path / "best.pt")
    torch.save({"a": torch.zeros(1000)}, tmp_path / "good.pt")
    assert load_tensors(tmp_path / "good.pt")["a"].shape == (1000,)


@pytest.mark.parametrize("key", ["init_from", "continue"])
def test_a_run_that_starts_from_a_stranger_s_weights_runs_nothing_of_theirs(
    key: str, tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (theirs,) = lrbench.run([tiny(keep="state")], runs=tmp_path / "theirs")
    for name in ("best.pt", "final.pt"):
        (theirs.path / name).write_bytes(hostile.zipped(hostile.pickle.dumps(hostile.Touch())))
    block = {"run": str(theirs.path)} | ({"for": "1 epochs"} if key == "continue" else {})
    more = {"epochs": None} if key == "continue" else {}
    with pytest.raises(lrbench.LrbenchError, match=str(theirs.path)):
        lrbench.run([tiny(**{key: block}, **more)], runs=tmp_path / "mine")
    assert not (tmp_path / "pwned").exists()
