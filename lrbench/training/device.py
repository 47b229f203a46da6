"""The device that a run trains on, and how exactly it computes."""

from __future__ import annotations

import os

import torch

from lrbench.errors import ConfigError


def resolve_device(name: str) -> torch.device:
    """Return the device; `auto` is CUDA, else MPS, else the CPU. Raises ConfigError for an unavailable device."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    device = torch.device(next(kind for kind, usable in available.items() if usable) if name == "auto" else name)
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # makes cuBLAS deterministic
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    if not available[device.type] or (device.index or 0) >= max(torch.cuda.device_count(), 1):
        raise ConfigError(f"'{name}' is not available on this machine; use auto or cpu", key="device")
    return device


def exact_products(precision: str, device: torch.device) -> None:
    """Make a GPU compute in full float32 (by default torch's convolutions use TF32), unless `precision: tf32`.

    Raises ConfigError for a precision that the device does not have.
    """
    if precision == "fp16" and device.type != "cuda":
        raise ConfigError(f"fp16 needs a CUDA GPU, but the device is '{device}'; use bf16", key="precision")
    if precision == "tf32" and device.type != "cuda":
        raise ConfigError(f"tf32 needs a CUDA GPU, but the device is '{device}'", key="precision")
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
