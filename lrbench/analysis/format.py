"""Numbers as text, the same in the terminal, in tables and in figures."""

from __future__ import annotations


def loss(value: float) -> str:
    """Four significant digits, so that 0.0286 and 2.319 read alike."""
    return f"{value:.4g}" if value < 1000 else f"{value:.3g}"


def percent(value: float) -> str:
    """An accuracy as a percentage."""
    return f"{100 * value:.2f} %"


def measured(value: float, metric: str) -> str:
    """A value of a metric: an accuracy as a percentage, a loss with four digits."""
    return percent(value) if metric.endswith("accuracy") else loss(value)


def duration(seconds: float) -> str:
    """Seconds as `3.2 s`, `5:48` or `1:02:03`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
