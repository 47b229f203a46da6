"""Laws of the best learning rate: the fit, what it refuses, what it says, and training with a law."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign import recorded_run

import lrbench
from lrbench.config import Law, common, identity, load_config
from lrbench.errors import ConfigError, UsageError
from lrbench.transfers import fit as fitting
from lrbench.transfers.fit import SCALE, design, fit
from lrbench.transfers.theory import agreement

BATCHES = (8, 16, 32, 64)
RATES = [10 ** (k / 3) for k in range(-10, 2)]
Cli = Callable[..., tuple[int, str, str]]
Make = Callable[..., Path]


def bowl(lr: float, best: float, seed: int) -> float:
    """A loss that is lowest at `best`, with noise of a few tenths of a percent."""
    noise = 0.003 * math.sin(37 * seed + 11 * math.log(lr))
    return 0.1 * math.exp(0.8 * (math.log10(lr / best)) ** 2 + noise)


def near(best: float) -> list[float]:
    return [lr for lr in RATES if abs(math.log10(lr / best)) < 0.9]


def sweep_of(make: Make, root: Path, best: float, rates: list[float] | None = None, **changes: Any) -> None:
    """Write the runs of three seeds at learning rates within a decade of the best."""
    for lr in rates or near(best):
        for seed in (0, 1, 2):
            make(root, [bowl(lr, best, seed)], lr=lr, seed=seed, **changes)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, make_run_in: Make) -> Path:
    """Sweeps at four batch sizes, whose best learning rates go with the square root."""
    root = tmp_path_factory.mktemp("law") / "runs"
    for batch in BATCHES:
        sweep_of(make_run_in, root, 0.02 * (batch / 16) ** 0.5, batch_size=batch)
    return root


# -- the fit


def test_the_fit_of_exact_points_by_hand() -> None:
    """Lr* = 0.01 · √x: from 1 to 100, it rises by one decade over two."""
    line = fit(design(np.array([[0.0], [1.0], [2.0]])), np.array([-2.0, -1.5, -1.0]), [0.01, 0.01, 0.01])
    assert line.coefficients == pytest.approx([-2.0, 0.5])
    low, high = line.interval(np.array([0.0, 1.0]))
    assert 0.5 - low == pytest.approx(high - 0.5) and low < 0.45 and high > 0.55


def test_the_fit_agrees_with_a_slow_reference() -> None:
    """The same posterior by whole covariance matrices and the trapezoidal rule over τ."""
    draws = np.random.default_rng(3)
    x, errors = draws.normal(size=(6, 2)), draws.uniform(0.03, 0.2, 6)
    rows, y = design(x), -2 + x @ [0.5, -0.3] + draws.normal(0, 0.1, 6)
    taus = np.geomspace(1e-5, 100, 3000)
    logs, means, variances = [], [], []
    for tau in taus:
        whole = np.linalg.inv(np.diag(errors**2 + tau**2))
        covariance = np.linalg.inv(rows.T @ whole @ rows)
        mean = covariance @ rows.T @ whole @ y
        left = y - rows @ mean
        prior = -math.log(1 + (tau / SCALE) ** 2)
        logs.append(
            prior + 0.5 * (np.log(np.linalg.det(whole)) + np.log(np.linalg.det(covariance)) - left @ whole @ left)
        )
        means.append(mean)
        variances.append(np.diag(covariance))
    weights = np.exp(np.array(logs) - max(logs)) * np.gradient(taus)
    weights /= weights.sum()
    line = fit(rows, y, errors)
    assert line.coefficients == pytest.approx(weights @ np.array(means), abs=2e-3)
    from scipy.stats import norm

    for at in range(3):
        low, high = line.interval(np.eye(3)[at])
        for end, share in ((low, 0.025), (high, 0.975)):
            below = weights @ norm.cdf(end, np.array(means)[:, at], np.sqrt(np.array(variances)[:, at]))
            assert below == pytest.approx(share, abs=2e-3)


def test_scatter_beyond_the_errors_widens_the_intervals() -> None:
    x = np.linspace(0, 2, 6)
    even, odd = -2 + 0.5 * x, -2 + 0.5 * x + 0.3 * (-1.0) ** np.arange(6)
    widths = [
        np.diff(fit(design(x[:, None]), y, np.full(6, 0.05)).interval(np.array([0.0, 1.0])))[0] for y in (even, odd)
    ]
    assert widths[1] > 2 * widths[0]


@pytest.mark.parametrize("tau", [0.0, 0.1, 0.3])
def test_intervals_hold_the_truth_about_as_often_as_they_say(tau: float) -> None:
    draws = np.random.default_rng(5)
    x, hits = np.linspace(0, 1.5, 4), 0
    for _ in range(120):
        y = -2 + 0.5 * x + draws.normal(0, tau, 4) + draws.normal(0, 0.05, 4)
        low, high = fit(design(x[:, None]), y, np.full(4, 0.05)).interval(np.array([0.0, 1.0]))
        hits += low < 0.5 < high
    assert hits >= 104  # 87 %


def test_what_theory_says() -> None:
    assert agreement("batch_size", 0.41, 0.62) == "agrees with square root (0.5), not with linear (1) or no change (0)"
    assert agreement("epochs", -0.1, 0.1).startswith("agrees with no change (0), not with length to the power")
    assert agreement("params.n_params", 0.1, 0.2) == "is not no change (0)"
    assert agreement("model.depth", -0.7, 0.2) == "undecided between no change (0) and 1/√depth (-0.5)"


# -- from run folders


def test_the_law_of_batch_sizes(runs: Path) -> None:
    made = lrbench.transfer([runs], predict={"batch_size": 256})
    (one,) = made.exponents
    assert one.value == pytest.approx(0.5, abs=0.05) and one.low < 0.5 < one.high
    assert one.tried == (8, 16, 32, 64) and one.checked and one.bend is None
    assert "square root" in one.theory
    (prediction,) = made.predictions
    assert prediction.lr == pytest.approx(0.08, rel=0.15) and prediction.low < 0.08 < prediction.high
    assert prediction.beyond == {"batch_size": pytest.approx(math.log10(4))} and not prediction.far
    (left_out,) = one.left_out
    assert left_out.found.sizes == {"batch_size": 64} and left_out.inside and abs(left_out.decades) < 0.1
    assert json.loads(made.json())["predictions"][0]["lr"] == pytest.approx(prediction.lr)


def test_far_predictions_and_bends_are_told(tmp_path: Path, make_run_in: Make) -> None:
    for batch, best in zip((8, 16, 32, 64), (0.003, 0.03, 0.06, 0.06), strict=True):
        sweep_of(make_run_in, tmp_path, best, batch_size=batch)
    made = lrbench.transfer([tmp_path], predict={"batch_size": 6400})
    assert made.exponents[0].bend is not None
    assert made.exponents[0].bend.smallest > made.exponents[0].bend.largest
    told = " ".join(made.warnings)
    assert "bends over batch_size" in told and "2.0 decades outside" in told


def test_two_sizes_give_an_exponent_and_no_prediction(runs: Path) -> None:
    made = lrbench.transfer([runs], filters=["batch_size=8|batch_size=64"], predict={"batch_size": 8})
    assert not made.exponents[0].checked
    assert "only the sizes 8 and 64" in made.warnings[0]
    with pytest.raises(UsageError, match="add a third"):
        lrbench.transfer([runs], filters=["batch_size=8|batch_size=64"], predict={"batch_size": 100})
    with pytest.raises(UsageError, match="did not write"):
        made.write("law.json")


def test_a_family_whose_optimum_lies_beyond_its_rates_is_left_out_and_told(
    tmp_path: Path, make_run_in: Make, runs: Path
) -> None:
    sweep_of(make_run_in, tmp_path, 1.5, [lr for lr in RATES if 0.05 < lr < 0.9], batch_size=128)
    made = lrbench.transfer([runs, tmp_path])
    assert len(made.law.points) == 4
    assert made.without[0][1].startswith("the best, ") or "may lie above" in made.without[0][1]
    assert any("does not fit the law" in text for text in made.warnings)


def test_other_differences_are_other_laws(tmp_path: Path, make_run_in: Make, runs: Path) -> None:
    sweep_of(make_run_in, tmp_path, 0.05, batch_size=128, schedule="cosine")
    made = lrbench.transfer([runs, tmp_path])
    assert any("schedule.name cosine instead of constant" in text for text in made.warnings)
    sweep_of(make_run_in, tmp_path, 0.03, batch_size=64, schedule="cosine")
    with pytest.raises(UsageError, match=r"2 laws.*schedule.name.*select one with filters$"):
        lrbench.transfer([runs, tmp_path])


def test_sizes_that_change_together_are_refused(tmp_path: Path, make_run_in: Make) -> None:
    for factor in (1, 2, 4):
        sweep_of(make_run_in, tmp_path, 0.03, batch_size=8 * factor, model={"name": "mlp", "hidden": [4 * factor]})
    with pytest.raises(UsageError, match=r"model.hidden changes together with batch_size"):
        lrbench.transfer([tmp_path])


def test_lr_scaling_of_the_sweeps_is_taken_into_the_law(tmp_path: Path, make_run_in: Make, runs: Path) -> None:
    """Its optima are those of the learning rates as used."""
    plain = lrbench.transfer([runs])
    for batch in (8, 16, 32):
        for path in sorted(runs.iterdir()):
            config = path / "config.yaml"
            if config.exists() and f"batch_size: {batch}\n" in config.read_text():
                lr = load_config(config).lr
                assert lr is not None
                make_run_in(
                    tmp_path, [json.loads((path / "result.json").read_text())["final"]["val_loss"]], lr=lr,
                    seed=load_config(config).seed, batch_size=batch,
                    lr_scaling={"rule": "linear", "base_batch_size": 16},
                )  # fmt: skip
    for path in tmp_path.iterdir():  # as training would leave it
        result = json.loads((path / "result.json").read_text())
        batch = load_config(path / "config.yaml").plain()["batch_size"]
        (path / "result.json").write_text(json.dumps({**result, "effective_lr": result["effective_lr"] * batch / 16}))
    scaled = lrbench.transfer([tmp_path])
    assert scaled.exponents[0].value == pytest.approx(plain.exponents[0].value + 1, abs=0.1)


def test_parameters_of_other_programs_are_axes(tmp_path: Path) -> None:
    for width, best in ((64, 0.04), (128, 0.02), (256, 0.01)):
        for lr in near(best):
            for seed in (0, 1, 2):
                params = {"lr": lr, "d_model": width, "n_heads": width // 32, "warmup_steps": 10}
                recorded_run(tmp_path, [{"step": 9, "val_loss": bowl(lr, best, seed)}], params=params, seed=seed)
    made = lrbench.transfer([tmp_path], predict={"d_model": 1024})
    (one,) = made.exponents
    assert one.name == "params.d_model" and one.together == ("params.n_heads",)
    assert one.value == pytest.approx(-1, abs=0.1) and one.theory.startswith("agrees with 1/width (-1)")
    assert made.predictions[0].lr == pytest.approx(0.0025, rel=0.2)


# -- the command


def test_the_command_tells_draws_and_writes(cli: Cli, runs: Path) -> None:
    code, out, err = cli("transfer", runs, "--predict", "batch_size=256", "--write", "law.json")
    assert (code, err) == (0, "")
    assert "batch_size: exponent 0.5" in out and "For batch_size 256" in out
    folder = Path("runs/transfer/tiny")
    assert {path.name for path in folder.iterdir()} == {f"transfer.{s}" for s in ("html", "md", "json", "png", "svg")}
    assert "batch_size" in (folder / "transfer.html").read_text()
    told = json.loads(cli("transfer", runs, "--json")[1])
    assert told["law"]["exponents"]["batch_size"] == pytest.approx(0.5, abs=0.05)
    assert Law(**json.loads(Path("law.json").read_text())).rate({"batch_size": 16}) == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--predict", "batch_size"], "--predict must be sizes above 0"),
        (["--predict", "batch_size=-3"], "--predict must be sizes above 0"),
        (["--predict", "batch_size=8,batch_size=9"], "each once"),
        (["--predict", "width=8"], "'width' is not a size of these runs"),
        (["--predict", "epochs=300"], "all of these runs have epochs 1"),
        (["--axis", "colour"], "'colour' is not a size"),
        (["--axis", "epochs"], "batch_size 16 instead of 32"),
        (["--metric", "val_f1"], "val_f1"),
        (["--filter", "batch_size=8"], "there is one family of runs"),
        (["--filter", "batch_size=7"], "batch_size=7"),
        (["--write", "law.yaml"], "--write must be a JSON file"),
        (["--name", "../x"], "--name must be a folder name"),
        (["--predict", "batch_size=1e300"], "no usable learning rate"),
    ],
)
def test_mistakes_get_one_message(cli: Cli, runs: Path, words: list[str], told: str) -> None:
    code, _, err = cli("transfer", runs, *words)
    assert code == 2 and told in err, err
    assert not Path("runs").exists()


def test_folders_without_runs(cli: Cli) -> None:
    Path("empty").mkdir()
    for folder, told in (("empty", "no runs in empty"), ("missing", "missing")):
        code, _, err = cli("transfer", folder)
        assert code == 2 and told in err


# -- training with a law


LAW = {"format": 1, "lr": 0.1, "at": {"batch_size": 32}, "exponents": {"batch_size": 0.5},
       "tried": {"batch_size": [8, 64]}}  # fmt: skip


@pytest.fixture
def config(tmp_path: Path, write_config: Callable[..., Path], tiny: Callable[..., Any]) -> Path:
    """A config with a law beside it, which is in another folder than the tests."""
    (tmp_path / "configs").mkdir()
    runs = tiny(optimizer="sgd", schedule="cosine")
    law = {**LAW, "fixed": common(runs.plain(), {"batch_size"})}
    (tmp_path / "configs" / "law.json").write_text(json.dumps(law))
    scaling = {"rule": "measured", "from": "law.json"}
    return write_config("configs/use.yaml", optimizer={"name": "sgd"}, batch_size=8, lr_scaling=scaling)


def test_a_config_takes_its_learning_rate_from_a_law(config: Path) -> None:
    """0.1 · √(8/32) = 0.05. Its identity is that of the same learning rate by hand, wherever the law lies."""
    used = load_config(config)
    assert used.lr == 0.05
    by_hand = load_config(config, ["lr_scaling=null", "optimizer.lr=0.05"])
    assert identity(used) == identity(by_hand)
    assert used.replace(batch_size=32).lr == 0.1
    assert identity(used.replace(batch_size=32)) != identity(used)
    again = config.parent / "resolved.yaml"
    again.write_text(used.yaml())
    (config.parent / "law.json").unlink()
    assert load_config(again) == used and identity(load_config(again)) == identity(used)


def test_a_run_trains_with_it_and_says_what_is_doubtful(cli: Cli, config: Path) -> None:
    code, out, err = cli("run", config)
    assert code == 0, err
    assert "the measured law gives the learning rate 0.05 for batch_size 8" in out + err
    assert "schedule.name is constant, in the law's runs cosine" in out + err
    (result,) = Path("runs").glob("*/result.json")
    assert json.loads(result.read_text())["effective_lr"] == 0.05
    assert "measured for batch_size 8 … 64" in cli("preview", config)[1]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"optimizer.lr": "0.1"}, r"optimizer.lr: comes from the law"),
        ({"optimizer.name": "adam"}, r"optimizer.name: is adam, but the law .* measured with sgd"),
        ({"lr_scaling.from": "nowhere.json"}, r"lr_scaling.from: no such file: nowhere.json"),
        ({"lr_scaling.from": "configs/use.yaml"}, r"not a law in JSON"),
        ({"lr_scaling.from": "configs/other.json"}, r"other.json is not a law: .*lr"),
        ({"lr_scaling.from": "null"}, r"lr_scaling.from: is missing"),
        ({"lr_scaling.from": "3"}, r"lr_scaling.from: must be the path"),
        ({"lr_scaling.rule": "linear"}, r"lr_scaling.from: applies only to `rule: measured`"),
        ({"lr_scaling.rule": "measure"}, r"lr_scaling.rule"),
        ({"lr_scaling.base_batch_size": "8"}, r"does not apply to `rule: measured`"),
    ],
)
def test_wrong_laws_get_one_message(
    config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: dict[str, str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (config.parent / "other.json").write_text(json.dumps({**LAW, "lr": -1}))
    with pytest.raises(ConfigError, match=told):
        load_config(config, [f"{key}={value}" for key, value in changes.items()])


def test_a_law_of_sizes_that_a_config_lacks(config: Path) -> None:
    law = {**LAW, "at": {"model.width": 8}, "exponents": {"model.width": -1}, "tried": {"model.width": [8, 16]}}
    (config.parent / "law.json").write_text(json.dumps(law))
    with pytest.raises(ConfigError, match=r"depends on model.width, which this config does not have"):
        load_config(config)


def test_an_inherited_learning_rate_is_removed_by_null(config: Path, write_config: Callable[..., Path]) -> None:
    write_config("configs/base.yaml", optimizer={"name": "sgd", "lr": 0.3})
    child = write_config("configs/child.yaml")
    child.write_text(
        "extends: base.yaml\nbatch_size: 8\noptimizer: {lr: null}\nlr_scaling: {rule: measured, from: law.json}\n"
    )
    assert load_config(child).lr == 0.05


def test_the_place_of_the_scatter_is_documented() -> None:
    assert str(SCALE) in Path(lrbench.__file__).parent.parent.joinpath("docs", "transfer.md").read_text()
    assert fitting.__doc__ and "half-Cauchy" in fitting.__doc__
