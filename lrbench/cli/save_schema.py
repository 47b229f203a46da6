"""Write the schema beside configs."""

from __future__ import annotations

import json
from pathlib import Path

from lrbench.config import schema
from lrbench.runs import write_file

FILE = ".lrbench-schema.json"
"""Where docs and starter configs expect the schema: `# yaml-language-server: $schema=.lrbench-schema.json`."""


def save_schema(path: str | Path = FILE) -> Path:
    """Write the schema of configs to a file and return its path. Raises FolderError."""
    path = Path(path)
    write_file(path, json.dumps(schema(), ensure_ascii=False, separators=(",", ":")) + "\n")  # no one reads it
    return path
