"""Strict JSON: no NaN, neither written nor read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrbench.errors import FolderError


def dump(value: Mapping[str, Any]) -> str:
    """A mapping as text. Raises ValueError for a number that is none."""
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def read(path: Path) -> dict[str, Any] | None:
    """The mapping in a file; None where there is no file. Raises FolderError where it is damaged or can't be read."""
    try:
        value = json.loads(path.read_bytes(), parse_constant=_refuse)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FolderError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise FolderError(f"{path} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise FolderError(f"{path} is damaged: it must hold a mapping")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
