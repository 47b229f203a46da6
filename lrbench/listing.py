"""What `lrbench list` shows: the catalogue."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lrbench.catalog import Catalog
from lrbench.errors import UsageError, choices
from lrbench.values import Part

if TYPE_CHECKING:
    from collections.abc import Mapping


def catalogues() -> Mapping[str, Catalog]:
    """The kinds of part by the name `lrbench list` gives them."""
    from lrbench.data import DATASETS
    from lrbench.losses import LOSSES
    from lrbench.models import MODELS
    from lrbench.optimizers import OPTIMIZERS
    from lrbench.schedules import SCHEDULES

    return {
        "datasets": DATASETS,
        "models": MODELS,
        "optimizers": OPTIMIZERS,
        "schedules": SCHEDULES,
        "losses": LOSSES,
    }


def show(console: Console, kind: str | None, name: str | None) -> None:
    """Print the whole catalogue, one kind, or one entry. Raises UsageError for an unknown kind or name."""
    known = catalogues()
    if kind is not None and f"{kind}s" in known:
        kind = f"{kind}s"
    if kind is not None and kind not in known:
        raise UsageError(f"unknown kind '{kind}'; {choices(kind, known)}")
    if kind is None:
        for title, catalog in known.items():
            _table(console, title, catalog)
        console.print("`lrbench list schedules step` shows one with its parameters.", style="dim", highlight=False)
    elif name is None:
        _table(console, kind, known[kind])
        console.print(
            f"Or a name of your own, {_import_hint(known[kind])}",
            style="dim",
            highlight=False,
            soft_wrap=True,
        )
    else:
        _entry(console, known[kind], name)


def _table(console: Console, title: str, catalog: Catalog) -> None:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", show_header=False,
                  pad_edge=False)  # fmt: skip
    for name in catalog.entries:
        table.add_row(f"[bold cyan]{escape(name)}[/]", escape(catalog.summary(name)))
    console.print(table)


def _entry(console: Console, catalog: Catalog, name: str) -> None:
    factory = catalog.factory(Part(name))
    described = getattr(factory, "described", factory)
    console.print(f"[bold cyan]{escape(name)}[/]  ({catalog.kind})")
    text = inspect.getdoc(factory) or ""
    console.print(escape(text.partition(">>>")[0].rstrip()), highlight=False)
    parameters = catalog.parameters(name)
    if parameters:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("parameter", style="bold")
        table.add_column("default")
        for parameter in parameters:
            table.add_row(parameter.name, "[red]required[/]" if parameter.required else escape(parameter.default))
        console.print(table)
    if catalog.foreign:
        where = f"{described.__module__}.{described.__qualname__}"
        console.print(f"Parameters and defaults are those of {where}.", highlight=False)


def _import_hint(catalog: Catalog) -> str:
    example = {
        "dataset": "mypackage.data:load",
        "model": "torchvision.models:resnet18",
        "optimizer": "mypackage.optim:Lion",
        "schedule": "torch.optim.lr_scheduler:StepLR",
        "loss": "torch.nn:HuberLoss",
    }
    return f"imported: {catalog.kind}: {example[catalog.kind]}"
