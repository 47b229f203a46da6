"""The source of closures with the values that they hold: schedules as plain functions of the step.

A schedule of lrbench is a closure over numbers and other functions. Its code, taken from the file that defines it, gets
the numbers as default values of its parameters. What the values decide already, such as the branch of a shape, is left
out, and so are checks that can only raise errors.
"""

from __future__ import annotations

import ast
import builtins
import copy
import inspect
from collections.abc import Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from lrbench.reports.code.standalone.functions import closed_over, definition_of, unbound, unwritable
from lrbench.reports.code.standalone.printing import expression, printed
from lrbench.reports.code.standalone.pruning import UNKNOWN, Pruner
from lrbench.schedules import Recorded, WithMomentum

Function = FunctionType | MethodType
Bound = Mapping[str, Any]
SHORT = 30
"""The longest expression of a function that is written in place of its call."""


class Functions:
    """The functions of a script, each before those that call it; `blocks` holds the lines of each."""

    def __init__(self, taken: set[str]) -> None:
        self.blocks: list[list[str]] = []
        self._taken = set(taken)
        self._names: dict[tuple[Any, ...], str] = {}
        self._kept: list[object] = []  # so that no id is used again

    def add(self, function: Any, name: str, *, bound: Bound | None = None, doc: str = "") -> str:
        """Add a function, unless it is there already, and return its name, which is `name` if that is free.

        Args:
            function: a closure, a function of a module, or a bound method.
            name: a name.
            bound: values of some of its parameters, which it then has no longer.
            doc: its docstring.

        Raises:
            ConfigError: it is a function that has no source of this kind.
        """
        if isinstance(function, WithMomentum):
            function = function.lr
        key = (id(getattr(function, "__func__", function)), id(getattr(function, "__self__", None)), repr(bound or {}))
        if key not in self._names:
            self._kept.append(function)
            made = specialized(function, bound or {}, self)
            made.name = self.free(name)
            self._names[key] = made.name
            made.body = [*([ast.Expr(ast.Constant(doc))] if doc else []), *made.body]
            self.blocks.append(printed([made]))
        return self._names[key]

    def record(self, table: Recorded, name: str) -> str:
        """Add the table of what torch's scheduler does, and return its name."""
        if table.scheduler is None:
            raise unwritable("another library computes it")
        found = self.free(name)
        settings = "".join(f", {key}={value!r}" for key, value in table.arguments.items())
        lines = [
            f"def {table.key}_table():",
            f'    """What torch\'s {table.scheduler} does, recorded on an optimizer of its own."""',
            f"    dummy = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr={table.lr!r}, momentum=0.9)",
            f"    scheduler = torch.optim.lr_scheduler.{table.scheduler}(dummy{settings})",
            "    values = []",
            f"    for _ in range({len(table)}):",
            f'        values.append(dummy.param_groups[0]["{table.key}"])',
            "        dummy.step()",
            "        scheduler.step()",
            "    return values",
        ]
        module = ast.parse("\n".join(lines))
        self.blocks += [printed(module.body), [f"{found} = {table.key}_table()"]]
        return found

    def free(self, name: str) -> str:
        """Return the name, or one like it that is free, and take it."""
        name = name.lstrip("_")
        tried = (name, f"{name}_rate", *(f"{name}_{number}" for number in range(2, 1000)))
        found = next(one for one in tried if one not in self._taken)
        self._taken.add(found)
        return found


def specialized(function: Any, bound: Bound, functions: Functions) -> ast.FunctionDef:
    """Return the definition of a function with what it knows written in; the name is still its own."""
    plain, known = unbound(function, bound)
    node = copy.deepcopy(definition_of(plain.__code__))
    body: list[ast.stmt] = [ast.Return(node.body)] if isinstance(node, ast.Lambda) else node.body
    body = body[1:] if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) else body
    names = {*plain.__code__.co_varnames, *plain.__code__.co_cellvars} - known.keys()
    pass_ = Specializer(closed_over(plain) | known, names, functions)
    body = pass_.statements(body)
    arguments = node.args
    arguments.args = [one for one in arguments.args if one.arg not in known]
    made = ast.FunctionDef(plain.__name__, arguments, body, [])
    if pass_.defaults:
        arguments.args += [ast.arg(name) for name in pass_.defaults]
        arguments.defaults += pass_.defaults.values()
    return ast.fix_missing_locations(made)


class Specializer(Pruner):
    """Write known values into code and leave out what they decide.

    Attributes:
        functions: where the functions that it calls go.
        defaults: the numbers and tuples that it uses, by the names of the parameters that they become.
    """

    def __init__(self, known: Mapping[str, Any], local: set[str], functions: Functions) -> None:
        super().__init__(known, local)
        self.functions = functions
        self.defaults: dict[str, ast.expr] = {}

    def shown(self, value: Any, name: str) -> ast.expr:
        """Return what stands for a known value in the code."""
        if isinstance(value, ModuleType):
            return ast.Name(name)
        if value is None or isinstance(value, bool | str):
            return ast.Constant(value)
        if isinstance(value, WithMomentum | FunctionType | MethodType):
            return ast.Name(self.functions.add(value, _named(value, name)))
        if getattr(builtins, name, None) is value:
            return ast.Name(name)
        if isinstance(value, BuiltinFunctionType):
            return ast.Name(value.__name__)
        if isinstance(value, Recorded):
            return ast.Name(self.functions.record(value, name))
        return self.default(name, self.items(value) if isinstance(value, list | tuple) else _number(value))

    def items(self, value: list[Any] | tuple[Any, ...]) -> ast.expr:
        """Return a list or a tuple as a tuple, since a default value should be nothing that can change."""
        return ast.Tuple([self.items(v) if isinstance(v, list | tuple) else self._item(v) for v in value])

    def _item(self, value: Any) -> ast.expr:
        callable_ = isinstance(value, WithMomentum | FunctionType | MethodType)
        return self.shown(value, "rate") if callable_ or value is None or isinstance(value, str) else _number(value)

    def default(self, name: str, value: ast.expr) -> ast.expr:
        """Make a value the default of a parameter; return the value itself if the name is another's."""
        there = self.defaults.get(name)
        if name in self.local or (there is not None and ast.dump(there) != ast.dump(value)):
            return value
        self.defaults[name] = value
        return ast.Name(name)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Write a known value."""
        if not isinstance(node.ctx, ast.Load) or node.id in self.local or node.id not in self.known:
            return node
        return self.shown(self.known[node.id], node.id)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """Write what an object holds, such as the length of the run."""
        found = self.value(node)
        if isinstance(found, BuiltinFunctionType) or found is UNKNOWN or isinstance(self.value(node.value), ModuleType):
            return self.generic_visit(node)  # type: ignore[return-value]
        return self.shown(found, node.attr)

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        """Choose from a table by a known key."""
        key, table = self.value(node.slice), self.value(node.value)
        if isinstance(table, dict) and key is not UNKNOWN and not isinstance(node.value, ast.Dict):
            return self.shown(table[key], str(getattr(node.value, "id", "value")))
        return super().visit_Subscript(node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Call a function that knows its options, or write its short expression in its place."""
        if isinstance(node.func, ast.Name) and node.func.id == "float" and "float" not in self.local:
            inner = node.args[0] if node.args else None
            if isinstance(inner, ast.BinOp):  # float(…) only tells the type checker what it is
                return self.visit(inner)  # type: ignore[no-any-return]
        function = self.value(node.func)
        if not isinstance(function, FunctionType | MethodType | WithMomentum):
            return self.generic_visit(node)  # type: ignore[return-value]
        function = function.lr if isinstance(function, WithMomentum) else function
        arguments = (
            inspect.signature(function).bind(*node.args, **{str(k.arg): k.value for k in node.keywords}).arguments
        )
        values = {name: self.value(arg) for name, arg in arguments.items()}
        bound = {n: v for n, v in values.items() if v is None or isinstance(v, str | bool)}
        left = {name: self.visit(arg) for name, arg in arguments.items() if name not in bound}
        if (short := self._short(function, bound, left)) is not None:
            return short
        called = node.func.value if isinstance(node.func, ast.Subscript) else node.func
        usual = ast.unparse(called).rpartition(".")[2]
        name = self.functions.add(function, _named(function, usual), bound=bound)
        return ast.Call(ast.Name(name), list(left.values()), [])

    def _short(self, function: Any, bound: Bound, arguments: Mapping[str, ast.expr]) -> ast.expr | None:
        """Return a function's expression with the arguments in their places, if it is short."""
        trial = Functions(set())
        made = specialized(function, bound, trial)
        if len(made.body) != 1 or not isinstance(made.body[0], ast.Return) or trial.blocks:
            return None
        found = made.body[0].value
        assert found is not None
        used = [node.id for node in ast.walk(found) if isinstance(node, ast.Name)]
        simple = all(isinstance(arg, ast.Name | ast.Constant) or used.count(n) < 2 for n, arg in arguments.items())
        if len(expression(copy.deepcopy(found))) > SHORT or not simple:
            return None
        own = dict(
            zip([a.arg for a in made.args.args][-len(made.args.defaults) or 10**6 :], made.args.defaults, strict=True)
        )
        places = {name: self.default(name, value) for name, value in own.items() if name not in arguments}
        return _Replaced({**places, **arguments}).visit(found)  # type: ignore[no-any-return]


class _Replaced(ast.NodeTransformer):
    def __init__(self, places: Mapping[str, ast.expr]) -> None:
        self.places = places

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return copy.deepcopy(self.places.get(node.id, node))


def _number(value: Any) -> ast.expr:
    if not isinstance(value, int | float):
        raise unwritable(f"it holds a {type(value).__name__}")
    return ast.Constant(value) if value >= 0 else ast.UnaryOp(ast.USub(), ast.Constant(-value))


def _named(function: Any, name: str) -> str:
    """Return a function's own name; of a schedule that of its factory, of another lambda that of its variable."""
    function = function.lr if isinstance(function, WithMomentum) else function
    factory, _, inner = str(function.__qualname__).partition(".<locals>.")
    if name in ("schedule", "rate") and inner:
        return str(factory.rpartition(".")[2])
    return name if function.__name__ == "<lambda>" else str(function.__name__)
