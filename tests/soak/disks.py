"""Folders that can't be written any more: a full disk, a limit of sizes, a read-only folder, one that is gone."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from forked import Forks, Starts

from soak.bench import HARD, Bench, Unavailable
from soak.comparing import compare, runs_in
from soak.single import BASE, under_way, untouched

CONFIG: dict[str, Any] = {**BASE, "epochs": 40}
SAID = re.compile(r"cannot|is not writable|was removed|no such file|is damaged", re.IGNORECASE)
OF_ROOT = "-dac_override,-dac_read_search,-fowner"
"""The capabilities by which no permission binds root."""


def _harmed(
    bench: Bench, name: str, tries: int, harm: Callable[[Path], Mapping[str, Any]], mend: Callable[[Path], None],
    meanwhile: Callable[[Path], None] = lambda runs: None, forks: Starts | None = None, at: Path | None = None,
) -> None:  # fmt: skip
    """Let a run meet a folder that can't be written; then the same command again, and compare.

    Args:
        bench: the bench.
        name: of the scenario.
        tries: how often.
        harm: makes the folder of runs; returns the harms of the command, see `harmed.py`.
        mend: puts the folder in order.
        meanwhile: what happens to the folder at a random moment of the run.
        forks: what starts the command.
        at: where the folder of runs is; by default in the bench's folder.
    """
    config = bench.config(name, CONFIG)
    whole, seconds = untouched(bench, config)
    for _ in range(tries):
        runs = bench.new("runs") if at is None else at
        words = ["run", config, "--runs", runs]
        command = bench.start(words, {**HARD, **harm(runs)}, forks=forks)
        bench.wait(command, 60, lambda runs=runs: under_way(runs))  # type: ignore[misc]
        if bench.wait(command, bench.chance.uniform(0, seconds)):
            meanwhile(runs)
        bench.counts.tries += 1
        if bench.end_of(command, (0, 1, 2), name) != 0 and not SAID.search(command.text):
            bench.counts.problems.append(f"{name}: it failed and did not say why: {command.text[-500:]}")
        mend(runs)
        bench.done(words, HARD, f"{name}, mended")
        compare(runs, whole, bench.counts, name)
        for left in runs_in(runs) if at is not None else ():
            shutil.rmtree(runs / left)
        if at is None:
            shutil.rmtree(runs)


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[Callable[[int | None], None]]:
    """Mount a disk in memory; yields what sets its size in KiB, None for enough. Raises Unavailable."""
    place.mkdir()

    def mount(*words: str) -> None:
        done = subprocess.run(["mount", *words], capture_output=True, text=True)
        if done.returncode:
            raise Unavailable(f"no file system can be mounted here: {done.stderr.strip()}")

    mount("-t", "tmpfs", "-o", "size=64m", "soak", str(place))
    try:
        yield lambda size: mount("-o", f"remount,size={'64m' if size is None else f'{size}k'}", str(place))
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def disk_full(bench: Bench, tries: int) -> None:
    """`run` on a disk that is full at a random size; then there is room, and the same command again."""
    with small_disk(bench.folder / "disk") as resize:
        place = bench.folder / "disk" / "runs"

        def harm(runs: Path) -> Mapping[str, Any]:
            resize(bench.chance.randrange(12, 200, 4))
            return {}

        _harmed(bench, "disk-full", tries, harm, lambda runs: resize(None), at=place)


def files_limited(bench: Bench, tries: int) -> None:
    """`run` whose files may not grow beyond a random size (RLIMIT_FSIZE); then without the limit."""
    _harmed(
        bench, "file-limit", tries, lambda runs: {"file_limit": {"size": bench.chance.randrange(200, 40_000)}},
        lambda runs: None,
    )  # fmt: skip


def read_only(bench: Bench, tries: int) -> None:
    """`run` whose folders become read-only at a random moment; then they can be written again."""
    bound = None
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            raise Unavailable("root, whom no permission binds, and no setpriv here")
        bound = Forks(["setpriv", f"--bounding-set={OF_ROOT}"])

    def forbid(runs: Path) -> None:
        for folder in (*runs_in(runs).values(), runs):
            folder.chmod(0o555)

    def allow(runs: Path) -> None:
        for folder in (runs, *runs_in(runs).values()):
            folder.chmod(0o755)

    try:
        _harmed(bench, "read-only", tries, lambda runs: {}, allow, forbid, bound)
    finally:
        if bound is not None:
            bound.close()


def vanished(bench: Bench, tries: int) -> None:
    """`run` whose folder of runs is moved away at a random moment, and then put back; or is removed for good."""
    aside = bench.folder / "aside"

    def move(runs: Path) -> None:
        with contextlib.suppress(FileNotFoundError):  # it has ended before
            runs.rename(aside)
        if bench.chance.random() < 0.5:
            shutil.rmtree(aside, ignore_errors=True)

    def back(runs: Path) -> None:
        if aside.exists():
            if runs.exists():
                bench.counts.differs("vanished: the folder was made again where it had been removed")
                shutil.rmtree(runs)
            aside.rename(runs)

    _harmed(bench, "vanished", tries, lambda runs: {}, back, move)
