"""Optimizers by name: torch's first-order ones. Their defaults are torch's own, and so is the checking of values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from lrbench.catalog import Catalog
from lrbench.errors import ConfigError
from lrbench.values import Part

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer

__all__ = ["OPTIMIZERS", "build_optimizer"]

_INTERNAL = frozenset({"foreach", "fused", "capturable", "differentiable", "maximize"})


class _Torch:
    """A class of torch.optim by name, imported when it is needed."""

    def __init__(self, class_name: str, summary: str) -> None:
        self.class_name, self.__doc__ = class_name, summary

    @property
    def described(self) -> Callable[..., Optimizer]:
        """The class itself, for its signature."""
        import torch

        found = getattr(torch.optim, self.class_name, None)
        if found is None:
            raise ConfigError(f"this torch ({torch.__version__}) has no {self.class_name}", key="optimizer.name")
        chosen: Callable[..., Optimizer] = found
        return chosen

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.described)

    def __call__(self, **arguments: Any) -> Optimizer:
        return self.described(**arguments)


_NOT_FIRST_ORDER = "it evaluates the loss several times per update, so updates and rates can't be compared"

OPTIMIZERS = Catalog(
    kind="optimizer",
    entries={
        "adadelta": _Torch("Adadelta", "Adadelta (Zeiler 2012); sets its own step, lr is a factor on it."),
        "adafactor": _Torch("Adafactor", "Adafactor (Shazeer and Stern 2018): Adam with factored memory."),
        "adagrad": _Torch("Adagrad", "Adagrad (Duchi et al. 2011)."),
        "adam": _Torch("Adam", "Adam (Kingma and Ba 2015)."),
        "adamax": _Torch("Adamax", "Adamax, Adam with the infinity norm (Kingma and Ba 2015)."),
        "adamw": _Torch("AdamW", "Adam with decoupled weight decay (Loshchilov and Hutter 2019)."),
        "asgd": _Torch("ASGD", "Averaged SGD (Polyak and Juditsky 1992)."),
        "nadam": _Torch("NAdam", "Adam with Nesterov momentum (Dozat 2016)."),
        "radam": _Torch("RAdam", "Rectified Adam (Liu et al. 2020)."),
        "rmsprop": _Torch("RMSprop", "RMSprop (Hinton 2012)."),
        "rprop": _Torch("Rprop", "Resilient backpropagation (Riedmiller and Braun 1992), for full batches."),
        "sgd": _Torch("SGD", "Stochastic gradient descent, with momentum and Nesterov momentum if asked."),
    },
    context=frozenset({"params"}) | _INTERNAL,
    refused={"lbfgs": _NOT_FIRST_ORDER, "sparseadam": "it takes sparse gradients alone; adam takes dense ones"},
    foreign=True,
)


DEFAULT_LR = {
    "adadelta": 1.0,
    "adafactor": 1e-2,
    "adagrad": 1e-2,
    "adam": 1e-3,
    "adamax": 2e-3,
    "adamw": 1e-3,
    "asgd": 1e-2,
    "nadam": 2e-3,
    "radam": 1e-3,
    "rmsprop": 1e-2,
    "rprop": 1e-2,
    "sgd": 1e-3,
}
"""Torch's own default rates, so that a preview needs no torch; a test compares them."""

SETS_ITS_OWN_RATE = frozenset({"adadelta"})
"""Optimizers whose step does not follow from lr alone: a decay or warm-up of lr works against them."""


_ADAM_FAMILY = ("adam", "adamax", "adamw", "nadam", "radam")  # torch gives each β₂ = 0.999


def adam_beta2(part: Part) -> float | None:
    """β₂ of an optimizer of Adam's family; None for others, and where `betas` is no pair of numbers."""
    betas = part.params.get("betas", (0.9, 0.999) if part.name in _ADAM_FAMILY else None)
    if not isinstance(betas, list | tuple) or len(betas) != 2 or isinstance(betas[1], bool):
        return None
    return float(betas[1]) if isinstance(betas[1], int | float) else None


def torch_class(part: Part) -> str:
    """The expression that makes the optimizer in one's own code, without its arguments: `torch.optim.Adam`."""
    if part.imported:
        return part.name.partition(":")[2]
    return f"torch.optim.{OPTIMIZERS.entries[part.name].class_name}"  # type: ignore[attr-defined]


def build_optimizer(part: Part, parameters: Iterable[Parameter]) -> Optimizer:
    """The optimizer an `optimizer:` block names, over `parameters`.

    Built-in ones use torch's fused kernels where it has them (one pass over all weights, the same update).

    Raises:
        ConfigError: unknown, or torch refuses its parameters.
    """
    _plain_numbers(part)
    trained = [p for p in parameters if p.requires_grad]
    if not trained:
        raise ConfigError("this model has no parameters to train", key="model")
    made: Optimizer = OPTIMIZERS.build(part, params=trained, **_fused(part, trained))
    if not hasattr(made, "param_groups"):
        raise ConfigError(f"'{part.name}' gave a {type(made).__name__}, not an optimizer", key="optimizer.name")
    name = type(made).__name__.lower()
    if name in OPTIMIZERS.refused:
        raise ConfigError(f"{part.name} can't be used: {OPTIMIZERS.refused[name]}", key="optimizer.name")
    return made


def _plain_numbers(part: Part) -> None:
    """Values of the kind that the default is. Torch compares before it looks at types, so it would speak in riddles."""
    known = {} if part.imported else inspect.signature(OPTIMIZERS.factory(part)).parameters
    for name, value in part.params.items():
        default = known[name].default if name in known else None
        wanted = "a number, true, false or a list of numbers" if isinstance(value, str) else _unlike(value, default)
        if wanted:
            raise ConfigError(f"must be {wanted} (got {value!r:.60})", key=f"optimizer.{name}")


def _unlike(value: object, default: object) -> str:
    """What the value should be where it is of another kind than the default; empty where it may do."""
    if isinstance(default, tuple):
        fits = isinstance(value, list) and len(value) == len(default)
        return "" if fits else f"a list of {len(default)} numbers like {list(default)}"
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(default, int | float) and (isinstance(value, bool) or not isinstance(value, int | float)):
        return "a number"
    return ""


def _fused(part: Part, trained: list[Parameter]) -> dict[str, Any]:
    devices = {p.device.type for p in trained}
    kinds = {"sgd", "adam", "adamw"} | ({"adagrad"} if devices == {"cpu"} else set())
    floating = all(p.is_floating_point() for p in trained)
    return {"fused": True} if part.name in kinds and devices <= {"cpu", "cuda", "mps"} and floating else {}
