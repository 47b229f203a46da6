"""Other programs' runs: a recorder, callbacks for training frameworks, importers, exporters and trackers.

Each framework has one file, which is imported only when it is used. No room but the command line imports this one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrbench.integrations.range_test_hf import hf_range_test
    from lrbench.integrations.range_test_keras import keras_range_test
    from lrbench.integrations.range_test_lightning import lightning_range_test

_LATER = {
    "hf_range_test": "lrbench.integrations.range_test_hf",
    "keras_range_test": "lrbench.integrations.range_test_keras",
    "lightning_range_test": "lrbench.integrations.range_test_lightning",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'lrbench.integrations' has no attribute '{name}'")
    return getattr(importlib.import_module(_LATER[name]), name)
