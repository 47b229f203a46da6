"""What a machine has for training, how fast it is, and what will not work or slow it down."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from lrbench._version import __version__
from lrbench.components import build_model, data_root
from lrbench.errors import counted
from lrbench.runs import nearest
from lrbench.types import Part

EXTRAS = (
    "prodigyopt", "schedulefree", "ray", "submitit", "tensorboard", "mlflow", "wandb", "trackio", "pyarrow",
    "accelerate", "keras", "lightning", "peft", "skorch", "timm", "transformers",
)  # fmt: skip
"""Optional packages."""
_NETWORK = ("nfs", "cifs", "smb", "fuse.sshfs", "lustre", "gpfs", "beegfs", "ceph", "9p", "afs")
LITTLE_SPACE, LITTLE_SHARED = 10**9, 256 * 2**20  # bytes
BATCH, SIZE, REPEATS = 250, 1024, 7


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a machine; `stops` if training will not work."""

    text: str
    stops: bool = False


@dataclass
class Checkup:
    """The facts of a machine by section, and its problems. Sizes are in bytes."""

    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def works(self) -> bool:
        """Whether nothing stops training."""
        return not any(problem.stops for problem in self.problems)

    def plain(self) -> dict[str, Any]:
        """Return what JSON says of it."""
        return {"works": self.works, **self.facts, "problems": [asdict(problem) for problem in self.problems]}


def check_machine(runs: str | Path = "runs", *, quick: bool = False) -> Checkup:
    """Check this machine.

    Args:
        runs: the folder that is to hold runs; it need not exist.
        quick: neither import the extras nor measure the speed, which take some seconds.

    Raises:
        UsageError: `runs` can't be a folder.
    """
    found = Checkup()
    there = nearest(Path(runs).absolute())
    found.facts["versions"] = _versions()
    found.facts["extras"] = {name: version for name in EXTRAS if (version := _extra(name, quick, found)) is not None}
    found.facts["devices"] = _devices(found)
    found.facts["cpu"] = _cpu(found)
    found.facts["runs"] = _runs_folder(Path(runs), there, found)
    found.facts["data"] = _data_folder(found)
    if not quick:
        found.facts["speed"] = _speed(found)
    return found


def _versions() -> dict[str, str]:
    names = ("torch", "torchvision", "numpy", "pandas", "matplotlib")
    known = {name: importlib.metadata.version(name) for name in names}
    return {"lrbench": __version__, "python": platform.python_version(), **known, "platform": platform.platform()}


def _extra(name: str, quick: bool, found: Checkup) -> str | None:
    """Return the version of an optional package, None if it is not installed; note one that can't be imported."""
    if importlib.util.find_spec(name) is None:
        return None
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            _ = quick or importlib.import_module(name)
    except Exception as error:  # whatever its own code raises
        remedy = "; set KERAS_BACKEND, for example to torch" if name == "keras" else ""
        reason = f"{type(error).__name__}: {error}{remedy}"
        found.problems.append(Problem(f"{name} is installed but can't be imported: {reason}"))
        return "can't be imported"
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return "installed"


def _devices(found: Checkup) -> dict[str, Any]:
    import torch

    if torch.version.cuda and not torch.cuda.is_available() and Path("/dev/nvidiactl").exists():
        text = f"there is a GPU, but torch can't use it: its driver is too old for CUDA {torch.version.cuda}, or broken"
        found.problems.append(Problem(text))
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    named = {f"cuda:{index}": torch.cuda.get_device_name(index) for index in range(count)}
    return {"cpu": platform.machine(), **named, **({"mps": "Apple GPU"} if torch.backends.mps.is_available() else {})}


def _cpu(found: Checkup) -> dict[str, Any]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, ability = _quota(), torch.backends.cpu.get_cpu_capability()
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if quota is not None and quota < cores:
        text = f"the container may use {quota:g} of {counted(cores, 'core')}; give --jobs {max(int(quota), 1)} at most"
        found.problems.append(Problem(text))
    if threads.isdigit() and int(threads) > cores:
        found.problems.append(
            Problem(f"OMP_NUM_THREADS is {threads}, more than the {counted(cores, 'core')}; unset it")
        )
    if platform.machine() in ("x86_64", "AMD64") and ability in ("DEFAULT", "NO AVX"):
        found.problems.append(
            Problem("the CPU has no AVX2, or torch does not use it; training is several times slower")
        )
    shared = shutil.disk_usage("/dev/shm").total if Path("/dev/shm").is_dir() else None
    if shared is not None and shared < LITTLE_SHARED:
        text = f"/dev/shm has {in_bytes(shared)}; workers share the data there (docker run --shm-size=2g)"
        found.problems.append(Problem(text))
    memory = psutil.virtual_memory().total
    return {
        "cores": cores, "quota": quota, "threads": torch.get_num_threads(), "omp_num_threads": threads or None,
        "instructions": ability, "memory": memory, "shared_memory": shared,
    }  # fmt: skip


def _quota(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Return how many cores the container may use, by cgroup v2 or v1; None without a limit."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = (root / "cpu.max").read_text().split()
        return int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):
        amount = int((root / "cpu/cpu.cfs_quota_us").read_text())
        return amount / int((root / "cpu/cpu.cfs_period_us").read_text()) if amount > 0 else None
    return None


def _runs_folder(runs: Path, there: Path, found: Checkup) -> dict[str, Any]:
    """Check the folder of runs, or the one in which it would be made: writing, links, space, file system."""
    kind, free = _file_system(there), shutil.disk_usage(there).free
    writable, links = _writes_and_links(there)
    if not writable:
        found.problems.append(Problem(f"{there} can't be written to; give another --runs", stops=True))
    elif not links:
        found.problems.append(Problem(f"{there} does not support hard links, which run locks need", stops=True))
    if free < LITTLE_SPACE:
        found.problems.append(Problem(f"{there} has {in_bytes(free)} of free space", stops=free < 2**20))
    if kind.startswith(_NETWORK):
        found.problems.append(
            Problem(f"{there} is on a network file system ({kind}); many small writes are slow there")
        )
    return {
        "folder": str(runs), "exists": runs.exists(), "writable": writable, "locks": links, "free": free,
        "file_system": kind,
    }  # fmt: skip


def _writes_and_links(folder: Path) -> tuple[bool, bool]:
    try:
        with tempfile.TemporaryDirectory(prefix=".lrbench-", dir=folder) as made:
            file = Path(made) / "file"
            file.write_text("written by lrbench doctor")
            try:
                os.link(file, Path(made) / "lock")
            except OSError:
                return True, False
            return True, True
    except OSError:
        return False, False


def _file_system(folder: Path) -> str:
    """Return the kind of the file system of a folder, such as `ext4`; empty if it is unknown."""
    mounted = [one for one in psutil.disk_partitions(all=True) if folder.is_relative_to(one.mountpoint)]
    return max(mounted, key=lambda one: len(one.mountpoint)).fstype if mounted else ""


def _data_folder(found: Checkup) -> dict[str, Any]:
    root = data_root()
    if os.environ.get("LRBENCH_DATA") and not root.is_dir():
        found.problems.append(Problem(f"LRBENCH_DATA names {root}, which is not a folder"))
    held = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    return {"folder": str(root), "set_by": "LRBENCH_DATA" if os.environ.get("LRBENCH_DATA") else None, "holds": held}


def _speed(found: Checkup) -> dict[str, float]:
    """Measure a step of the tutorial's CNN, in ms, and a product of matrices, in GFLOP/s, on the best device."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        with _restored():
            step = _median(_steps_of_cnn(device), device)
            matrix = torch.rand(SIZE, SIZE, device=device)
            product = _median(lambda: matrix @ matrix, device)
    except Exception as error:  # torch's own errors are of any kind
        found.problems.append(Problem(f"a step can't be trained on {device}: {error}", stops=True))
        return {}
    return {"cnn_step_ms": round(1000 * step, 2), "images_per_second": round(BATCH / step), "gemm_gflops": round(
        2 * SIZE**3 / product / 1e9, 1)}  # fmt: skip


@contextlib.contextmanager
def _restored() -> Iterator[None]:
    """Leave torch's random numbers as they are."""
    import torch

    with torch.random.fork_rng():
        yield


def _steps_of_cnn(device: Any) -> Callable[[], object]:
    import torch

    model = build_model(Part("cnn"), input_shape=(1, 28, 28), outputs=10, classes=10).to(device)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    images, labels = torch.rand(BATCH, 1, 28, 28, device=device), torch.arange(BATCH, device=device) % 10

    def step() -> None:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _median(work: Callable[[], object], device: Any) -> float:
    """Return the median seconds of a few repetitions, after one that warms up."""
    import torch

    seconds = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def in_bytes(number: float) -> str:
    """Return `64.0 MB`, `1.5 TB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"
