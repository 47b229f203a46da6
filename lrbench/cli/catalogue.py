"""What `lrbench list` prints."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lrbench.errors import UsageError, choices
from lrbench.registry import Catalog, Parameter
from lrbench.types import Part

if TYPE_CHECKING:
    from collections.abc import Mapping


def catalogues() -> Mapping[str, Catalog]:
    """Return the catalogs by the name of their kind."""
    from lrbench.components import DATASETS, LOSSES, MODELS, OPTIMIZERS
    from lrbench.schedules import SCHEDULES

    return {
        "datasets": DATASETS,
        "models": MODELS,
        "optimizers": OPTIMIZERS,
        "schedules": SCHEDULES,
        "losses": LOSSES,
    }


def show(console: Console, kind: str | None, name: str | None) -> None:
    """Print all catalogs, one of them, or one entry. Raises UsageError for an unknown kind or name."""
    known = catalogues()
    if kind is not None and f"{kind}s" in known:
        kind = f"{kind}s"
    if kind is not None and kind not in known:
        raise UsageError(f"unknown kind '{kind}'; {choices(kind, known)}")
    if kind is None:
        for title, catalog in known.items():
            _table(console, title, catalog, full=False)
        text = "`lrbench list schedules step` shows an entry with its parameters."
        console.print(text, style="dim", highlight=False)
    elif name is None:
        _table(console, kind, known[kind])
        text = f"To use your own, give an import string: {_import_hint(known[kind])}"
        console.print(text, style="dim", highlight=False, soft_wrap=True)
    else:
        _entry(console, known[kind], name)


def _table(console: Console, title: str, catalog: Catalog, full: bool = True) -> None:
    """Print entries and summaries, followed by the names from other tools (unless `full`, only their number)."""
    own = {name: catalog.summary(name) for name in catalog.entries if "/" not in name}
    _rows(console, title, own)
    others = _other_tools(catalog)
    if others and not full:
        count = sum(len(names) for names in others.values())
        shown = ", ".join(f"{owner}/…" for owner in others)
        text = f"And {count} names from other tools ({shown}): see `lrbench list {title}`.\n"
        console.print(text, highlight=False)
        return
    for owner, names in others.items():
        _rows(console, f"{owner}/… ({_OWNERS[owner]})", names)
    usual = [f"{other} = {name}" for other, name in catalog.aliases.items() if "/" not in other]
    if usual:
        console.print(f"Aliases: {', '.join(usual)}.", highlight=False)


def _rows(console: Console, title: str, rows: Mapping[str, str]) -> None:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", show_header=False,
                  pad_edge=False)  # fmt: skip
    for name, summary in rows.items():
        table.add_row(f"[bold cyan]{escape(name)}[/]", escape(summary))
    console.print(table)


def _other_tools(catalog: Catalog) -> dict[str, dict[str, str]]:
    """Return namespace → name → summary."""
    summaries = {name: catalog.summary(name) for name in catalog.entries}
    summaries |= {name: f"{target.replace(':', '.')}" for name, target in catalog.aliases.items()}
    for catalog_of_names in _COMPANIONS.get(catalog.kind, lambda: ())():
        summaries |= {name: catalog_of_names.summary(name) for name in catalog_of_names.entries}
    found: dict[str, dict[str, str]] = {}
    for name in sorted(summaries):
        if "/" in name:
            found.setdefault(name.partition("/")[0], {})[name] = summaries[name]
    return found


def _plateaus() -> tuple[Catalog, ...]:
    from lrbench.schedules import PLATEAUS

    return (PLATEAUS,)


_FILLED_IN = ("optimizer", "last_epoch", "max_lr")  # set by the run; the peak is optimizer.lr
_OWNERS = {
    "hf": "Hugging Face's transformers.get_scheduler",
    "keras": "keras.optimizers.schedules",
    "lrbench2019": "git-disl/LRBench, Wu et al. 2019",
    "timm": "timm.scheduler",
    "torch": "torch.optim.lr_scheduler; the same parameters, plus `per: step` or `epoch`",
}
_COMPANIONS = {"schedule": _plateaus}  # catalogs whose names share a config key


def _entry(console: Console, catalog: Catalog, name: str) -> None:
    catalog = next((c for c in _COMPANIONS.get(catalog.kind, lambda: ())() if name in c.entries), catalog)
    factory = catalog.factory(Part(name))
    described = getattr(factory, "described", factory)
    console.print(f"[bold cyan]{escape(name)}[/]  ({catalog.kind})")
    text = (inspect.getdoc(factory) or "").partition(">>>")[0].rstrip().removesuffix("Example:").rstrip()
    console.print(escape(text), highlight=False)
    parameters = catalog.parameters(name)
    if catalog.kind == "schedule" and inspect.isclass(factory):
        parameters = [p for p in parameters if p.name not in _FILLED_IN]
        parameters.append(Parameter("per", "epoch (step for CyclicLR and OneCycleLR)", False))
    if parameters:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("parameter", style="bold")
        table.add_column("default")
        for parameter in parameters:
            table.add_row(parameter.name, "[red]required[/]" if parameter.required else escape(parameter.default))
        console.print(table)
    if catalog.foreign:
        where = f"{described.__module__}.{described.__qualname__}"
        console.print(f"Parameters and defaults come from {where}.", highlight=False)


def _import_hint(catalog: Catalog) -> str:
    example = {
        "dataset": "mypackage.data:load",
        "model": "torchvision.models:resnet18",
        "optimizer": "mypackage.optim:Lion",
        "schedule": "torch.optim.lr_scheduler:StepLR",
        "loss": "torch.nn:HuberLoss",
    }
    return f"{catalog.kind}: {example[catalog.kind]}"
