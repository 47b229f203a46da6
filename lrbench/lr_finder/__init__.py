"""The learning rate finder: run range tests on the training loop and turn their curves into advice.

Curves and advice, or why there is none, are kept in a folder. Nothing here draws. Torch is imported only for a test in
a training loop of the user's own.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lrbench.lr_finder.advice import Advice, Refusal
from lrbench.lr_finder.curves import trend
from lrbench.lr_finder.find import find_lr, known_finding
from lrbench.lr_finder.folder import FinderFolder, find_tests
from lrbench.lr_finder.loop_test import LoopTest
from lrbench.lr_finder.result import Finding
from lrbench.lr_finder.result import load as load_finding
from lrbench.lr_finder.settings import LoopRamp, Ramp
from lrbench.lr_finder.write_config import check_schedule, check_target, write_found

if TYPE_CHECKING:
    from lrbench.lr_finder.kept_state import KeptState
    from lrbench.lr_finder.range_test import RangeTest

_WITH_TORCH = {"KeptState": "lrbench.lr_finder.kept_state", "RangeTest": "lrbench.lr_finder.range_test"}


def __getattr__(name: str) -> Any:
    if name not in _WITH_TORCH:
        raise AttributeError(f"module 'lrbench.lr_finder' has no attribute '{name}'")
    return getattr(importlib.import_module(_WITH_TORCH[name]), name)
