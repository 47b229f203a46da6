"""Fingerprints: what is known of a Python object, as a few hex digits. Equal content gives equal digits.

Code counts as it is compiled, with the values of the variables that it reads; installed packages count by name alone.
Random generators, locks and other objects without visible content count by their type.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import sys
import types
from collections.abc import Iterator, Mapping, Set
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

DIGITS = 12
_LEAVES = (type(None), bool, int, float, complex, str, bytes)


def fingerprint(*values: Any) -> str:
    """Return 12 hex digits of what is known of some values."""
    return Reader().digest(values).hex()[:DIGITS]


class Reader:
    """Reads nested values, each once; one that contains itself is read until it comes again."""

    def __init__(self) -> None:
        self.known: dict[int, bytes] = {}
        self.kept: list[Any] = []  # an id is good only as long as its object lives
        self.inside: set[int] = set()

    def digest(self, value: Any) -> bytes:
        """Return the digest of a value."""
        if isinstance(value, _LEAVES):
            return hashlib.sha256(f"{type(value).__name__} {value!r}".encode(errors="surrogatepass")).digest()
        key = id(value)
        if key in self.known:
            return self.known[key]
        if key in self.inside:
            return b"itself"
        self.inside.add(key)
        self.kept.append(value)
        found = hashlib.sha256()
        parts = [self.digest(part) for part in content(value)]
        for part in sorted(parts) if isinstance(value, Set) else parts:
            found.update(part)
        self.inside.discard(key)
        self.known[key] = found.digest()
        return self.known[key]


@functools.singledispatch
def content(value: Any) -> Iterator[Any]:
    """Yield what an object consists of: values to read in turn."""
    yield type(value)
    yield getattr(value, "__dict__", None)


@content.register
def _(value: type) -> Iterator[Any]:
    yield f"{value.__module__}.{value.__qualname__}"
    if not installed(value.__module__):
        yield value.__bases__
        own = {name: one for name, one in vars(value).items() if not name.startswith("__") or callable(one)}
        yield {name: one for name, one in own.items() if not isinstance(one, types.GetSetDescriptorType)}


@content.register
def _(value: types.FunctionType) -> Iterator[Any]:
    yield value.__qualname__
    if value.__module__ not in (None, "builtins") and installed(value.__module__):  # `exec` makes such functions
        yield value.__module__
        return
    yield value.__code__
    yield value.__defaults__, value.__kwdefaults__
    for cell in value.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not assigned yet
            yield None
    for name in sorted(_globals(value.__code__)):
        if name in value.__globals__:
            yield name
            yield value.__globals__[name]


def _globals(code: types.CodeType) -> set[str]:
    """Return the names of the global variables that code reads."""
    names = {one.argval for one in dis.get_instructions(code) if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    inner = [one for one in code.co_consts if isinstance(one, types.CodeType)]
    return names.union(*map(_globals, inner))


@content.register
def _(value: types.CodeType) -> Iterator[Any]:
    yield value.co_code
    yield value.co_names
    yield value.co_consts


@content.register(types.BuiltinFunctionType)
@content.register(types.MethodDescriptorType)
@content.register(types.WrapperDescriptorType)
def _(value: Any) -> Iterator[Any]:
    yield value.__qualname__


@content.register(types.MethodType)
def _(value: types.MethodType) -> Iterator[Any]:
    yield value.__func__
    yield value.__self__


@content.register(classmethod)
@content.register(staticmethod)
def _(value: Any) -> Iterator[Any]:
    yield type(value)
    yield value.__func__


@content.register
def _(value: property) -> Iterator[Any]:
    yield from (value.fget, value.fset)


@content.register
def _(value: types.ModuleType) -> Iterator[Any]:
    yield value.__name__


@content.register
def _(value: functools.partial) -> Iterator[Any]:  # type: ignore[type-arg]
    yield from (value.func, value.args, value.keywords)


@content.register(list)
@content.register(tuple)
def _(value: Any) -> Iterator[Any]:
    yield type(value)
    yield from value


@content.register(Set)
def _(value: Any) -> Iterator[Any]:
    yield from value


@content.register(Mapping)
def _(value: Any) -> Iterator[Any]:
    yield type(value)
    for key, one in value.items():
        yield key
        yield one


@content.register
def _(value: PurePath) -> Iterator[Any]:
    yield str(value)


@content.register
def _(value: Tensor) -> Iterator[Any]:
    if nn.parameter.is_lazy(value):
        yield type(value)
        return
    yield f"{value.dtype} {tuple(value.shape)} {value.requires_grad}"
    if value.layout is torch.strided and not value.is_quantized and value.device.type != "meta":
        whole = value.detach().resolve_conj().resolve_neg().cpu().contiguous()
        yield hashlib.sha256(whole.reshape(-1).view(torch.uint8).numpy().data).digest()


@content.register(np.ndarray)
def _(value: Any) -> Iterator[Any]:
    yield f"{value.dtype} {value.shape}"
    yield value.tolist() if value.dtype.hasobject else hashlib.sha256(np.ascontiguousarray(value).data).digest()


@content.register(np.generic)
def _(value: Any) -> Iterator[Any]:
    yield str(value.dtype)
    yield repr(value)


@content.register
def _(value: nn.Module) -> Iterator[Any]:
    """Its modules with their public settings, its weights and buffers; not whether it trains or evaluates."""
    for name, module in value.named_modules():
        yield name
        yield type(module)
        yield {key: one for key, one in vars(module).items() if not key.startswith("_") and key != "training"}
    yield dict(value.named_parameters())
    yield dict(value.named_buffers())


@content.register
def _(value: DataLoader) -> Iterator[Any]:  # type: ignore[type-arg]
    yield from (type(value), value.dataset, value.sampler, value.batch_sampler, value.batch_size, value.collate_fn)


def installed(module: str | None) -> bool:
    """Return whether a module is part of Python or of an installed package, not code that its user edits."""
    first = (module or "builtins").partition(".")[0]
    if first == "__main__":  # a script or a notebook, whatever started it
        return False
    if first in sys.stdlib_module_names:
        return True
    file = getattr(sys.modules.get(first), "__file__", None) or ""
    return first == "lrbench" or bool({"site-packages", "dist-packages"} & {*PurePath(file).parts})
