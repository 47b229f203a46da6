"""The parameters of the optimizers' classes and what they may be, so that configs are checked without torch."""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from lrbench.errors import ConfigError, choices
from lrbench.types import Fraction, NonNegative, Part, Positive, Probability, ProperFraction, adapter, checked

PARAMETERS = {
    "adadelta": "rho eps weight_decay",
    "adafactor": "beta2_decay eps d weight_decay",
    "adagrad": "lr_decay weight_decay initial_accumulator_value eps",
    "adam": "betas eps weight_decay amsgrad decoupled_weight_decay",
    "adamax": "betas eps weight_decay",
    "adamw": "betas eps weight_decay amsgrad",
    "asgd": "lambd alpha t0 weight_decay",
    "muon": "adamw_lr weight_decay momentum nesterov ns_coefficients eps ns_steps adjust_lr_fn",
    "nadam": "betas eps weight_decay momentum_decay decoupled_weight_decay",
    "prodigy": "betas beta3 eps weight_decay decouple use_bias_correction safeguard_warmup d0 d_coef growth_rate "
    "slice_p",
    "radam": "betas eps weight_decay decoupled_weight_decay",
    "rmsprop": "alpha eps weight_decay momentum centered",
    "rprop": "etas step_sizes",
    "schedule_free_adamw": "betas eps weight_decay warmup_steps r weight_lr_power",
    "schedule_free_radam": "betas eps weight_decay r weight_lr_power silent_sgd_phase",
    "schedule_free_sgd": "momentum weight_decay warmup_steps r weight_lr_power",
    "sgd": "momentum dampening weight_decay nesterov",
}
"""The classes' parameters besides lr, so a config is checked without torch; a test compares them."""


_NON_NEGATIVE = "eps initial_accumulator_value lr_decay momentum momentum_decay weight_decay"
_SWITCHES = (
    "amsgrad centered decouple decoupled_weight_decay nesterov safeguard_warmup silent_sgd_phase use_bias_correction"
)
_OTHER_NUMBERS = "alpha d_coef dampening growth_rate lambd ns_steps r slice_p t0 warmup_steps weight_lr_power"
_VALUES: dict[str, Any] = {
    **dict.fromkeys(_NON_NEGATIVE.split(), NonNegative),
    **dict.fromkeys(_SWITCHES.split(), bool),
    **dict.fromkeys(_OTHER_NUMBERS.split(), float),
    "adamw_lr": Positive | None,
    "adafactor.eps": tuple[NonNegative | None, NonNegative],
    "beta2_decay": Annotated[float, Field(le=0)],
    "beta3": float | None,
    "betas": tuple[Probability, Probability],
    "d": Annotated[float, Field(ge=1)],
    "d0": Positive,
    "etas": tuple[ProperFraction, Annotated[float, Field(gt=1)]],
    "ns_coefficients": tuple[float, float, float],
    "prodigy.eps": Positive,
    "rho": Fraction,
    "rmsprop.alpha": NonNegative,
    "schedule_free_sgd.momentum": ProperFraction,
    "step_sizes": tuple[float, float],
}
"""What a parameter may be, in all optimizers or in one, so a config is checked without torch."""


def check_parameters(part: Part) -> None:
    """Raise ConfigError for a parameter or value that an optimizer can't have. Needs no torch.

    The classes check what depends on several values. Their own errors for values of a wrong type are obscure.
    """
    known = ["lr", *PARAMETERS.get(part.name, "").split()]
    for name, value in part.params.items():
        key = f"optimizer.{name}"
        kind = _VALUES.get(f"{part.name}.{name}", _VALUES.get(name))
        if part.name not in PARAMETERS:
            if isinstance(value, str) and (name == "lr" or kind is not None):
                raise ConfigError(f"must be a number, true, false or a list of numbers (got {value!r:.60})", key=key)
        elif name not in known:
            problem = f"'{part.name}' has no parameter '{name}'; {choices(name, known)}"
            raise ConfigError(problem, key=key)
        elif kind is not None:
            checked(value, adapter(kind), key)


def kinds_of(name: str) -> dict[str, Any]:
    """Return the parameters of an optimizer besides lr, each with the type of its values; Any if torch checks it."""
    own = PARAMETERS[name].split()
    return {one: _VALUES.get(f"{name}.{one}", _VALUES.get(one, Any)) for one in own}


_MEANINGS = {
    "adamw_lr": "the peak learning rate of the weights that AdamW trains; by default lr.",
    "adjust_lr_fn": "how lr depends on a matrix's shape: original or match_rms_adamw.",
    "alpha": "how slowly the average of squared gradients changes.",
    "amsgrad": "use the largest average of squared gradients so far.",
    "asgd.alpha": "the power by which the learning rate falls.",
    "beta2_decay": "the power by which the average of squared gradients slows down.",
    "beta3": "how slowly the estimate of the step size changes; √β₂ by default.",
    "betas": "β₁ and β₂: how slowly the averages of gradients and of their squares change.",
    "centered": "divide by the gradients' estimated standard deviation.",
    "d": "the largest root mean square of an update, relative to lr.",
    "d0": "the first estimate of the step size.",
    "d_coef": "multiplies the estimated step size.",
    "dampening": "the fraction of the gradient that momentum leaves out.",
    "decouple": "decay weights as AdamW does.",
    "decoupled_weight_decay": "decay weights as AdamW does, apart from the gradient.",
    "eps": "added to the denominator.",
    "adafactor.eps": "ε₁ and ε₂: added to squared gradients, and the smallest scale of a weight.",
    "etas": "the factors by which the step size shrinks and grows.",
    "growth_rate": "the most by which the estimated step size grows in a step.",
    "initial_accumulator_value": "the first sum of squared gradients.",
    "lambd": "the decay term.",
    "lr_decay": "the decay of lr: it is divided by 1 + lr_decay · step.",
    "lr": "the peak learning rate of every schedule.",
    "momentum": "the fraction of the last update that is added to the next.",
    "momentum_decay": "how fast the momentum rises.",
    "nesterov": "take the gradient ahead of the momentum's step.",
    "ns_coefficients": "the coefficients of the Newton-Schulz polynomial.",
    "ns_steps": "Newton-Schulz iterations.",
    "r": "the power of the step in the weights of the average.",
    "rho": "how slowly the average of squared gradients changes.",
    "safeguard_warmup": "leave lr out of the estimate, for a long warm-up.",
    "silent_sgd_phase": "no updates while the variance can't be estimated.",
    "slice_p": "use every p-th value of a weight for the estimate, to save memory.",
    "step_sizes": "the smallest and the largest step size.",
    "t0": "the step at which averaging begins.",
    "use_bias_correction": "Adam's correction of the averages' first values.",
    "warmup_steps": "steps of a linear warm-up of the optimizer's own.",
    "weight_decay": "multiplies the weights that are subtracted.",
    "weight_lr_power": "the power of lr in the weights of the average.",
}
"""What parameters mean, in all optimizers or in one."""


def described(name: str, summary: str) -> str:
    """Return the docstring of an optimizer, with the meaning of its parameters."""
    meanings = {one: _MEANINGS.get(f"{name}.{one}", _MEANINGS[one]) for one in ("lr", *PARAMETERS[name].split())}
    return "\n".join([summary, "", "Args:", *(f"    {one}: {meaning}" for one, meaning in meanings.items())])


@functools.cache
def defaults_in(home: str, class_name: str) -> Mapping[str, Any]:
    """Read the defaults of a class's parameters from its package's source, without importing it; empty if unknown."""
    package, *inner = home.split(".")
    spec = importlib.util.find_spec(package)
    for folder in spec.submodule_search_locations or () if spec is not None else ():
        for path in sorted(Path(folder, *inner).glob("*.py")):
            text = path.read_text(encoding="utf-8")
            if f"class {class_name}(" in text:
                return _defaults(ast.parse(text), class_name)
    return {}


def _defaults(source: ast.Module, class_name: str) -> dict[str, Any]:
    found = {}
    for argument, default in _arguments(source, class_name):
        with contextlib.suppress(ValueError):  # a name, or a call
            found[argument.arg] = ast.literal_eval(default) if default is not None else None
    return found


def _arguments(source: ast.Module, class_name: str) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    """Yield the arguments of a class's constructor that have defaults."""
    classes = (node for node in source.body if isinstance(node, ast.ClassDef) and node.name == class_name)
    for function in (node for one in classes for node in one.body if isinstance(node, ast.FunctionDef)):
        if function.name == "__init__":
            places = [*function.args.posonlyargs, *function.args.args]
            yield from zip(reversed(places), reversed(function.args.defaults), strict=False)
            yield from zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
