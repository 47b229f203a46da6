"""What charts and tables begin with: the validation loss, or what runs of other programs have instead."""

from __future__ import annotations

from collections.abc import Sequence

from lrbench.analysis import DEFAULT_METRIC, Group, default_metric, measures_of
from lrbench.components import LOSS, Measure, Metric, measures


def headline(groups: Sequence[Group]) -> Measure:
    """Return the measure whose curves the main chart shows.

    It is the validation loss, unless only other programs trained the runs and none has it: then what they are compared
    by, or else the first that they have curves of.
    """
    usual = measures((LOSS,))[DEFAULT_METRIC]
    records = [record for group in groups for record in group.records]
    if not all(group.foreign for group in groups) or _drawn(groups, usual):
        return usual
    known = measures_of(records)
    curves = [one for one in known.values() if one.per_epoch and _drawn(groups, one)]
    compared = known.get(default_metric(records), usual)
    curves.sort(key=lambda one: (one.metric != compared.metric, not one.on_validation))
    return curves[0] if curves else usual


def charted_metrics(groups: Sequence[Group]) -> dict[str, Metric]:
    """Return the metrics that a group has values of, by name, that of the main chart first."""
    first = headline(groups).metric
    known = measures_of(record for group in groups for record in group.records)
    curves = [one for one in known.values() if one.per_epoch]
    there = {one.metric.name: one.metric for one in curves if any(group.spread(one.name) for group in groups)}
    return {first.name: first, **there}


def _drawn(groups: Sequence[Group], measure: Measure) -> bool:
    return any(len(group.curve(measure.name).places) for group in groups)
