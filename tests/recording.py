"""What the tests of the recorder and of its callbacks share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lrbench.runs import RunFolder, read_csv

LAUNCHERS = ("RANK", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
COMMANDS = ("LRBENCH_RUN", "LRBENCH_PARAMS", "LRBENCH_RESUMED", "TORCHELASTIC_RESTART_COUNT")


@contextmanager
def nothing_recorded(monkeypatch: Any, folder: Path) -> Iterator[None]:
    """A folder of one's own, no launcher and no command; nothing stays open."""
    from lrbench.integrations import recorder, recording

    monkeypatch.chdir(folder)
    for name in (*LAUNCHERS, *COMMANDS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(recording, "_of_commands", {})
    yield
    for one in list(recorder.OPEN.values()):
        one.leave()


def folders() -> list[RunFolder]:
    """The run folders that were recorded, the oldest first."""
    paths = [path for path in Path("runs").iterdir() if path.is_dir()] if Path("runs").exists() else []
    return [RunFolder(path) for path in sorted(paths, key=lambda path: path.stat().st_ctime)]


def only_run() -> RunFolder:
    """The only run that was recorded."""
    (folder,) = folders()
    return folder


def table(folder: RunFolder, name: str) -> dict[str, list[float]]:
    """The columns of `steps` or `epochs`."""
    return {column: values.tolist() for column, values in read_csv(folder.path / f"{name}.csv").items()}


class Truth:
    """The learning rates of every step of every torch optimizer, as a hook in the step itself reads them."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []

    def __enter__(self) -> Truth:
        from torch.optim.optimizer import register_optimizer_step_pre_hook

        self._handle = register_optimizer_step_pre_hook(self._read)
        return self

    def _read(self, optimizer: Any, arguments: Any, named: Any) -> None:
        self.rates.append([float(group["lr"]) for group in optimizer.param_groups])

    def __exit__(self, *_: Any) -> None:
        self._handle.remove()
