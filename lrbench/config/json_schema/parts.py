"""Schemas of the parts that a config names: a name, and the parameters of the catalogue's entry of that name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lrbench.components import (
    DATASETS,
    LOSSES,
    METRICS,
    MODELS,
    OPTIMIZERS,
    TASKS,
    DatasetRules,
    GroupRules,
    kinds_of,
    known_defaults,
    parameter_groups,
)  # fmt: skip
from lrbench.config.json_schema.values import Schema, definition, either, schema_of, sentence, setting_schema
from lrbench.config.trackers import TRACKERS, trackers
from lrbench.registry import Catalog
from lrbench.schedules import SCHEDULES, SCHEDULES_AND_PLATEAUS
from lrbench.types import Epochs, documented

IMPORTED = {"type": "string", "pattern": r"^[^\s:]+:[^\s:]+$"}
"""An import string, `package.module:name`."""


@dataclass(frozen=True)
class Entry:
    """An entry of a catalogue.

    Attributes:
        summary: what it is.
        settings: the schema of each parameter; None if lrbench does not know them.
        required: the parameters without a default.
    """

    summary: str
    settings: Mapping[str, Schema] | None
    required: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """A kind of part.

    Attributes:
        key: its key in a config.
        entries: what can be named, by name.
        common: the schemas of parameters that all entries have.
        prefixes: the beginnings of other names, of tools that are not installed here.
        listed: whether there may be several, so that a block has a name even if its config extends another one.
    """

    key: str
    entries: Mapping[str, Entry]
    common: Mapping[str, Schema] = field(default_factory=dict)
    prefixes: tuple[str, ...] = ()
    listed: bool = False

    @property
    def needy(self) -> dict[str, tuple[str, ...]]:
        """The parameters that entries require, for those that require any."""
        return {name: entry.required for name, entry in self.entries.items() if entry.required}

    def definitions(self) -> Schema:
        """Return the definitions of the names, of each entry's parameters, and of the part."""
        found: Schema = {
            _entry(self.key, name): {"description": entry.summary, "properties": dict(entry.settings)}
            for name, entry in self.entries.items()
            if entry.settings
        }
        return {**found, f"{self.key}.name": self._names(), self.key: self.part()}

    def part(self, more: Mapping[str, Schema] | None = None) -> Schema:
        """Return the schema of a name, or of a block with a name; `more` are additional parameters of every block."""
        return either(definition(f"{self.key}.name"), self.block(more))

    def block(self, more: Mapping[str, Schema] | None = None) -> Schema:
        """Return the schema of a block. Without a name, it changes the one of the config that is extended."""
        common = {"name": definition(f"{self.key}.name"), **self.common, **(more or {})}
        return {
            "type": "object",
            "properties": common,
            "required": ["name"] if self.listed else [],
            "allOf": [
                self._branch(name, one, common) for name, one in self.entries.items() if one.settings is not None
            ],
        }

    def complete(self) -> Schema:
        """Return the schema of a part that has a name and all required parameters."""
        named = [_if_named(name, {"required": [*needed]}) for name, needed in self.needy.items()]
        alone = {"not": {"enum": [*self.needy]}} if self.needy else {}
        block = {"required": ["name"], "allOf": named} if named else {"required": ["name"]}
        return {"if": {"type": "object"}, "then": block, "else": alone}

    def _branch(self, name: str, entry: Entry, common: Mapping[str, Schema]) -> Schema:
        allowed = dict.fromkeys((*common, *(entry.settings or ())), True)
        then: Schema = {"properties": allowed, "additionalProperties": False}
        return _if_named(name, {"allOf": [definition(_entry(self.key, name))], **then} if entry.settings else then)

    def _names(self) -> Schema:
        known = {"enum": [*self.entries], "enumDescriptions": [entry.summary for entry in self.entries.values()]}
        others = [{"type": "string", "pattern": f"^{prefix}/"} for prefix in self.prefixes]
        return either(known, IMPORTED, *others)


def _entry(key: str, name: str) -> str:
    return f"{key}.{name.replace('/', '.')}"  # a slash would end the name in a reference


def _if_named(name: str, then: Schema) -> Schema:
    return {"if": {"properties": {"name": {"const": name}}, "required": ["name"]}, "then": then}


def kinds(into: Schema) -> dict[str, Kind]:
    """Return every kind of part by its key in a config; definitions of types are added to `into`."""
    sequence = {"type": "array", "minItems": 1, "items": definition("sequence.item")}
    schedules = _entries(SCHEDULES_AND_PLATEAUS, into)
    parts = dict(schedules["sequence"].settings or {})
    schedules["sequence"] = Entry(schedules["sequence"].summary, {"parts": {**parts["parts"], **sequence}}, ("parts",))
    return {
        "dataset": Kind("dataset", _entries(DATASETS, into), _fields(DatasetRules, into)),
        "model": Kind("model", _entries(MODELS, into)),
        "optimizer": Kind("optimizer", _optimizers(into), {"lr": _rate(), **_groups(into)}),
        "schedule": Kind("schedule", schedules, prefixes=tuple(SCHEDULES.open_namespaces())),
        "loss": Kind("loss", _entries(LOSSES, into)),
        "task": Kind("task", _entries(TASKS, into)),
        "metric": Kind("metric", _entries(METRICS, into), listed=True),
        "tracker": Kind("tracker", _entries(trackers(TRACKERS), into), {"dir": _DIR}, listed=True),
    }


def sequence_item(schedule: Kind, into: Schema) -> Schema:
    """Return the schema of a part of a sequence, which has a duration; the last one may lack it."""
    duration = {**schema_of(Epochs, into), "description": "How long this part lasts; the last one fills the rest."}
    return {"allOf": [schedule.part({"for": duration}), schedule.complete()]}


_DIR = {
    "type": "string",
    "minLength": 1,
    "description": "The folder that the tool writes to; by default in the runs folder.",
}


def _entries(catalog: Catalog, into: Schema) -> dict[str, Entry]:
    known = {name: _own(catalog, name, into) for name in catalog.entries}
    known |= {other: known[name] for other, name in catalog.aliases.items() if name in known}
    unknown = Entry("", None)
    return {name: replace(known.get(name, unknown), summary=text) for name, text in catalog.names().items()}


def _own(catalog: Catalog, name: str, into: Schema) -> Entry:
    meanings, settings = documented(catalog.entries[name])[1], catalog.settings(name)
    schemas = {key: setting_schema(one, meanings.get(key, ""), into) for key, one in settings.items()}
    return Entry(catalog.summary(name), schemas, tuple(k for k, one in settings.items() if one.default is one.empty))


def _optimizers(into: Schema) -> dict[str, Entry]:
    return {name: Entry(OPTIMIZERS.summary(name), _of_optimizer(name, into)) for name in OPTIMIZERS.entries}


def _of_optimizer(name: str, into: Schema) -> dict[str, Schema]:
    """Return an optimizer's parameters, whose defaults are those of its class."""
    meanings, usual = documented(OPTIMIZERS.entries[name])[1], known_defaults(name)
    given = {key: list(one) if isinstance(one, tuple) else one for key, one in usual.items() if one is not None}
    return {
        key: {
            **schema_of(kind, into), "description": sentence(meanings[key]),
            **({"default": given[key]} if key in given else {}),
        }
        for key, kind in kinds_of(name).items()
    }  # fmt: skip


def _rate() -> Schema:
    meaning = sentence(documented(OPTIMIZERS.entries["sgd"])[1]["lr"])
    default = "By default that of the optimizer's class."
    return {"type": ["number", "null"], "exclusiveMinimum": 0, "description": f"{meaning} {default}"}


def _fields(kind: type, into: Schema) -> dict[str, Schema]:
    return dict(schema_of(kind, into)["properties"])


def _groups(into: Schema) -> dict[str, Schema]:
    meanings = documented(parameter_groups)[1]
    fields = _fields(GroupRules, into)
    fields["freeze"] = either({"type": "string"}, fields["freeze"])
    return {key: {**value, "description": sentence(meanings[key])} for key, value in fields.items()}
