"""Every command through the command line: exit code, output, and what is on disk."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from lrbench._version import __version__
from lrbench.cli.app import app
from lrbench.cli.catalogue import CATALOGUES
from lrbench.cli.help import ALWAYS, DONE, EXIT_CODES, PANELS, epilog
from lrbench.sweeps.sweeping import Progress

Cli = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("sketches")
ROOT = Path(__file__).parent.parent
COMMANDS = (
    "demo",
    "init",
    "run",
    "sweep",
    "report",
    "serve",
    "watch",
    "figure",
    "compare",
    "preview",
    "find-lr",
    "transfer",
    "check-width",
    "audit",
    "export",
    "import",
    "list",
    "schema",
    "doctor",
)


def only_run(root: Path) -> Path:
    (folder,) = (p for p in root.iterdir() if (p / "config.yaml").exists())
    return folder


def test_run_trains_shows_a_table_and_leaves_a_result(cli: Cli, write_config: Callable[..., Path]) -> None:
    code, out, err = cli("run", write_config())
    assert (code, err) == (0, "")
    result = json.loads((only_run(Path("runs")) / "result.json").read_text())
    assert result["status"] == "finished"
    assert f"{result['final']['val_loss']:.4g}" in out
    assert "lrbench report" in out


def test_the_last_line_is_a_plain_sentence(cli: Cli, write_config: Callable[..., Path]) -> None:
    config = write_config()
    run = cli("run", config)[1].splitlines()[-1]
    assert run == f"Ended: 1 run, 1 finished, none failed. Results: runs/{only_run(Path('runs')).name}"
    swept = cli("sweep", config, "--set", "optimizer.momentum=0,0.9", "--jobs", 1)[1].splitlines()[-1]
    assert swept == "Ended: 2 runs, 2 finished, none failed. Results: runs/sweeps/tiny"
    found = cli("find-lr", config, "--iterations", 10, "--seeds", 1)[1].splitlines()[-1]
    assert re.fullmatch(r"Ended: range test of tiny, 1 seed, .*\. Results: runs/find-lr/tiny-[0-9a-f]{8}", found)


def test_a_finished_run_is_shown_and_not_done_again(cli: Cli, write_config: Callable[..., Path]) -> None:
    config = write_config()
    cli("run", config)
    before = (only_run(Path("runs")) / "result.json").stat().st_mtime_ns
    code, out, _ = cli("run", config)
    assert code == 0
    assert "1 of 1 was already finished" in out
    assert (only_run(Path("runs")) / "result.json").stat().st_mtime_ns == before
    code, out, _ = cli("run", config, "--again")
    assert code == 0
    assert "already finished" not in out
    assert (only_run(Path("runs")) / "result.json").stat().st_mtime_ns > before


def test_set_seeds_and_runs_folder(cli: Cli, write_config: Callable[..., Path]) -> None:
    code, out, _ = cli(
        "run", write_config(), "--set", "optimizer.lr=0.5", "--set", "epochs=1", "--seeds", 2, "--runs", "x"
    )
    assert code == 0
    folders = sorted(p.name for p in Path("x").iterdir())
    assert [name.split("-")[1] for name in folders] == ["seed0", "seed1"]
    assert "lr: 0.5" in (Path("x") / folders[0] / "config.yaml").read_text()
    assert re.search(r"tiny\s+[\d.]+\s+2\s", out), out


def test_a_run_folder_s_config_repeats_the_run(cli: Cli, write_config: Callable[..., Path]) -> None:
    cli("run", write_config())
    code, out, _ = cli("run", only_run(Path("runs")) / "config.yaml")
    assert code == 0
    assert "1 of 1 was already finished" in out


@pytest.mark.usefixtures("rendered")
def test_report_names_what_it_wrote(cli: Cli, write_config: Callable[..., Path]) -> None:
    cli("run", write_config(), "--seeds", 2)
    code, out, _ = cli("report")
    assert code == 0
    assert "report.html" in out.replace("\n", "")
    written = {p.name for p in Path("runs/report").iterdir()}
    usual = {"report.html", "report.png", "report.svg", "report.md", "report.csv", "runs.csv"}
    assert written == usual | {"seeds.png", "seeds.svg", "winner.py", "winner.yaml"}
    code, _, _ = cli("report", only_run_of_seed(0), "--out", "elsewhere")
    assert code == 0
    assert Path("elsewhere/report.html").exists()


def only_run_of_seed(seed: int) -> Path:
    return next(Path("runs").glob(f"*-seed{seed}-*"))


def test_report_names_damaged_runs_and_goes_on(cli: Cli, write_config: Callable[..., Path]) -> None:
    cli("run", write_config(), "--seeds", 2)
    (only_run_of_seed(1) / "result.json").write_text("{ torn")
    code, out, _ = cli("report")
    assert code == 0
    assert "damaged" in out
    assert only_run_of_seed(1).name in out


@pytest.mark.parametrize("form", [[], ["--format", "csv"]])
def test_where_every_run_is_damaged_report_fails_with_one_message(
    cli: Cli, write_config: Callable[..., Path], form: list[str]
) -> None:
    cli("run", write_config())
    (only_run(Path("runs")) / "result.json").write_text("{ torn")
    code, out, err = cli("report", *form)
    assert (code, out) == (1, "") and err.startswith("Error: the only run can't be read: ") and err.count("\n") == 1
    shutil.copytree(only_run(Path("runs")), "runs/other")
    (Path("runs/other") / "config.yaml").write_text("[")
    code, out, err = cli("report", *form)
    assert (code, out) == (1, "") and err.startswith("Error: none of 2 runs can be read; the first: "), err


def test_the_plan_of_a_large_grid_tells_how_far_it_is(
    cli: Cli, write_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Progress, "EVERY_SECONDS", 0.0)
    code, out, _ = cli("sweep", write_config(), "--lr", "1e-3:1:40", "--dry-run")
    assert code == 0 and "planning: 7 of 40 runs\n" in out and "looking up finished runs: 40 of 40 runs\n" in out


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (["run", "missing.yaml"], ["missing.yaml", "no such file"]),
        (["run", "tiny.yml"], ["no such file", "did you mean", "tiny.yaml"]),
        (["run", "tiny.yaml", "--set", "optimzer.lr=1"], ["--set", "optimzer", "did you mean 'optimizer'"]),
        (["run", "tiny.yaml", "--set", "optimizer.lr=fast"], ["optimizer.lr", "'fast'", "greater than 0"]),
        (["run", "tiny.yaml", "--set", "epochs"], ["key=value"]),
        (["run", "tiny.yaml", "--set", "epochs=1", "--set", "steps=3"], ["--set", "either `epochs` or `steps`"]),
        (["run", "tiny.yaml", "--set", "dataset.train_size=3"], ["3 and 1075 of 1078", "at least 10"]),
        (["run", "tiny.yaml", "--set", "name=../../x"], ["name", "'../../x'", "folder"]),
        (
            ["run", "tiny.yaml", "--set", "dataset=minst"],
            ["tiny.yaml:", "--set", "'minst'", "did you mean 'mnist'"][1:],
        ),
        (["run", "tiny.yaml", "--set", "model={name: vit, patch: 3}"], ["model.patch", "8 and 8", "divide"]),
        (["run", "tiny.yaml", "--set", "model=nowhere.nets:build"], ["cannot import 'nowhere"]),
        (["run", "tiny.yaml", "--set", "optimizer.momentun=0.9"], ["momentun", "did you mean 'momentum'"]),
        (["run", "tiny.yaml", "--set", "optimizer.momentum=-1"], ["momentum"]),
        (["run", "tiny.yaml", "--set", "schedule={name: step, every: 5 eons}"], ["schedule.every", "'5 eons'"]),
        (["run", "tiny.yaml", "--set", "warmup.for=100%"], ["warmup", "must be shorter than the run"]),
        (["run", "tiny.yaml", "--device", "gpu"], ["device", "'gpu'"]),
        (["run", "tiny.yaml", "--device", "cuda:7"], ["cuda:7", "not available"]),
        (["run", "tiny.yaml", "--seeds", "0"], ["--seeds must be a whole number from 1 to 10,000 (got 0)"]),
        (["run", "tiny.yaml", "--jobs", "many"], ["--jobs must be a whole number, at least 1 (got 'many'); see"]),
        (
            ["sweep", "tiny.yaml", "--confirm=1001"],
            ["--confirm must be a whole number from 0 to 1,000 (got 1001); see"],
        ),
        (["sweep", "tiny.yaml", "--zoom-width", "wide"], ["--zoom-width must be a number (got 'wide'); see"]),
        (
            ["sweep", "--stack", "tiny.yaml"],
            ["--stack takes the next word as its value", "--stack auto|yes|no tiny.yaml"],
        ),
        (["sweep", "--lr", "digits/baseline"], ["that is the config digits/baseline; write --lr TEXT digits/baseline"]),
        (["sweep", "tiny.yaml", "--lr"], ["--lr needs a value: --lr TEXT"]),
        (["run", "tiny.yaml", "--again=yes"], ["--again takes no value (got --again=yes); see lrbench run --help"]),
        (["run", ""], ["an argument is empty: ''"]),
        (["report", ""], ["an argument is empty: ''"]),
        (["compare", "a", ""], ["an argument is empty: a ''; remove it"]),
        (["report", "--filter", ""], ["--filter is empty: --filter TEXT"]),
        (["report", "--format", "csv", "--out", "x"], ["--out is for the files of a report, and --format csv only"]),
        (["report", "--format", "json", "--standalone"], ["--standalone is for the files of a report, and"]),
        (
            ["run", "tiny.yaml", "--set", "epochs=1", "--set", "epochs=2"],
            ["--set: epochs: is given twice, as 1 and as 2"],
        ),
        (
            ["sweep", "tiny.yaml", "--set", "name=a,b"],
            ["--set: name: is what the runs are called, so it has one value"],
        ),
        (
            ["sweep", "tiny.yaml", "--dry-run", "--track", "foo"],
            ["unknown tracker 'foo'; choices: mlflow, tensorboard"],
        ),
        (["report", "--metric="], ["--metric is empty: --metric TEXT"]),
        (["init", "vision", "a", "b"], ["too many arguments: lrbench init takes KIND FOLDER, but not also b; see"]),
        (["export", "logs"], ["--to TOOL is missing (tensorboard", "see lrbench export --help"]),
        (
            ["sweep", "tiny.yaml", "--stack", "--jobs", "2"],
            ["--stack needs a value: --stack auto|yes|no", "is --jobs)"],
        ),
        (["run", "tiny.yaml", "--jobs", "--again"], ["--jobs needs a value: --jobs N (the next word is --again)"]),
        (["run", "tiny.yaml", "--set", "timeout=1:30"], ["--set: timeout", "1:30 is written as 1.5h or as 90 s"]),
        (["sweep", "tiny.yaml", "--set", "stall=1:30"], ["--set: stall", "1:30 is written as 1.5h or as 90 s"]),
        (["run"], ["CONFIG"]),
        (["run", "tiny.yaml", "--sed", "1"], ["no such option: --sed; did you mean '--seeds'? See lrbench run --help"]),
        (["list", "modls"], ["modls", "did you mean 'models'"]),
        (["list", "models", "resnt20"], ["resnt20", "did you mean 'resnet20'"]),
        (["list", "optimizers", "lbfgs"], ["lbfgs", "several times"]),
        (["trian"], ["no such command: trian; ", "see lrbench --help"]),
        (["repot"], ["no such command: repot; did you mean 'report'? Choices: audit, "]),
        (["--versin"], ["no such option: --versin; did you mean '--version'? See lrbench --help"]),
    ],
)
def test_mistakes_give_one_clear_message_and_exit_code_2(
    cli: Cli, write_config: Callable[..., Path], words: list[str], fragments: list[str]
) -> None:
    write_config()
    code, out, err = cli(*words)
    assert code == 2, (out, err)
    for fragment in fragments:
        assert fragment in err, err
    assert err.startswith("Error: ") and err.count("\n") == 1 and "Usage:" not in out
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("", ["bad.yaml", "empty"]),
        ("- a\n- b\n", ["bad.yaml:1", "list", "mapping"]),
        ("just text", ["bad.yaml:1", "mapping"]),
        ("name: [unclosed\n", ["bad.yaml:2", "not valid YAML"]),
        ("extends: bad.yaml\n", ["bad.yaml:1", "extends", "cycle"]),
        ("extends: absent.yaml\n", ["bad.yaml:1", "extends", "absent.yaml"]),
        ("epochs: 3\nmodel: mlp\n", ["bad.yaml", "missing"]),
    ],
)
def test_bad_files(cli: Cli, tmp_path: Path, text: str, fragments: list[str]) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    code, _, err = cli("run", "bad.yaml")
    assert code == 2
    for fragment in fragments:
        assert fragment in err, err
    assert not Path("runs").exists()


def test_a_wrong_config_among_several_stops_before_any_training(cli: Cli, write_config: Callable[..., Path]) -> None:
    good = write_config()
    bad = write_config("bad.yaml", name="bad", model={"name": "vit", "patch": 3})
    code, _, err = cli("run", good, bad)
    assert code == 2
    assert "bad.yaml:" in err
    assert not Path("runs").exists()


def test_a_missing_data_set_says_what_to_do(
    cli: Cli, write_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import urllib.error
    import urllib.request

    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    code, _, err = cli("run", write_config(dataset="mnist", model="cnn"))
    assert code == 2
    for fragment in ("MNIST/raw", "images-idx3", "LRBENCH_DATA", "no network"):
        assert fragment in err, err


def test_failing_user_code_is_exit_code_1_and_the_other_runs_go_on(
    cli: Cli, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "mine_failing.py").write_text(
        "import torch\n\n\ndef loss(outputs, targets):\n"
        "    if len(targets) > 4:\n        raise RuntimeError('my own mistake')\n"
        "    return torch.nn.functional.cross_entropy(outputs, targets)\n"
    )
    bad = write_config("bad.yaml", name="bad", loss="mine_failing:loss")
    code, out, _ = cli("run", bad, write_config())
    assert code == 1
    assert "my own mistake" in out
    assert "mine_failing.py" in out
    assert "error.log" in out.replace("\n", "")
    assert out.splitlines()[-1] == "Ended: 2 runs, 1 finished, 1 failed. Results: runs"
    states = {
        p.name.split("-")[0]: json.loads((p / "result.json").read_text())["status"] for p in Path("runs").iterdir()
    }
    assert states == {"bad": "failed", "tiny": "finished"}


def test_an_empty_runs_folder_and_a_missing_one(cli: Cli, tmp_path: Path) -> None:
    code, _, err = cli("report")
    assert code == 2
    assert "runs" in err
    (tmp_path / "runs").mkdir()
    code, _, err = cli("report")
    assert code == 2
    assert "no runs in runs" in err


def test_version_and_help(cli: Cli) -> None:
    assert cli("--version")[:2] == (0, f"lrbench {__version__}\n")
    code, out, _ = cli("--help")
    assert code == 0
    for command in ("run", "report", "list"):
        assert command in out


@pytest.mark.parametrize("kind", ["datasets", "models", "optimizers", "schedules", "losses"])
def test_list_shows_every_entry_and_each_one_has_a_page(cli: Cli, kind: str) -> None:
    code, out, _ = cli("list", kind)
    assert code == 0
    for name in CATALOGUES[kind][0].entries:
        assert name in out
        code, page, _ = cli("list", kind, name)
        assert code == 0
        assert len(page.splitlines()) > 1, name


def test_list_shows_parameters_defaults_and_formula(cli: Cli) -> None:
    _, out, _ = cli("list", "schedules", "step")
    for fragment in ("every", "required", "factor", "0.5", "lr·factor^"):
        assert fragment in out


@pytest.mark.parametrize("width", ["80", "120"])
def test_list_cuts_no_name_and_flows_text_to_the_width(cli: Cli, width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", width)
    for kind, (catalog, _) in CATALOGUES.items():
        shown = cli("list", kind)[1].split()
        assert {*catalog.entries, *(name for name in catalog.aliases if "/" in name)} <= {*shown}
    assert "torch/CosineAnnealingWarmRestarts   CosineAnnealingWarmRestarts" in cli("list", "schedules")[1]
    pages = {name: cli("list", "schedules", name)[1] for name in ("torch/OneCycleLR", "hf/cosine", "sequence")}
    assert all(len(line.rstrip()) <= int(width) for page in pages.values() for line in page.splitlines())
    assert "Args:" not in "".join(pages.values()) and "pct_start" in pages["torch/OneCycleLR"]
    assert "optimizer (Optimizer)" not in pages["torch/OneCycleLR"], "set by the run"
    assert re.search(r"num_cycles +0\.5 +c, whole waves; the default, a half, only falls\.", pages["hf/cosine"])
    words = " ".join(pages["sequence"].split())
    assert "so a cosine for 10 epochs ends after 10 epochs. The last part fills the rest" in words


def test_list_shows_lrbench_s_own_defaults_of_torch_schedulers(cli: Cli) -> None:
    page = cli("list", "schedules", "torch/OneCycleLR")[1]
    assert re.search(r"cycle_momentum +false", page) and re.search(r"per +step", page)
    assert re.search(r"per +epoch", cli("list", "schedules", "torch/StepLR")[1])


def test_what_trains_nothing_imports_neither_torch_nor_pandas(
    cli: Cli, tmp_path: Path, write_config: Callable[..., Path]
) -> None:
    config = str(write_config())
    assert cli("run", config, "--seeds", 2)[0] == 0
    commands = [
        ["--help"],
        ["run", config, "--seeds", "2"],
        ["sweep", config, "--lr", "0.1,0.2", "--device", "cpu", "--dry-run"],
        ["preview", config],
        ["report"],
        ["compare", "seed=0", "seed=1"],
        ["list"],
        ["list", "schedules", "cosine"],
        ["list", "models", "cnn"],
        ["schema"],
        ["list", "configs"],
        ["init"],
        ["demo", "--help"],
    ]
    script = (  # one process for all: what one of them imports stays imported
        "import sys\nfrom lrbench.cli.app import main\n"
        "UNUSED = {'scipy', 'matplotlib', 'jinja2', 'psutil', 'lrbench.sweeps', 'lrbench.lr_finder'}\n"
        f"for words in {commands!r}:\n"
        "    try:\n        main(words)\n"
        "    except SystemExit as end:\n        assert end.code in (None, 0, 4), (words, end.code)\n"
        "    heavy = {'torch', 'pandas', 'pyarrow', 'sklearn'}\n"
        "    heavy |= {'numpy', 'pydantic', 'yaml'} if words == ['--help'] else set()\n"
        "    heavy |= UNUSED if words[0] == 'run' else set()\n"
        "    heavy &= set(sys.modules)\n"
        "    assert not heavy, f'{words}: imported {heavy}'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_run_imports_only_torch_and_numpy(tmp_path: Path, write_config: Callable[..., Path]) -> None:
    script = (
        "import sys\nfrom lrbench.cli.app import main\n"
        f"try:\n    main(['run', {str(write_config())!r}])\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert 'torch' in sys.modules\n"
        "heavy = {'pandas', 'scipy', 'sklearn', 'sympy', 'torch._dynamo', 'torchvision', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_readme_shows_only_commands_and_options_that_exist(cli: Cli) -> None:
    pages = [ROOT / "README.md", ROOT / "AGENTS.md", *(ROOT / "docs").rglob("*.md")]
    text = "\n".join(page.read_text() for page in pages)
    commands = re.findall(r"^lrbench (.+?)(?:\s+#.*)?$", text, flags=re.MULTILINE)
    assert len(commands) >= 5
    helps = {name: cli(name, "--help")[1] for name in COMMANDS}
    for command in commands:
        name, *words = command.split()
        assert name in helps, command
        for option in (w for w in words if w.startswith("--")):
            assert option.split("=")[0] in helps[name], command
        written = words[words.index("--write") + 1] if "--write" in words else None
        for path in (w for w in words if w.startswith("configs/") and "*" not in w and w != written):
            assert (ROOT / path).exists(), command


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_80_columns_shows_flags_as_flags_and_the_exit_codes(
    cli: Cli, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    page = cli(name, "--help")[1]
    assert max(map(len, page.splitlines())) <= 80
    assert not re.search(r"<(bool|int|float|str|path|list)", page)
    assert epilog(name) in " ".join(page.split())


def test_the_exit_codes_in_the_docs_are_those_of_the_help() -> None:
    text = (ROOT / "docs/automation.md").read_text()
    told = {f"`{name}`": meanings for name, meanings in EXIT_CODES.items()}
    rows = [
        f"| {name} | {code} | {meaning} |"
        for name, meanings in {**told, "all others": DONE, "any command": ALWAYS}.items()
        for code, meaning in meanings.items()
    ]
    assert "\n".join(rows) in text
    assert {*EXIT_CODES} <= {*COMMANDS}


def test_the_options_of_a_long_command_are_in_panels(cli: Cli) -> None:
    page = cli("sweep", "--help")[1]
    titles = re.findall(r"^╭─ (.*?) ─", page, flags=re.MULTILINE)
    assert titles == ["Arguments", "What to train", "Selection", "Statistics", "Execution", "Output", "Help"]
    assert re.findall(r"^╭─ (.*?) ─", cli("list", "--help")[1], flags=re.MULTILINE) == ["Arguments", "Options"]


def test_every_option_of_a_long_command_has_a_panel() -> None:
    known = {f"--{name}" for names in PANELS.values() for name in names.split()}
    for name in ("run", "sweep", "find-lr", "report", "figure", "serve"):
        declared = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
        for one in declared.params:
            if one.param_type_name == "option" and not one.hidden:
                assert set(one.opts) & known, (name, one.opts)


def test_the_readme_is_short_and_every_command_is_documented() -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme.count("\n") <= 120
    text = readme + "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    for command in COMMANDS:
        assert f"lrbench {command}" in text


def test_one_experiment_under_two_names_is_one_run_and_said_so(cli: Cli, write_config: Callable[..., Path]) -> None:
    code, out, _ = cli("run", write_config(), write_config("other.yaml", name="other"))
    assert code == 0
    assert "the same experiment as other" in out
    assert len(list(Path("runs").iterdir())) == 1


def test_a_reference_can_be_added_to_a_finished_run(cli: Cli, write_config: Callable[..., Path]) -> None:
    cli("run", write_config())
    code, out, _ = cli("run", write_config(reference={"test_loss": 0.123}))
    assert code == 0
    assert "publ. 0.123" in out
    assert "1 of 1 was already finished" in out


def test_a_resumed_run_says_where_it_goes_on_and_lost_checkpoints_are_said(
    cli: Cli, write_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lrbench.runs import RunFolder

    config = write_config(epochs=3)
    finish, calls = RunFolder.finish, []

    def fail(self: RunFolder, *args: object, **more: object) -> object:
        calls.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "finish", fail)
    monkeypatch.setattr("lrbench.training.loop.EVALUATION_CHECKPOINT_SECONDS", -1.0)
    assert cli("run", config)[0] == 130
    monkeypatch.setattr(RunFolder, "finish", finish)
    folder = only_run(Path("runs"))
    assert "resumed after step 4" in cli("run", config)[1]
    (folder / "result.json").unlink()
    (folder / "checkpoint.pt").write_bytes(b"junk")
    code, out, _ = cli("run", config)
    assert code == 0
    assert "its checkpoints can't be used" in out
    assert calls


def test_losses_and_targets_that_do_not_go_together(
    cli: Cli, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "mine_lines.py").write_text(
        "import torch\n\n\ndef wide():\n    x = torch.randn(60, 3)\n    return (x, x[:, :1]), (x, x[:, :1])\n\n\n"
        "def flat():\n    x = torch.randn(60, 3)\n    return (x, x[:, 0]), (x, x[:, 0])\n"
    )
    code, _, err = cli("run", write_config(dataset="mine_lines:wide"))
    assert (code, "cross_entropy needs class indices" in err) == (2, True), err
    code, _, err = cli("run", write_config(dataset="mine_lines:flat", loss="torch.nn:L1Loss"))
    assert (code, "broadcast" in err) == (2, True), err
    assert cli("run", write_config(dataset="mine_lines:flat", loss="mse"))[0] == 0
