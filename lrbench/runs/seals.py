"""What `env.json` says about `config.yaml`: its hash, and the fields that are not part of the identity."""

from __future__ import annotations

import hashlib
from typing import Any

from lrbench.config import RunConfig


def sealed(text: str, config: RunConfig) -> dict[str, Any]:
    """Return the hash of a config's YAML and the fields that `RunFolder.adopt` updates."""
    return {"sha256": hash_of(text.encode()), **taken_over(config)}


def taken_over(config: RunConfig) -> dict[str, Any]:
    """Return the fields of a config that asking for its run again updates."""
    plain = config.plain()
    reference = None if config.reference is None else config.reference.plain()
    return {**{key: plain.get(key) for key in config.taken_over}, "reference": reference}


def hash_of(text: bytes) -> str:
    """Return the SHA-256 of a file's content."""
    return hashlib.sha256(text).hexdigest()
