"""Shortening names together, so that no two become equal."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from lrbench.errors import printable

_WORD = r"(?:[^\W_]|\.)+"  # a number is one word


def cut(text: str, most: int) -> str:
    """Shorten one text in the middle, since names often differ at their ends. For a list, use `shortened`.

    >>> cut("a" * 30 + " lr=0.01", 20)
    'aaaaaaaaaa…a lr=0.01'
    """
    return _middle(_plain(text), most)


def shortened(names: Sequence[str], most: int) -> list[str]:
    """Shorten names to `most` characters each; different names stay different.

    What all have in common at their starts and ends is cut first, then the middle of what differs. Names that can't be
    told apart in so few characters are numbered.

    >>> shortened(["resnet on cifar, batch size 16", "resnet on cifar, batch size 256"], 20)
    ['resnet o…ch size 16', 'resnet o…ch size 256']
    """
    different = list(dict.fromkeys(names))
    texts = _numbered(_shortened([_plain(name) for name in different], most), most)
    found = dict(zip(different, texts, strict=True))
    return [found[name] for name in names]


def _plain(text: str) -> str:
    return " ".join(printable(text).split())


def _middle(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    kept = max(most - 1, 0)
    return f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"


def _shortened(names: Sequence[str], most: int, *, by_word: bool = True) -> list[str]:
    """Shorten names; different ones may still be equal if `most` is very small."""
    if len(names) == 1 or all(len(name) <= most for name in names):
        return [_middle(name, most) for name in names]
    start, end = _common(names, by_word=by_word)
    cores = [name[len(start) : len(name) - len(end)] for name in names]
    room = most - max(map(len, cores))
    if room >= bool(start) + bool(end):
        before, after = _shares(len(start), len(end), room)
        return [_middle(start, before) + core + _middle(end, after) for core in cores]
    marks = "…" * bool(start), "…" * bool(end)
    texts = [marks[0] + _middle(core, most - len("".join(marks))) + marks[1] for core in cores]
    alike: dict[str, list[int]] = {}
    for at, text in enumerate(texts):
        alike.setdefault(text, []).append(at)
    for places in alike.values():
        whole = len(places) == len(names)
        if len(places) == 1 or (whole and not by_word):
            continue
        # They have more in common than all have, at least in characters.
        again = _shortened([names[at] for at in places], most, by_word=not whole)
        for at, text in zip(places, again, strict=True):
            texts[at] = text
    return texts


def _common(names: Sequence[str], *, by_word: bool) -> tuple[str, str]:
    """Return what names have in common at their starts and ends, without parts of words if `by_word`."""
    start = _prefix(names)
    if by_word and any(re.match(_WORD, name[len(start) :]) for name in names):
        start = re.sub(f"{_WORD}$", "", start)
    rest = [name[len(start) :] for name in names]
    end = _prefix([name[::-1] for name in rest])[::-1]
    if by_word and any(re.search(f"{_WORD}$", name[: len(name) - len(end)]) for name in rest):
        end = re.sub(f"^{_WORD}", "", end)
    return start, end


def _prefix(names: Sequence[str]) -> str:
    first, last = min(names), max(names)  # these differ first
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(one for one, _ in same)


def _shares(start: int, end: int, room: int) -> tuple[int, int]:
    """Divide the room in halves; what one part does not need is for the other."""
    before = min(start, max(room - room // 2, room - end)) if end else min(start, room)
    return before, min(end, room - before)


def _numbered(texts: Sequence[str], most: int) -> list[str]:
    """Number all but the first of equal texts."""
    taken: set[str] = set(texts)
    seen: set[str] = set()
    found = []
    for text in texts:
        number, told = 1, text
        while told in (seen if number == 1 else taken):
            number += 1
            suffix = f" ({number})"
            told = text[: max(most - len(suffix), 0)] + suffix
        taken.add(told)
        seen.add(text)
        found.append(told)
    return found
