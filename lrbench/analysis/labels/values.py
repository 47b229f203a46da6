"""Short texts of values, and the words for a config's keys."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lrbench.analysis.labels.shortening import shortened

DIGITS = 3
"""Significant digits of a number, unless two values would look the same."""
MOST_CHARACTERS = 40
EXACT = 17
"""Significant digits that tell any two numbers apart."""
_HASH = 7

PARAMS, FILES = "params.", "files."
"""What the keys of another program's runs begin with: its parameters, and the hashes of its files."""
NAMELESS = ("warmup", "plateau", "early_stopping", "lr_scaling")
"""Blocks of a config without a name; their keys mean little without them."""
BLOCKS = ("dataset", "model", "optimizer", "schedule", "loss", "task")
"""Blocks whose name is understood alone: `cosine`, `adam`."""
BUDGETS = ("epochs", "steps")
_WORDS = {"lr": "learning rate", "warmup": "warm-up", "lr_scaling": "learning rate scaling"}


class Missing:
    """The value of a key that a config can't have, such as a parameter of another schedule."""


MISSING = Missing()


def number_text(value: float, digits: int = DIGITS) -> str:
    """Format a number with at most so many significant digits; digits before the decimal point are never lost.

    >>> number_text(0.00948683), number_text(16.0), number_text(12345.678), number_text(1e-5)
    ('0.00949', '16', '12346', '1e-05')
    """
    if not math.isfinite(value):
        return f"{value:g}"
    if digits >= EXACT:
        return repr(value).removesuffix(".0")
    whole = len(str(int(abs(value)))) if 1 <= abs(value) < 1e7 else 0
    return f"{value:.{max(digits, whole)}g}"


def rate_text(lr: float | None) -> str:
    """Format a learning rate with three significant digits: those of a log grid have many."""
    return "the optimizer's default" if lr is None else number_text(lr)


def value_text(value: Any, digits: int = 6) -> str:
    """Format a config's value in a few characters."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(value_text(one, digits) for one in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {value_text(one, digits)}' for key, one in value.items())}}}"
    if isinstance(value, float):
        return number_text(value, digits)
    return "none" if value is None else str(value)


def texts_of(values: Sequence[Any], key: str) -> list[str]:
    """Format the values of one key in at most 40 characters each; different values get different texts if they can.

    Numbers have three significant digits, and as many more as tell them from others.
    """
    if key.startswith(FILES):
        return ["none" if value is None else str(value)[:_HASH] for value in values]
    texts = [value_text(value, DIGITS) for value in values]
    alike: dict[str, dict[str, list[int]]] = {}
    for at, (text, value) in enumerate(zip(texts, values, strict=True)):
        alike.setdefault(text, {}).setdefault(value_text(value, EXACT), []).append(at)
    for exact in alike.values():
        if len(exact) > 1:
            firsts = [values[places[0]] for places in exact.values()]
            for places, text in zip(exact.values(), _apart(firsts), strict=True):
                for at in places:
                    texts[at] = text
    different = list(dict.fromkeys(texts))
    if max(map(len, different), default=0) <= MOST_CHARACTERS:
        return texts
    short = dict(zip(different, shortened(different, MOST_CHARACTERS), strict=True))
    return [short[text] for text in texts]


def _apart(values: Sequence[Any]) -> list[str]:
    """Return the shortest texts that tell all of these values apart."""
    for digits in range(DIGITS + 1, EXACT):
        texts = [value_text(value, digits) for value in values]
        if len(set(texts)) == len(texts):
            return texts
    return [value_text(value, EXACT) for value in values]


def short_key(key: str) -> str:
    """Return the last part of a dotted key; that of the block for its name.

    >>> short_key("optimizer.lr"), short_key("params.model.name"), short_key("files.train.py"), short_key("schedule")
    ('lr', 'model', 'train.py', 'schedule')
    """
    if key.startswith(FILES):
        return key.removeprefix(FILES)
    pieces = key.removeprefix(PARAMS).split(".")
    return pieces[-2] if pieces[-1] == "name" and len(pieces) > 1 else pieces[-1]


def key_words(key: str, *, whole: bool = False) -> str:
    """Return the words for a dotted key, of all of its parts if `whole`.

    >>> key_words("batch_size"), key_words("schedule.factor"), key_words("warmup.from_factor"), key_words("warmup")
    ('batch size', 'factor', 'warm-up from factor', 'warm-up')
    """
    if key.startswith(FILES):
        return key.removeprefix(FILES)
    pieces = key.removeprefix(PARAMS).split(".")
    pieces = pieces[:-1] if pieces[-1] == "name" and len(pieces) > 1 else pieces
    if not whole and pieces[0] not in NAMELESS:
        pieces = pieces[-1:] if key.startswith(PARAMS) else pieces[1:] or pieces
    return " ".join(_WORDS.get(piece, piece.replace("_", " ")) for piece in pieces)


def value_words(key: str, value: Any, text: str, said: str) -> str:
    """Return what is said of a value: `cosine`, `batch size 16`, `8 epochs`, `no warm-up`; empty if it says nothing.

    Args:
        key: its dotted key, or the name of a block.
        value: the value; None if the config has none.
        text: the value as a text.
        said: the words for the key.
    """
    if key in BUDGETS:
        return "" if value is None else f"{text} {key.removesuffix('s') if text == '1' else key}"
    if value is None or value is False:
        return f"no {said}"
    if value is True:
        return said
    return text if key in BLOCKS else f"{said} {text}"
