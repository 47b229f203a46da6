"""The coordinate check: how the sizes of layers' outputs depend on the width after the first steps of a training.

After Yang et al. 2022, "Tensor Programs V", appendix D. In the maximal update parametrization (μP), no layer's output
grows or shrinks with the width, which is why one learning rate is right for all widths.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lrbench.components import GroupRules
from lrbench.config import CONFIG, Experiment, RunConfig, load_config, own
from lrbench.errors import ConfigError, UsageError, UserCodeError, option
from lrbench.events import Watch, message, silent
from lrbench.training import Guard
from lrbench.transfers.layer_sizes import CoordinateCheck, LayerSize
from lrbench.types import AT_LEAST_1, FUNCTION, NOTHING, TEXT, TEXTS, WHOLE, Listed, arguments

WIDTH_KEYS = {"cnn": "model.width", "gpt": "model.width", "mlp": "model.hidden", "resnet20": "model.width"} | {
    "vit": "model.dim"
}
MOST_STEPS = 1000
_OUTPUTS = "lrbench.training.activations:layer_outputs"

# What full trainings have and a few steps don't.
_LEFT_OUT = (
    "epochs", "warmup", "plateau", "early_stopping", "eval_every", "best_by", "on_non_finite", "max_skipped",
    "reference", "continue", "keep", "track",
)  # fmt: skip

_CONFIG_WIDTHS = Listed("whole numbers", WHOLE)


@arguments(
    config=CONFIG, widths=_CONFIG_WIDTHS, steps=AT_LEAST_1, seeds=AT_LEAST_1, key=TEXT | NOTHING, overrides=TEXTS,
    device=TEXT | NOTHING, watch=FUNCTION,
)  # fmt: skip
def coordinate_check(
    config: str | Path | RunConfig,
    widths: Iterable[int],
    *,
    steps: int = 3,
    seeds: int = 5,
    key: str | None = None,
    overrides: Iterable[str] = (),
    device: str | None = None,
    watch: Watch = silent,
) -> CoordinateCheck:
    """Train a config for a few steps at several widths, and measure how each layer's output depends on the width.

    Args:
        config: a YAML file or an experiment; its schedule and length are ignored, and all steps have its peak
            learning rate. A large one shows more.
        widths: the widths, two or more.
        steps: steps to train.
        seeds: the number of seeds, counted up from the config's own; at least 2.
        key: the config key that is the width, such as `model.hidden_size`; known for built-in models. Of a list, such
            as `model.hidden` of mlp, all numbers keep their ratio to the first, which gets the width.
        overrides: `key=value`, as for `load_config`; for a file only.
        device: instead of the config's own.
        watch: called with progress events.

    Raises:
        ConfigError, DataError, UsageError: the request is invalid.
        RunError: an output is not finite.
    """
    given = config if isinstance(config, RunConfig) else load_config(config, overrides)
    experiment = own(given, "its layers can't be measured")
    experiment = experiment if device is None else experiment.replace(asked_by=option("--device"), device=device)
    chosen, key = _checked(list(widths), steps, seeds), _width_key(experiment, key)
    numbers = range(experiment.seed, experiment.seed + seeds)
    rows = []
    with Guard(watch) as guard:
        for width in chosen:
            for seed in numbers:
                one = _at(experiment, key, width, steps, seed)
                for step, sizes in enumerate(_outputs(guard, one, steps, f"{key} = {width}")):
                    rows += [LayerSize(width, seed, step, layer, *found) for layer, found in sizes.items()]
            watch(message(f"{_name(experiment)}: measured {key} = {width}"))
    lr = experiment.scaled_optimizer().params.get("lr", experiment.lr)
    return CoordinateCheck(_name(experiment), key, float(lr or 0.0), chosen, list(numbers), steps, rows)


def _outputs(guard: Guard, experiment: Experiment, steps: int, size: str) -> Sequence[Mapping[str, Any]]:
    """Return the sizes of all outputs at each step. Raises RunError, of which user code is told with its config."""
    try:
        found: Sequence[Mapping[str, Any]] = guard.call(
            _OUTPUTS, experiment, experiment, steps, during="in its first steps"
        )
    except UserCodeError as error:
        told = UserCodeError(f"{experiment.name} with {size}: {error}")
        told.trace = error.trace
        raise told from error
    except ConfigError as error:  # such as a model that is too wide for the memory
        raise error.at(f"{experiment.name} with {size}") from None
    return found


def both(experiment: Experiment, widths: Sequence[int]) -> list[Experiment]:
    """Return the experiment in the standard parametrization and in μP, based on the smallest width if it has no base.

    Raises ConfigError for a model that has only one parametrization.
    """
    model = experiment.model
    if model.name not in ("cnn", "gpt", "mlp", "vit"):
        problem = f"'{model.name}' has one parametrization; cnn, gpt, mlp and vit have both"
        raise ConfigError(problem, key="model.name", where=experiment.where("model.name"))
    plain = {k: v for k, v in model.plain().items() if k not in ("parametrization", "base_width")}
    base = model.params.get("base_width") or min(widths)
    mup = {**plain, "parametrization": "mup", "base_width": base}
    return [experiment.replace(model=plain), experiment.replace(model=mup)]


def _name(experiment: Experiment) -> str:
    mup = experiment.model.params.get("parametrization") == "mup"
    return f"{experiment.name} (mup)" if mup else experiment.name


def _checked(widths: Sequence[int], steps: int, seeds: int) -> list[int]:
    """Return the widths in order. Raises UsageError."""
    chosen = sorted({int(width) for width in widths})
    if len(chosen) < 2 or chosen[0] < 1:
        raise UsageError(
            f"{option('--widths')} must be two or more different whole numbers above 0 (got {_listed(widths)})"
        )
    if steps > MOST_STEPS:
        raise UsageError(
            f"{option('--steps')} must be at most {MOST_STEPS:,} (got {steps}); few steps show the effect of the width"
        )
    if seeds < 2:
        raise UsageError(f"{option('--seeds')} must be at least 2 (got {seeds}), since an interval needs several seeds")
    return chosen


def _listed(widths: Iterable[int]) -> str:
    return ", ".join(map(str, widths)) or "none"


def _width_key(experiment: Experiment, key: str | None) -> str:
    """Return the key that is the width. Raises UsageError, ConfigError."""
    found = key or WIDTH_KEYS.get(experiment.model.name)
    if found is None:
        problem = f"name the key that is the width of '{experiment.model.name}': {option('--key')} model.NAME"
        raise UsageError(f"{problem}; it is known for {', '.join(sorted(WIDTH_KEYS))}")
    if not found.startswith("model.") or not found.removeprefix("model."):
        raise UsageError(f"{option('--key')} must be a key of the model, such as model.width (got {found!r})")
    return found


def _at(experiment: Experiment, key: str, width: int, steps: int, seed: int) -> Experiment:
    """Return the experiment of a width and a seed for a few steps at the peak learning rate. Raises ConfigError."""
    model: dict[str, Any] = experiment.model.plain()
    *outer, last = key.split(".")[1:]
    block: Any = model
    for name in outer:
        block[name] = dict(block.get(name) or {}) if isinstance(block.get(name), Mapping | None) else {}
        block = block[name]
    block[last] = _scaled(block.get(last), width)
    changes: dict[str, Any] = {
        "model": model,
        "optimizer": GroupRules.at_start(experiment.optimizer).plain(),
        "schedule": "constant",
        "steps": steps,
        "seed": seed,
        "compile": False,
    }
    return experiment.replace(**{**changes, **dict.fromkeys(_LEFT_OUT)})


def _scaled(value: Any, width: int) -> Any:
    """Return the width; in place of a list, one of numbers with the same ratios."""
    if not isinstance(value, list) or not value:
        return width
    return [max(round(number * width / value[0]), 1) for number in value]
