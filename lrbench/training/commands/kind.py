"""Commands as work: any program, started with its parameters filled in."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrbench.config import CommandConfig, read_bytes, read_config, without_rate
from lrbench.errors import ConfigError, LrbenchError, UserCodeError, nearest
from lrbench.events import Watch, message
from lrbench.runs import Source, describe
from lrbench.training.kinds import Executing
from lrbench.training.loop_check import CheckOne

if TYPE_CHECKING:
    from lrbench.runs import RunFolder

_PYTHON = re.compile(r"python[\d.]*(\.exe)?")
_FLAGS = re.compile(r"-[uBOIsEPq]+")  # of Python, without a value
_ASKS = re.compile(r"lrbench\.param\b|from lrbench import [^\n]*\bparam\b|LRBENCH_PARAMS")


@dataclass(frozen=True)
class CommandRun:
    """A run by a command. lrbench's process only waits for it, so that many can run in threads."""

    accepts_pruned = False
    in_torch = False
    follows: str | None = None

    def check(
        self, configs: Sequence[CommandConfig], root: Path, watch: Watch, check_one: CheckOne
    ) -> Mapping[str, UserCodeError]:
        """See `Kind`."""
        for config in {without_rate(config): config for config in configs}.values():
            try:
                _check_program(config)
                Source.check(config)
            except ConfigError as error:
                raise error.at(config.where(error.key)) from None
        alike: dict[str, list[CommandConfig]] = {}
        for config in configs:
            alike.setdefault(config.name, []).append(config)
        for found in alike.values():
            changed = _changed(found[0], root)
            for text in [*_doubts(found), *([] if changed is None else [changed])]:
                watch(message(text))
        return {}

    def environment(self, config: CommandConfig) -> dict[str, Any]:
        """See `Kind`. The device and the versions of libraries are the command's own, and unknown."""
        known = describe(config, device="", code=Path(config.folder))
        return {key: value for key, value in known.items() if key not in ("device", "packages")}

    def resumes(self, folder: RunFolder, config: CommandConfig) -> bool:
        """See `Kind`. What there is to go on from is looked at when the command starts."""
        return True

    def executing(
        self, folder: RunFolder, config: CommandConfig, *, threads: int | None, stop: Callable[[], bool]
    ) -> Executing:
        """See `Kind`."""
        from lrbench.training.commands.execution import executing

        return executing(folder, config, threads=threads, stop=stop)


def _check_program(config: CommandConfig) -> None:
    """Raise ConfigError if there is no such program."""
    if config.shell:
        return
    program = config.arguments(Path())[0]
    path = (config.env or {}).get("PATH", os.environ.get("PATH", os.defpath))
    if shutil.which(program, path=path) is not None:
        _check_script(config)
        return
    if os.sep in program:
        problem = "is not executable; add its interpreter, such as python or sh" if Path(program).is_file() else ""
        raise ConfigError(f"'{program}' {problem or 'does not exist'}", key="command")
    known = ["python", "python3", "bash", "sh", "torchrun", "accelerate", "uv", "conda", "julia", "Rscript", "node"]
    near = nearest(program, [name for name in known if shutil.which(name, path=path)])
    advice = f"{near}Or write its full path" if near else "write its full path"
    raise ConfigError(f"there is no program '{program}' on the PATH; {advice}", key="command")


def _check_script(config: CommandConfig) -> None:
    """Raise ConfigError if Python is to run a file that does not exist; it would look for it in the run's folder."""
    program, *words = config.arguments(Path())
    script = next((word for word in words if not _FLAGS.fullmatch(word)), "")
    if not _PYTHON.fullmatch(Path(program).name) or not script.endswith(".py") or Path(script).exists():
        return
    near = nearest(script, [path.name for path in Path(config.folder).glob("*.py")])
    raise ConfigError(
        f"there is no file '{script}' in {config.folder}{f'; {near.strip()}' if near else ''}", key="command"
    )


def _doubts(configs: Sequence[CommandConfig]) -> list[str]:
    """Return likely mistakes in the configs of one name: what varies but does not reach the command."""
    name, unused = configs[0].name, _not_asked(configs[0], configs[0].unused)
    seen: dict[str, set[str]] = {}
    for config in configs:
        for key, value in config.values(Path()).items():
            if key in unused:
                seen.setdefault(key, set()).add(str(value))
    told = []
    for key, values in seen.items():
        if len(values) > 1:
            otherwise = "all seeds are equal" if key == "seed" else "it stays the same"
            told.append(f"{name}: the command has no {{{key}}}; unless it calls lrbench.param, {otherwise}")
    return told


def _not_asked(config: CommandConfig, keys: Iterable[str]) -> set[str]:
    """Return the keys that no file of the command asks lrbench for: `lrbench.param("lr", 0.1)`."""
    asking = []
    for name in config.files:
        with contextlib.suppress(OSError):
            text = read_bytes(Path(config.folder, name), most=1_000_000).decode(errors="replace")
            asking.append(text if _ASKS.search(text) else "")
    return {key for key in keys if not any(f'"{key}"' in text or f"'{key}'" in text for text in asking)}


def _changed(config: CommandConfig, root: Path) -> str | None:
    """Describe runs under `root` by other versions of the command's files; None if there are none."""
    if not config.files or not root.is_dir():
        return None
    changed: dict[str, None] = {}
    count = 0
    for path in sorted(root.glob(f"{config.name}-seed{config.seed}-*/config.yaml"))[:200]:
        try:
            known = read_config(path).plain
        except LrbenchError:
            continue
        files = known.get("files")
        if known.get("command") == config.plain()["command"] and isinstance(files, dict) and files != config.files:
            changed |= {name: None for name in {*files, *config.files} if files.get(name) != config.files.get(name)}
            count += 1
    if not count:
        return None
    names = ", ".join(sorted(changed)[:4])
    return f"{config.name}: {names} has changed since the earlier runs, which are kept; these are new runs"
