"""The dropout masks of stacked runs: each run draws its own, from its own generator, as it would alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lrbench.components import kept, masks_from


@dataclass(frozen=True)
class Site:
    """A place where a model's forward pass draws a mask.

    Attributes:
        like: a tensor without data, of the shape and strides of what is masked in a single run.
        p: the probability that an element is dropped.
        bits: whether the mask is drawn from random bits, by `relu_dropout`, or by torch's dropout.
    """

    like: Tensor
    p: float
    bits: bool

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw a run's mask, with the same random numbers as the run would alone."""
        if self.bits:
            return kept(self.like, self.p, generator)
        noise = torch.empty_strided(self.like.shape, self.like.stride())
        noise.bernoulli_(1 - self.p, generator=generator)
        return noise.div_(1 - self.p) if self.p < 1 else noise


def _is_dropout(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Tensor, float] | None:
    """Return what `F.dropout` masks and the probability; None for another function, or if it drops nothing."""
    if func is not F.dropout:
        return None
    names = dict(zip(("input", "p", "training"), args, strict=False)) | kwargs
    p = float(names.get("p", 0.5))
    return (names["input"], p) if names.get("training", True) and p > 0 else None


@dataclass
class _Noting(TorchFunctionMode):
    """Notes the sites of a single model's forward pass."""

    sites: list[Site] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def note(self, x: Tensor, p: float, bits: bool) -> None:
        self.sites.append(Site(torch.empty_strided(x.shape, x.stride(), device="meta"), p, bits))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = _is_dropout(func, args, kwargs or {})
        if found is not None:
            self.note(*found, bits=False)
        return func(*args, **(kwargs or {}))


def sites_of(forward: Callable[[], object]) -> list[Site]:
    """Return the sites of a single model's forward pass in training mode, in the order in which it draws."""
    noting = _Noting()

    def mask(x: Tensor, p: float) -> Tensor:
        noting.note(x, p, bits=True)
        return torch.ones_like(x, dtype=torch.bool)

    with torch.random.fork_rng(devices=[]), torch.no_grad(), masks_from(mask), noting:
        forward()
    return noting.sites


class _Giving(TorchFunctionMode):
    """Multiplies by a given mask instead of torch's dropout."""

    def __init__(self, take: Callable[[], Tensor]) -> None:
        super().__init__()
        self.take = take

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = _is_dropout(func, args, kwargs or {})
        return func(*args, **(kwargs or {})) if found is None else found[0] * self.take()


@contextlib.contextmanager
def given(masks: Sequence[Tensor], sites: Sequence[Site]) -> Iterator[None]:
    """Evaluate models in the block with these masks, in the order of their sites."""
    remaining = iter(masks)

    def take() -> Tensor:
        return next(remaining)

    plain = _Giving(take) if any(not site.bits for site in sites) else contextlib.nullcontext()
    with masks_from(lambda x, p: take()), plain:
        yield


def drawn(sites: Sequence[Site], generators: Sequence[torch.Generator]) -> list[Tensor]:
    """Draw each run's masks of a step; returns for each site a tensor (runs, …)."""
    runs = [[site.draw(generator) for site in sites] for generator in generators]
    return [torch.stack([masks[number] for masks in runs]) for number in range(len(sites))]
