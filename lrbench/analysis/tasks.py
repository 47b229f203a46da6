"""What must be equal to compare losses."""

from __future__ import annotations

from collections.abc import Iterable

from lrbench.analysis.groups import Group
from lrbench.components import OF_TASK
from lrbench.config import flat


def task(group: Group) -> str:
    """Return what must be equal to compare losses: the data set and the loss, or the task that computes it.

    Of another program's runs it is unknown, and empty, unless their parameters name the data set.
    """
    plain = group.first.plain
    if group.foreign:
        params = {key.rpartition(".")[2]: value for key, value in flat(plain.get("params") or {}).items()}
        return next((str(params[key]) for key in ("dataset", "dataset_name") if isinstance(params.get(key), str)), "")
    data, loss, own = ((plain.get(key) or {}).get("name", "?") for key in ("dataset", "loss", "task"))
    return f"{data} with {own if loss == OF_TASK else loss}"


def tasks_of(groups: Iterable[Group]) -> list[str]:
    """Return the different tasks of groups. Unknown ones may be any, and those of other programs are apart."""
    known = {(group.foreign, task(group)) for group in groups} - {(True, "")}
    own, others = ([name for foreign, name in sorted(known) if foreign is which] for which in (False, True))
    return own + others if max(len(own), len(others)) > 1 else max(own, others, key=len)
