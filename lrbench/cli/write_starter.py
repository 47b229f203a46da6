"""Write the files of a starter, and the schema of configs beside them: all of them or none."""

from __future__ import annotations

import os
from pathlib import Path

from lrbench.cli.save_schema import FILE as SCHEMA_FILE
from lrbench.cli.save_schema import save_schema
from lrbench.cli.starters import STARTERS
from lrbench.config import bundled
from lrbench.errors import UsageError, choices
from lrbench.runs import write_file


def write_starter(kind: str, folder: Path, force: bool = False) -> list[Path]:
    """Write the files of a kind of starter into a folder, which is made if it is missing, and return their paths.

    Args:
        kind: a key of STARTERS.
        folder: where to write.
        force: overwrite files that exist.

    Raises:
        UsageError: no such kind, the folder is none, or files exist; nothing was written.
        FolderError: a file can't be written.
    """
    if kind not in STARTERS:
        raise UsageError(f"unknown starter '{kind}'; {choices(kind, STARTERS)}")
    if os.path.lexists(folder) and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; name one to write to, or a new one")
    texts = {folder / Path(file).name: _text(file) for file in STARTERS[kind].files}
    there = [str(path) for path in texts if os.path.lexists(path)]
    folders = [path for path in there if Path(path).is_dir()]
    if there and (folders or not force):
        hint = "rename it" if folders else "--force overwrites them, or name another FOLDER"
        raise UsageError(f"nothing was written, since there already is {', '.join(folders or there)}; {hint}")
    written = [write_file(path, text) for path, text in texts.items()]
    return [*written, save_schema(folder / SCHEMA_FILE)]  # lrbench's own file, which each kind of starter shares


def _text(file: str) -> str:
    top, _, inner = file.partition("/")
    text = (bundled(top) / inner).read_text(encoding="utf-8")
    return f"{_EDITORS}{text}" if file.endswith(".yaml") else text


_EDITORS = f"# yaml-language-server: $schema={SCHEMA_FILE}\n"
"""The line by which editors find the schema, which is written beside the config."""
