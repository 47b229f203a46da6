"""`RunConfig`, what the configs of all runs have in common, and messages for invalid values. Does not import torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ValidationError, WithJsonSchema

from lrbench.config.blocks import Trackers, checked_name
from lrbench.config.limits import Limits
from lrbench.config.params import flat, rate_among
from lrbench.config.rules import Reference
from lrbench.config.sizes import Size, param_sizes
from lrbench.config.yaml_source import Places, path_of, place_of
from lrbench.config.yaml_text import dump
from lrbench.errors import ConfigError, choices
from lrbench.types import adapter, first_of, number_of, problem_of

_NAME = r"^[\w\u0080-\uffff][\w .,+=@()\u0080-\uffff-]{0,99}$"
RunName = Annotated[
    str,
    AfterValidator(checked_name),
    WithJsonSchema({"type": "string", "pattern": _NAME, "not": {"pattern": "[ .]$"}}),
]


class RunConfig(BaseModel, frozen=True, extra="forbid"):
    """The config of a run of any kind: trained by lrbench, by a command, or recorded elsewhere.

    Attributes:
        name: the run's name, which its folder has too.
        seed: the seed; None if it is unknown.
        reference: a published result.
        track: the tools that follow the run.
    """

    if TYPE_CHECKING:  # each kind declares them where its files have them
        name: str
        seed: Any
        reference: Reference | None = None
        track: Trackers = None

    foreign: ClassVar[str] = ""
    """Who trains or trained the run, if not lrbench, in words."""
    taken_over: ClassVar[tuple[str, ...]] = ("reference",)
    """The fields that are not part of the identity and that asking for the run again updates."""
    blocks: ClassVar[Mapping[tuple[str, ...], Any]] = {}
    """The classes of nested blocks, for messages about unknown keys."""
    also: ClassVar[Mapping[str, str]] = {
        "extends": "the config that this one extends, relative to this file; it says only what differs.",
    }
    """Keys of a config file that are no fields, and what they mean."""

    _places: Places = {}
    _hashes: dict[str, str] = {}

    def __eq__(self, other: object) -> bool:
        """Compare values, not the places where they were written."""
        return isinstance(other, RunConfig) and self.plain() == other.plain()

    __hash__ = None  # type: ignore[assignment]

    @property
    def source(self) -> str:
        """What trains or trained the run, in a few words; empty for lrbench."""
        return self.foreign

    @property
    def lr_key(self) -> str:
        """The dotted key of the peak learning rate."""
        return "optimizer.lr"

    def command_line(self, run: Path) -> str:
        """Return the command that trains the run in folder `run`, as it is typed; empty if there is none."""
        return ""

    @property
    def lr(self) -> float | None:
        """The peak learning rate that the config gives; None if it leaves that to others."""
        return None

    @property
    def sizes(self) -> dict[str, Size]:
        """The sizes that the best learning rate may depend on, by name: `batch_size`, `epochs`, `model.width`, …"""
        return {}

    @property
    def limits(self) -> Limits:
        """What the run may take; unlimited unless its kind has limits."""
        return Limits()

    @property
    def budget(self) -> str:
        """The length of the run in words; empty if it is unknown."""
        return ""

    @property
    def imports(self) -> list[str]:
        """The import strings of the user's code in the config."""
        return []

    @property
    def of_objects(self) -> bool:
        """Whether it names objects that only the process has to which a user gave them."""
        return False

    def plain(self) -> dict[str, Any]:
        """Return the resolved config as plain values, without None; loading it gives the same one."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def hashed(self, what: str, find: Callable[[], Mapping[str, str]]) -> str:
        """Return one of the hashes that `find` computes, once; a config never changes."""
        hashes = self._hashes  # looked up once: pydantic takes long to find a private attribute
        if what not in hashes:
            hashes.update(find())
        return hashes[what]

    def yaml(self) -> str:
        """Return the resolved config as YAML."""
        return dump(self.plain())

    def where(self, key: str) -> str:
        """Return the file and line (or option) of a key; of the nearest enclosing one for defaults."""
        return place_of(self._places, path_of(key))

    def replace(self, *, asked_by: str = "", **changes: Any) -> Self:
        """Change some fields, as `asked_by` an option, and validate the result. Raises ConfigError."""
        places = {path: where for path, where in self._places.items() if path[:1] not in {(key,) for key in changes}}
        places |= {(key,): asked_by for key in changes if asked_by}
        return self.of({**self.plain(), **changes}, places, "")

    @classmethod
    def of(cls, plain: Mapping[str, Any], places: Places, shown: str) -> Self:
        """Build a config of this kind from plain values. Raises ConfigError with the place of the first problem."""
        try:
            made = cls.model_validate(plain)
        except ConfigError as error:
            raise error.at(place_of(places, path_of(error.key)) or shown) from None
        except ValidationError as error:
            raise _translated(cls, error, places, shown) from None
        made._places = places
        return made


class WithParams(RunConfig, frozen=True, extra="forbid"):
    """The config of a run of another program: parameters of any name, one of which is the learning rate."""

    if TYPE_CHECKING:
        params: dict[str, Any]
        lr_param: str | None

    @property
    def lr_key(self) -> str:
        """See `RunConfig`."""
        return f"params.{rate_among(self.params, self.lr_param) or 'lr'}"

    @property
    def lr(self) -> float | None:
        """See `RunConfig`."""
        key = rate_among(self.params, self.lr_param)
        return None if key is None else number_of(flat(self.params)[key])

    @property
    def sizes(self) -> dict[str, Size]:
        """See `RunConfig`."""
        return param_sizes(self.params, self.lr_key)


def _translated(kind: type[RunConfig], error: ValidationError, places: Places, shown: str) -> ConfigError:
    first = first_of(error)
    unknown = first["type"] in ("extra_forbidden", "unexpected_keyword_argument")
    loc = [str(piece) for piece in first["loc"]]
    inner = ("rules", "part", "bool", "Normalize")  # internal names; in a config they are mistakes
    path = tuple(p for i, p in enumerate(loc) if p not in inner or i == 0 or (unknown and i == len(loc) - 1))
    if unknown:
        problem = f"unknown key '{path[-1]}'; {_in_block(kind, path)}{choices(path[-1], fields_at(kind, path[:-1]))}"
    elif first["type"] == "missing":
        problem = "is missing"
    else:
        problem = problem_of(error)
    return ConfigError(problem, key=".".join(path), where=place_of(places, path) or shown)


def _in_block(kind: type[RunConfig], path: tuple[str, ...]) -> str:
    """Say where the learning rate is set, which many look for at the top of a config."""
    if path == ("lr",) and "optimizer" in kind.model_fields:
        return "the learning rate is 'optimizer.lr'; "
    return ""


def fields_at(kind: type[RunConfig], path: tuple[str, ...]) -> list[str]:
    """Return the valid keys of the block at `path`."""
    path = tuple(piece for piece in path if not piece.isdigit())  # the places of items in a list
    schema = adapter(kind.blocks.get(path, kind)).json_schema(mode="validation")
    return [*schema["properties"], *kind.also] if path == () else list(schema["properties"])
