"""The schema of a config file, whatever trains it: lrbench, a command, or another program that recorded its runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lrbench._version import __version__
from lrbench.config.command import CommandConfig
from lrbench.config.experiment import Experiment
from lrbench.config.json_schema.parts import IMPORTED, Kind, kinds, sequence_item
from lrbench.config.json_schema.sweep import AXES, sweep_of_command, sweep_of_training, swept_part
from lrbench.config.json_schema.values import Schema, definition, described, either, schema_of, sentence
from lrbench.config.recorded import RecordedConfig
from lrbench.config.run_config import RunConfig
from lrbench.schedules import UNTUNED
from lrbench.types import Epochs, Steps

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PARTS = ("dataset", "model", "optimizer", "schedule", "loss", "task")
_STRING, _OBJECT = {"type": "string", "minLength": 1}, {"type": "object"}


def schema() -> Schema:
    """Return a JSON schema (draft 2020-12) of configs, for editors: every key with its meaning, default and values.

    It knows the parts that this lrbench and the installed tools have, and does not import torch.

    >>> schema()["$schema"]
    'https://json-schema.org/draft/2020-12/schema'
    """
    definitions: Schema = {}
    parts = kinds(definitions)
    for kind in parts.values():
        definitions |= kind.definitions()
    definitions["sequence.item"] = sequence_item(parts["schedule"], definitions)
    definitions |= {**AXES, **{f"sweep.{key}": swept_part(parts[key]) for key in _PARTS}}
    training = _training(parts, definitions)
    command = _config(CommandConfig, definitions, {"sweep": sweep_of_command(), "track": definition("trackers")})
    recorded = _config(RecordedConfig, definitions, {})
    definitions["trackers"] = _trackers()
    definitions["Column"] = either({"type": "string"}, definitions["Column"])
    definitions["Reference"] = _reference(definitions["Reference"])
    definitions |= {"training": training, "command": command, "recorded": recorded}
    for unused in ("Dataset", "Part", "DatasetRules"):  # the parts' own definitions take their place
        definitions.pop(unused)
    return {
        "$schema": DIALECT,
        "$comment": f"Configs of lrbench {__version__}",
        "type": "object",
        "properties": {"command": _noted(command, "command")},
        **_chosen(training, command),
        "$defs": definitions,
    }


def _chosen(training: Schema, command: Schema) -> Schema:
    """Choose the kind of config by its keys; one that extends another may lack those that tell."""
    only = set(command["properties"]) - set(training["properties"])
    tells = {"anyOf": [{"required": [key]} for key in sorted(only)]}
    return {
        "if": tells,
        "then": {**definition("command"), "if": _without("extends"), "then": {"required": ["command"]}},
        "else": {
            "if": {"required": ["recorded"]},
            "then": definition("recorded"),
            "else": definition("training"),
        },
    }


def _config(kind: type[RunConfig], into: Schema, more: Mapping[str, Schema]) -> Schema:
    """Return the schema of a kind of config, with `more` keys and instead of those of its fields."""
    made = described(schema_of(kind, into), kind)
    fields = made["properties"]
    for key, meaning in kind.also.items():
        fields[key] = {**_STRING, "description": sentence(meaning)}
    for key, value in more.items():
        text = {"description": fields[key]["description"]} if "description" in fields.get(key, {}) else {}
        fields[key] = {**value, **text}
    return {
        "description": made["description"],
        "type": "object",
        "properties": fields,
        "patternProperties": {"^x-": {"description": "Your own; lrbench ignores it."}},
        "additionalProperties": False,
    }


def _training(parts: Mapping[str, Kind], into: Schema) -> Schema:
    chosen = {key: definition(key) for key in _PARTS}
    chosen["loss"] = either(chosen["loss"], {**_OBJECT, **_without("name")})
    chosen["task"] = either(chosen["task"], {"type": "null"})
    short = {"metrics": _metrics(), "track": definition("trackers"), "init_from": either(_STRING, _ref("InitRule"))}
    whole = _config(Experiment, into, {**chosen, **short})
    fields = whole["properties"]
    fields["step"] = {**either(IMPORTED, {"type": "null"}), "description": fields["step"]["description"]}
    for key in ("extends", "name"):  # first, as people write them
        whole["properties"] = fields = {key: fields[key], **fields}
    _write_short(fields, into)
    fields["sweep"] = sweep_of_training(fields, _PARTS)
    return {**whole, "allOf": [*_clashes(), *_whole(parts, into)]}


def _ref(name: str) -> Schema:
    return either(definition(name), {"type": "null"})


def _noted(config: Schema, key: str) -> Schema:
    return {"description": config["properties"][key]["description"]}


def _write_short(fields: Schema, into: Schema) -> None:
    """Add the short forms of blocks, which are written out before they are checked."""
    duration, untuned = schema_of(Epochs, into), {"const": UNTUNED}
    fields["warmup"]["anyOf"] += [duration, untuned]
    warmup = into["WarmUpRule"]["properties"]
    warmup["for"] = {**either(duration, untuned), "description": warmup["for"]["description"]}
    into["ContinueRule"]["properties"]["for"] = {
        **duration, "description": "How much longer, in whole epochs or steps, such as 10 epochs."
    }  # fmt: skip
    into["ScalingRule"]["properties"]["from"] = {
        **_STRING, "description": "The file of a measured law, which `lrbench transfer RUNS --write FILE` writes."
    }  # fmt: skip
    branches, steps = into["BranchesRule"]["properties"], schema_of(Steps, into)
    branches["at"] = {**either(steps, branches["at"]), "description": branches["at"]["description"]}
    decays = branches["decay"]["anyOf"]
    decays[0]["items"] = either(decays[0]["items"], steps)
    decays += [definition("DecayRule"), steps]


def _trackers() -> Schema:
    one = definition("tracker")
    return either(one, {"type": "array", "items": one, "maxItems": 20}, {"type": "null"})


def _metrics() -> Schema:
    one = definition("metric")
    directions = {"enum": ["lower", "higher"], "description": "Which direction is better."}
    mapping = {**_OBJECT, **_without("name"), "additionalProperties": directions, "minProperties": 1}
    return either(one, {"type": "array", "items": one, "minItems": 1}, mapping, {"type": "null"})


def _reference(made: Schema) -> Schema:
    numbers = {"^test_": {"type": "number", "description": "A published value of this metric on the test data."}}
    return {**made, "patternProperties": numbers, "additionalProperties": False}


# -- what depends on several keys


def _without(key: str) -> Schema:
    return {"not": {"required": [key]}}


def _given(*keys: str) -> list[Schema]:
    return [{"required": [key], "properties": {key: {"not": {"type": "null"}}}} for key in keys]


def _clashes() -> Iterable[Schema]:
    """Yield what refuses keys that exclude each other."""
    yield {"not": {"allOf": [*_given("epochs", "steps"), _without("continue")]}}
    for pair in (("init_from", "continue"), ("step", "task")):
        yield {"not": {"allOf": _given(*pair)}}


def _whole(parts: Mapping[str, Kind], into: Schema) -> Iterable[Schema]:
    """Yield what a config must have unless it extends another one; axes of a sweep may give it too."""
    own_task = either(*_given("step"), {"required": ["task"], "properties": {"task": _imported()}})
    lengths = either(*_given("epochs", "steps", "continue", "branches"), _swept("epochs"), _swept("steps"))
    needed = [either({"required": [key]}, _swept(key), own_task) for key in ("dataset", "model")]
    optimizer = either({"required": ["optimizer"]}, _swept("optimizer"))
    named = {"if": _OBJECT, "then": {"required": ["name"]}}
    parted = dict.fromkeys((key for key in _PARTS if key != "loss"), named)
    yield {"if": _without("extends"), "then": {"properties": parted, "allOf": [optimizer, lengths, *needed]}}
    skips = {"required": ["on_non_finite"], "properties": {"on_non_finite": {"const": "skip"}}}
    yield {"if": {"allOf": [_without("extends"), *_given("max_skipped")]}, "then": skips}
    blocks = {key: {"required": required} for key, required in _required(into)}
    complete = {key: parts[key].complete() for key in _PARTS if key != "loss"} | blocks
    alone = {"allOf": [_without("extends"), _without("sweep")]}
    yield {"if": alone, "then": {"properties": complete}}
    yield {"if": {"allOf": [alone, _without("lr_scaling")]}, "then": {"properties": {"optimizer": _WITH_RATE}}}


_WITH_RATE = {"properties": {"lr": {"type": "number"}}}


def _swept(key: str) -> Schema:
    return {"required": ["sweep"], "properties": {"sweep": {"type": "object", "required": [key]}}}


def _imported() -> Schema:
    return either(IMPORTED, {"type": "object", "properties": {"name": IMPORTED}, "required": ["name"]})


def _required(into: Schema) -> Iterable[tuple[str, list[str]]]:
    """Take the required keys of blocks out of the definitions, since a config that extends another may lack them."""
    for path, kind in Experiment.blocks.items():
        definition_of = into[kind.__name__]
        if len(path) == 1 and "required" in definition_of:
            yield path[0], definition_of.pop("required")
