"""The tools that the `track:` of a config can name. Their modules are looked up by name, and import the tools later."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from lrbench.errors import ConfigError, UsageError
from lrbench.registry import Catalog
from lrbench.types import Part, load_object

_HOME = "lrbench.integrations.trackers"
TRACKERS: Mapping[str, str] = {
    "mlflow": f"{_HOME}.mlflow:MLflow",
    "tensorboard": f"{_HOME}.tensorboard:TensorBoard",
    "trackio": f"{_HOME}.trackio:Trackio",
    "wandb": f"{_HOME}.wandb:WandB",
}
"""Tools that can follow a run, by their names in a config's `track`."""


def trackers(tools: Mapping[str, str]) -> Catalog:
    """Return the catalogue of tools given by their import strings; their modules don't import the tools yet."""
    return Catalog("tracker", {name: load_object(where, "track") for name, where in tools.items()}, frozenset({"into"}))


def checked_tracker(part: Part, catalog: Catalog) -> Part:
    """Check a tool's name and options, and that it is installed. Raises ConfigError, UsageError, UserCodeError."""
    whole = catalog.complete(part, "track")
    tool = catalog.factory(whole, "track")
    missing = [name for name in getattr(tool, "needs", ()) if importlib.util.find_spec(name) is None]
    if missing:
        what = f"{part.name} needs the package {missing[0]}, which is not installed"
        raise UsageError(f"{what}: pip install 'lrbench-torch[{getattr(tool, 'extra', '')}]'")
    lacking = next((name for name in ("open", "holds", "stamp", "close", "hint") if not hasattr(tool, name)), None)
    if lacking:
        problem = f"{part.name} is not a tracker: it has no `{lacking}`; derive it from lrbench.integrations.Tool"
        raise ConfigError(problem, key="track")
    return whole
