"""Catalogs: build an object from `{name, parameters}`.

A `Catalog` maps the names that a config may use to factories. The run passes what it knows (the number of classes, the
peak learning rate, …) to a factory as *context*, by keyword. All other parameters of the factory belong to the config
and are checked against their annotations. A name with a colon is imported.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import TypeAdapter

from lrbench.errors import ConfigError, UserCodeError, choices, reason_of
from lrbench.types import Part, adapter, checked, documented, load_object, with_tensors


@dataclass(frozen=True)
class Parameter:
    """A parameter of a catalog entry, as people read it; no default if it is required."""

    name: str
    default: str
    required: bool
    meaning: str = ""


@dataclass(frozen=True)
class Described:
    """What people read of a catalog entry.

    Attributes:
        paragraphs: its docstring; of code that is not lrbench's, the first paragraph.
        parameters: those that a config may set.
        origin: the class or function that they and their defaults come from; empty if it is lrbench's own.
    """

    paragraphs: Sequence[str]
    parameters: Sequence[Parameter]
    origin: str = ""


class Others(Protocol):
    """Entries that other installed tools have, found without importing these."""

    def find(self, name: str) -> Callable[..., Any] | None:
        """Return the factory of a name that may be another tool's; None if it can't be."""

    def summaries(self) -> dict[str, str]:
        """Return the known names, each with a short description."""

    def open_namespaces(self) -> list[str]:
        """Return the namespaces whose names are unknown, since the tool is not installed."""


_MOST_COMPLETED = 4096


@dataclass(frozen=True)
class Catalog:
    """The factories for one kind of part.

    Args:
        kind: the config key of such parts, such as `schedule`.
        entries: name → factory.
        context: parameters that the run fills in and a config can't set.
        refused: name → why it is not supported.
        aliases: alternative name → the entry or import string it stands for.
        elsewhere: parameter of another tool → what a config has instead, for messages.
        foreign: True if entries are another library's classes, which keep their own defaults and check their own
            parameters.
        others: what other tools have besides the entries; it keeps their defaults too.
        later: parameters, or `entry.parameter`, that are younger than the first identities; see `identified`.
    """

    kind: str
    entries: Mapping[str, Callable[..., Any]]
    context: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    foreign: bool = False
    others: Others | None = None
    later: frozenset[str] = frozenset()
    _completed: dict[tuple[str, str, Callable[..., Any]], str] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """The completed parameters, as JSON, by what was asked for: the runs of a sweep have the same few parts."""

    def canonical(self, part: Part) -> Part:
        """Return the part with an alias replaced by the name it stands for."""
        return Part(self.aliases[part.name], part.params) if part.name in self.aliases else part

    def factory(self, part: Part, key: str = "") -> Callable[..., Any]:
        """Return the factory of a part. Raises ConfigError for an unknown name or a failed import."""
        part = self.canonical(part)
        if part.imported:
            imported: Callable[..., Any] = load_object(part.name, key or self.kind)
            return imported
        if part.name in self.refused:
            raise ConfigError(f"{part.name} can't be used: {self.refused[part.name]}", key=key or self.kind)
        other = None if part.name in self.entries or self.others is None else self.others.find(part.name)
        if other is not None:
            return other
        if part.name not in self.entries:
            one = "metric" if self.kind == "metrics" else self.kind
            problem = f"unknown {one} '{part.name}'; {self._choices(part.name)}"
            raise ConfigError(f"{problem}, or 'package.module:name'", key=f"{key or self.kind}.name")
        return self.entries[part.name]

    def _choices(self, wrong: str) -> str:
        """Return the names to choose from: those of the given namespace, or else those without one."""
        names = [*self.entries, *self.refused, *self.aliases, *self.of_others()]
        namespaces = {name.partition("/")[0] for name in names if "/" in name}
        meant, slash, _ = wrong.partition("/")
        if slash and meant in namespaces:
            return choices(wrong, [name for name in names if name.startswith(f"{meant}/")])
        others = f"; names from other tools start with {', '.join(f'{n}/' for n in sorted(namespaces))}"
        return choices(wrong, [name for name in self.entries if "/" not in name]) + (others if namespaces else "")

    def complete(self, part: Part, key: str = "") -> Part:
        """Check a part's values and fill in lrbench's defaults; imported and foreign parts are returned unchanged.

        Raises:
            ConfigError: unknown name, unknown or missing parameter, or invalid value.
        """
        key = key or self.kind
        part = self.canonical(part)
        if part.imported:
            return part
        factory = self.factory(part, key)
        if self.foreign or part.name not in self.entries:
            return part
        asked = part.name, repr(part.params), factory
        if asked not in self._completed:
            if len(self._completed) >= _MOST_COMPLETED:
                self._completed.clear()
            self._completed[asked] = json.dumps(self._complete(part, factory, key))
        return Part(part.name, json.loads(self._completed[asked]))

    def _complete(self, part: Part, factory: Callable[..., Any], key: str) -> dict[str, Any]:
        known = self._own(factory)
        self._check_names(part, known, key)
        params = {}
        for name, parameter in known.items():
            if name in part.params or parameter.default is not parameter.empty:
                value = checked(part.params.get(name, parameter.default), _adapter(parameter), f"{key}.{name}")
                params[name] = _adapter(parameter).dump_python(value, mode="json")
        return params

    def identified(self, part: Part) -> Part:
        """Return a completed part without younger parameters at their defaults, so that identities stay."""
        if part.imported or part.name not in self.entries:
            return part
        young = {name for name in part.params if {name, f"{part.name}.{name}"} & self.later}
        known = _parameters(self.entries[part.name]) if young else {}
        kept = {n: v for n, v in part.params.items() if n not in young or v != known[n].default}
        return Part(part.name, kept)

    def build(self, part: Part, key: str = "", *, fallback: Mapping[str, Any] | None = None, **context: Any) -> Any:
        """Call the part's factory with its parameters and the context that it accepts.

        `fallback` is extra context for a factory that takes any keyword; it is dropped if the factory raises TypeError.

        Raises:
            ConfigError: invalid parameters, or the factory rejected them (ValueError, TypeError, AssertionError).
            UserCodeError: an imported factory raised anything else.
        """
        key = key or self.kind
        part = self.canonical(part)
        factory = self.factory(part, key)
        ours = part.name in self.entries and not self.foreign
        try:
            signature = inspect.signature(factory).parameters
        except (ValueError, TypeError):
            return self._call(factory, part, key, part.params)
        accepts_any = any(p.kind is p.VAR_KEYWORD for p in signature.values())
        offered = {n: v for n, v in context.items() if n in signature}
        params = dict(part.params) if ours else with_tensors(factory, part.params, key)
        if ours:
            known = self._own(factory)
            self._check_names(part, known, key)
            params = {n: checked(v, _adapter(known[n]), f"{key}.{n}") for n, v in params.items()}
        elif not accepts_any:
            names = {n: p for n, p in signature.items() if n not in self.context or part.imported}
            self._check_names(part, names, key, required=[n for n in names if n not in offered])
        if accepts_any and fallback:
            try:
                return self._call(factory, part, key, {**fallback, **offered, **params})
            except ConfigError as error:
                if not isinstance(error.__cause__, TypeError):
                    raise
        return self._call(factory, part, key, {**offered, **params})

    def _call(self, factory: Callable[..., Any], part: Part, key: str, arguments: Mapping[str, Any]) -> Any:
        try:
            return factory(**arguments)
        except ConfigError as error:
            if error.key:
                raise
            raise ConfigError(error.problem, key=key) from error
        except (ValueError, TypeError, AssertionError) as error:
            raise ConfigError(f"{part.name} rejected its parameters: {reason_of(error)}", key=key) from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if part.imported:
                raise UserCodeError.of(f"{key}: {part.name}", error) from error
            raise

    def _own(self, factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
        """Return the parameters that a config may set."""
        return {n: p for n, p in _parameters(factory).items() if n not in self.context and p.kind is not p.VAR_KEYWORD}

    def _check_names(
        self, part: Part, known: Mapping[str, inspect.Parameter], key: str, required: list[str] | None = None
    ) -> None:
        for name in part.params:
            if name not in known:
                hint = self.elsewhere.get(name) or (choices(name, known) if known else "it has no parameters")
                raise ConfigError(f"'{part.name}' has no parameter '{name}'; {hint}", key=f"{key}.{name}")
        for name in known if required is None else required:
            parameter = known[name]
            variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            if parameter.default is parameter.empty and name not in part.params and not variadic:
                raise ConfigError(f"'{part.name}' needs the parameter '{name}'", key=key)

    def settings(self, name: str) -> dict[str, inspect.Parameter]:
        """Return what a config may set of one of lrbench's own entries, with evaluated annotations."""
        return self._own(self.entries[name])

    def described(self, name: str) -> Described:
        """Return what people read of an entry, or of what an import string names. Raises like `factory`."""
        factory = self.factory(Part(name=name))
        if not callable(factory):
            raise ConfigError(f"'{name}' is neither a class nor a function, so it can't make a {self.kind}")
        home = getattr(factory, "described", factory)
        ours = home.__module__.startswith("lrbench.")
        paragraphs, meanings = documented(factory)
        parameters = [
            Parameter(n, "" if p.default is p.empty else _shown(p.default), p.default is p.empty, meanings.get(n, ""))
            for n, p in inspect.signature(factory).parameters.items()
            if n not in self.context and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        origin = "" if ours and not self.foreign else f"{home.__module__}.{home.__qualname__}"
        return Described(paragraphs if ours else paragraphs[:1], parameters, origin)

    def names(self) -> dict[str, str]:
        """Return all names that a config may use, each with a line on what it is: entries, aliases, other tools'."""
        stands_for = {other: _meant(name) for other, name in self.aliases.items()}
        return {name: self.summary(name) for name in self.entries} | stands_for | self.of_others()

    def of_others(self) -> dict[str, str]:
        """Return what other installed tools have besides the entries, each with a short description."""
        known = {} if self.others is None else self.others.summaries()
        return {name: text for name, text in known.items() if name not in {*self.entries, *self.refused}}

    def open_namespaces(self) -> list[str]:
        """Return the namespaces of other tools in which any name is taken."""
        return [] if self.others is None else self.others.open_namespaces()

    def summary(self, name: str) -> str:
        """Return the first line of an entry's docstring."""
        return (inspect.getdoc(self.entries[name]) or "").partition("\n")[0]


@functools.lru_cache(maxsize=512)
def _parameters(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return a factory's parameters, with evaluated annotations.

    That of the return value stays: it may name a torch class that is imported for type checkers alone.
    """
    known = dict(inspect.signature(factory).parameters)
    function: Any = factory.__init__ if isinstance(factory, type) else factory  # type: ignore[misc]
    names = getattr(function, "__globals__", {})
    for name, parameter in known.items():
        if isinstance(parameter.annotation, str):
            known[name] = parameter.replace(annotation=eval(parameter.annotation, names))
    return known


def _adapter(parameter: inspect.Parameter) -> TypeAdapter[Any]:
    return adapter(Any if parameter.annotation is parameter.empty else parameter.annotation)


def _meant(name: str) -> str:
    """Say what an alias stands for: an entry, or an import string."""
    module, colon, path = name.partition(":")
    return f"{path} of {module}." if colon else f"The same as {name}."


def _shown(default: object) -> str:
    return "null" if default is None else str(default).lower() if isinstance(default, bool) else str(default)
