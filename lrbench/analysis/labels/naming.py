"""The names of groups and of families: labels, and short ones without what all share."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lrbench.analysis.labels.differing import Difference, Fields, differences
from lrbench.analysis.labels.values import (
    BUDGETS,
    MISSING,
    PARAMS,
    key_words,
    short_key,
    texts_of,
    value_words,
)

if TYPE_CHECKING:
    from lrbench.analysis.records import Record

RATE = "optimizer.lr"
REPEATS = ("seed", "run", "name")
"""What groups of one name may differ in without being told apart by it."""
MOST_KEYS = 4
"""Keys that a name has; more only if names would be equal."""
_SEPARATORS = "-_ ,=@(+"  # between words in a name


@dataclass(frozen=True)
class Naming:
    """The names of several groups, or of several families.

    Attributes:
        common: the name that all share, to be said once; empty if names differ.
        keys: the keys in which they differ, in words: `batch size`, `learning rate`, `schedule`.
        values: for each, the texts of the values of these keys; empty where it has none.
        labels: the full, unique names, which options take: `bs lr=0.00949 batch_size=16`.
        shorts: the same without what is common: `batch size 16, lr 0.00949`; unique too.
    """

    common: str
    keys: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    labels: tuple[str, ...]
    shorts: tuple[str, ...]

    def told(self, at: int) -> dict[str, str]:
        """Return the values of one by their keys, without those that it does not have."""
        return {key: text for key, text in zip(self.keys, self.values[at], strict=True) if text}


@dataclass(frozen=True)
class Named:
    """What is to be named.

    Attributes:
        name: the name of its config.
        fields: its flat canonical config; empty if it can't be read.
        rate: the key of its learning rate.
        source: the program that trained it, if not lrbench.
        folder: the folder of its first run, which names it where all else is equal.
    """

    name: str
    fields: Fields
    rate: str = RATE
    source: str = ""
    folder: str = ""

    @classmethod
    def of(cls, record: Record) -> Named:
        """Return what names a group, given its first run."""
        if record.experiment is None:
            return cls(record.name, {}, folder=record.folder.name)
        return cls(record.name, record.identity_fields, record.experiment.lr_key, record.source, record.folder.name)


@dataclass(frozen=True)
class _Texts:
    """What is said of one: `lr=0.1 batch_size=16`, `batch size 16, lr 0.1`; its values, and the keys they have."""

    assignments: str = ""
    words: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)


def group_naming(records: Sequence[Record]) -> Naming:
    """Name groups, each given by its first run."""
    return naming_of([Named.of(record) for record in records])


def family_naming(families: Sequence[Sequence[Record]]) -> Naming:
    """Name families, each given by the first runs of its groups, by the first words that the names of these share.

    Families of one name get what differs besides the learning rate: `batch size 16`, `cosine`, `no warm-up`.
    """
    stems = [_stem([record.name for record in family]) for family in families]
    named = [replace(Named.of(f[0]), name=stem, folder="") for stem, f in zip(stems, families, strict=True)]
    return naming_of(named, without_rate=True)


def naming_of(members: Sequence[Named], *, without_rate: bool = False) -> Naming:
    """Name groups or, `without_rate`, families; those that share a name get what differs.

    If several programs trained the runs, those that lrbench did not train are marked: `resnet (a command)`. Those of
    one name without a readable config are named by their folders, and those without a name by optimizer and schedule.
    """
    several = len({one.source for one in members if one.fields}) > 1
    clusters: dict[tuple[str, str, bool], list[int]] = {}
    for at, one in enumerate(members):
        clusters.setdefault((one.name, one.source, bool(one.fields)), []).append(at)
    count = Counter(one.name for one in members)
    texts = [_Texts()] * len(members)
    for places in clusters.values():
        for at, text in zip(places, _texts([members[at] for at in places], without_rate), strict=True):
            texts[at] = text
    labels, shorts = [], []
    for one, text in zip(members, texts, strict=True):
        unread = not one.fields and count[one.name] > 1
        mark = f" ({one.source})" if several and one.source and one.source != one.name else ""
        name = one.folder if unread else one.name or _parts(one.fields)
        labels.append(f"{name} {text.assignments}".strip() + mark)
        alone = bool(text.words) and (len(count) == 1 or not one.name)
        shorts.append((text.words if alone else ", ".join(filter(None, [name, text.words]))) + mark)
    labels = _unique(labels, [f"{label} ({one.folder})" for label, one in zip(labels, members, strict=True)])
    shorts = _unique(shorts, shorts if without_rate else labels)
    return _made(members, texts, labels, shorts)


def _stem(names: Sequence[str]) -> str:
    """Return the name; of several, their common first words, empty if there are none."""
    different = list(dict.fromkeys(names))
    if len(different) == 1:
        return different[0]
    words = zip(*(re.split(f"([{_SEPARATORS}])", name) for name in different), strict=False)
    start = "".join(word[0] for word in itertools.takewhile(lambda word: len(set(word)) == 1, words))
    return start.rstrip(_SEPARATORS)


def _parts(fields: Fields) -> str:
    return " ".join(str(fields[key]) for key in ("optimizer.name", "schedule.name") if key in fields)


def _made(members: Sequence[Named], texts: Sequence[_Texts], labels: Sequence[str], shorts: Sequence[str]) -> Naming:
    names = {one.name for one in members}
    keys = {words: key for text in texts for words, key in text.keys.items()}
    rows = [
        tuple(text.values.get(words, "" if words in text.keys else _known(one, key)) for words, key in keys.items())
        for one, text in zip(members, texts, strict=True)
    ]
    if len(names) == 1:
        return Naming(names.pop(), tuple(keys), tuple(rows), tuple(labels), tuple(shorts))
    rows = [(one.name, *row) for one, row in zip(members, rows, strict=True)]
    return Naming("", ("name", *keys), tuple(rows), tuple(labels), tuple(shorts))


def _known(one: Named, key: str) -> str:
    """Return a value in which those of another name differ, but not those of this one's."""
    value = one.fields.get(key, one.fields.get(f"{key}.name"))
    return "" if value is None else texts_of([value], key)[0]


def _texts(members: Sequence[Named], without_rate: bool) -> list[_Texts]:
    """Say what differs between those that share a name."""
    configs, rate = [one.fields for one in members], members[0].rate
    if len(members) < 2 or not all(configs):
        return [_Texts()] * len(members)
    found = differences(configs, rate, (*REPEATS, rate) if without_rate else REPEATS)
    columns = _enough([_Column.of(one) for one in found], len(members))
    names = [short_key(one.key) for one in columns]
    said = ["learning rate" if one.key == rate else key_words(one.key) for one in columns]
    names = [one.key.removeprefix(PARAMS) if names.count(n) > 1 else n for n, one in zip(names, columns, strict=True)]
    said = [key_words(one.key, whole=True) if said.count(w) > 1 else w for w, one in zip(said, columns, strict=True)]
    order = sorted(range(len(columns)), key=lambda at: columns[at].key == rate)  # the learning rate last, in words
    told = []
    for at in range(len(members)):
        there = [n for n, column in enumerate(columns) if column.values[at] is not MISSING]
        words = {columns[n].key: _words(columns[n], at, rate, said[n]) for n in order if n in there}
        told.append(
            _Texts(
                " ".join(f"{names[n]}={columns[n].texts[at]}" for n in there),
                _joined({key: text for key, text in words.items() if text}, rate),
                {said[n]: columns[n].texts[at] for n in there},
                {said[n]: columns[n].key for n in order},
            )
        )
    return told


@dataclass(frozen=True)
class _Column:
    """A key in which configs differ, with values and texts; a value that is missing has no text."""

    key: str
    values: tuple[Any, ...]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, found: Difference) -> _Column:
        there = [at for at, value in enumerate(found.values) if value is not MISSING]
        texts = [""] * len(found.values)
        for at, text in zip(there, texts_of([found.values[at] for at in there], found.key), strict=True):
            texts[at] = text
        return cls(found.key, found.values, tuple(texts))


def _joined(words: Mapping[str, str], rate: str) -> str:
    """`step (factor 0.5), batch size 16`: parameters follow the block whose kind they belong to."""
    owners = {key: next((one for one in words if key != rate and key.startswith(f"{one}.")), "") for key in words}
    told = []
    for key in (key for key in words if not owners[key]):
        own = ", ".join(words[other] for other, owner in owners.items() if owner == key)
        told.append(f"{words[key]} ({own})" if own else words[key])
    return ", ".join(told)


def _words(column: _Column, at: int, rate: str, said: str) -> str:
    if column.key == rate:
        return "default lr" if column.values[at] is None else f"lr {column.texts[at]}"
    return value_words(column.key, column.values[at], column.texts[at], said)


def _enough(columns: Sequence[_Column], count: int) -> list[_Column]:
    """Return the first columns, and of the others those without which rows would be equal."""
    kept = {column.key for column in columns[:MOST_KEYS]}
    codes = _codes([0] * count, columns[:MOST_KEYS])
    for column in columns[MOST_KEYS:]:
        if len(set(codes)) == count:
            break
        finer = _codes(codes, [column])
        if len(set(finer)) > len(set(codes)):
            kept.add(column.key)
            codes = finer
    kept.update(BUDGETS if kept.intersection(BUDGETS) else ())  # one has what the other lacks
    return [column for column in columns if column.key in kept]


def _codes(codes: list[int], columns: Sequence[_Column]) -> list[int]:
    """Number rows by a number that they had and by their texts."""
    for column in columns:
        known: dict[tuple[int, str], int] = {}
        codes = [known.setdefault((code, text), len(known)) for code, text in zip(codes, column.texts, strict=True)]
    return codes


def _unique(texts: Sequence[str], instead: Sequence[str]) -> list[str]:
    """Return texts, with others instead of all that are equal; numbered where these are equal too."""
    count = Counter(texts)
    found = [other if count[text] > 1 else text for text, other in zip(texts, instead, strict=True)]
    taken: set[str] = set()
    for at, text in enumerate(found):
        number = 1
        while found[at] in taken:
            number += 1
            found[at] = f"{text} ({number})"
        taken.add(found[at])
    return found
