"""Other programs' runs: a recorder, callbacks for training frameworks, importers, exporters and trackers.

Each framework has one file, which is imported only when it is used. No room but the command line imports this one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrbench.integrations.cell import param
    from lrbench.integrations.exporting import Export, export
    from lrbench.integrations.importers.importing import Imported, import_runs
    from lrbench.integrations.range_test_hf import hf_range_test
    from lrbench.integrations.range_test_keras import keras_range_test
    from lrbench.integrations.range_test_lightning import lightning_range_test
    from lrbench.integrations.recorder import Recorder
    from lrbench.integrations.recording import record
    from lrbench.integrations.trackers import Log, Tool

_LATER = {
    "Imported": "lrbench.integrations.importers.importing",
    "import_runs": "lrbench.integrations.importers.importing",
    "Export": "lrbench.integrations.exporting",
    "Log": "lrbench.integrations.trackers",
    "Recorder": "lrbench.integrations.recorder",
    "Tool": "lrbench.integrations.trackers",
    "export": "lrbench.integrations.exporting",
    "hf_range_test": "lrbench.integrations.range_test_hf",
    "keras_range_test": "lrbench.integrations.range_test_keras",
    "lightning_range_test": "lrbench.integrations.range_test_lightning",
    "param": "lrbench.integrations.cell",
    "record": "lrbench.integrations.recording",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'lrbench.integrations' has no attribute '{name}'")
    return getattr(importlib.import_module(_LATER[name]), name)
