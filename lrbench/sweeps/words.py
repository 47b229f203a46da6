"""What a sweep says, in sentences: each line's best rate, the best of all, how sure that is, what is missing."""

from __future__ import annotations

import math

from lrbench.sweeps.summary import Curve, Point, Summary


def words(summary: Summary) -> list[str]:
    """What is to be known of a sweep."""
    lines = []
    missing = sum(point.missing for curve in summary.curves for point in curve.points)
    for curve in summary.curves:
        lines += _of_curve(curve, summary.epsilon)
    if summary.winner is None:
        lines.append("No cell has a final validation loss yet, so there is no best rate.")
    elif len(summary.curves) > 1 and not missing:
        lines.append(_of_winner(summary))
    if summary.confirmation is not None and summary.winner is not None:
        lines.append(_of_confirmation(summary.winner[1], summary.confirmation))
    if missing:
        have = "has" if missing == 1 else "have"
        lines.append(f"{missing} of {len(summary.cells)} cells {have} no result, so this is not the last word.")
    pruned = sum(point.count("pruned") for curve in summary.curves for point in curve.points)
    if pruned:
        were = "was" if pruned == 1 else "were"
        lines.append(f"{pruned} of {len(summary.cells)} cells {were} pruned; their rates have no numbers.")
    return lines


def _of_curve(curve: Curve, epsilon: float) -> list[str]:
    best = curve.best
    if best is None:
        missing = any(point.missing for point in curve.points)
        cut = any(point.count("pruned") for point in curve.points)
        why = "no rate has a result" if missing else "pruning has left no rate whole" if cut else _ALL_DIVERGED
        return [f"{curve.series}: {why}."]
    if len(curve.points) == 1:
        return [f"{curve.series}: {_loss(best)} at {_rate(best.lr)}, its only rate."]
    beside = ", ".join(f"{_loss(point)} at {_rate(point.lr)}" for point in curve.neighbours if point is not None)
    near = curve.near(epsilon)
    width = "" if near is None else f" {_width(near, epsilon)}"
    lines = [f"{curve.series}: lowest at {_rate(best.lr)}, {_loss(best)}; beside it {beside}.{width}"]
    if curve.edge:
        way = "larger" if curve.edge == "highest" else "smaller"
        where = f"its best rate is the {curve.edge} of the grid, so a {way} one may be better"
        lines.append(f"{curve.series}: {where}: widen the grid.")
    return lines


_ALL_DIVERGED = "every rate diverged, for half of the seeds or more"


def _of_winner(summary: Summary) -> str:
    assert summary.winner is not None
    curve, best = summary.winner
    mine = best.spread("val_loss")
    others = [(other.series, point.spread("val_loss")) for other in summary.curves if (point := other.best)]
    rivals = {name: spread for name, spread in others if spread is not None and name != curve.series}
    text = f"The lowest of all is {curve.series} at {_rate(best.lr)}"
    if mine is None or not rivals:
        return f"{text}; no other line has a loss."
    if mine.n < 2 or min(spread.n for spread in rivals.values()) < 2:
        return f"{text}; with one seed, nothing tells that from chance (--seeds 3)."
    alike = [name for name, spread in rivals.items() if spread.overlaps(mine)]
    if alike:
        return f"{text}, but its range over {mine.n} seeds overlaps with that of {', '.join(alike)}: undecided."
    odds = min(math.comb(mine.n + spread.n, mine.n) // 2 for spread in rivals.values())
    chance = f"of two lines that are equal, ranges of so few seeds lie apart 1 time in {odds}"
    return f"{text}, and no other line's range reaches it ({chance}{'; --seeds 5 says more' if odds < 20 else ''})."


def _of_confirmation(best: Point, fresh: Point) -> str:
    """The fresh seeds beside those it was chosen by: confirmed where the two ranges have a value in common."""
    chosen, new = best.spread("val_loss"), fresh.spread("val_loss")
    if new is None or chosen is None:
        return "The fresh seeds that were to confirm it have no finite loss."
    change = (new.median - chosen.median) / abs(chosen.median) if chosen.median else 0.0
    text = f"With {len(fresh.cells)} fresh seeds its loss is {_loss(fresh)}, {change:+.0%} against when it was chosen"
    if new.overlaps(chosen):
        return f"{text}; the ranges overlap: confirmed."
    if new.median < chosen.median:
        return f"{text}; every fresh seed is better: confirmed."
    return f"{text}; every fresh seed is worse than those it was chosen by: not confirmed."


def _loss(point: Point) -> str:
    spread = point.spread("val_loss")
    if spread is None:
        return next((kind for kind in ("pruned", "diverged") if point.count(kind)), "no result")
    text = f"{spread.median:.4g}"
    return text if spread.n == 1 else f"{text} ({spread.low:.4g} … {spread.high:.4g})"


def _width(near: tuple[float, float], epsilon: float) -> str:
    low, high = near
    if low == high:
        return f"No other rate is within {epsilon:.0%} of it."
    return f"Within {epsilon:.0%} of it are {_rate(low)} … {_rate(high)}, {math.log10(high / low):.1f} decades."


def _rate(lr: float | None) -> str:
    return "its default rate" if lr is None else f"{lr:.3g}"
