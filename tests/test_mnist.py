"""The whole way on the real MNIST: the tutorial's configs, cut short, through the command line to the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import lrbench
from lrbench.cli.app import main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("real_mnist")]
CONFIGS = Path(__file__).parent.parent / "configs"


def test_the_tutorial_s_network_learns_mnist(tmp_path: Path) -> None:
    """The first of the 25 epochs already reaches 97 %; 48,000 training, 12,000 validation and 10,000 test images."""
    (outcome,) = lrbench.run([CONFIGS / "baseline.yaml"], overrides=["epochs=1"], runs=tmp_path)
    assert outcome.result is not None
    assert outcome.result.test["accuracy"] > 0.965
    assert outcome.result.test["loss"] < 0.11
    assert outcome.result.steps == 192
    sizes = json.loads((outcome.path / "env.json").read_text())["sizes"]
    assert sizes["parameters"] == 320 + 18_496 + 409_856 + 2_570
    assert (sizes["train_examples"], sizes["validation_examples"], sizes["test_examples"]) == (48_000, 12_000, 10_000)


def test_the_five_rates_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One short epoch each on part of the data: the order of the rates shows, and the report has all five."""
    names = ("baseline", "too_large", "large", "too_small", "far_too_small")
    short = ["--set", "epochs=1", "--set", "dataset.train_size=4000", "--set", "reference=null"]
    runs = tmp_path / "runs"
    words = ["run", *(str(CONFIGS / f"{n}.yaml") for n in names), *short, "--runs", str(runs), "--jobs", "2"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0, capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["report", "--runs", str(runs)])
    assert ended.value.code == 0
    frame = lrbench.load_runs(runs).set_index("name")
    loss = frame["val_loss"]
    assert max(loss["baseline"], loss["large"]) < 1
    assert 2.1 < loss["too-small"] < loss["far-too-small"] < 2.4
    assert loss["too-large"] > 2.25
    page = (runs / "report" / "report.html").read_text()
    for name in loss.index:
        assert name in page
