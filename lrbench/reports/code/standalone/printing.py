"""Syntax trees as Python source in the layout of `ruff format`, without annotations and comments."""

from __future__ import annotations

import ast
import copy
import itertools
import re
import textwrap
from collections.abc import Sequence

from lrbench.reports.code.text import WIDTH, Raw, call, layout, literal

_SIMPLE = (ast.Name, ast.Constant, ast.Attribute)


def printed(statements: Sequence[ast.stmt], indent: int = 0) -> list[str]:
    """Return the lines of statements; functions and classes are set apart by blank lines."""
    lines: list[str] = []
    for before, statement in itertools.pairwise([None, *statements]):
        assert statement is not None
        apart = isinstance(statement, ast.FunctionDef | ast.ClassDef)
        if before is not None and (apart or isinstance(before, ast.FunctionDef | ast.ClassDef)):
            lines += [""] * (1 if indent else 2)
        lines += _Lines(indent).visit(statement)
    return lines


def expression(node: ast.expr) -> str:
    """Return an expression on one line."""
    return ast.unparse(_Layout().visit(node))


class _Lines(ast.NodeVisitor):
    """Return the lines of a statement."""

    def __init__(self, indent: int) -> None:
        self.indent, self.space = indent, " " * indent

    def body(self, statements: Sequence[ast.stmt]) -> list[str]:
        return printed(statements, self.indent + 4)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> list[str]:
        return [*_signature(node, self.indent), *self.body(node.body)]

    def visit_ClassDef(self, node: ast.ClassDef) -> list[str]:
        doc, head = ast.get_docstring(node), f"class {node.name}({', '.join(map(ast.unparse, node.bases))}):"
        if doc is None:
            return [head, *self.body(node.body)]
        return [head, *_docstring(doc, self.indent + 4), "", *self.body(node.body[1:])]

    def visit_If(self, node: ast.If) -> list[str]:
        lines = [f"{self.space}if {expression(node.test)}:", *self.body(node.body)]
        if len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
            first, *rest = self.visit_If(node.orelse[0])
            return [*lines, first.replace("if ", "elif ", 1), *rest]
        return lines + ([f"{self.space}else:", *self.body(node.orelse)] if node.orelse else [])

    def visit_For(self, node: ast.For) -> list[str]:
        target = expression(node.target)
        target = target[1:-1] if isinstance(node.target, ast.Tuple) else target
        return [f"{self.space}for {target} in {expression(node.iter)}:", *self.body(node.body)]

    def visit_While(self, node: ast.While) -> list[str]:
        return [f"{self.space}while {expression(node.test)}:", *self.body(node.body)]

    def visit_Expr(self, node: ast.Expr) -> list[str]:
        text = node.value.value if isinstance(node.value, ast.Constant) else None
        return _docstring(text, self.indent) if isinstance(text, str) else self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> list[str]:
        assert node.value is not None
        return self.visit_Assign(ast.Assign([node.target], node.value))

    def visit_Assign(self, node: ast.Assign) -> list[str]:
        return self.assigned(f"{expression(copy.deepcopy(node.targets[0]))} = ", node)

    def visit_Return(self, node: ast.Return) -> list[str]:
        return self.assigned("return ", node)

    def assigned(self, head: str, node: ast.Assign | ast.Return) -> list[str]:
        """Write a statement on one line or, if that is too long, a call with one argument on a line."""
        (line,) = self.generic_visit(node)
        value = node.value
        if len(line) <= WIDTH or not isinstance(value, ast.Call):
            return [line]
        named = {str(key.arg): Raw(ast.unparse(key.value)) for key in value.keywords}
        made = call(ast.unparse(value.func), *(Raw(ast.unparse(arg)) for arg in value.args), **named)
        return layout(head, made, indent=self.indent)

    def generic_visit(self, node: ast.AST) -> list[str]:
        """Write any other statement on one line."""
        return [self.space + ast.unparse(ast.fix_missing_locations(_Layout().visit(node)))]


def _docstring(text: str, indent: int) -> list[str]:
    space = " " * indent
    first, *rest = textwrap.wrap(" ".join(text.split()), WIDTH - indent - 6)
    if not rest:
        return [f'{space}"""{first}"""']
    return [f'{space}"""{first}', *(space + line for line in rest), f'{space}"""']


def _signature(node: ast.FunctionDef, indent: int) -> list[str]:
    arguments = node.args
    for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg):
        if one is not None:
            one.annotation = None
    text = re.sub(r"\s+", " ", ast.unparse(ast.fix_missing_locations(_Layout().visit(arguments))))
    line = f"{' ' * indent}def {node.name}({text}):"
    if len(line) <= WIDTH:
        return [line]
    first = len(arguments.args) - len(arguments.defaults)
    lines = [f"{' ' * indent}def {node.name}("]
    for number, one in enumerate(arguments.args):
        value = arguments.defaults[number - first] if number >= first else None
        lines += _parameter(one.arg, value, indent + 4)
    lines += [f"{' ' * indent}    *,"] if arguments.kwonlyargs else []
    for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        lines += _parameter(one.arg, value, indent + 4)
    return [*lines, f"{' ' * indent}):"]


def _parameter(name: str, default: ast.expr | None, indent: int) -> list[str]:
    if default is None:
        return [f"{' ' * indent}{name},"]
    text = ast.unparse(default)
    try:
        return layout(f"{name}=", ast.literal_eval(text), ",", indent)
    except ValueError:  # it names functions
        return [f"{' ' * indent}{name}={text},"]


class _Layout(ast.NodeTransformer):
    """Replace what `ast.unparse` would lay out otherwise by names that are its source."""

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if isinstance(node.value, int) and node.value > 2**32:
            return ast.Name(hex(node.value))  # bits rather than a number
        return ast.Name(literal(node.value)) if isinstance(node.value, str | float) else node

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        self.generic_visit(node)
        if isinstance(node.value, ast.Tuple):
            node.value = ast.Name(", ".join(map(ast.unparse, node.value.elts)))
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        power = isinstance(node.operand, ast.BinOp) and isinstance(node.operand.op, ast.Pow)
        self.generic_visit(node)
        return ast.Name(f"-({ast.unparse(node.operand)})") if power and isinstance(node.op, ast.USub) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        return node if isinstance(node.value, ast.Constant) else ast.Expr(self.visit(node.value))

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        base, power = node.left, node.right
        simple = isinstance(base, _SIMPLE) and isinstance(power, _SIMPLE) and isinstance(node.op, ast.Pow)
        self.generic_visit(node)
        return ast.Name(f"{ast.unparse(node.left)}**{ast.unparse(node.right)}") if simple else node

    def visit_Slice(self, node: ast.Slice) -> ast.expr:
        parts = [part for part in (node.lower, node.upper, node.step) if part is not None]
        plain = all(isinstance(part, ast.Name | ast.Constant) for part in parts)
        self.generic_visit(node)
        if plain or node.step is None:
            return ast.Name(_slice(node, ":" if plain else " : "))
        return ast.Name(f"{ast.unparse(node.lower) + ' ' if node.lower else ''}:: {ast.unparse(node.step)}")


def _slice(node: ast.Slice, colon: str) -> str:
    texts = ["" if part is None else ast.unparse(part) for part in (node.lower, node.upper)]
    return colon.join(texts).strip() + (f":{ast.unparse(node.step)}" if node.step is not None else "")
