"""What a broken or a full disk, or a person, might do to files."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings

from lrbench.errors import LrbenchError

HOW = ["truncate", "empty", "remove", "garble", "zeros", "append", "line", "folder"]
WORSE = [*HOW, "types", "long line", "twice"]
_VALUES = [b"null", b"true", b'"x"', b"[]", b"{}", b"1e999", b"NaN", b"-1", b'"\\ud800"', b"9" * 400, b"", b"[" * 3000]
_NUMBER = re.compile(rb"-?\d+(\.\d+)?")


def examples(usual: int) -> settings:
    """So many examples, or as many as LRBENCH_EXAMPLES says."""
    slow = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    count = int(os.environ.get("LRBENCH_EXAMPLES", usual))
    return settings(max_examples=count, deadline=None, suppress_health_check=slow)


def answer(make: Callable[[], Any]) -> Any:
    """What comes of it; None for an error of ours, with one clear message."""
    try:
        return make()
    except LrbenchError as error:
        text = str(error)
        assert text.strip() and "Traceback" not in text and len(text) < 5000
        return None


def damage(path: Path, how: str, chance: random.Random) -> None:
    """Do something to a file that a broken disk, a full one, or a person might do."""
    raw = path.read_bytes() if path.is_file() else b""
    at = chance.randrange(len(raw) + 1)
    changed: dict[str, Callable[[], Any]] = {
        "truncate": lambda: path.write_bytes(raw[:at]),
        "empty": lambda: path.write_bytes(b""),
        "remove": lambda: path.unlink(missing_ok=True),
        "garble": lambda: path.write_bytes(raw[:at] + chance.randbytes(8) + raw[at + 8 :]),
        "zeros": lambda: path.write_bytes(b"\0" * len(raw)),
        "append": lambda: path.write_bytes(raw + chance.choice([b"nan,nan\n", b"9,0.1", b"{", b"\xff\xff", b"\n\n"])),
        "line": lambda: path.write_bytes(b"".join(chance.sample(lines, len(lines)))),
        "folder": lambda: _to_folder(path),
        "types": lambda: path.write_bytes(_with_other_values(raw, chance)),
        "long line": lambda: path.write_bytes(raw[:at] + chance.choice([b"9", b",", b"x", b'"']) * 2**21 + raw[at:]),
        "twice": lambda: path.write_bytes(raw + raw[at:]),
    }
    lines = raw.splitlines(keepends=True)
    changed[how]()


def hurt(folder: Path, seed: int) -> random.Random:
    """Damage one to three of the files in and under a folder."""
    chance = random.Random(seed)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in chance.sample(files, min(chance.randint(1, 3), len(files))):
        damage(path, chance.choice(WORSE), chance)
    return chance


def spoil(path: Path, plain: Any, seed: int) -> None:
    """Write values into a JSON file, one of them another one, or damage the file."""
    chance, odd = random.Random(seed), random.Random(seed).random() < 0.5
    if path.is_dir():
        path.rmdir()
    path.write_text(json.dumps(placed(plain, chance.choice(fields(plain)), chance.choice(ODD)) if odd else plain))
    if not odd:
        damage(path, chance.choice(WORSE), chance)


class Copies:
    """Copies a folder into `root` for one example after the other."""

    def __init__(self, root: Path) -> None:
        self.root, self.number = root, 0

    def __call__(self, source: Path) -> Path:
        """Return a copy, at a path that is new, since what is known of one may be kept; the last one is removed."""
        shutil.rmtree(self.root / str(self.number), ignore_errors=True)
        self.number += 1
        return Path(shutil.copytree(source, self.root / str(self.number) / source.name))


def _to_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def _with_other_values(raw: bytes, chance: random.Random) -> bytes:
    """Replace some numbers by values of other types."""
    return _NUMBER.sub(lambda found: chance.choice(_VALUES) if chance.random() < 0.2 else found[0], raw)


ODD: list[Any] = [
    *(
        None,
        True,
        -1,
        0,
        7,
        0.5,
        1e308,
        -1e308,
        10**400,
        "",
        "x",
        "=1",
        "<svg onload=alert(1)>",
        "\0\x1b[31m",
        "\udcff",
    ),
    *([], [1], ["x", None], [[]], {}, {"name": 7}, {"": ""}, {"x": {"x": []}}),
]


def fields(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places in nested mappings and lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in fields(one, (*path, key)))]


def placed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The same with another value at a place."""
    if not path:
        return new
    items = dict(value) if isinstance(value, dict) else list(value)
    items[path[0]] = placed(items[path[0]], path[1:], new)
    return items
