"""The `dataset:` block, and the texts of a config that are checked by themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from lrbench.components import DATASETS, DatasetRules
from lrbench.config.merge import merge
from lrbench.types import Part, adapter

MOST_BYTES = 220
"""Maximum size of a name: with the seed and the identity, file systems take 255 bytes."""


def fits_folder(name: str) -> bool:
    """Return whether a name can be that of a folder anywhere."""
    shaped = re.fullmatch(r"\w[\w .,+=@()-]{0,99}", name) and not name.endswith((" ", "."))
    return bool(shaped) and len(name.encode()) <= MOST_BYTES


def checked_name(value: str) -> str:
    """Return the name of an experiment. Raises ValueError if no folder can have it."""
    if not fits_folder(value):
        raise ValueError(
            "must be a folder name: letters, digits and any of ' .,+=@()_-', starting with a letter or digit, "
            f"at most 100 characters and {MOST_BYTES} bytes in UTF-8 (got {value!r:.110})"
        )
    return value


_DEVICES = r"(auto|cpu|mps|cuda(:\d+)?)"


def _checked_device(value: str) -> str:
    if not re.fullmatch(_DEVICES, value):
        raise ValueError(f"must be auto, cpu, cuda, cuda:0 (…) or mps (got {value!r:.40})")
    return value


Device = Annotated[str, AfterValidator(_checked_device), WithJsonSchema({"type": "string", "pattern": f"^{_DEVICES}$"})]
"""The name of a device, or `auto`."""


def _listed(value: object) -> object:
    """Write `track: tensorboard` as a list; an empty one is none."""
    return [value] if isinstance(value, str | Mapping) else None if value == [] else value


_Tracker = Annotated[Part, PlainValidator(Part.of), PlainSerializer(Part.plain)]
Trackers = Annotated[Annotated[list[_Tracker], Field(max_length=20)] | None, BeforeValidator(_listed)]
"""Tools that follow a run, with their options. Their names are checked once the tools are looked up."""


class Dataset(BaseModel, frozen=True, extra="forbid"):
    """A data set: its entry in the catalogue and the rules for any data set (`DatasetRules`)."""

    part: Part
    rules: DatasetRules

    @model_validator(mode="before")
    @classmethod
    def _split(cls, value: object) -> Any:
        if isinstance(value, Dataset):
            return {"part": value.part, "rules": value.rules}
        part = Part.of(value)
        rules = {k: v for k, v in part.params.items() if k in DatasetRules.__dataclass_fields__}
        own = Part(part.name, {k: v for k, v in part.params.items() if k not in rules})
        return {"part": DATASETS.complete(own, "dataset"), "rules": merge(DatasetRules.defaults(part.name), rules)}

    def plain(self) -> dict[str, Any]:
        """Return it as a config would write it."""
        rules: dict[str, Any] = adapter(DatasetRules).dump_python(self.rules, mode="json")
        plain = {**self.part.plain(), **{k: v for k, v in rules.items() if v is not None}}
        return {k: v for k, v in plain.items() if k not in self.rules.reading(self.part) or v != "auto"}
