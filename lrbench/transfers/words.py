"""A law in sentences, and what makes it doubtful."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from lrbench.analysis import NoOptimum, rate_text
from lrbench.components import in_words
from lrbench.config import FAR
from lrbench.transfers.law import Exponent, Fitted, LeftOut, Prediction


def sentences(law: Fitted, predictions: Sequence[Prediction], metric: str) -> list[str]:
    """Describe the law, each exponent, how well it predicts the largest size, and the predictions."""
    middle = law.law(metric)
    powers = " · ".join(f"({name}/{middle.at[name]:.3g})^{k:.2f}" for name, k in middle.exponents.items())
    lines = [
        f"The best learning rate for {in_words(metric)} is {rate_text(middle.lr)} · {powers}, fitted to "
        f"{len(law.points)} optima; they scatter around it by {law.line.tau:.2f} decades."
    ]
    for one in law.exponents:
        also = f" (with {', '.join(one.together)}, in proportion)" if one.together else ""
        lines.append(f"{one.name}{also}: exponent {one.value:.2f} ({one.low:.2f} … {one.high:.2f}), {one.theory}.")
        lines += [_left_out(one, each) for each in one.left_out]
    return lines + [predicted(one) for one in predictions]


def _left_out(one: Exponent, each: LeftOut) -> str:
    found, made = each.found, each.predicted
    verdict = "inside" if each.inside else "outside"
    if (width := math.log10(made.high / made.low)) > 1:
        largest = f"{one.name} {found.sizes[one.name]:g}"
        return f"Without {largest}, the others predict nothing there: within {width:.1f} decades."
    return (
        f"Without {one.name} {found.sizes[one.name]:g}, the law predicts {rate_text(made.lr)} for {_at(found.sizes)} "
        f"({rate_text(made.low)} … {rate_text(made.high)}); found: {rate_text(found.lr)}, {verdict}, "
        f"an error of {10 ** abs(each.decades):.2f}×."
    )


def predicted(one: Prediction) -> str:
    """`For epochs 300, the best learning rate is 0.0021 (95% interval 0.0012 … 0.0036).`"""
    interval = f"95% interval {rate_text(one.low)} … {rate_text(one.high)}"
    return f"For {_at(one.sizes)}, the best learning rate is {rate_text(one.lr)} ({interval})."


def _at(sizes: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in sizes.items())


def unchecked(one: Exponent) -> str:
    """Say that two sizes are not enough."""
    tried = " and ".join(f"{value:g}" for value in one.tried)
    return f"{one.name} has only the sizes {tried}, so a bend of the law would not show; add a third"


def warnings(law: Fitted, predictions: Sequence[Prediction]) -> Iterator[str]:
    """Yield what makes the law and its predictions doubtful."""
    for one in law.exponents:
        if not one.checked:
            yield f"{unchecked(one)}. Its exponent is a guess."
        if one.bend is not None:
            yield (
                f"The law bends over {one.name}: its exponent is about {one.bend.smallest:.2f} at {one.tried[0]:g} and "
                f"{one.bend.largest:.2f} at {one.tried[-1]:g}. Do not trust it beyond the sizes tried."
            )
        total = f"{len(one.left_out)} {'optimum' if len(one.left_out) == 1 else 'optima'}"
        if wrong := [each for each in one.left_out if not each.inside]:
            yield (
                f"The law without {one.name} {one.tried[-1]:g} mispredicts {len(wrong)} of {total} "
                "there, so it may also fail beyond the sizes tried."
            )
    if "batch_size" in law.axes and not {"steps"} & law.known[0].sizes.keys():
        yield "At equal epochs a larger batch takes fewer steps: the exponent of batch_size includes that."
    for made in predictions:
        for name, out in made.far.items():
            yield (
                f"{name} {made.sizes[name]:g} lies {out:.1f} decades outside the sizes tried (more than {FAR:g}): "
                "take the prediction as a guess."
            )
        if math.log10(made.high / made.low) > 1:
            yield f"The interval for {_at(made.sizes)} spans more than a decade: the sweeps do not determine it."


def against_edges(law: Fitted) -> Iterator[str]:
    """Yield the families whose optimum lies beyond the learning rates tried where the law puts it among them."""
    for one in law.sized:
        if not isinstance(one.found, NoOptimum) or one.found.kind not in ("lowest", "highest"):
            continue
        made = law.predict({name: one.value(name) for name in law.axes})
        rates = [point.rate * one.factor for point in one.family.points]
        above = one.found.kind == "highest"
        end = rates[-2] if above else rates[1]
        side = "above" if above else "below"
        if made.high < end if above else made.low > end:
            yield (
                f"{one.family.label} does not fit the law: its optimum lies {side} {rate_text(end)}, where the law "
                f"predicts {rate_text(made.lr)} ({rate_text(made.low)} … {rate_text(made.high)})."
            )
        else:
            yield f"{one.family.label} is left out: its optimum lies {side} {rate_text(end)}, so it may bend the law."
