"""Configs as YAML text that `yaml_source` reads back as the same values."""

from __future__ import annotations

from typing import Any

import yaml

from lrbench.config.yaml_source import Loader


class _Dumper(yaml.SafeDumper):
    """Quotes text that `Loader` would read as another type, such as '1e5'."""

    yaml_implicit_resolvers = Loader.yaml_implicit_resolvers


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Represent text. Rare line endings must be escaped, since single quotes would turn them into spaces."""
    style = '"' if any(end in text for end in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text)


def dump(value: Any) -> str:
    """Write YAML that `yaml_source.parse` reads back as the same value."""
    if not isinstance(value, dict) or not value:
        return _dumped(value)
    return "".join(_dumped_key(key, one) for key, one in value.items())


def _dumped_key(key: Any, value: Any) -> str:
    """Write a key and its value, once: most are the same in thousands of configs."""
    what = repr((key, value))
    if what not in _written:
        if len(_written) >= _MOST_WRITTEN:
            _written.clear()
        _written[what] = _dumped({key: value})
    return _written[what]


def _dumped(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


_written: dict[str, str] = {}
_MOST_WRITTEN = 4096
