"""The statistical method of a comparison in words."""

from __future__ import annotations

from lrbench.analysis import ALPHA, MARGIN, PERCENT_MARGIN, POWER, Comparison, mean_text


def method(comparison: Comparison) -> str | None:
    """Describe the statistical method."""
    if comparison.single:
        return None
    ratios = comparison.measure.by_ratio
    scale = "logarithms" if ratios else "values"
    margin = f"{100 * PERCENT_MARGIN:g} points" if comparison.measure.form == "percent" else f"{MARGIN:.0%}"
    margin += "" if ratios or comparison.measure.form == "percent" else " of the other group's mean"
    kinds = {row.difference.paired for row in comparison.rows if row.difference and row.difference.n}
    paired = "pairs of equal seeds" if True in kinds else "independent seeds (Welch)"
    if kinds == {True, False}:
        paired += ", or all seeds (Welch) where there are too few pairs or unpaired seeds reverse the order"
    compared = "ratios" if ratios else "differences"
    zeros = ratios and any(min(row.values.values(), default=1) <= 0 for row in comparison.rows)
    with_zero = (
        "A group with a value of 0 has an arithmetic mean and is compared by differences; a tie is then within "
        f"±{MARGIN:.0%} of the other group's mean. "
    )
    return (
        f"Values are {mean_text(ratios)}s over the seeds that reached their end. Groups are ordered first by the "
        "share of seeds that diverged, failed or ended on a plateau (at least three times the loss of all others), "
        "then by this mean. A group that lost a larger share can't be better. The shares are compared by Fisher's "
        "exact test, which decides alone where fewer than two seeds are left. "
        f"Intervals are Student's t on {scale}. Groups are compared by {compared} of {comparison.measure.words} "
        f"between {paired}, with {1 - ALPHA:.0%} intervals. {_moderated(comparison)}A group is better or worse if p, "
        f"corrected for {_corrected_for(comparison)}, is below {ALPHA:g}, probably so if only the uncorrected p is, "
        f"and a tie if the interval is within ±{margin}, also corrected for the number of groups (Holm). A level "
        f"of {ALPHA:g} instead of 0.05 keeps wrong answers below 5% for skewed spreads too (simulated). The number of "
        f"more seeds gives an {POWER:.0%} chance to decide; its range is for 50% and 95%. "
        f"{with_zero if zeros else ''}Rank: the possible ranks, given the differences between all groups."
    )


def _moderated(comparison: Comparison) -> str:
    prior = comparison.prior
    if prior is None:
        return ""
    apart = ", but not for groups that vary far more than the others" if prior.apart else ""
    return (
        f"The spread of each pair is moderated by the spreads of all pairs (Smyth){apart}, which counts as "
        f"{prior.freedom:.3g} more seeds. "
        if prior.freedom < 1000
        else f"The pairs' spreads are alike, so the spread is pooled over all pairs (Smyth){apart}. "
    )


def _corrected_for(comparison: Comparison) -> str:
    if comparison.chosen:
        told = "their number (Holm)"
    elif comparison.prior is not None and comparison.prior.alike:
        told = "all pairs, since the same runs chose the best (Tukey's studentized range)"
    else:
        told = "all pairs, since the same runs chose the best (Holm)"
    looked = comparison.looks
    return told + (f" and for {looked} looks, since seeds were added (p times {looked**2})" if looked > 1 else "")
