"""Import strings, `package.module:name`: how a config names what lrbench does not have."""

from __future__ import annotations

import importlib
import re
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lrbench.errors import ConfigError, UserCodeError, choices

OBJECTS = "lrbench.objects:"
"""Import strings that start with this name objects that a user gave to Python functions, not code."""
_DOTTED = r"\w+(?:\.\w+)*"
IMPORT_STRING = re.compile(f"{_DOTTED}:{_DOTTED}")
"""What `load_object` imports; it refuses any other text."""


def load_object(name: str, key: str) -> Any:
    """Import `package.module:attribute`, searching the current folder first, like `python -m`.

    Raises:
        ConfigError: the module or the attribute does not exist.
        UserCodeError: importing the module raised.
    """
    module_name, _, path = name.partition(":")
    if not IMPORT_STRING.fullmatch(name):
        raise ConfigError(f"'{name}' is not an import string; write {_right(name)}", key=key)
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        target: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if module_name.endswith(".py"):
            raise ConfigError(f"'{module_name}' is a file; write its module, {_right(name)}", key=key) from error
        searched = f"{error}; searched {here} and the Python environment"
        raise ConfigError(f"cannot import '{module_name}': {searched}", key=key) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a script without a main guard may call sys.exit
        raise UserCodeError.of(f"{key}: importing '{module_name}'", error) from error
    for attribute in path.split("."):
        try:
            target = getattr(target, attribute)
        except AttributeError:
            public = [n for n in dir(target) if not n.startswith("_")]
            near = get_close_matches(attribute, public, n=1)  # may be missing from the 40 names that are listed
            problem = f"'{module_name}' has no '{attribute}'; {choices(attribute, {*near, *public[:40]})}"
            raise ConfigError(problem, key=key) from None
        except ConfigError as error:
            raise ConfigError(error.problem, key=key) from None
    return target


def _right(name: str) -> str:
    """Return how a wrong import string should be written: of `nets/slow.py:Net`, the module instead of the file."""
    file, _, attribute = name.rpartition(":")
    path = Path(file)
    if path.suffix != ".py" or not IMPORT_STRING.fullmatch(f"{path.stem}:{attribute}"):
        return "'package.module:name'"
    dotted = ".".join(path.with_suffix("").parts)
    if IMPORT_STRING.fullmatch(f"{dotted}:{attribute}"):
        return f"'{dotted}:{attribute}'"
    return f"'{path.stem}:{attribute}', and run lrbench in the folder of {path.name}"
