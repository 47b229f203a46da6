"""SGD that notes when it takes the first step of a command: what `whole.py start` waits for.

The file that FIRST_STEP names gets the time since 1970 and the processor time of the process, both in seconds.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch


class Sgd(torch.optim.SGD):
    """Torch's SGD, but for the note."""

    def step(self, closure: Any = None) -> Any:
        """Take a step, and write the file unless there is one."""
        loss = super().step(closure)
        note = Path(os.environ["FIRST_STEP"])
        if not note.exists():
            note.write_text(f"{time.time()} {time.process_time()}")
        return loss
