"""Write the golden files with the code as it is: `python tests/golden/make.py` (all of them but the kept runs).

Only where a change of numbers is meant, and said in the changelog: that these files stay as they are shows that a
change to lrbench changes no result. `make.py NAME…` writes some: curves, identities, rates, sweeps,
range_test, report, runs.
`runs` are kept folders of runs as an earlier lrbench wrote them. To make them anew gives up the proof that those are
still read and resumed; rather add others. `report` is of the kept runs.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # as the tests
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import lrbench  # noqa: E402
from golden import cases  # noqa: E402

START, UPDATES = "2026-01-01T00:00:00+00:00", 64  # when it was, for all that is told; updates in an epoch


def main(*names: str) -> None:
    """Write the golden files of these names."""
    for name in names or ("curves", "identities", "rates", "sweeps", "range_test", "report"):
        with tempfile.TemporaryDirectory() as folder:
            made = MAKERS[name](Path(folder))
            if made is not None:
                text = json.dumps(made, ensure_ascii=False, indent=1)
                (cases.HERE / f"{name}.json").write_text(_on_one_line(text) + "\n", encoding="utf-8")
        print(f"{name}: written")


def _on_one_line(text: str) -> str:
    """Lists of numbers and words on one line each."""
    lines: list[str] = []
    for line in text.splitlines():
        inside = lines and lines[-1].count("[") > lines[-1].count("]") and "{" not in line
        if inside and not line.rstrip(",").endswith("["):
            lines[-1] += (" " if lines[-1].endswith(",") else "") + line.strip()
        else:
            lines.append(line)
    return "\n".join(lines)


def sweeps(folder: Path) -> dict[str, Any]:
    """Each sweep in runs of its own."""
    found = {}
    for name in cases.SWEEPS:
        (folder / name).mkdir()
        found[name] = cases.sweep(folder / name, name)
    return found


def report(folder: Path) -> dict[str, Any]:
    """Reports on the kept runs."""
    shutil.copytree(cases.KEPT, folder / "runs")
    return {name: cases.report(folder, name) for name in cases.REPORTS}


def runs(folder: Path) -> None:
    """Make the kept runs anew."""
    configs = {name: cases.write(folder, name, config).name for name, config in cases.KEPT_CONFIGS.items()}
    kept = folder / "runs"
    for name, seeds in cases.SEEDS.items():
        cases.command(folder, "run", configs[name], "--seeds", seeds)
    for name in ("diverged", "stopped"):
        cases.command(folder, "run", configs[name])
    lrbench.run([folder / configs["failed"]], runs=kept)
    interrupt(folder / configs["interrupted"], kept)
    cases.command(folder, "find-lr", configs["tested"], "--seeds", 2, *cases.TEST_OPTIONS)
    cases.command(folder, *cases.TOPPED_UP)
    cases.command(folder, *cases.PRUNED)
    cells = cases.read_json(kept / "sweeps" / "rates" / "plan.json")["cells"]
    shutil.rmtree(kept / cells[-1]["run"])
    for picture in [*kept.rglob("*.png"), *kept.rglob("*.svg")]:
        picture.unlink()
    for path in kept.rglob("*.*"):
        if path.suffix in (".json", ".log"):
            make_neutral(path, folder)
    shutil.rmtree(cases.KEPT, ignore_errors=True)
    shutil.copytree(kept, cases.KEPT)


def interrupt(config: Path, kept: Path) -> None:
    """Train, and send SIGINT some time after the third epoch: in the midst of one, which is tried until it is so."""

    def watch(event: Any) -> None:
        if event.kind == "epoch" and event.epoch == 3:
            signal.setitimer(signal.ITIMER_REAL, 0.03)

    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    for _ in range(20):
        (outcome,) = lrbench.run([config], runs=kept, watch=watch, again=True)
        assert outcome.status == "interrupted", outcome
        done = len(cases.rows(outcome.path / "steps.csv"))
        if done > 3 * UPDATES and 8 < done % UPDATES < UPDATES - 8:
            return
    raise SystemExit("no interrupt came in the midst of an epoch")


def make_neutral(path: Path, folder: Path) -> None:
    """Leave out of a file what tells where and when it was made."""
    if path.suffix == ".log":
        text = path.read_text(encoding="utf-8")
        for place in (str(cases.HERE.parents[1]), sys.prefix, sys.base_prefix):
            text = text.replace(place, "…")
        path.write_text(text, encoding="utf-8")
        return
    if path.name == "plan.json":
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(cases.read_json(path)["written"], START), encoding="utf-8")
        return
    values = cases.read_json(path)
    if path.name == "env.json":
        values |= {"platform": "Linux", "host": "a machine", "processor": "a processor", "cores": 2, "git": None}
        values |= {"started": START, "arguments": ["lrbench", "run"], "resumed": [START for _ in values["resumed"]]}
    elif path.name == "finder.json":
        values["written"] = START
    elif path.name == "result.json":
        for place in (str(folder), str(cases.HERE.parents[1])):
            values["reason"] = values["reason"].replace(place, "…")
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


MAKERS = {
    "curves": cases.curves,
    "identities": lambda _: cases.identities(),
    "rates": lambda _: cases.rates(),
    "sweeps": sweeps,
    "range_test": cases.range_test,
    "report": report,
    "runs": runs,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
