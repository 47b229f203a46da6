"""The rules that give a verdict, in their order."""

from __future__ import annotations

import math
import statistics

import numpy as np

from lrbench.analysis.estimates import exp
from lrbench.analysis.verdicts.curves import Curves, jitter, logarithms, trend, ups
from lrbench.analysis.verdicts.words import Verdict, last, number, tried

AT_CHANCE = 0.9  # of the loss of guessing
SPENT = 0.01  # of the peak learning rate
FEWEST = 3  # epochs; with fewer, only the first verdicts are possible
SKILLED = 0.3  # of the way from chance to the best score: no longer guessing
SMOOTH = 0.02  # share of evaluations in which a loss may rise and still fall steadily
LARGE_SWING = 1.5  # of the validation loss, beyond what few examples explain
LEAST_GAIN = 0.05  # of the logarithm of the loss, that a three times larger learning rate should bring


def verdict(run: Curves) -> Verdict:
    """Return the first verdict that fits; see docs/verdicts.md."""
    losses = run.val_loss
    if run.status == "diverged" or not all(map(math.isfinite, losses)):
        return Verdict("diverged", run.reason or "a loss was not finite", tried(0.1, run.told), 0.1)
    if not losses:
        return Verdict("too short to tell", f"no {run.unit} is done")
    for rule in (
        _guessing,
        _short,
        _lost_again,
        _oscillating,
        _overfitting,
        _decayed,
        _slow,
        _restless,
        _falling,
        _undecided,
    ):
        found = rule(run)
        if found is not None:
            return found
    return Verdict("converged", f"the validation loss is {number(losses[-1])}, {_flatness(run)}")


def _guessing(run: Curves) -> Verdict | None:
    """Judge a run whose validation loss is that of guessing, or worse."""
    losses, chance = run.val_loss, run.chance
    if chance is None or losses[-1] < AT_CHANCE * chance or run.skill >= SKILLED:
        return None
    end = f"the validation loss of {number(losses[-1])} is no better than that of guessing, {number(chance)}"
    if _memorized(run, chance):
        return _nothing(run, end)
    if run.trained and run.train_loss[-1] < AT_CHANCE * min(chance, losses[-1]):
        return _overfitting(run)
    return _decayed(run) or _thrown(run, chance, end) or _hardly(run, chance, end)


def _memorized(run: Curves, chance: float) -> bool:
    """Whether the training loss fell below chance, and the validation loss never did."""
    best = min(run.val_loss)
    below = run.trained and run.train_loss[-1] < min(best, chance) - 0.008 * chance
    return below and best > 0.985 * chance and run.skill == 0 and max(run.train_loss) <= 1.1 * chance


def _nothing(run: Curves, end: str) -> Verdict:
    fell = f"the training loss fell to {number(run.train_loss[-1])}, and the validation loss never below chance"
    advice = "check the labels and the split: what was learned of the training examples says nothing of the others"
    return Verdict("nothing to learn", f"{end}; {fell}", advice)


def _thrown(run: Curves, chance: float, end: str) -> Verdict | None:
    """Judge whether some steps threw the weights so far that training can't recover.

    The loss was far above chance; or slightly above, and then stayed at chance, as if the output no longer depended on
    the input; or it goes up and down by more than rounding and the order of examples explain. A net that starts above
    chance and hardly learns falls slowly, and continues below chance.
    """
    losses, train = run.val_loss, run.train_loss
    first, *later = train
    back = [*later, losses[-1]]
    stays = first > 1.01 * chance and bool(later) and all(abs(loss - chance) < 0.005 * chance for loss in back)
    moves = any(max(values) - min(values) >= 1e-4 * chance for values in (train, losses))
    if not (max(train) > 1.1 * chance or stays or (moves and ups(losses) > 0.2)):
        return None
    worst = max(range(len(train)), key=lambda i: train[i])
    jumped = f"the training loss was {number(train[worst])} in {run.unit} {worst + 1}"
    said = "it moves up and down there" if train[worst] < 1.01 * chance else jumped
    return Verdict("stuck, rate too large", f"{end}; {said}", tried(0.1, run.told), 0.1)


def _hardly(run: Curves, chance: float, end: str) -> Verdict:
    losses = run.val_loss
    pace = (losses[0] - losses[-1]) / max(len(losses) - 1, 1)
    wanted = (losses[-1] - chance / 2) / pace if pace > 0 else math.inf
    more = f"at this pace, half of that takes {wanted:,.0f} more {run.unit}s" if wanted < 1e6 else "it hardly moved"
    return Verdict("stuck, rate too small", f"{end}; {more}", tried(10, run.told), 10)


def _short(run: Curves) -> Verdict | None:
    count = len(run.val_loss)
    return Verdict("too short to tell", f"{count} {run.unit}s", "train longer") if count < FEWEST else None


def _lost_again(run: Curves) -> Verdict | None:
    """Judge training and validation losses that both fell and rose again; see the note in docs/verdicts.md."""
    losses, train = run.val_loss, run.train_loss
    if losses[-1] <= 1.5 * min(losses) or not train[-1] > 1.5 * min(train):  # a loss of 0 has not risen
        return None
    before = f"{number(min(losses))} in {run.unit} {losses.index(min(losses)) + 1}"
    evidence = f"the losses were lower before: {before}, now {number(losses[-1])}"
    return Verdict("oscillating", evidence, tried(1 / 3, run.told) + _or_decay(run), 1 / 3)


def _or_decay(run: Curves) -> str:
    return "" if run.decays else ", or a decay"


def _overfitting(run: Curves) -> Verdict | None:
    losses, train = run.val_loss, run.train_loss
    lowest = losses.index(min(losses))
    end = statistics.median(losses[-3:])
    if losses[lowest] <= 0 or end < 1.18 * losses[lowest] or lowest > 0.8 * len(losses):
        return None
    if run.trained and train[-1] > 0.8 * train[lowest]:
        return None
    rose = f"{end / losses[lowest] - 1:.0%} since {run.unit} {lowest + 1}"
    evidence = f"the validation loss has risen by {rose}"
    advice = f"stop at {run.unit} {lowest + 1}" + (" (early_stopping, best.pt)" if run.own else "")
    advice += "" if run.decays else ", or decay the learning rate"
    if not run.trained:
        unknown = "without the training loss, it may be overfitting or the learning rate"
        return Verdict("past its best", f"{evidence}; {unknown}", advice)
    return Verdict("overfitting", f"{evidence}, while the training loss fell", advice)


def _decayed(run: Curves) -> Verdict | None:
    """Judge a learning rate that became so small that the losses, still falling, stopped."""
    losses, train, count = run.val_loss, run.train_loss, len(run.val_loss)
    if not run.lr or not run.trained:
        return None
    peak = max(run.lr)
    spent = next((i for i in range(count) if all(lr <= SPENT * peak for lr in run.lr[i:])), count)
    high = max((i for i in range(count) if run.lr[i] >= 0.1 * peak), default=0)
    if count - spent < max(count / 4, 2) or high < 1 or spent < 1 or min(losses[-1], losses[high], train[high]) <= 0:
        return None
    after = losses[spent - 1] / losses[-1] - 1
    before = min(losses[high - 1] / losses[high] - 1, train[high - 1] / train[high] - 1)
    if abs(after) > 0.03 or before < 0.01:
        return None
    falling = f"the loss still fell by {before:.0%} in the last {run.unit} with a high one"
    evidence = f"the learning rate was nearly 0 after {run.unit} {spent} of {count}; {falling}"
    return Verdict("decayed too early", evidence, f"decay later or less: keep {run.told:.2g} for longer")


def _slow(run: Curves) -> Verdict | None:
    """Judge a run that its learning rate holds back: the loss falls, without noise, as the learning rates sum up."""
    high, train = run.val_loss[run.high], run.train_loss[run.high]
    if min(run.val_loss) <= 0:
        return None
    chance, calm = run.chance, ups(run.val_loss) <= SMOOTH and (not run.trained or ups(train) <= 0.1)
    if chance is not None and run.val_loss[-1] > 0.75 * chance and calm:
        evidence = f"the validation loss falls steadily, but is still {number(run.val_loss[-1])}, close to guessing"
        return Verdict("too slow", f"{evidence}, {number(chance)}", f"train longer, or {tried(10, run.told)}", 10)
    noisy = run.trained and jitter(train) > 0.25
    if len(high) < 4 or run.expected(run.val_loss) < LEAST_GAIN or ups(high) > SMOOTH or noisy or _annealed(run):
        return None
    fell = f"{1 - exp(-run.fell(run.val_loss, 2, 0)):.0%}, to {number(run.val_loss[-1])},"
    if run.decays:
        evidence = (
            f"the validation loss fell by {fell} steadily while the last two thirds of the learning rate were spent"
        )
    else:
        evidence = f"the validation loss fell by {fell} in the last two thirds of the run, steadily"
    return Verdict("too slow", evidence, f"train longer, or {tried(3, run.told)}", 3)


def _annealed(run: Curves) -> bool:
    """Whether the loss falls faster, for its learning rates, once they are low: it was noise that ended there."""
    if not run.decays or run.high.stop >= len(run.val_loss):
        return False
    logs, spent, end = logarithms(run.val_loss), run.spent, run.high.stop - 1
    start = max(0, end - max(2, (run.high.stop - run.high.start) // 3))
    before = (logs[start] - logs[end]) / max(spent[end] - spent[start], 1e-9)
    after = (logs[end] - logs[-1]) / max(spent[-1] - spent[end], 1e-9)
    steeper = 1.4 if run.expected(run.val_loss) <= 0.8 else 4.0  # large falls begin with a plateau, and get steeper
    return bool(after > steeper * before)


def _falling(run: Curves) -> Verdict | None:
    """Judge a run that still falls at its end, whatever holds it back."""
    losses = run.val_loss
    live = not run.lr or run.lr[-1] > 0.05 * max(run.lr)
    third = losses[-(max(len(losses) // 3, 2) + 1) :]
    fall, error = trend(third)
    if not live or fall < 0.1 or fall < 3 * error:
        return None
    over = last(len(third) - 1, run.unit)
    evidence = f"the validation loss still fell by {1 - exp(-fall):.0%} in the last {over}, to {number(losses[-1])}"
    return Verdict("too slow", evidence, "train longer")


def _oscillating(run: Curves) -> Verdict | None:
    """Judge losses that swing up and down around their trend; the training loss shows that it is not the evaluation.

    The validation loss has the noise of its few examples. What both losses do is the learning rate.
    """
    half = slice(len(run.val_loss) // 2, None)
    val, train = run.val_loss[half], run.train_loss[half]
    if len(val) < FEWEST or min(val) <= 0:
        return None
    steps = np.diff(logarithms(val))
    swing = float(np.abs(steps - steps.mean()).mean())
    quiet = run.trained and ups(train) < 0.25 and swing < math.log(LARGE_SWING)
    if swing < math.log(1.18) or not 0.2 <= ups(val) <= 0.8 or quiet:
        return None
    evidence = f"in the second half, the validation loss moves up and down by {exp(swing) - 1:.0%} per {run.unit}"
    if run.decays or (ups(train) >= 0.25 and run.fell(run.val_loss, 2, 0) < 0.1):
        return Verdict("oscillating", evidence, tried(1 / 3, run.told) + _or_decay(run), 1 / 3)
    return Verdict("oscillating", evidence, "decay the learning rate")


def _restless(run: Curves) -> Verdict | None:
    """Judge a training loss that goes up as often as down at a high learning rate, and gets nowhere."""
    train = run.train_loss[run.high]
    if not run.trained or len(train) < 5 or min(train) <= 0 or ups(train) < 0.3:
        return None
    fall, error = trend(train)
    if fall > 3 * error:
        return None
    rose = f"the training loss rose in {ups(train):.0%} of the {run.unit}s at a high learning rate"
    evidence = f"{rose}, and changed by {exp(-fall) - 1:+.0%} from the first to the last of them"
    return Verdict("oscillating", evidence, tried(1 / 3, run.told) + _or_decay(run), 1 / 3)


def _undecided(run: Curves) -> Verdict | None:
    """Judge a run whose end is flat, while something else speaks against its learning rate."""
    train, val = run.train_loss[run.high], run.val_loss
    if min(val) <= 0:
        return None
    ending, rise = run.fell(val, 1, 0), val[-1] / min(val) - 1
    doubts = []
    if run.trained and len(train) > 2 and (jitter(train) > 0.1 or ups(train) > 0.12):
        doubts.append("the training loss is not steady while the learning rate is high")
    if ending > 0.04 or run.expected(val) >= LEAST_GAIN:
        doubts.append(f"the validation loss fell by {1 - exp(-ending):.0%} in the last stretch, though not steadily")
    if rise > 0.1:
        doubts.append(f"the validation loss is {rise:.0%} above its lowest")
    if not doubts:
        return None
    evidence = f"the validation loss is {number(val[-1])}, {_flatness(run)}, but {', and '.join(doubts)}"
    return Verdict("undecided", evidence, "these curves do not tell which learning rate is better: try both sides")


def _flatness(run: Curves) -> str:
    losses = run.val_loss
    ending = losses[-(max(len(losses) // 3, 1) + 1) :]
    change = ending[-1] / ending[0] - 1 if ending[0] else 0.0
    found = f"{change:+.0%} in the last {last(len(ending) - 1, run.unit)}"
    if run.decays and change <= -0.1:  # a decay ends the fall, which is no standstill
        found += f" as the learning rate decayed, {ending[-1] / ending[-2] - 1:+.0%} in the last of them"
    return found
