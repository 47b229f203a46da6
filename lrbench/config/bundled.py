"""Files that come with lrbench: the configs that any folder can name, and the files that `lrbench init` copies.

They lie at the top of a clone, where people read them. The wheel carries the same folders in `lrbench/bundled`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from difflib import get_close_matches
from importlib import resources
from pathlib import Path

from lrbench.config.files import exists

TOP = "tutorial"
"""What the configs that lie in no folder of their own are called: `tutorial/baseline` is `configs/baseline.yaml`."""


def bundled(folder: str) -> Path:
    """Return one of the folders `configs`, `examples` and `starters`: of the wheel, or else of the clone."""
    package = Path(str(resources.files("lrbench")))
    inside = package / "bundled" / folder
    return inside if inside.is_dir() else package.parent / folder


def bundled_configs() -> dict[str, Path]:
    """Return the configs that come with lrbench, by the names under which any folder has them: `digits/baseline`."""
    root = bundled("configs")
    files = sorted([*root.glob("*.yaml"), *root.glob("*/*.yaml")], key=lambda file: (file.parent != root, file))
    return {f"{TOP if file.parent == root else file.parent.name}/{file.stem}": file for file in files}


def located(name: str | Path, folder: Path = Path()) -> Path:
    """Return the file that a config's name means: one in `folder`, or else one that comes with lrbench.

    Both may be named without `.yaml`. If there is neither, return the path in `folder`.
    """
    path = folder / name
    for local in (path, path.with_name(f"{path.name}.yaml")) if path.name else ():
        if exists(local) and not local.is_dir():
            return local
    return path if exists(path) else bundled_configs().get(_plain(name), path)


def bundled_name(name: Path) -> str | None:
    """Return under which name any folder has this config; None if it means a file of its own folder."""
    return _plain(name) if located(name) == bundled_configs().get(_plain(name)) else None


def near_configs(path: Path) -> str:
    """Return what a config that does not exist may have meant, and where configs come from, to end a message."""
    return f"{meant(path, path) or '.'} {SOURCES_OF_CONFIGS}"


def meant(path: Path, name: str | Path) -> str:
    """Return `; did you mean 'a.yaml'?` for a missing file, by its name as written; empty if none is near."""
    beside = []
    with contextlib.suppress(OSError, ValueError):  # what can't be a path
        beside = [file.name for file in sorted(path.parent.glob("*.y*ml"))]
    near = [str(path.parent / one) for one in get_close_matches(path.name, beside, n=1)]
    near += _near_bundled(_plain(name).removeprefix("configs/"))
    return f"; did you mean {_either(near)}?" if near else ""


def _near_bundled(name: str) -> list[str]:
    known = bundled_configs()
    exact = [one for one in (name, f"{name}/baseline", f"{TOP}/{name}") if one in known]
    return exact[:1] or get_close_matches(name, known, n=1)


SOURCES_OF_CONFIGS = "`lrbench list configs` shows those that come with lrbench, and `lrbench init` writes new ones"


def no_config() -> str:
    """Return a message for a command that was given no CONFIG: what lies here, or what could be named."""
    here = sorted(file.name for pattern in ("*.yaml", "*.yml") for file in Path().glob(pattern))
    if here:
        more = f" and {len(here) - 3} more" if len(here) > 3 else ""
        return f"CONFIG is missing. In this folder: {', '.join(here[:3])}{more}. {SOURCES_OF_CONFIGS}"
    return f"CONFIG is missing: name a YAML file, or a config such as digits/baseline. {SOURCES_OF_CONFIGS}"


def _plain(name: str | Path) -> str:
    return Path(name).as_posix().removesuffix(".yaml")


def _either(names: Iterable[str]) -> str:
    return " or ".join(f"'{name}'" for name in names)
