"""What a wrong course of the schedule leads to, in words."""

from __future__ import annotations

from lrbench.analysis.audits.side_by_side import SideBySide


def after_the_end(pair: SideBySide, horizon: float) -> str:
    """Describe a schedule that reaches its end too early."""
    text = f"it reaches its end after {horizon:,.0f} of {pair.meant.total_steps:,} steps"
    after = pair.run.rates[pair.positions > horizon + 2]
    if len(after) < 3:
        return text
    low, high = after.min(), after.max()
    if high > low + 0.1 * pair.run.peak:
        return f"{text} and rises again"
    return f"{text} and stays at {after[-1]:.3g} from there on"


def progress(pair: SideBySide) -> str:
    """Describe how far the learning rate went on its way from its peak to the end of the schedule."""
    end = pair.table[-1]
    peak, last = pair.run.peak, float(pair.run.rates[-1])
    if not peak > end:
        return f"it ends at {last:.3g}"
    way = (peak - last) / (peak - end)
    low = "0" if end < 1e-4 * peak else f"{end:.3g}"
    return f"it ends at {last:.3g}, {way:.0%} of the way from {peak:.3g} to {low}"
