"""Leave out of code what known values decide: branches that are never taken, and checks that only raise errors."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

UNKNOWN = object()
"""The value of an expression that depends on a function's own variables."""


class Pruner(ast.NodeTransformer):
    """Leave out what known values decide.

    Args:
        known: the values of names.
        local: names of the function's own variables, whose values are unknown.
    """

    def __init__(self, known: Mapping[str, Any], local: set[str]) -> None:
        self.known, self.local = dict(known), set(local)

    def statements(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Return the statements that are left."""
        left: list[ast.stmt] = []
        for one in body:
            found = self.visit(one)
            left += found if isinstance(found, list) else [] if found is None else [found]
            if left and isinstance(left[-1], ast.Return):
                break
        return left

    def value(self, node: ast.expr) -> Any:
        """Return an expression's value, `UNKNOWN` if it depends on the function's own variables."""
        names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
        if names & self.local or not names <= self.known.keys():
            return UNKNOWN
        try:
            return eval(compile(ast.fix_missing_locations(ast.Expression(node)), "", "eval"), dict(self.known))
        except Exception:
            return UNKNOWN

    def decided(self, node: ast.expr) -> bool | None:
        """Return whether a condition is known to hold, or not to hold; else None."""
        decisive = isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or)
        if isinstance(node, ast.BoolOp) and any(self.decided(one) is decisive for one in node.values):
            return decisive  # the others, which only compute, don't matter
        found = self.value(node)
        return None if found is UNKNOWN else bool(found)

    def visit_If(self, node: ast.If) -> Any:
        """Leave out the branch that is never taken, and checks that only raise."""
        decided = self.decided(node.test)
        if decided is not None:
            return self.statements(node.body if decided else node.orelse)
        if isinstance(node.body[-1], ast.Raise) and not node.orelse:
            return None
        test, body = self.visit(node.test), self.statements(node.body)
        return ast.If(test, body, self.statements(node.orelse))

    def visit_For(self, node: ast.For) -> ast.For:
        """Visit a loop."""
        return ast.For(node.target, self.visit(node.iter), self.statements(node.body), [])

    def visit_While(self, node: ast.While) -> ast.While:
        """Visit a loop."""
        return ast.While(self.visit(node.test), self.statements(node.body), [])

    def visit_Try(self, node: ast.Try) -> list[ast.stmt]:
        """Leave out the handlers, which only explain an error."""
        return self.statements(node.body)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Leave it out."""

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        """Leave out the branch that is never taken."""
        decided = self.decided(node.test)
        return self.generic_visit(node) if decided is None else self.visit(node.body if decided else node.orelse)

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        """Leave out the operands that decide nothing."""
        decisive = isinstance(node.op, ast.Or)
        left: list[ast.expr] = []
        for one in node.values:
            decided = self.decided(one)
            if decided is None or (decided is decisive):
                left.append(self.visit(one))
            if decided is decisive:
                break
        if not left:
            return ast.Constant(not decisive)
        return left[0] if len(left) == 1 else ast.BoolOp(node.op, left)

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        """Choose from a table by a known key."""
        key = self.value(node.slice)
        if isinstance(node.value, ast.Dict) and key is not UNKNOWN:
            keys = [self.value(one) for one in node.value.keys if one is not None]
            return self.visit(node.value.values[keys.index(key)])
        return self.generic_visit(node)
