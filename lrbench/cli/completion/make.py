"""Make the table of what can be completed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text
from typer.main import get_command

from lrbench.cli.catalogue import CATALOGUES, described_configs
from lrbench.cli.starters import STARTERS
from lrbench.config import TRACKERS, schema

_SOURCES = {
    "--baseline": "labels", "--columns": "columns", "--filter": "filters", "--metric": "metrics", "--out": "folders",
    "--runs": "folders", "--schedule": "schedules", "--target": "targets", "--set": "set",
}  # fmt: skip
"""The sources of options' values, by the option, in all commands."""
_CHOICES = {
    "--device": ("auto", "cpu", "cuda", "mps"), "--executor": ("local", "ray", "slurm"),
    "--shape": ("exponential", "linear"),
    "--from": ("tensorboard", "lightning", "trainer", "wandb", "mlflow", "csv", "jsonl"), "--track": (*TRACKERS,),
    "report --format": ("csv", "json", "markdown", "latex"), "figure --format": ("pdf", "svg", "png"),
    "export --to": (*TRACKERS, "csv", "parquet"), "sweep --lr": ("auto",), "--rows": ("all",),
}  # fmt: skip
"""The values of options that have few, by the option, or in one command."""
_IN_ONE = {"sweep --name": "sweeps", "export --set": None, "preview --out": None, "figure --out": None}
_FIGURES = ("curves", "rates", "heatmap", "lengths", "schedules", "seeds", "target", "arrivals", "range-test", "run",
            "overview", "all")  # fmt: skip
_ARGUMENTS: Mapping[str, Any] = {
    "CONFIG": "configs", "RUNS": "runs", "RUNS|NAME": "watched", "A": "labels", "[B]": "labels", "DIR": "folders",
    "list KIND": "kinds", "list NAME": "names", "figure KIND": _FIGURES, "init KIND": (*STARTERS,), "FOLDER": "folders",
}  # fmt: skip
"""What arguments are, by what the help calls them."""


def make() -> dict[str, Any]:
    """Return the commands, the names in the catalogues, and the keys of configs."""
    group: Any = get_command(_app())
    made = schema()
    parts = {key: [*_entries(key, made)] for key in ("dataset", "model", "optimizer", "schedule", "loss")}
    return {
        "options": _options("", group),
        "commands": {name: _command(name, one) for name, one in group.commands.items()},
        "names": {kind: catalog.names() for kind, (catalog, _) in CATALOGUES.items()}
        | {"configs": described_configs()},
        "keys": dict(_keys(made["$defs"]["training"], made)),
        "entries": {key: dict(entries) for key, entries in parts.items()},
    }


def _app() -> Any:
    from lrbench.cli.app import app

    return app


def _command(name: str, command: Any) -> dict[str, Any]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    kinds = [_ARGUMENTS.get(f"{name} {one.metavar}", _ARGUMENTS.get(one.metavar)) for one in arguments]
    return {
        "help": _first_line(command.help),
        "options": _options(name, command),
        "arguments": [(kind, one.nargs != 1) for kind, one in zip(kinds, arguments, strict=True)],
    }


def _options(command: str, parsed: Any) -> dict[str, Any]:
    found = {}
    for one in parsed.params:
        if one.param_type_name == "option" and not one.hidden:
            for name in one.opts:
                value = None if one.is_flag or one.name.endswith("_completion") else _value(command, name)
                found[name] = {"help": _first_line(one.help), "value": value, "many": one.multiple}
    return {**found, "--help": {"help": "Show this message and exit.", "value": None, "many": False}}


def _value(command: str, name: str) -> Any:
    """Return the source or the choices of an option's value; an empty list if anything can follow."""
    known = {**_SOURCES, **_CHOICES, **_IN_ONE}
    return known.get(f"{command} {name}", known.get(name)) or []


def _first_line(text: str | None) -> str:
    return Text.from_markup((text or "").partition("\n")[0]).plain


# -- keys


def _keys(block: Mapping[str, Any], made: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the dotted keys of a block and of those in it, each with its meaning and its values."""
    for key, value in block.get("properties", {}).items():
        if not isinstance(value, dict) or key in ("sweep", "extends"):
            continue
        shapes = [*_shapes(value, made)]
        yield f"{prefix}{key}", {"help": _meaning(value, made), "values": dict(_values(value, shapes))}
        for shape in shapes:
            if shape.get("properties") and prefix.count(".") < 2:
                yield from _keys(shape, made, f"{prefix}{key}.")


def _shapes(value: Mapping[str, Any], made: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the schemas that a value can fit, with references resolved."""
    if "$ref" in value:
        yield from _shapes(made["$defs"][value["$ref"].removeprefix("#/$defs/")], made)
    elif "anyOf" in value:
        for one in value["anyOf"]:
            yield from _shapes(one, made)
    else:
        yield value


def _meaning(value: Mapping[str, Any], made: Mapping[str, Any]) -> str:
    return str(value.get("description", "")).partition("\n")[0]


def _values(value: Mapping[str, Any], shapes: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    if isinstance(value.get("default"), str | int | float):
        yield _text(value["default"]), "the default"
    for shape in shapes:
        texts = shape.get("enumDescriptions", [""] * len(shape.get("enum", ())))
        yield from zip(map(_text, shape.get("enum", ())), texts, strict=True)
        yield from ((one.replace(" ", ""), "") for one in shape.get("examples", ()))  # a space would end the word
        if "const" in shape:
            yield _text(shape["const"]), ""
        if shape.get("type") == "boolean":
            yield from (("true", ""), ("false", ""))
        if shape.get("type") == "null":
            yield "null", "none"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _entries(key: str, made: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the names of a kind of part, each with its own parameters."""
    names = next(shape["enum"] for shape in made["$defs"][f"{key}.name"]["anyOf"] if "enum" in shape)
    for name in names:
        block = made["$defs"].get(f"{key}.{name.replace('/', '.')}", {})
        yield name, dict(_keys(block, made))
