"""Expand a config with a `sweep:` block into cells: one experiment for each combination of values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lrbench.analysis import value_text
from lrbench.config import Config, RunConfig, branched, count_branched, identity, merge, normal, validate
from lrbench.errors import ConfigError, UsageError, option
from lrbench.sweeps.axes import AUTO_POINTS, Axis, Keys, axis, read_axes

MOST = 100_000

FindRates = Callable[[RunConfig], Sequence[float]]
"""Returns the learning rates of `lr: auto` for an experiment."""


@dataclass(frozen=True)
class Cell:
    """One run of a sweep."""

    experiment: RunConfig
    point: Mapping[str, Any]  # its values by dotted key; whole blocks as `{name, parameters}`

    def at_rate(self, lr: float, asked_by: str) -> Cell:
        """Return the same cell at another peak learning rate, as `asked_by` an option."""
        key = self.experiment.lr_key
        path = tuple(key.split("."))
        plain = _with(self.experiment.plain(), path, lr, asked_by)
        changed = self.experiment.replace(asked_by=asked_by, **{path[0]: plain[path[0]]})
        return Cell(changed, {**self.point, key: lr})


@dataclass(frozen=True)
class Grid:
    """A config without its `sweep:` block, and the axes that vary it by key, in the order given."""

    config: Config
    axes: Mapping[str, Axis]

    @classmethod
    def of(cls, config: Config, given: Mapping[str, Any] | None = None) -> Grid:
        """Return the grid of a config's `sweep:` block.

        Args:
            config: a config with or without the block.
            given: the values of the options `lr`, `seeds` and `schedule`, in the form that the block uses; they
                replace those of the block.

        Raises:
            ConfigError: invalid values, or a key that is both varied and set.
        """
        plain = dict(config.plain)
        block, keys = plain.pop("sweep", {}), Keys.of(plain)
        axes = read_axes(block, config.places, ("sweep",), _first_seed(plain), keys)
        for name, value in (given or {}).items():
            key, asked_by = keys.full(name), option(f"--{name}", "schedules" * (name == "schedule"))
            try:
                axes[key] = axis(key, value, asked_by, _first_seed(plain), keys.rate)
            except ValueError as error:
                raise ConfigError(str(error), where=asked_by) from None
        for key in axes:
            if config.places.get(tuple(key.split("."))) == (place := option("--set")):
                raise ConfigError("is varied by the sweep, so it can't be set", key=key, where=place)
        return cls(Config(plain, config.places, config.shown), axes)

    @property
    def size(self) -> int:
        """The number of cells, including duplicates."""
        return count_branched(self.config.plain) * sum(
            math.prod(AUTO_POINTS if one.auto else len(one.values) for one in axes.values())
            for _, axes in self._blocks()
        )

    def cells(self, find: FindRates) -> Iterator[Cell]:
        """Yield every cell of one seed after another. Raises ConfigError if one is not a valid experiment.

        `find` is called for the first cell of each combination of blocks.
        """
        for blocks, axes in self._blocks():
            found = dict(axes)
            for key in [key for key, one in axes.items() if one.auto]:
                first = {k: one.values[0] for k, one in axes.items() if not one.auto}
                found[key] = replace(axes[key], values=tuple(find(self._experiment({**blocks, **first}, axes))))
            order = sorted(found, key=lambda key: key != "seed")
            for values in itertools.product(*(found[key].values for key in order)):
                point = {**blocks, **dict(zip(order, values, strict=True))}
                yield Cell(self._experiment(point, found), point)

    def _experiment(self, point: Mapping[str, Any], axes: Mapping[str, Axis]) -> RunConfig:
        """Return the config with the values of a point; whole blocks are set before the keys inside them."""
        plain, places = self.config.plain, dict(self.config.places)
        for key, value in point.items():
            path = tuple(key.split("."))
            where = (axes.get(key) or self.axes[key]).where
            places = {at: place for at, place in places.items() if at[: len(path)] != path} | {path: where}
            plain = _with(plain, path, value, where)
        try:
            return validate(plain, places, self.config.shown)
        except ConfigError as error:
            cell = ", ".join(f"{key} = {_short(value)}" for key, value in point.items())
            problem = f"{error.problem} (in the cell {cell})" if cell else error.problem
            raise ConfigError(problem, key=error.key, where=error.where) from None

    def _blocks(self) -> Iterator[tuple[dict[str, Any], dict[str, Axis]]]:
        """Yield each combination of whole blocks with the remaining axes, including those of the blocks themselves."""
        blocks = [one for one in self.axes.values() if one.block]
        shared = {key: one for key, one in self.axes.items() if not one.block}
        count = math.prod(len(one.values) for one in blocks)
        if count > MOST:
            raise _too_many(count)
        options = [[(one.key, *self._opened(one, value)) for value in one.values] for one in blocks]
        for combination in itertools.product(*options):
            axes = dict(shared)
            for _, _, own in combination:
                axes |= own
            yield {key: value for key, value, _ in combination}, axes

    def _opened(self, one: Axis, value: object) -> tuple[Any, dict[str, Axis]]:
        """Split a block from its own axes: `{name: cosine, lr: {log: …}}`, `{name: sgd, sweep: {…}}`."""
        if not isinstance(value, Mapping):
            return value, {}
        block = dict(value)
        inner = block.pop("sweep", {})
        rate = block.get("lr")
        if rate is not None and (one.key == "schedule" or isinstance(rate, Mapping | list | str)):
            inner = {"lr": block.pop("lr"), **inner}
        places: dict[tuple[str, ...], str] = {("sweep",): one.where}
        return block, read_axes(
            inner, places, ("sweep", one.key), _first_seed(self.config.plain), Keys.of(self.config.plain)
        )


def all_cells(
    grids: Sequence[Grid], find: FindRates, made_so_far: Callable[[int], None] = lambda count: None
) -> tuple[list[Cell], int]:
    """Return the distinct cells of several grids and the number of duplicates; `made_so_far` hears of each one.

    Raises UsageError for too many cells, before any is created.
    """
    size = sum(grid.size for grid in grids)
    if size > MOST:
        raise _too_many(size)
    different: dict[str, Cell] = {}
    made = 0
    for grid in grids:
        for cell in grid.cells(find):
            for experiment in branched(cell.experiment):
                different.setdefault(identity(experiment), Cell(experiment, cell.point))
                made += 1
                made_so_far(made)
    return sorted(different.values(), key=lambda cell: cell.experiment.seed), made - len(different)


def _too_many(size: int) -> UsageError:
    return UsageError(f"the grid has {size:,} runs, but a sweep can have at most {MOST:,}; use fewer values or seeds")


def _with(plain: Mapping[str, Any], path: tuple[str, ...], value: Any, where: str) -> dict[str, Any]:
    """Return `plain` with the value at a path replaced."""
    if len(path) == 1:
        whole = normal({path[0]: value})
        return merge(plain, whole) if path[0] in ("epochs", "steps") else {**plain, **whole}
    return _nested(plain, path, path, value, where)


def _nested(
    plain: Mapping[str, Any], path: tuple[str, ...], whole: tuple[str, ...], value: Any, where: str
) -> dict[str, Any]:
    if len(path) == 1:
        return {**plain, path[0]: value}
    inner = plain.get(path[0])
    if inner is not None and not isinstance(inner, Mapping):
        raise ConfigError(f"'{path[0]}' is not a mapping", key=".".join(whole), where=where)
    return {**plain, path[0]: _nested(inner or {}, path[1:], whole, value, where)}


def _first_seed(plain: Mapping[str, Any]) -> int:
    """Return the config's seed, or 0 if it is invalid, which validation reports."""
    seed = plain.get("seed", 0)
    return seed if isinstance(seed, int) and not isinstance(seed, bool) else 0


def _short(value: Any) -> str:
    return value_text(value.get("name", value) if isinstance(value, Mapping) else value)[:60]
