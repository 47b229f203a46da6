"""One copy of the data for all workers of a machine, in shared memory."""

from __future__ import annotations

import contextlib
import shutil
from multiprocessing.reduction import ForkingPickler

import torch

from lrbench.components import Data
from lrbench.training import build

LEAST_BYTES = 1_000_000  # smaller data loads as quickly
MEMORY = "/dev/shm"


def offered() -> bytes | None:
    """Pickle the data that this process holds on the CPU for `accept` in a worker; None if there is none.

    Streamed data, except for images that are kept once decoded, and data that does not fit into shared memory is left
    out.
    """
    shared = {}
    for key, data in build.held.items():
        tensors = _tensors(data) if key[1] == "cpu" else []  # a worker moves it to its own device
        size = sum(t.nbytes for t in tensors)
        unshared = [t for t in tensors if not t.is_shared()]  # type: ignore[no-untyped-call]
        if tensors and size >= LEAST_BYTES and sum(t.nbytes for t in unshared) < _room():
            for tensor in tensors:
                tensor.share_memory_()  # type: ignore[no-untyped-call]
            shared[key] = data
    return bytes(ForkingPickler.dumps(shared)) if shared else None


def accept(pickled: bytes) -> None:
    """Cache the data of another process. If that fails, it is loaded when needed."""
    with contextlib.suppress(Exception):
        build.held.update(ForkingPickler.loads(pickled))


def _tensors(data: Data) -> list[torch.Tensor]:
    """Return the data's tensors; empty unless all of it is in CPU memory."""
    splits = [split.tensors() for split in (data.train, data.validation, data.test) if split is not None]
    tensors = [tensor for held in splits for tensor in held]
    return tensors if all(splits) and all(tensor.device.type == "cpu" for tensor in tensors) else []


def _room() -> int:
    """Return the bytes of shared memory to use: half of what is free."""
    try:
        return shutil.disk_usage(MEMORY).free // 2
    except OSError:
        return 0
