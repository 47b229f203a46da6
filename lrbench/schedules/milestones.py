"""Times in a schedule's parameters that lie beyond its end, so that they are never reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrbench.errors import counted
from lrbench.types import Duration, Part

_DROPS = ("every", "milestones", "decay_t", "step_size")  # the step after the last one is too late for these
_BARE_TIMES = ("t_initial", "warmup_t", "decay_t", "milestones", "step_size")


def beyond(part: Part, total_steps: int, steps_per_epoch: int) -> list[str]:
    """Describe each time in a schedule's parameters that lies beyond its `total_steps`."""
    found = []
    for key, text in _durations(_with_units(part)):
        exact = Duration.parse(text, "steps").exact(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
        if exact > total_steps or (exact == total_steps and key.rpartition(".")[2] in _DROPS):
            found.append(
                f"{key}: {text} lies beyond the schedule's {counted(total_steps, 'step')}, so it is never reached"
            )
    return found


def _with_units(part: Part) -> Mapping[str, Any]:
    """The parameters, with timm's and torch's plain numbers as durations."""
    if not part.name.startswith(("timm/", "torch.optim.")):
        return part.params
    in_epochs = part.params.get("t_in_epochs", part.params.get("per", "epoch") == "epoch")
    unit = "epochs" if in_epochs else "steps"

    def said(value: Any) -> Any:
        return [f"{v} {unit}" for v in value] if isinstance(value, list) else f"{value} {unit}"

    return {k: said(v) if k in _BARE_TIMES and v is not None else v for k, v in part.params.items()}


def _durations(params: Mapping[str, Any], prefix: str = "schedule") -> list[tuple[str, str]]:
    """Return (key, text) of every duration in the parameters."""
    found = []
    for name, value in params.items():
        for item in value if isinstance(value, list) else [value]:
            first = item[0] if isinstance(item, list) and item else item
            if isinstance(first, Mapping):
                found += _durations(first, f"{prefix}.{name}")
            elif isinstance(first, str) and first.endswith((" epochs", " steps", "%")):
                found.append((f"{prefix}.{name}", first))
    return found
