"""Safe YAML that reads `1e-3` as a number and records the place of every key."""

from __future__ import annotations

import contextlib
import copy
import functools
import re
from pathlib import Path
from typing import Any

import yaml

from lrbench.config.bundled import near_configs
from lrbench.config.files import read_bytes
from lrbench.errors import ConfigError

Path_ = tuple[str, ...]
Places = dict[Path_, str]
"""The place of each key: ("optimizer", "lr") → "configs/baseline.yaml:6"."""

_MAX_BYTES = 1_000_000
_MAX_VALUES = 20_000  # an alias bomb is small on disk and grows when it is read
_MAX_DEPTH = 50


class _TooManyError(yaml.MarkedYAMLError):
    pass


class Loader(yaml.SafeLoader):
    """Reads scalars as configs have them, and stops at too many values before it has read them all."""

    composed = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose the next node; keys are nodes too."""
        self.composed += 1
        if self.composed > 2 * _MAX_VALUES:
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            raise _TooManyError(problem_mark=event.start_mark)
        return super().compose_node(parent, index)


# YAML 1.1, as in PyYAML, requires a dot and a signed exponent in a float (people write 1e-3), reads 010 as 8 and 1:30
# as 90, and turns 2020-01-01 into a date. Here numbers are decimal and the rest is text.
Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if not tag.endswith((":float", ":int", ":timestamp"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?[0-9][0-9_]*$"), list("-+0123456789"))
Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(str(node.value).replace("_", "")))
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"[-+]?(?:(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))$|\.(?:nan|NaN|NAN)$"
    ),
    list("-+0123456789."),
)


_C: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # missing without libyaml


class _FastLoader(_C):  # type: ignore[misc]
    """The same in C, eight times as fast, only for short texts: deep nesting could overflow its stack."""

    yaml_implicit_resolvers = Loader.yaml_implicit_resolvers
    yaml_constructors = Loader.yaml_constructors


_SHORT = 4000  # characters


def read(path: Path) -> tuple[dict[str, Any], Places]:
    """Read the mapping in a YAML file and the place of each key.

    Raises:
        ConfigError: no such file, not YAML, not UTF-8, empty, or not a mapping.
    """
    shown = str(path)
    try:
        raw = read_bytes(path, _MAX_BYTES)
    except FileNotFoundError:
        problem = "is a broken link" if path.is_symlink() else f"no such file{near_configs(path)}"
        raise ConfigError(problem, where=shown) from None
    except IsADirectoryError:
        raise ConfigError("is a folder; name a config in it", where=shown) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=shown) from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError("is not UTF-8 text", where=f"{shown}:{line}") from None
    value, places = _of_blocks(text, shown) or copy.deepcopy(_parsed(text, shown))
    if value is None:
        raise ConfigError("is empty; a config needs at least dataset, model, optimizer and epochs", where=shown)
    if not isinstance(value, dict):
        kind = "list" if isinstance(value, list) else "single value"
        raise ConfigError(f"must be a mapping (key: value), not a {kind}", where=f"{shown}:1")
    return value, places


def _of_blocks(text: str, shown: str) -> tuple[dict[str, Any], Places] | None:
    """Parse a mapping key by key, each with its value; None for YAML that can't be taken apart like that.

    The configs of a sweep differ in a few keys, so of a thousand of them nearly all blocks have been parsed before.
    """
    blocks = _BLOCK.findall(text) if len(text) <= _SHORT and not _ACROSS.search(text) else []
    if not blocks or sum(map(len, blocks)) != len(text):
        return None
    found: dict[str, Any] = {}
    places: Places = {(): f"{shown}:1"}
    line = 1
    for block in blocks:
        parsed = _block(block)
        if parsed is None or parsed[0] in found:
            return None
        key, value, lines = parsed
        found[key] = _copy(value)
        places |= {path: f"{shown}:{line + below}" for path, below in lines}
        line += block.count("\n")
    return found, places


_BLOCK = re.compile(r"[A-Za-z_]+:(?:[ ][^\n]*)?\n(?:(?:[ -][^\n]*)?\n)*")
_ACROSS = re.compile(r"[&*%!\t]|^---|^\.\.\.", re.MULTILINE)
"""What may have a meaning for other blocks: anchors, aliases, directives, tags and the limits of documents."""


@functools.lru_cache(maxsize=4096)
def _block(text: str) -> tuple[str, Any, tuple[tuple[Path_, int], ...]] | None:
    """Parse a key and its value, with the lines of all keys; None if it has another form."""
    with contextlib.suppress(yaml.YAMLError, ValueError, OverflowError, ConfigError):
        value, places = _built(_FastLoader(text), "")
        if isinstance(value, dict) and len(value) == 1:
            (key,) = value
            lines = tuple((path, int(place[1:]) - 1) for path, place in places.items() if path)
            return key, value[key], lines
    return None


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(one) for key, one in value.items()}
    return [_copy(one) for one in value] if isinstance(value, list) else value


@functools.lru_cache(maxsize=4)
def _parsed(text: str, shown: str) -> tuple[Any, Places]:
    """Parse and cache: the same text is often read twice in a row, once for its values and once to validate it."""
    return parse(text, shown)


def parse(text: str, shown: str) -> tuple[Any, Places]:
    """Parse a YAML text; `shown` names it in messages. Raises ConfigError."""
    if len(text) <= _SHORT:
        with contextlib.suppress(yaml.YAMLError, ValueError, OverflowError):  # the other loader reports the error
            return _built(_FastLoader(text), shown)
    return _translated(text, shown, Loader, _Builder)


def parse_foreign(text: str, shown: str) -> Any:
    """Parse YAML that another program wrote: with any keys, and of its objects the plain values. Raises ConfigError."""
    return _translated(text, shown, _ForeignLoader, _ForeignBuilder)[0]


def _translated(text: str, shown: str, kind: type[Loader], builder: type[_Builder]) -> tuple[Any, Places]:
    """Parse a text; errors of YAML become a ConfigError."""
    try:
        loader = kind(text)
    except yaml.reader.ReaderError as error:
        where = f"{shown}:{text[: error.position].count(chr(10)) + 1}"
        problem = f"contains the character {chr(error.character)!r}, which YAML forbids"
        raise ConfigError(problem, where=where) from None
    try:
        return _built(loader, shown, builder)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{shown}:{mark.line + 1}" if mark else shown
        if isinstance(error, _TooManyError):
            raise ConfigError(f"has more than {_MAX_VALUES:,} values", where=where) from None
        raise ConfigError(_in_words(error), where=where) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # an escape such as "\UFFFFFFFF"
        raise ConfigError(f"is not valid YAML: {error}", where=shown) from None
    except RecursionError:
        raise ConfigError("is nested too deeply", where=shown) from None
    finally:
        loader.dispose()


def _in_words(error: yaml.MarkedYAMLError) -> str:
    """Return what is wrong with a YAML text: the frequent mistakes in the words of who wrote it."""
    problem = error.problem or error.context or ""
    known = {
        "found another document": "it has a second document after a line '---'; a config is one, so write two files",
        "found character '\\t'": "it has a tab where YAML allows only spaces",
        "'<stream end>'": "it ends in the middle of a value, such as a bracket that is not closed",
        "found undefined alias": f"{problem[6:]}; &name defines what *name repeats",
    }
    return f"is not valid YAML: {next((said for part, said in known.items() if part in problem), problem)}"


def _built(loader: Any, shown: str, kind: type[_Builder] | None = None) -> tuple[Any, Places]:
    node = loader.get_single_node()
    builder = (kind or _Builder)(loader, shown)
    return (None if node is None else builder.value(node, ())), builder.places


def path_of(key: str) -> Path_:
    """Split `schedule.parts[1].name` into a path."""
    return tuple(key.replace("[", ".").replace("]", "").split("."))


def place_of(places: Places, path: Path_) -> str:
    """Return the place of the key at `path`, or of the nearest enclosing one."""
    return next((places[path[:n]] for n in range(len(path), -1, -1) if path[:n] in places), "")


class _Builder:
    """Converts nodes to plain values and records the line of each key."""

    def __init__(self, loader: Any, shown: str) -> None:
        self.loader, self.shown = loader, shown
        self.places: Places = {}
        self.values = 0

    def value(self, node: yaml.Node, path: Path_) -> Any:
        self.values += 1
        where = f"{self.shown}:{node.start_mark.line + 1}"
        if self.values > _MAX_VALUES:
            raise ConfigError(f"has more than {_MAX_VALUES:,} values, including aliases", where=where)
        if len(path) > _MAX_DEPTH:
            raise ConfigError("is nested too deeply", where=where)
        self.places.setdefault(path, where)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, str(i))) for i, item in enumerate(node.value)]
        return self._scalar(node, path, where)

    def _scalar(self, node: yaml.Node, path: Path_, where: str) -> Any:
        try:
            value = self.loader.construct_object(node)
            return _whole(value) if isinstance(value, str) else value
        except (ArithmeticError, AttributeError, LookupError, ValueError):  # what PyYAML raises for a bad value
            kind = node.tag.rpartition(":")[2]
            problem = f"is not valid YAML: '{node.value:.40}' does not fit its type, {kind}"
            raise ConfigError(problem, key=".".join(path), where=where) from None

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            where = f"{self.shown}:{key_node.start_mark.line + 1}"
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged = {**self._merged(value_node, path, where), **merged}
                continue
            key = self._key(key_node, path, where)
            if not isinstance(key, str):
                raise ConfigError(f"a key must be text (got {key!r})", where=where)
            inner = (*path, key)
            if key in result:
                raise ConfigError(
                    f"is given twice; the other is at {self.places[inner]}", key=".".join(inner), where=where
                )
            self.places[inner] = where
            result[key] = self.value(value_node, inner)
        return {**merged, **result}

    def _key(self, node: yaml.Node, path: Path_, where: str) -> Any:
        """Return a key; `on`, which YAML 1.1 reads as true, is text, as in `plateau: {growth: {on: plateau}}`."""
        if not isinstance(node, yaml.ScalarNode):
            return None
        return "on" if node.value == "on" else self._scalar(node, path, where)

    def _merged(self, node: yaml.Node, path: Path_, where: str) -> dict[str, Any]:
        """Resolve `<<: *other`. PyYAML's own merge multiplies nodes before they can be counted."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        values = [self.value(inner, path) for inner in nodes]
        if not all(isinstance(value, dict) for value in values):
            raise ConfigError("`<<` takes a mapping, or a list of them", key=".".join(path), where=where)
        return {k: v for value in reversed(values) for k, v in value.items()}


class _ForeignLoader(Loader):
    pass


_ForeignLoader.add_multi_constructor("", lambda loader, tag, node: node.value or tag.rpartition(".")[2])


class _ForeignBuilder(_Builder):
    def _key(self, node: yaml.Node, path: Path_, where: str) -> Any:
        return str(node.value) if isinstance(node, yaml.ScalarNode) else None


def _whole(text: str) -> str:
    """Join surrogate pairs, as JSON escapes them, to characters. Raises ValueError."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16")
