"""Figures and reports, made by lrbench at build time from the results in `runs/study`, so that none is stale.

A figure that `docs/` has in Git, for GitHub, is replaced in the site. `python website/drawn.py` renews those in Git.
"""

from __future__ import annotations

import functools
import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import lrbench
from lrbench.schedules import SCHEDULES

ROOT = Path(__file__).parent.parent
STUDY = ROOT / "runs" / "study"
MNIST = ("dataset=mnist", "epochs=25")

REPORTS: Mapping[str, Mapping[str, Any]] = {
    "mnist": {"filters": MNIST, "baseline": "baseline", "target": "val_accuracy=0.99"},
    "rates": {"filters": ["mnist-rates*"]},
    "digits": {"filters": ["dataset=digits"], "baseline": "baseline", "target": "val_accuracy=0.98"},
}
"""The gallery's pages, and the arguments of `lrbench.report` that write them."""

FROM_REPORTS = {
    "study-seeds.png": "mnist/seeds.png",
    "study-target.png": "mnist/target.png",
    "study-rates.png": "rates/rates.png",
    "study-digits.png": "digits/seeds.png",
}

FIGURES: Mapping[str, tuple[str, str]] = {
    "mnist.png": ("overview", "baseline|too-large|large|too-small|far-too-small"),
    "tutorial-five.png": ("curves", "baseline|too-large|large|too-small|far-too-small"),
    "tutorial-large.png": ("curves", "baseline|large|too-large"),
    "tutorial-small.png": ("curves", "baseline|too-small|far-too-small"),
    "tutorial-decay.png": ("curves", "baseline|time-decay|linear-decay|step-decay|exponential-decay|cosine"),
    "tutorial-cycle.png": ("curves", "baseline|cyclical|one-cycle"),
}
"""The kind of each figure, and the runs in it."""

PREVIEWS = {
    "tutorial-decay-rates.png": ("time_decay", "linear_decay", "step_decay", "exponential_decay", "cosine"),
    "tutorial-cycle-rates.png": ("cyclical", "one_cycle"),
}
"""Configs whose learning rates are drawn."""

SCHEDULE_EXAMPLES = {  # of schedules for which configs/schedules/ has no file
    "exp_range": "{name: exp_range, gamma: 0.9996}",
    "multistep": "{name: multistep, milestones: [10 epochs, 20 epochs]}",
    "range_test": "{name: range_test, shape: linear}",
    "sin2": "sin2",
    "sinexp": "{name: sinexp, gamma: 0.9996}",
    "time": "{name: time, k: 0.02}",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the figures and reports; in a quick build, empty ones where Git has none."""
    made = everything() if config.extra["drawn"] else dict.fromkeys((*_schedule_files(), *_report_files()), b"")
    for uri, content in made.items():
        earlier = files.get_file_from_path(uri)
        if earlier is not None:
            files.remove(earlier)
        files.append(File.generated(config, uri, content=content))
    return files


@functools.cache  # `mkdocs serve` builds again at every change
def everything() -> dict[str, bytes]:
    """Return what is drawn, by its place in the site."""
    with tempfile.TemporaryDirectory() as folder:
        written = _reports(Path(folder))
    schedules = {file: _schedule(name) for file, name in _schedule_files().items()}
    return {**written, **pictures(written), **schedules}


def pictures(written: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the figures of which Git has copies for GitHub."""
    drawn = {file: _png(_figure(kind, runs)) for file, (kind, runs) in FIGURES.items()}
    previews = {file: _png(_rates(configs)) for file, configs in PREVIEWS.items()}
    return {**{file: written[f"gallery/{path}"] for file, path in FROM_REPORTS.items()}, **drawn, **previews}


def _reports(folder: Path) -> dict[str, bytes]:
    """Write the gallery's reports; return each page, and the figures that the site shows."""
    for name, asked in REPORTS.items():
        lrbench.report([STUDY], folder / name, **asked)
    shown = [folder / uri.removeprefix("gallery/") for uri in _report_files()]
    shown += [folder / path for path in FROM_REPORTS.values()]
    return {f"gallery/{file.relative_to(folder)}": file.read_bytes() for file in shown}


def _report_files() -> list[str]:
    return [f"gallery/{name}/{file}" for name in REPORTS for file in ("report.html", "report.svg")]


def _schedule_files() -> dict[str, str]:
    return {f"schedules/{name}.svg": name for name in SCHEDULES.entries if "/" not in name}


def _figure(kind: str, runs: str) -> Any:
    look = {"height": 3.2} if kind == "curves" else {"width": 12}
    return lrbench.figure(kind, [STUDY], filters=[*MNIST, runs], baseline="baseline", **look)


def _rates(configs: tuple[str, ...]) -> Any:
    figure = lrbench.preview([ROOT / "configs" / f"{name}.yaml" for name in configs]).plot()
    figure.axes[0].set_title("", loc="left")
    return figure


def _schedule(name: str) -> bytes:
    """Draw the learning rate, and the momentum if it is cycled, of a schedule's example."""
    if name in SCHEDULE_EXAMPLES:
        example = lrbench.load_config(ROOT / "configs/baseline.yaml", [f"schedule={SCHEDULE_EXAMPLES[name]}"])
    else:
        example = lrbench.load_config(ROOT / "configs/schedules" / f"{'sine' if name == 'sin' else name}.yaml")
    figure = lrbench.preview([example]).plot()
    figure.legends.clear()
    figure.axes[0].set_title("", loc="left")
    figure.set_size_inches(6.4, 2.4 * len(figure.axes))
    return _saved(figure, "svg")


def _png(figure: Any) -> bytes:
    return _saved(figure, "png", dpi=160)


def _saved(figure: Any, form: str, **more: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format=form, **more)
    return stream.getvalue()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as kept:
        for uri, content in pictures(_reports(Path(kept))).items():
            (ROOT / "docs" / uri).write_bytes(content)
