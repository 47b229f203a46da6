"""How a model's weights and pictures lie in memory."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from lrbench.components import Data


def layout_for(model: nn.Module, data: Data, device: torch.device, precision: str) -> torch.memory_format | None:
    """The layout that suits a model and a device; None for torch's usual one.

    As the model's class says by `memory_format`. Another model with convolutions gets the channels last where a trial
    of two examples shows that it takes them so, forward and backward, with the same outputs: some models reshape their
    pictures in ways that only the usual layout allows. A GPU that computes in plain float32 has the channels first,
    which costs it a sixth less.
    """
    if device.type == "cuda" and precision == "fp32":
        return None
    own: torch.memory_format | None = getattr(model, "memory_format", None)
    if own is not None:
        return own
    pictures = len(data.shape) == 3 and any(isinstance(part, nn.Conv2d) for part in model.modules())
    return torch.channels_last if pictures and device.type in ("cpu", "cuda") and _takes(model, data, device) else None


def _takes(model: nn.Module, data: Data, device: torch.device) -> bool:
    """Whether a copy of the model gives the same with the channels last."""
    raw, _ = next(iter(data.train.batches(2)))
    inputs = data.prepare(raw, device)
    try:
        with torch.random.fork_rng():
            twin = copy.deepcopy(model).to(device).eval()
            plain = _outputs(twin, inputs)
            twin = twin.to(memory_format=torch.channels_last)
            inputs = inputs.contiguous(memory_format=torch.channels_last)
            same = torch.allclose(_outputs(twin, inputs), plain, rtol=1e-3, atol=1e-3 * float(plain.abs().max()))
            twin.train()
            twin(inputs).sum().backward()
    except (Exception, SystemExit):  # of the user's code; in the usual layout, training shows what is wrong with it
        return False
    return same


@torch.no_grad()
def _outputs(model: nn.Module, inputs: Tensor) -> Tensor:
    out: Tensor = model(inputs)
    return out.clone()
