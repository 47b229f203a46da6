"""The source of lrbench's own models and of its order of the data, as plain PyTorch.

It is read from the files without importing them, which would import torch. What serves only lrbench is left out: the
maximal update parametrization, checks, annotations, and operations that are faster on a CPU.
"""

from __future__ import annotations

import ast
import builtins
import copy
import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrbench.reports.code.standalone.pruning import Pruner

NETS, GPT, OPS, BATCHES = (
    f"lrbench.components.{name}" for name in ("models.nets", "models.gpt", "models.cpu_ops", "data.batches")
)
_LEFT_OUT = ("growth", "scale", "rng", "spare")
"""Arguments and attributes that a model in the standard parametrization, trained alone, does not need."""


@functools.cache
def _module(name: str) -> dict[str, ast.stmt]:
    """Return the definitions of a module by name, and its constants."""
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    found: dict[str, ast.stmt] = {}
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node
    return found


def definition(module: str, name: str, known: Mapping[str, Any] | None = None, doc: str = "") -> ast.stmt:
    """Return a class, a function or a constant of a module as plain PyTorch.

    Args:
        module: the module.
        name: the name in it.
        known: values of parameters, by which branches are chosen; those that are no numbers are parameters no longer.
        doc: its docstring, instead of its own.
    """
    node: ast.stmt = _Plain().visit(copy.deepcopy(_module(module)[name]))
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        text = doc or (ast.get_docstring(node) or "").partition("\n\n")[0]
        body = node.body[1:] if ast.get_docstring(node) else node.body
        if isinstance(node, ast.FunctionDef):
            body = Pruner({**vars(builtins), **(known or {})}, set()).statements(body)
            gone = {key for key, value in (known or {}).items() if not isinstance(value, float)}
            node.args.args = [one for one in node.args.args if one.arg not in gone]
        node.body = [ast.Expr(ast.Constant(text)), *body] if text and not text.startswith("See ") else body
    return ast.fix_missing_locations(node)


def _without_returned_names(body: list[ast.stmt]) -> list[ast.stmt]:
    """Write `return …` instead of `out: Tensor = …` and `return out`."""
    *before, last = body
    kept = before[-1] if before else None
    if isinstance(kept, ast.AnnAssign) and isinstance(last, ast.Return) and isinstance(last.value, ast.Name):
        return [*before[:-1], ast.Return(kept.value)]
    return body


class _Plain(ast.NodeTransformer):
    """Leave out what only lrbench needs."""

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        node.name = node.name.lstrip("_")
        self.generic_visit(node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.name = node.name if node.name.startswith("__") else node.name.lstrip("_")
        arguments, node.returns = node.args, None
        kept = [one for one in arguments.args if one.arg not in _LEFT_OUT]
        arguments.defaults = arguments.defaults[: len(arguments.defaults) - (len(arguments.args) - len(kept))]
        arguments.args = kept
        node.body = _without_returned_names(node.body)
        self.generic_visit(node)
        return node

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(node.id.lstrip("_") or "_", node.ctx)

    def visit_Attribute(self, node: ast.Attribute) -> ast.Attribute:
        self.generic_visit(node)
        return ast.Attribute(node.value, node.attr if node.attr.startswith("__") else node.attr.lstrip("_"), node.ctx)

    def visit_Assign(self, node: ast.Assign) -> ast.Assign | None:
        name = getattr(node.targets[0], "id", None) or getattr(node.targets[0], "attr", None)
        self.generic_visit(node)
        return None if name in (*_LEFT_OUT, "memory_format") else node

    def visit_Assert(self, node: ast.Assert) -> None:
        return None

    def visit_Try(self, node: ast.Try) -> Any:
        return [self.visit(one) for one in node.body]

    def visit_If(self, node: ast.If) -> Any:
        self.generic_visit(node)
        return None if isinstance(node.body[-1], ast.Raise) or "STACKED" in ast.unparse(node.test) else node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        node.args = [one for one in node.args if getattr(one, "id", None) not in _LEFT_OUT]
        node.keywords = [
            one for one in node.keywords if one.arg not in _LEFT_OUT and getattr(one.value, "id", None) not in _LEFT_OUT
        ]
        called = ast.unparse(node.func)
        first, *rest = [ast.unparse(one) for one in node.args] or [""]
        if called == "output_layer":
            node.func = ast.Attribute(ast.Name("nn"), "Linear")
        plain = {
            "conv_pool": lambda: f"F.max_pool2d({first}({rest[0]}), 2)",
            "whole": lambda: first,
            "flat_linear": lambda: f"{first}({rest[0]}.flatten(1))",
            "causal_attention": lambda: (
                f"F.scaled_dot_product_attention({first}, {rest[0]}, {rest[1]}, is_causal=True, dropout_p={rest[2]})"
            ),
            "ReluDropout.apply": lambda: f"F.relu({first}) * {rest[0]} * ({rest[1]})",
        }
        return ast.parse(plain[called](), mode="eval").body if called in plain else node
