"""The parameters that optimizers have, and what these may be, so that a config is checked without torch."""

from __future__ import annotations

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
