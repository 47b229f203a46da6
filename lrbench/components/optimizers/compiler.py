"""Torch's optimizers without torch's compiler, as long as nothing compiles."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import _use_grad_for_differentiable

_COMPILER = "torch._dynamo"

Method = Callable[..., Any]


@functools.cache
def put_off_compiler() -> None:
    """Keep torch's optimizers from importing its compiler, which takes as long as `import torch` again.

    They import it to tell it what it must leave alone. Until something else imports it, there is nothing to tell; from
    then on, they tell it as before.
    """
    if _COMPILER in sys.modules:
        return
    untraced, breaking = vars(torch._compile), _use_grad_for_differentiable(lambda: None).__code__
    for method in vars(Optimizer).values():
        if getattr(method, "__globals__", None) is untraced and hasattr(method, "__wrapped__"):
            _trace_later(method, method.__wrapped__)
    for kind in vars(torch.optim).values():
        step = vars(kind).get("step") if isinstance(kind, type) else None
        if step is not None and getattr(step, "__code__", None) is breaking:
            kind.step = _break_later(step, step.__wrapped__)


def _trace_later(telling: Method, method: Any) -> None:
    """Have `telling`, a method that the compiler must not trace, call `method` itself while there is no compiler."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if _COMPILER not in sys.modules:
            return method(*args, **kwargs)
        vars(method).pop("__dynamo_disable", None)  # this function, which torch then replaces
        return telling(*args, **kwargs)

    method.__dynamo_disable = call


def _break_later(breaking: Method, step: Method) -> Method:
    """Return `breaking`, a step around which the compiler breaks its graph, without that while there is no compiler."""

    @functools.wraps(step)
    def call(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if _COMPILER in sys.modules:
            return breaking(self, *args, **kwargs)
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return step(self, *args, **kwargs)

    return call
