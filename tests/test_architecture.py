"""The law of the house: who may import whom, which names are public, how large things may get."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lrbench

PACKAGE = Path(lrbench.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """Parse a file, once for all tests."""
    return ast.parse(path.read_text())


@functools.cache
def nodes_of(path: Path) -> list[ast.AST]:
    """All parts of a file's tree."""
    return list(ast.walk(tree_of(path)))


def module_of(path: Path) -> str:
    names = ["lrbench", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


MODULES = {module_of(file) for file in FILES}


@functools.cache
def imports_of(path: Path) -> set[str]:
    """Modules of lrbench that a file imports anywhere, those for type checkers alone left out."""
    typing_only = {
        id(inner)
        for node in nodes_of(path)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in nodes_of(path):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & MODULES


def room(module: str) -> str:
    """`lrbench.components.data.batches` → `components`."""
    return [*module.split("."), ""][1]


TOP = {"__init__", "__main__", "_version", "errors", "events", "objects", "registry", "torch_adapter"}
ROOMS = (
    "types",
    "schedules",
    "components",
    "config",
    "runs",
    "training",
    "lr_finder",
    "analysis",
    "sweeps",
    "transfers",
    "reports",
    "server",
    "integrations",
    "cli",
)
"""The rooms in import order: each imports only from rooms before it, and from the files at the top."""


def test_what_may_lie_at_the_top() -> None:
    files = {path.stem for path in PACKAGE.glob("*.py")}
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert files == TOP
    assert folders == set(ROOMS)


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_imports_point_one_way(file: Path) -> None:
    own = room(module_of(file))
    others = {room(name) for name in imports_of(file)} - {own, ""}
    if own in ROOMS:
        assert others & set(ROOMS) <= set(ROOMS[: ROOMS.index(own)]), f"{module_of(file)} imports {sorted(others)}"
        assert "objects" not in others, f"{module_of(file)} imports the functions that Python users call"
    elif own in ("_version", "errors", "events"):
        assert not others & set(ROOMS), f"{module_of(file)} imports {sorted(others)}"


PUBLIC = {
    "components": """
        AVERAGES Batch DATASETS DEFAULT_LR Data DatasetRules EVALUATION_BATCH GroupRules KNOWN LOSS LOSSES Loss
        MODELS Measure Metric Normalize OPTIMIZERS SETS_ITS_OWN_RATE Split Stages Task at_rate Tensors
        Validation adam_beta2 build_loss build_model build_optimizer check_parameters configured_rate
        epoch_columns in_groups load_dataset measures metrics_of number parameter_groups peak_and_ratios place
        kinds_of known_defaults recorded METRICS NAMED OF_TASK PairTask TASKS build_task classes_in
        outputs_and_classes suited void_hint
        described in_words mapped padded read_by task_hooks usual_loss Stage data_root kept masks_from
    """,
    "config": """
        schema TRACKERS checked_tracker trackers MAX_POINTS NOT_VARIED
        OUR_COLUMN CONFIG CONFIGS Column CommandConfig PARTS Config ContinueRule InitRule RecordedConfig
        RunConfig SOURCES flat kind_of own short_axes Dataset EarlyStoppingRule Experiment canonical
        dump_yaml exists fits_folder group identity load_config merge normal opened overriding read_bytes
        parse_json parse_foreign foreign_code not_folders
        read_config run_name validate without_rate Trunk branched count_branched own_share trunk_of FAR Law Limits Size
        SizeKind common size_kind bundled bundled_configs bundled_name located no_config RANGE as_axes
    """,
    "runs": """
        STEP_COLUMNS Columns Growing DEAD_AFTER_SECONDS Environment NODE RunFolder RunResult Sizes Status Tail
        UNKNOWN JOBS Job
        first_failure last_output
        WATCHED_SECONDS birth RowWriter Recorded conclude ended_well metrics_in changes describe find_runs folders_in
        no_runs of_range_test
        last_lines last_row now parsed place read_csv read_json relative replacing to_json write_file writing
        Log Meaning DROPPED SlowPattern Source encoding_of read_thinned guessed read_number read_events read_log finite
        SPLITS Values usual_metric written_again
        state_words tally listed leads_out check_links own_modules check_output nearest
    """,
    "training": """
        Ended Executor Guard LoopKind Observer Outcome Outcomes Prune RUNGS RunOptions StopFlag Training
        default_jobs do_runs evaluate_split isolated look look_in pending run stopped check_machine in_bytes
        experiment_of held unchanged tools_of
        keep_generators not_finite expected_saving JobState job_states job_words DROP STOP Orders drop_run
    """,
    "lr_finder": """
        Advice FinderFolder Finding KeptState LoopRamp LoopTest Ramp RangeTest Refusal check_schedule
        check_target find_lr find_tests known_finding load_finding trend write_found
    """,
    "analysis": """
        ALPHA Axis Band CONFIDENCE Comparison DEFAULT_METRIC Difference EPSILON Edge Family Group MARGIN
        MoreSeeds POWER looks PERCENT_MARGIN Part Point Record Row Spread TARGET_LEVEL Target TargetTest
        against_target axis_of budgets estimate compare_groups compare_two row_of default_metric doubts duration
        check_filters families family_words fits grouped kept load_runs mean_text measure_named measures_of mixed_code
        only
        parts rate_text read_one read_runs RunsReader run_rows select standing NoOptimum Optimum optimum good_margin
        task_of tasks_of value_text width_text Named Naming cut key_words labels_of naming_of number_text renamed
        shortened texts_of Audit Fault RateMonitor audit audited Confirmation Finalist confirmation
        AtBest at_best TimeToTarget areas time_to_stay time_to_target with_families optima Question questions
        asked_of within_text Tuning swept_keys once SecondProcess no_collections
        parts rate_text read_one read_runs RunsReader run_rows select standing NoOptimum Optimum optimum
        good_margin task_of
        tasks_of value_text width_text Audit Fault RateMonitor audit audited Confirmation Finalist confirmation
        AtBest at_best Described differing frame_of load_evaluations load_steps
        TimeToTarget areas time_to_stay time_to_target with_families optima
    """,
    "sweeps": """
        AUTO_POINTS Board Plan Planned Summary Sweep SweepFolder board_of carry_out check_fits find_sweeps plan_sweep
        set_apart
        Decided MoreSeeds Requests WIDTH Zoom add_seeds cancel_stop decided drop_cell keep_cell request_stop
        requests_of summarize sweep as_planned left_words time_left RunJob jobs_of unlucky
    """,
    "transfers": """
        CoordinateCheck LayerSize Slope both coordinate_check Exponent Fitted Found Prediction THEORIES Transfer
        sized transfer
    """,
    "reports": """
        save_transfer transfer_headings transfer_rows Preview Report Column Table groups_table csv_cell figure_of
        formatted_table gather html_of preview report save_finding save_previews save_summary summary
        summary_words Decision TargetDecision compare text_of Shown families_table family_rows
        save_coordinates figure save_figures Update page_template page_title page_update whole_page
    """,
    "server": """
        beside PORT PortError Server Settings CellShown Plans SweepShown sweeps_shown
    """,
    "integrations": """
        Export Imported Log Recorder Tool export hf_range_test import_runs keras_range_test lightning_range_test
        param record
    """,
    "cli": """
        Terminal main progress_display
    """,
}
"""What each room gives the others. All else in it is private; the schedules' own modules are tables of functions."""


def given(name: str) -> set[str]:
    """What a room's `__init__` imports from its own files, those for type checkers too."""
    tree = ast.parse((PACKAGE / name / "__init__.py").read_text())
    inner = [
        n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and str(n.module).startswith(f"lrbench.{name}.")
    ]
    return {alias.asname or alias.name for node in inner for alias in node.names}


@pytest.mark.parametrize("name", PUBLIC)
def test_what_each_room_gives(name: str) -> None:
    assert given(name) == set(PUBLIC[name].split())
    for one in PUBLIC[name].split():
        assert hasattr(importlib.import_module(f"lrbench.{name}"), one)


@pytest.mark.parametrize("name", ROOMS)
def test_each_room_says_what_it_gives_and_what_it_never_does(name: str) -> None:
    text = importlib.import_module(f"lrbench.{name}").__doc__ or ""
    assert len(text.split()) > 15
    assert re.search(r"\b(never|nothing|neither|only|not)\b", text.lower())


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_other_rooms_are_entered_by_their_door(file: Path) -> None:
    """`from lrbench.runs import RunFolder`, never `from lrbench.runs.folder import …`, from outside the room."""
    own = room(module_of(file))
    for node in nodes_of(file):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for module in modules:
            entered = module.startswith("lrbench.") and room(module) in ROOMS and room(module) != own
            assert not entered or module.count(".") == 1, f"{file}:{node.lineno} imports {module}"


NO_TORCH = (
    "lrbench",
    *(f"lrbench.{name}" for name in ROOMS),
    "lrbench.objects",
    "lrbench.integrations.exporting",
    "lrbench.integrations.live",
    "lrbench.training.tracking",
    "lrbench.cli.progress",
    "lrbench.cli.catalogue",
    "lrbench.cli.tables",
    "lrbench.cli.sweep_table",
    "lrbench.lr_finder.loop_test",
    "lrbench.lr_finder.ramped_training",
    "lrbench.training.pruning",
    "lrbench.reports.code",
    "lrbench.reports.page",
    "lrbench.reports.figures.overview",
    "lrbench.reports.figures.range_test",
    "lrbench.reports.figures.sensitivity",
)


def test_these_never_import_torch() -> None:
    script = (
        "import importlib, sys\nfor name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n    assert 'torch' not in sys.modules, name"
    )
    done = subprocess.run([sys.executable, "-c", script, *NO_TORCH], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_public_names() -> None:
    assert lrbench.__all__ == [
        "Audit",
        "CoordinateCheck",
        "Decision",
        "Experiment",
        "Finding",
        "LrbenchError",
        "NoOptimum",
        "Optimum",
        "Outcome",
        "RangeTest",
        "Report",
        "Sweep",
        "TargetDecision",
        "Transfer",
        "__version__",
        "audit",
        "build_optimizer",
        "build_schedule",
        "compare",
        "coordinate_check",
        "export",
        "figure",
        "find_lr",
        "import_runs",
        "load_config",
        "load_evaluations",
        "load_runs",
        "load_steps",
        "optima",
        "param",
        "parameter_groups",
        "preview",
        "record",
        "report",
        "run",
        "schema",
        "sweep",
        "torch_scheduler",
        "transfer",
    ]
    for name in lrbench.__all__:
        assert getattr(lrbench, name).__doc__


def test_public_functions_say_what_they_take_and_what_they_raise() -> None:
    functions = [name for name in lrbench.__all__ if inspect.isfunction(getattr(lrbench, name))]
    taking = [name for name in functions if inspect.signature(getattr(lrbench, name)).parameters]
    assert len(taking) > 20
    for name in taking:
        text = inspect.getdoc(getattr(lrbench, name)) or ""
        assert "Args:" in text and re.search(r"\bRaises\b", text), name


def test_functions_stay_short_and_files_readable() -> None:
    for file in FILES:
        text = file.read_text()
        assert text.count("\n") < 325, file
        for node in nodes_of(file):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{file}: {node.name}"


def test_only_runs_knows_the_names_of_a_run_s_files() -> None:
    names = (
        "config.yaml",
        "env.json",
        "epochs.csv",
        "steps.csv",
        "steps_thinned.csv",
        "checkpoint.pt",
        "best.pt",
        "final.pt",
        "result.json",
        "error.log",
        "recorded.json",
        "output.log",
        "recorder.lock",
    )
    for file in FILES:
        if module_of(file).removeprefix("lrbench.runs.") in ("folder", "checkpoints", "recordings", "rows"):
            continue
        documentation = {
            id(node.body[0].value)
            for node in nodes_of(file)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in nodes_of(file):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
                assert node.value not in names, f"{file}:{node.lineno}"


RAY = ("ray", "ray_owner", "ray_tasks")


def test_ray_is_imported_in_three_files() -> None:
    for file in FILES:
        names = {n.name for node in nodes_of(file) if isinstance(node, ast.Import) for n in node.names}
        assert "ray" not in names or (file.parent.name == "executors" and file.stem in RAY)


TYPED_ONLY = ("cli", "server", "training/doctor.py")
"""What only commands reach, so that its messages may name options."""
NO_MESSAGES = ("errors.py", "analysis/looks.py", "training/commands/gpus.py")
"""`option` itself, and what reads or starts command lines."""


def bare_options(source: str, known: set[str]) -> list[str]:
    """Return the texts that name an option of lrbench but neither as part of a whole command nor by `option`."""
    tree = ast.parse(source)
    docs = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    called = {
        id(word)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "option"
        for argument in node.args
        for word in ast.walk(argument)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (docs | called)
        if known & {*re.findall(r"(?<![\w(-])--[a-z][a-z-]*(?![a-z-]*:)", node.value)}
        if not re.search(r"lrbench [a-z-]+ .*--|train\.py", node.value)
    ]


def test_messages_that_python_sees_name_parameters() -> None:
    from typer.main import get_command

    from lrbench.cli.app import app

    commands = get_command(app).commands.values()  # type: ignore[attr-defined]
    known = {name for command in commands for one in command.params for name in one.opts if name.startswith("--")}
    assert {"--set", "--again", "--write"} <= known
    assert bare_options("raise UsageError('needs --again')", known) == ["needs --again"]
    assert not bare_options("raise UsageError(f\"needs {option('--again')}; see lrbench sweep --lr 1\")", known)
    found = {
        str(path): texts
        for file in FILES
        if not (path := file.relative_to(PACKAGE).as_posix()).startswith((*TYPED_ONLY, *NO_MESSAGES))
        if (texts := bare_options(file.read_text(), known))
    }
    assert not found
