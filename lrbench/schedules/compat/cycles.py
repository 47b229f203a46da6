"""Cycles whose length changes by a factor, as timm and Keras count them."""

from __future__ import annotations

from lrbench.errors import ConfigError

SHORTEST = 1e-6  # in units of time; a cycle of this length is no cycle any more


def cycle_at(time: float, first: float, factor: float, limit: float = float("inf")) -> tuple[int, float, float]:
    """(cycles done, time since the last restart, length of the cycle under way).

    Lengths are added up, where timm and Keras take a logarithm, whose rounding can miss a restart by one update.
    Raises ConfigError where lengths shrink so fast that `time` is never reached.
    """
    if factor == 1:
        cycle = int(time // first)
        return cycle, time - first * cycle, first
    cycle, begin, length = 0, 0.0, float(first)
    while time >= begin + length and cycle < limit:
        cycle, begin, length = cycle + 1, begin + length, length * factor
        if length < SHORTEST:
            problem = f"cycles of {first:g}, each {factor:g} times as long as the one before, end at {begin:.4g}"
            raise ConfigError(f"{problem}, before the run does", key="schedule")
    return cycle, time - begin, length
