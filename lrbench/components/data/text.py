"""Text as tokens, for language models: windows of consecutive tokens, and the same windows one token later."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lrbench.components.data.batches import Batch, Tensors
from lrbench.components.data.sources import Source
from lrbench.errors import DataError

EMBEDDED = Path(__file__).with_name("shakespeare.txt.gz")
TEST_FRACTION = 0.1
LEAST_WINDOWS = 10  # so that training, validation and test data get at least one each


@dataclass(frozen=True)
class Tokens(Tensors):
    """Windows of a text, (n, context), kept in the smallest type that holds the vocabulary; batches are int64.

    Inputs and targets are two views of one sequence in memory, a token apart.
    """

    def batches(self, size: int, order: Tensor | None = None, start: int = 0, seed: int = 0) -> Iterator[Batch]:
        """See `Split`."""
        for inputs, targets in super().batches(size, order, start, seed):
            yield inputs.long(), targets.long()

    def subset(self, indices: Tensor) -> Tokens:
        """See `Split`."""
        chosen = super().subset(indices)
        return Tokens(chosen.inputs, chosen.targets)

    def to(self, device: torch.device) -> Tokens:
        """See `Split`."""
        moved = super().to(device)
        return Tokens(moved.inputs, moved.targets)


def text(path: str | None, tokens: Literal["bytes", "characters"], context: int) -> Source:
    """Cut a text into windows; the last 10% of them are the test data.

    Window i has the tokens i·context … (i+1)·context − 1 as inputs, and each one's next token as targets.

    Args:
        path: a file, or a folder whose *.txt files are joined in the order of their names; None for the embedded plays.
        tokens: `bytes`, 256 of them, or `characters`, all that the text has, in the order of their code points.
        context: tokens in a window.

    Raises:
        DataError: there is no text at the path, it is too short, or it is not UTF-8 where characters are wanted.
    """
    files = _files(path)
    contents = [_read(file) for file in files]
    if tokens == "bytes":
        codes, vocabulary, width = np.frombuffer(b"".join(contents), np.uint8), 256, 1.0
    else:
        codes, vocabulary, width = _characters(files, contents)
    windows = (len(codes) - 1) // context
    if windows < LEAST_WINDOWS:
        need = f"needs at least {LEAST_WINDOWS * context + 1:,}, for {LEAST_WINDOWS} windows of context: {context}"
        what = f"{path or 'the embedded text'} has {len(codes):,} {tokens} and {need}"
        raise DataError(f"text: {what}; use a longer text or a smaller context")
    whole = torch.from_numpy(codes.copy())  # what `frombuffer` returns can't be written to, which torch warns of
    used = windows * context
    every = Tokens(whole[:used].view(windows, context), whole[1 : used + 1].view(windows, context))
    held = int(windows * TEST_FRACTION + 0.5)
    numbers = torch.arange(windows)
    train, test = every.subset(numbers[:-held]), every.subset(numbers[-held:])
    return Source("text", train, None, test, vocabulary, bytes_per_token=width)


def _files(path: str | None) -> list[Path]:
    if path is None:
        return [EMBEDDED]
    found = Path(path).expanduser().absolute()
    if not found.is_dir():
        return [found]
    files = sorted(found.glob("*.txt"))
    if not files:
        raise DataError(f"text: the folder {found} has no *.txt files; name a file, or a folder that has some")
    return files


def _read(file: Path) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"text: cannot read {file}: {error.strerror}") from None
    return gzip.decompress(content) if file == EMBEDDED else content


def _characters(files: list[Path], contents: list[bytes]) -> tuple[np.ndarray, int, float]:
    """Return each character's number, the size of the vocabulary and the mean bytes of a character in UTF-8."""
    decoded = "".join(_decoded(file, content) for file, content in zip(files, contents, strict=True))
    points = np.frombuffer(decoded.encode("utf-32-le"), np.uint32)
    known, codes = np.unique(points, return_inverse=True)
    kind = next(kind for kind in (np.uint8, np.int16, np.int32) if len(known) <= np.iinfo(kind).max + 1)
    width = len(decoded.encode()) / len(decoded) if decoded else 1.0
    return codes.astype(kind), len(known), width


def _decoded(file: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")  # without the mark that some editors put before the text
    except UnicodeDecodeError as error:
        problem = f"{file} is not UTF-8 (byte {error.start:,}: 0x{content[error.start]:02x})"
        raise DataError(f"text: {problem}; convert it, or use tokens: bytes, which accepts any bytes") from None
