"""Cycles whose length changes by a factor, as in timm and Keras."""

from __future__ import annotations

from lrbench.errors import ConfigError

SHORTEST = 1e-6  # in units of time; a shorter cycle has vanished


def cycle_at(time: float, first: float, factor: float, limit: float = float("inf")) -> tuple[int, float, float]:
    """Return (completed cycles, time since the last restart, length of the current cycle).

    Lengths are added up; timm and Keras take a logarithm, whose rounding can miss a restart by one step.
    Raises ConfigError if the cycles shrink so fast that they never reach `time`.
    """
    if factor == 1:
        cycle = int(time // first)
        return cycle, time - first * cycle, first
    cycle, begin, length = 0, 0.0, float(first)
    while time >= begin + length and cycle < limit:
        cycle, begin, length = cycle + 1, begin + length, length * factor
        if length < SHORTEST:
            problem = f"cycles of {first:g}, each {factor:g} times as long as the previous one, end at {begin:.4g}"
            raise ConfigError(f"{problem}, before the run does", key="schedule")
    return cycle, time - begin, length
