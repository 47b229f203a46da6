"""What a recorder must know of its process: its rank, its script, and what else is loaded. Imports no framework."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
from pathlib import Path
from typing import Any

_LAUNCHERS = ("SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK")
_PACKAGES = ("torch", "jax", "tensorflow", "keras", "transformers", "accelerate", "lightning", "skorch", "fastai")


def rank() -> tuple[int, str]:
    """Return this process's rank among those that train one model, and what says so; 0 if it trains alone."""
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), "torch.distributed"
    jax = getattr(sys.modules.get("jax"), "distributed", None)
    if jax is not None and getattr(jax, "is_initialized", lambda: False)():
        return sys.modules["jax"].process_index(), "jax.distributed"
    if (found := _number("RANK")) is not None:
        return found, "RANK"
    for name in ("LOCAL_RANK", "GROUP_RANK", "NODE_RANK"):
        if _number(name):
            return _number(name) or 0, name
    name = next((name for name in _LAUNCHERS if _number(name) is not None), "")
    return (_number(name) or 0, name) if name else (0, "")


def _number(variable: str) -> int | None:
    text = os.environ.get(variable, "")
    return int(text) if text.isascii() and text.isdigit() else None


def script() -> Path | None:
    """Return the file of the program; None in a notebook or at a prompt."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if "ipykernel" in sys.modules or not isinstance(file, str):
        return None
    return Path(file)


def script_name() -> str:
    """Return the name of a run that was given none: the script's, or that of its folder if the script is `__main__`."""
    path = script()
    if path is None:
        return "notebook" if "ipykernel" in sys.modules else "run"
    name = path.stem if path.stem != "__main__" else path.absolute().parent.name
    return re.sub(r"[^\w .,+=@()-]|^\W+", "-", name)[:100].strip("-. ") or "run"


def script_hash() -> dict[str, str]:
    """Return the SHA-256 of the script by its file name; empty if there is none."""
    path = script()
    try:
        return {} if path is None else {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    except OSError:
        return {}


def versions() -> dict[str, str]:
    """Return the versions of the frameworks that the program has imported."""
    found = {name: getattr(sys.modules.get(name), "__version__", None) for name in _PACKAGES}
    return {name: str(version) for name, version in found.items() if version is not None}


def device() -> dict[str, Any]:
    """Return the device and the threads that torch has used, as far as the program uses torch."""
    torch = sys.modules.get("torch")
    try:
        if torch is None:
            return {}
        known = {"threads": torch.get_num_threads()}
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            known |= {"device": "cuda", "gpu": torch.cuda.get_device_name()}
        return known
    except Exception:  # a torch that is only half imported
        return {}


def say(text: str) -> None:
    """Tell the user something, beside the program's own output."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # no stderr, or a closed one
        print(f"lrbench: {text}", file=sys.stderr, flush=True)


def uncaught() -> BaseException | None:
    """Return the error that is ending the program; None if there is none."""
    return getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
