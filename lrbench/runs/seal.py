"""What tells without parsing it that a run's `config.yaml` is as lrbench has written it.

A YAML file takes milliseconds to read and check; a sweep of a thousand finished runs has a thousand of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrbench.config.experiment import Experiment


def sealed(text: str, experiment: Experiment) -> dict[str, Any]:
    """The seal of a config that is written as `text`: its hash, and what a run may take over from another config."""
    return {"sha256": hashlib.sha256(text.encode()).hexdigest(), **_taken_over(experiment)}


def unbroken(environment: Mapping[str, Any], path: Path) -> dict[str, Any] | None:
    """The seal in a run's environment, where the file at `path` is still what it was made of; else None."""
    seal = environment.get("config")
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
    return seal if isinstance(seal, dict) and seal.get("sha256") == found else None


def agrees(seal: Mapping[str, Any], asked: Experiment) -> bool:
    """True where the sealed config has the device, and the reference if there is one, that are asked for."""
    wanted = _taken_over(asked)
    same = seal.get("device") == wanted["device"]
    return same and (wanted["reference"] is None or seal.get("reference") == wanted["reference"])


def _taken_over(experiment: Experiment) -> dict[str, Any]:
    reference = experiment.reference
    return {"device": experiment.device, "reference": None if reference is None else reference.model_dump(mode="json")}
