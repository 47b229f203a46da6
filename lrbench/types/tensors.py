"""Numbers and lists of a config where a function wants a tensor."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from lrbench.errors import ConfigError, reason_of

_TENSOR = r"(<class ')?(typing\.)?(Optional\[)?(torch\.)?Tensor\]?('>)?( \| None)?"


def with_tensors(function: Callable[..., Any], params: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Turn numbers and lists into tensors where the function's annotations want only a tensor, as in torch's losses.

    Raises:
        ConfigError: a list is not one of numbers, or lists in it differ in length.
    """
    found = dict(params)
    known = inspect.signature(function).parameters
    for name, value in params.items():
        wanted = str(known[name].annotation) if name in known else ""
        if isinstance(value, list | int | float) and re.fullmatch(_TENSOR, wanted):
            import torch

            try:
                found[name] = torch.tensor(value, dtype=torch.get_default_dtype())
            except (TypeError, ValueError) as error:
                problem = f"must be a number or a list of numbers, for a tensor: {reason_of(error)}"
                raise ConfigError(problem, key=f"{key}.{name}") from None
    return found
