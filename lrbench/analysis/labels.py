"""Labels of groups and families that tell what differs between them, and short texts of values."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrbench.analysis.records import Record

Fields = Mapping[str, Any]
"""A flat canonical config: `optimizer.lr` → 0.001."""

_FIRST = ("optimizer", "schedule", "warmup", "plateau", "batch_size", "model")  # most interesting first
_REPEATS = ("seed", "run", "name")
"""What groups of one name may differ in without being told apart by it."""
_MOST_CHARACTERS = 40
_PARAMS, _FILES = "params.", "files."  # of other programs
_SEPARATORS = "-_ ,=@(+"  # between words in a name


def value_text(value: Any) -> str:
    """Format a config's value in a few characters."""
    if isinstance(value, list):
        return f"[{', '.join(map(value_text, value))}]"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def differing(mine: Fields, others: Sequence[Fields], without: Sequence[str] = _REPEATS) -> list[str]:
    """Return the keys in which a config differs from any of the others.

    If the name of a part differs, its parameters are left out, except the learning rate.
    """
    keys = dict.fromkeys(key for fields in (mine, *others) for key in fields if key not in without)
    found = [key for key in keys if any(other.get(key) != mine.get(key) for other in others)]
    renamed = {key.removesuffix("name") for key in found if key.endswith(".name") and key != f"{_PARAMS}name"}
    return [k for k in found if k.endswith((".name", ".lr")) or not any(k.startswith(part) for part in renamed)]


def labels_of(members: Sequence[Sequence[Record]]) -> list[str]:
    """Return the names of groups; groups that share a name get what differs: `baseline lr=0.01`.

    If several programs trained the runs, those that lrbench did not train are marked: `resnet (a command)`.
    """
    labels: list[str] = []
    named: dict[str, list[Sequence[Record]]] = {}
    for group in members:
        named.setdefault(group[0].name, []).append(group)
    sources = {group[0].source for group in members if group[0].experiment is not None}
    for group in members:
        name = group[0].name
        others = [other for other in named[name] if other is not group]
        if others and group[0].experiment is None:
            labels.append(group[0].folder.name)
            continue
        known = [g[0].identity_fields for g in others if g[0].experiment is not None]
        rate = _rate_of(group[0])
        label = f"{name} {_assignments(group[0].identity_fields, known, rate)}".strip() if known else name
        marked = len(sources) > 1 and group[0].source and group[0].source != name
        labels.append(f"{label} ({group[0].source})" if marked else label)
    taken: set[str] = set()
    for index, label in enumerate(labels):
        if label in taken:
            labels[index] = f"{label} ({members[index][0].folder.name})"
        taken.add(labels[index])
    return labels


def _assignments(mine: Fields, others: Sequence[Fields], rate: str) -> str:
    """`lr=0.01 schedule=cosine`."""

    def interest(key: str) -> int:
        section = key.removeprefix(_PARAMS).split(".")[0]
        return -1 if key == rate else _FIRST.index(section) if section in _FIRST else len(_FIRST)

    keys = sorted(differing(mine, others), key=interest)[:4]
    told = [_assignment(key, mine.get(key)) for key in keys]
    names = [text.partition("=")[0] for text in told]
    for at, (key, name) in enumerate(zip(keys, names, strict=True)):
        if names.count(name) > 1 and key.startswith(_PARAMS):
            told[at] = f"{key.removeprefix(_PARAMS)}={told[at].partition('=')[2]}"
    return " ".join(told)


def _assignment(key: str, value: Any) -> str:
    """`lr=0.01`, `schedule=cosine` for `schedule.name`, `train.py=1a2b3c4` for the hash of a file."""
    if key.startswith(_FILES):
        return f"{key.removeprefix(_FILES)}={str(value)[:7] if value else 'none'}"
    pieces = key.removeprefix(_PARAMS).split(".")
    text = value_text(value)
    text = text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"
    return f"{pieces[-2] if pieces[-1] == 'name' and len(pieces) > 1 else pieces[-1]}={text}"


def family_labels(members: Sequence[Sequence[Record]]) -> list[str]:
    """Label families by what the names of their groups have in common; families with one label get what differs.

    Without common words, the label is the optimizer and the schedule. Each family is given by the first runs of its
    groups.
    """
    stems = [_stem([record.name for record in family]) for family in members]
    labels = []
    for stem, family in zip(stems, members, strict=True):
        others = [m[0].identity_fields for s, m in zip(stems, members, strict=True) if s == stem]
        mine = family[0].identity_fields
        known = [stem] if stem else [str(mine[key]) for key in ("optimizer.name", "schedule.name") if key in mine]
        labels.append(" ".join(dict.fromkeys([*known, *_words(mine, others, _rate_of(family[0]))])))
    return [f"{label} ({labels[: at + 1].count(label)})" if labels.count(label) > 1 else label
            for at, label in enumerate(labels)]  # fmt: skip


def _rate_of(record: Record) -> str:
    return "optimizer.lr" if record.experiment is None else record.experiment.lr_key


def _stem(names: Sequence[str]) -> str:
    """Return the name; of several, their common first words, empty if there are none."""
    different = list(dict.fromkeys(names))
    if len(different) == 1:
        return different[0]
    words = zip(*(re.split(f"([{_SEPARATORS}])", name) for name in different), strict=False)
    start = "".join(word[0] for word in itertools.takewhile(lambda word: len(set(word)) == 1, words))
    return start.rstrip(_SEPARATORS)


def _words(mine: Fields, others: Sequence[Fields], rate: str) -> list[str]:
    """`cosine`, `sgd`, `momentum=0.9`, `no warmup`."""
    sections = {key.split(".")[0] for key in mine}
    pieces = []
    for key in differing(mine, others, (*_REPEATS, rate)):
        section, value = key.split(".")[0], mine.get(key)
        if key.startswith((_PARAMS, _FILES)):
            pieces.append(_assignment(key, value))
        elif section not in sections:
            pieces.append(f"no {section}")
        elif key.endswith(".name"):
            pieces.append(str(value))
        else:
            short = key.split(".")[-1] if section in ("optimizer", "schedule") else key
            pieces.append(f"{short}={value_text(value)}")
    return list(dict.fromkeys(pieces))[:3]
