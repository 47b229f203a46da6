"""What `lrbench list` prints."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lrbench.components import DATASETS, LOSSES, METRICS, MODELS, OPTIMIZERS, TASKS
from lrbench.config import bundled_configs
from lrbench.errors import ConfigError, UsageError, choices
from lrbench.registry import Catalog, Parameter
from lrbench.schedules import SCHEDULES_AND_PLATEAUS
from lrbench.types import Part

CATALOGUES = {  # each with an example of an import string
    "datasets": (DATASETS, "mypackage.data:load"),
    "models": (MODELS, "torchvision.models:resnet18"),
    "optimizers": (OPTIMIZERS, "mypackage.optim:Lion"),
    "schedules": (SCHEDULES_AND_PLATEAUS, "torch.optim.lr_scheduler:StepLR"),
    "losses": (LOSSES, "torch.nn:HuberLoss"),
    "tasks": (TASKS, "mypackage.tasks:Vae"),
    "metrics": (METRICS, "torchmetrics.classification:BinaryAUROC"),
}


def show(console: Console, kind: str | None, name: str | None) -> None:
    """Print all catalogs, one of them, or one entry. Raises UsageError for an unknown kind or name."""
    if kind in ("config", "configs"):
        _configs(console, name)
        return
    if kind is None:
        for title, (catalog, _) in CATALOGUES.items():
            _table(console, title, catalog, full=False)
        console.print("`lrbench list schedules step` shows an entry with its parameters.", style="dim")
        return
    kind = f"{kind}s" if f"{kind}s" in CATALOGUES else kind
    if kind not in CATALOGUES:
        raise UsageError(f"unknown kind {kind!r:.80}; {choices(kind, [*CATALOGUES, 'configs'])}")
    catalog, example = CATALOGUES[kind]
    if name is None:
        _table(console, kind, catalog)
        text = f"To use your own, give an import string: {catalog.kind}: {example}"
        console.print(text, style="dim", soft_wrap=True)
    else:
        _entry(console, catalog, name)


def _configs(console: Console, name: str | None) -> None:
    """Print the configs that come with lrbench, or the text of one. Raises UsageError for an unknown name."""
    known = bundled_configs()
    if name is None:
        for folder, rows in itertools.groupby(described_configs().items(), lambda one: one[0].partition("/")[0]):
            _rows(console, folder, dict(rows))
        console.print("`lrbench run digits/baseline` trains one; `extends: digits/baseline` builds on it.", style="dim")
    elif name.removesuffix(".yaml") in known:
        console.print(escape(known[name.removesuffix(".yaml")].read_text(encoding="utf-8")), soft_wrap=True)
    else:
        raise UsageError(f"unknown config {name!r:.80}; {choices(name, known)}")


def described_configs() -> dict[str, str]:
    """Return the configs that come with lrbench, each with what it is about."""
    return {name: _first_sentence(file) for name, file in bundled_configs().items()}


def _first_sentence(config: Path) -> str:
    """Return the first sentence of the comment that a config begins with."""
    lines = itertools.takewhile(lambda line: line[:1] == "#", config.read_text(encoding="utf-8").splitlines())
    return re.split(r"(?<=[^.][.])\s", " ".join(line[1:].strip() for line in lines))[0]


def _table(console: Console, title: str, catalog: Catalog, full: bool = True) -> None:
    """Print entries and summaries, followed by the names from other tools (unless `full`, only their number)."""
    own = {name: catalog.summary(name) for name in catalog.entries if "/" not in name}
    _rows(console, title, own)
    others = _other_tools(catalog)
    if others and not full:
        count = sum(len(names) for names in others.values())
        shown = ", ".join(f"{owner}/…" for owner in others)
        console.print(f"And {count} names from other tools ({shown}): see `lrbench list {title}`.\n")
        return
    for owner, names in others.items():
        _rows(console, f"{owner}/… ({_OWNERS[owner]})", names)
    usual = [f"{other} = {name}" for other, name in catalog.aliases.items() if "/" not in other]
    if usual:
        console.print(f"Aliases: {', '.join(usual)}.")


def _rows(console: Console, title: str, rows: Mapping[str, str]) -> None:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", show_header=False,
                  pad_edge=False)  # fmt: skip
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, summary in rows.items():
        table.add_row(f"[bold cyan]{escape(name)}[/]", escape(summary))
    console.print(table)


def _other_tools(catalog: Catalog) -> dict[str, dict[str, str]]:
    """Return namespace → name → summary."""
    found: dict[str, dict[str, str]] = {}
    for name, summary in sorted(catalog.names().items()):
        if "/" in name:
            found.setdefault(name.partition("/")[0], {})[name] = summary
    return found


_FILLED_IN = ("optimizer", "last_epoch", "max_lr")  # set by the run; the peak is optimizer.lr
_OWNERS = {
    "hf": "Hugging Face's transformers.get_scheduler",
    "keras": "keras.optimizers.schedules",
    "lrbench2019": "git-disl/LRBench, Wu et al. 2019",
    "timm": "timm.scheduler",
    "torch": "torch.optim.lr_scheduler; the same parameters, plus `per: step` or `epoch`",
}
_OUR_DEFAULTS = {"cycle_momentum": "false", "total_steps": "the run's"}  # instead of those of torch's schedulers


def _entry(console: Console, catalog: Catalog, name: str) -> None:
    try:
        about, factory = catalog.described(name), catalog.factory(Part(name))
    except ConfigError as error:  # its key is that of a config, which there is none here
        raise UsageError(f"{error.problem}{_elsewhere(name)}") from None
    console.print(f"[bold cyan]{escape(name)}[/]  ({catalog.kind})")
    console.print(escape("\n\n".join(about.paragraphs)))
    parameters = about.parameters
    if catalog.kind == "schedule" and inspect.isclass(factory):
        parameters = [replace(p, default=_OUR_DEFAULTS.get(p.name, p.default)) for p in parameters]
        parameters = [p for p in parameters if p.name not in _FILLED_IN]
        usual = "step" if factory.__name__ in ("CyclicLR", "OneCycleLR") else "epoch"
        parameters.append(Parameter("per", usual, False, "how often the learning rate changes: epoch or step."))
    if parameters:
        _parameters(console, parameters)
    if about.origin:
        console.print(f"Parameters and defaults come from {about.origin}.")


def _elsewhere(name: str) -> str:
    """Say of which other kinds there is such an entry."""
    kinds = [kind for kind, (catalog, _) in CATALOGUES.items() if name in catalog.entries]
    return "".join(f"; `lrbench list {kind} {name}` shows that of the {kind}" for kind in kinds)


def _parameters(console: Console, parameters: Sequence[Parameter]) -> None:
    known = any(parameter.meaning for parameter in parameters)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("parameter", style="bold", no_wrap=True)
    table.add_column("default", overflow="fold")
    if known:
        table.add_column("meaning", overflow="fold")
    for parameter in parameters:
        default = "[red]required[/]" if parameter.required else escape(parameter.default)
        table.add_row(parameter.name, default, *([escape(parameter.meaning)] if known else []))
    console.print(table)
