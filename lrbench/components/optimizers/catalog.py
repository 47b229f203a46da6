"""The optimizers' names and classes, which are imported when they are needed."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lrbench.components.optimizers.parameters import defaults_in, described
from lrbench.errors import ConfigError
from lrbench.registry import Catalog

if TYPE_CHECKING:
    from torch.optim import Optimizer

_INTERNAL = frozenset({"foreach", "fused", "capturable", "differentiable", "maximize", "fsdp_in_use"})


class _Class:
    """An optimizer class, imported when needed. A `home` besides torch is a package of the extra `rate-free`."""

    def __init__(self, class_name: str, lr: float, summary: str, *, home: str = "torch.optim") -> None:
        self.class_name, self.lr, self.__doc__, self.home = class_name, lr, summary, home

    @property
    def described(self) -> Callable[..., Optimizer]:
        """The class itself, for its signature. Raises ConfigError if it is not installed."""
        try:
            module = importlib.import_module(self.home)
        except ModuleNotFoundError as error:
            problem = f"needs the package {self.home}: pip install 'lrbench-torch[rate-free]'"
            raise ConfigError(problem, key="optimizer.name") from error
        found = getattr(module, self.class_name, None)
        if found is None:
            import torch

            raise ConfigError(f"this torch ({torch.__version__}) has no {self.class_name}", key="optimizer.name")
        chosen: Callable[..., Optimizer] = found
        return chosen

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.described)

    def __call__(self, **arguments: Any) -> Optimizer:
        with contextlib.redirect_stdout(io.StringIO()):  # Prodigy prints that it decays weights
            return self.described(**arguments)


class _Muon(_Class):
    @property
    def __signature__(self) -> inspect.Signature:
        known = super().__signature__
        own = inspect.Parameter("adamw_lr", inspect.Parameter.KEYWORD_ONLY, default=None, annotation="float | None")
        return known.replace(parameters=[*known.parameters.values(), own])

    def __call__(self, **arguments: Any) -> Optimizer:
        from lrbench.components.optimizers.muon import MuonWithAdamW

        return MuonWithAdamW(**arguments)


def _schedule_free(base: str, lr: float, summary: str) -> _Class:
    return _Class(f"{base}ScheduleFree", lr, summary, home="schedulefree")


_NOT_FIRST_ORDER = "it evaluates the loss several times per step, so steps and learning rates can't be compared"

_CLASSES = {
    "adadelta": _Class("Adadelta", 1.0, "Adadelta (Zeiler 2012); sets its own step size, which lr multiplies."),
    "adafactor": _Class("Adafactor", 1e-2, "Adafactor (Shazeer and Stern 2018): Adam with factored memory."),
    "adagrad": _Class("Adagrad", 1e-2, "Adagrad (Duchi et al. 2011)."),
    "adam": _Class("Adam", 1e-3, "Adam (Kingma and Ba 2015)."),
    "adamax": _Class("Adamax", 2e-3, "Adamax, Adam with the infinity norm (Kingma and Ba 2015)."),
    "adamw": _Class("AdamW", 1e-3, "Adam with decoupled weight decay (Loshchilov and Hutter 2019)."),
    "asgd": _Class("ASGD", 1e-2, "Averaged SGD (Polyak and Juditsky 1992)."),
    "muon": _Muon("Muon", 1e-3, "Muon (Jordan et al. 2024) for hidden matrices, AdamW for the rest."),
    "nadam": _Class("NAdam", 2e-3, "Adam with Nesterov momentum (Dozat 2016)."),
    "prodigy": _Class(
        "Prodigy",
        1.0,
        "Prodigy (Mishchenko and Defazio 2024): Adam that estimates its own learning rate; leave lr at 1.",
        home="prodigyopt",
    ),
    "radam": _Class("RAdam", 1e-3, "Rectified Adam (Liu et al. 2020)."),
    "rmsprop": _Class("RMSprop", 1e-2, "RMSprop (Hinton 2012)."),
    "rprop": _Class("Rprop", 1e-2, "Resilient backpropagation (Riedmiller and Braun 1992), for full batches."),
    "schedule_free_adamw": _schedule_free(
        "AdamW", 2.5e-3, "AdamW that averages its weights instead of a decay (Defazio et al. 2024)."
    ),
    "schedule_free_radam": _schedule_free(
        "RAdam", 2.5e-3, "The same with rectified Adam, which also needs no warm-up."
    ),
    "schedule_free_sgd": _schedule_free(
        "SGD", 1.0, "SGD that averages its weights instead of a decay (Defazio et al. 2024); needs a large lr."
    ),
    "sgd": _Class("SGD", 1e-3, "Stochastic gradient descent, optionally with momentum or Nesterov momentum."),
}

for _name, _chosen in _CLASSES.items():
    _chosen.__doc__ = described(_name, _chosen.__doc__ or "")

OPTIMIZERS = Catalog(
    kind="optimizer",
    entries=_CLASSES,
    context=frozenset({"params"}) | _INTERNAL,
    refused={"lbfgs": _NOT_FIRST_ORDER, "sparseadam": "it takes only sparse gradients; use adam"},
    foreign=True,
)

DEFAULT_LR = {name: chosen.lr for name, chosen in _CLASSES.items()}
"""The classes' default learning rates, so a preview needs no torch; a test compares them."""

AVERAGES = frozenset({"schedule_free_adamw", "schedule_free_radam", "schedule_free_sgd"})
"""Optimizers that evaluate averaged weights; like modules, they have `train()` and `eval()`."""

SETS_ITS_OWN_RATE = AVERAGES | {"adadelta", "prodigy"}
"""Optimizers whose step size does not depend on lr alone; a decay or warm-up works against them."""


def known_defaults(name: str) -> Mapping[str, Any]:
    """Return the defaults of an optimizer's class, as far as its source tells them, without importing it."""
    return defaults_in(_CLASSES[name].home, _CLASSES[name].class_name)
