"""`Limits`: the wall time, the time without progress and the memory that a run may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a run may take; None for no limit.

    Attributes:
        timeout: seconds of wall time, counted anew when the run is resumed.
        stall: seconds without progress.
        memory: bytes of main memory, with those of all processes that the run starts.
    """

    timeout: float | None = None
    stall: float | None = None
    memory: int | None = None

    @property
    def any(self) -> bool:
        """Whether there is a limit."""
        return self != Limits()
