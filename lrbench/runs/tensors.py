"""Files of tensors, numbers, text and containers: written so that the system's errors are seen, read only if whole."""

from __future__ import annotations

import errno
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any


def save(content: Mapping[str, Any], file: IO[bytes]) -> None:
    """Write a mapping. Raises OSError, a full disk's too, which torch hides behind an error of its own."""
    import torch

    try:
        torch.save(dict(content), file)
    except RuntimeError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__context__
        if cause is not None:
            raise cause from error
        raise OSError(errno.EIO, f"torch could not write it: {str(error).splitlines()[0]}") from error


def load(path: Path) -> dict[str, Any]:
    """Read a mapping back, onto the CPU. Raises ValueError where a checksum is wrong (torch looks at none)."""
    import torch

    with zipfile.ZipFile(path) as archive:
        if archive.testzip() is not None:
            raise ValueError(f"{path} is damaged")
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content
