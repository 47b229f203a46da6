"""A law of the best learning rate in files: figure, Markdown, page and JSON."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from lrbench._version import __version__
from lrbench.analysis import NoOptimum, rate_text
from lrbench.reports.escape import markdown
from lrbench.reports.page import style, template
from lrbench.runs import to_json, write_file
from lrbench.transfers import Transfer

TITLE = "How the best learning rate depends on size"


def transfer_headings(made: Transfer) -> list[str]:
    """Return the headings of the table of optima."""
    return [*made.law.axes, "best learning rate", "95% interval", "from the law"]


def transfer_rows(made: Transfer) -> list[list[str]]:
    """Return a row for each family: its sizes, its optimum and how far it is from the law, or why it has none."""
    rows = [
        [*(f"{one.sizes[name]:g}" for name in made.law.axes), rate_text(one.lr),
         f"{rate_text(one.low)} … {rate_text(one.high)}", f"{10**one.left:.2f}×"]
        for one in made.law.points
    ]  # fmt: skip
    return rows + [
        [*(f"{one.value(name):g}" for name in made.law.axes), "–", one.found.reason, ""]
        for one in made.law.sized if isinstance(one.found, NoOptimum)
    ]  # fmt: skip


def save_transfer(made: Transfer, folder: Path) -> list[Path]:
    """Write `transfer.html`, `.md`, `.json`, `.png` and `.svg`, and return the paths. Raises FolderError."""
    from lrbench.reports.figures.style import write_both
    from lrbench.reports.figures.transfer import draw
    from lrbench.reports.notebook import html_of

    pictures = write_both(draw(made), folder / "transfer")
    page = template("transfer.html.j2").render(
        title=TITLE, style=Markup(style()), body=Markup(html_of(made)), version=__version__
    )
    texts = {"transfer.html": page, "transfer.md": _markdown(made), "transfer.json": to_json(made.plain())}
    first, *others = (write_file(folder / name, text) for name, text in texts.items())
    return [first, *pictures, *others]


def _markdown(made: Transfer) -> str:
    def row(cells: list[str]) -> str:
        return f"| {' | '.join(markdown(cell) for cell in cells)} |"

    headings = transfer_headings(made)
    lines = [f"# {TITLE}", "", *(f"- {markdown(text)}" for text in made.text), ""]
    lines += [line for text in made.warnings for line in (f"**{markdown(text)}**", "")]
    lines += ["![The best learning rate by size](transfer.png)", "", row(headings), f"|{' --- |' * len(headings)}"]
    return "\n".join([*lines, *map(row, transfer_rows(made)), ""])
