"""Where a function is defined, and what it knows: its module's names, what it closes over, its object."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
from collections.abc import Mapping
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any

from lrbench.errors import ConfigError, option


def unwritable(why: str) -> ConfigError:
    """Return the error for a schedule that can't be written out."""
    problem = f"can't be written out as code ({why}), which a complete script needs; leave out {option('--standalone')}"
    return ConfigError(problem, key="schedule")


def unbound(function: Any, bound: Mapping[str, Any]) -> tuple[FunctionType, dict[str, Any]]:
    """Return a method's function, with the object as the value of its first parameter."""
    if isinstance(function, MethodType):
        plain = function.__func__
        first = next(iter(inspect.signature(plain).parameters))
        assert isinstance(plain, FunctionType)
        return plain, {first: function.__self__, **bound}
    if not isinstance(function, FunctionType) or not function.__module__.startswith("lrbench."):
        raise unwritable(f"it is {getattr(function, '__qualname__', function)!s:.60}, which is not lrbench's own")
    return function, dict(bound)


def closed_over(function: FunctionType) -> dict[str, Any]:
    """Return the values of all names that a function can read, but for its own variables."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {**vars(builtins), **function.__globals__, **{name: cell.cell_contents for name, cell in cells}}


@functools.cache
def _parsed(file: str) -> ast.Module:
    return ast.parse(Path(file).read_text(encoding="utf-8"))


def definition_of(code: CodeType) -> ast.FunctionDef | ast.Lambda:
    """Find the definition of a function in its file; of several lambdas in a line by the columns of the code."""
    kinds = ast.Lambda if code.co_name == "<lambda>" else ast.FunctionDef
    found = [node for node in ast.walk(_parsed(code.co_filename)) if isinstance(node, kinds)]
    if kinds is ast.Lambda:
        places = [(line, column) for line, _, column, end in code.co_positions() if line and end]
        found = [node for node in found if all(_holds(node, *place) for place in places)]
        return min(found, key=lambda node: (node.end_lineno or 0, node.end_col_offset or 0))  # the innermost
    return next(n for n in found if n.lineno == code.co_firstlineno and n.name == code.co_name)  # type: ignore[union-attr]


def _holds(node: ast.expr | ast.stmt, line: int, column: int | None) -> bool:
    end = (node.end_lineno or 0, node.end_col_offset or 0)
    return (node.lineno, node.col_offset) <= (line, column or 0) < end
