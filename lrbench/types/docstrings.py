"""What docstrings say of the parameters of functions and the fields of classes, the one place of these texts."""

from __future__ import annotations

import inspect
import re

_SECTION = re.compile(r"\n(?:Args|Attributes):\n")
_ARGUMENT = re.compile(r" {4}(\w+)(?: \(.*?\))?: *(.*)")
_MARKUP = re.compile(
    r":\w+:(?=`)|(?<=`)`|`(?=`)|\s*Default: .*$"
)  # of reStructuredText; defaults have a place of their own
_RENAMED = re.compile(r"`(\w+)` in the config: (.*)")


def documented(what: object) -> tuple[list[str], dict[str, str]]:
    """Return a docstring's paragraphs and the meaning of each parameter, by its key in a config, without line breaks.

    A field that a config calls otherwise, since Python reserves the name, begins with "`for` in the config: ".
    """
    prose, *sections = _SECTION.split((inspect.getdoc(what) or "").partition(">>>")[0])
    meanings: dict[str, str] = {}
    for line in "".join(sections[:1]).rstrip().splitlines():
        found = _ARGUMENT.fullmatch(line)
        if found is not None:
            meanings[found[1]] = found[2]
        elif meanings and line.startswith("     "):
            meanings[[*meanings][-1]] += f" {line.strip()}"
        else:
            break  # another section
    paragraphs = [_plain(text) for text in re.split(r"\n\s*\n", prose.strip())]
    return paragraphs, dict(_by_key(name, _plain(meaning)) for name, meaning in meanings.items())


def _by_key(name: str, meaning: str) -> tuple[str, str]:
    renamed = _RENAMED.fullmatch(meaning)
    return (renamed[1], renamed[2]) if renamed else (name, meaning)


def _plain(text: str) -> str:
    return _MARKUP.sub("", " ".join(text.split()))
