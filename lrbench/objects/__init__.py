"""In Python, on objects: find a learning rate for a model that you have, and train it, without a config.

`run` and `find_lr` turn a model, data, an optimizer and a loss into an experiment whose parts are import strings of
this module, `lrbench.objects:NAME`. From there on it is like any other. Your objects never change: runs work on copies.
No other room imports this one, and nothing here trains by itself or imports torch before a call.
"""

from __future__ import annotations

from typing import Any

from lrbench.objects.calls import find_lr, run
from lrbench.objects.known import held


def __getattr__(name: str) -> Any:
    return held(name)
