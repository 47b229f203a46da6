"""Durations as text. A `Metric` formats its own values."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Format seconds as `3.2 s`, `5:48` or `1:02:03`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
