"""Kinds of arguments: what the functions that Python users call take, checked in one place."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from lrbench.errors import ArgumentError


@dataclass(frozen=True)
class Kind:
    """What an argument of a Python function may be.

    Args:
        words: what it must be, to follow "must be".
        fits: whether a value is.
    """

    words: str
    fits: Callable[[Any], bool]

    def of(self, name: str, value: Any) -> Any:
        """Return the value of the argument `name`. Raises ArgumentError unless it fits."""
        if not self.fits(value):
            raise ArgumentError(f"{name} must be {self.words} (got {value!r:.60})")
        return value

    def __or__(self, other: Kind) -> Kind:
        return Kind(f"{self.words} or {other.words}", lambda value: self.fits(value) or other.fits(value))


@dataclass(frozen=True)
class Listed:
    """A list, or another iterable, of one kind."""

    words: str
    item: Kind

    def of(self, name: str, value: Any) -> list[Any]:
        """Return the values as a list. Raises ArgumentError, with the number of the one that does not fit."""
        one = isinstance(value, str | Mapping) or self.item.fits(value) or not isinstance(value, Iterable)
        if one:
            raise ArgumentError(f"{name} must be a list of {self.words} (got {value!r:.60})")
        return [self.item.of(f"{name}[{index}]", each) for index, each in enumerate(value)]


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


Paths = str | PathLike[str] | Iterable[str | PathLike[str]]
"""What functions that read runs take: one path, or a list of them."""


@dataclass(frozen=True)
class PathsKind:
    """One path or a list of paths; of functions that take several arguments, each may be either."""

    def of(self, name: str, value: Any) -> list[Any]:
        """Return the paths. Raises ArgumentError, with the number of the one that is none, and if there are none."""
        if PATH.fits(value):
            return [value]
        if isinstance(value, Mapping) or not isinstance(value, Iterable):
            raise ArgumentError(f"{name} must be a path or a list of paths (got {value!r:.60})")
        found = []
        for index, one in enumerate(value):
            several = not PATH.fits(one) and isinstance(one, Iterable) and not isinstance(one, Mapping)
            found += self.of(f"{name}[{index}]", one) if several else [PATH.of(f"{name}[{index}]", one)]
        if not found:
            raise ArgumentError(f"{name} must name at least one folder (got [])")
        return found


def paths_in(given: Any) -> list[Path]:
    """Return the paths among arguments that `PATHS` has checked."""
    return [Path(path) for path in ([given] if PATH.fits(given) else given)]


TEXT, SWITCH, FUNCTION = Kind("text", _is(str)), Kind("True or False", _is(bool)), Kind("a function", callable)
NUMBER, WHOLE = Kind("a number", _is(Real)), Kind("a whole number", _is(Integral))
PATH, NOTHING = Kind("a path", _is(str, PathLike)), Kind("None", lambda value: value is None)
TEXTS, PATHS = Listed("texts", TEXT), PathsKind()

TRACKS = Kind("a tracker's name or block, or a list of them", _is(str, Mapping, list, tuple)) | NOTHING

AT_LEAST_1 = Kind("a whole number, at least 1", lambda value: WHOLE.fits(value) and value >= 1)
AT_LEAST_0 = Kind("a whole number, at least 0", lambda value: WHOLE.fits(value) and value >= 0)

P = ParamSpec("P")
R = TypeVar("R")


def arguments(**kinds: Kind | Listed | PathsKind) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function that Python users call: check its arguments and turn iterables into lists."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError as error:
                raise ArgumentError(f"{function.__name__}: {error}") from None
            bound.arguments |= {name: kinds[name].of(name, v) for name, v in bound.arguments.items() if name in kinds}
            return function(*bound.args, **bound.kwargs)

        return call

    return decorate
