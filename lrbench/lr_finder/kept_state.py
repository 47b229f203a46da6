"""Keeps the state of modules, optimizers and others, and puts it back exactly: the same tensors with the same bits."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import singledispatchmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lrbench.errors import ArgumentError, UsageError

PutBack = Callable[[], Any]

_PAIRS = (("state_dict", "load_state_dict"), ("get_state", "set_state"), ("getstate", "setstate"))
"""Methods that give and take the state of gradient scalers, averages of weights, random generators, …"""


class KeptState:
    """The state of some objects at a time. It is copied to the CPU, so that it takes no memory of another device.

    Of a module: weights, gradients, whether they are trained, buffers, public settings such as `training`. Of an
    optimizer: its groups and its state; state that it makes later is removed again.

    Args:
        modules: the model, or several.
        optimizers: their optimizers.
        others: objects with `state_dict` and `load_state_dict`, or `get_state` and `set_state`.

    Raises:
        ArgumentError: an object has no such methods.
        UsageError: a module has lazy parameters, whose shapes are not known yet.
    """

    def __init__(self, modules: Iterable[nn.Module], optimizers: Iterable[Optimizer], others: Iterable[Any]) -> None:
        self._tensors: dict[int, PutBack] = {}
        self._parts: list[PutBack] = []
        for module in modules:
            for inner in module.modules():
                settings = {k: v for k, v in vars(inner).items() if not k.startswith("_") and _plain(v)}
                self._parts += [self.of(inner._parameters), self.of(inner._buffers), _attributes(inner, settings)]
        for optimizer in optimizers:
            self._parts += [self.of(group) for group in optimizer.param_groups]
            self._parts.append(self.of(optimizer.state))
        self._parts += [_state_of(other) for other in others]

    def put_back(self) -> None:
        """Put everything back; as often as needed."""
        with torch.no_grad():
            for part in self._parts:
                part()

    @singledispatchmethod
    def of(self, value: Any) -> PutBack:
        """Return a function that puts a value back and returns it."""
        kept = copy.deepcopy(value)
        return lambda: copy.deepcopy(kept)

    @of.register
    def _(self, value: Tensor) -> PutBack:
        if id(value) not in self._tensors:
            self._tensors[id(value)] = self._tensor(value)
        return self._tensors[id(value)]

    @of.register
    def _(self, value: dict) -> PutBack:  # type: ignore[type-arg]
        kept = {key: self.of(one) for key, one in value.items()}

        def put_back() -> Any:
            found = {key: one() for key, one in kept.items()}
            value.clear()
            value.update(found)
            return value

        return put_back

    @of.register
    def _(self, value: list) -> PutBack:  # type: ignore[type-arg]
        kept = [self.of(one) for one in value]

        def put_back() -> Any:
            value[:] = [one() for one in kept]
            return value

        return put_back

    def _tensor(self, value: Tensor) -> PutBack:
        if nn.parameter.is_lazy(value):
            raise UsageError("the model has lazy parameters: run a batch through it before the range test")
        data, leaf, trained = value.detach().to("cpu", copy=True), value.is_leaf, value.requires_grad
        gradient = self.of(value.grad) if leaf else None

        def put_back() -> Tensor:
            value.copy_(data)
            if gradient is not None:
                value.requires_grad_(trained).grad = gradient()
            return value

        return put_back


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _attributes(owner: Any, settings: dict[str, Any]) -> PutBack:
    def put_back() -> None:
        for name, value in settings.items():
            if getattr(owner, name, None) is not value:
                setattr(owner, name, value)

    return put_back


def _state_of(other: Any) -> PutBack:
    for give, take in _PAIRS:
        if callable(getattr(other, give, None)) and callable(getattr(other, take, None)):
            kept = copy.deepcopy(getattr(other, give)())
            return lambda: getattr(other, take)(copy.deepcopy(kept))
    text = "must be objects with state_dict and load_state_dict, or get_state and set_state"
    raise ArgumentError(f"also {text} (got a {type(other).__name__})")
