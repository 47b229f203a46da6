"""The gallery of reports: each in a frame, and as a page."""

from __future__ import annotations

_PAGES = {
    "mnist": ("Sixteen configs on MNIST", "25 epochs, eight seeds of each. The answer, against the baseline; curves, "
              "seeds, and the time to 99 % accuracy."),
    "rates": ("Nine learning rates × three schedules", "MNIST, 5 epochs, three seeds. Loss against the learning rate, "
              "with the optimum of each schedule and its interval."),
    "digits": ("The same sixteen configs on digits", "25 epochs, ten seeds. Small data: most differences are smaller "
               "than the spread of the seeds, and the page says so."),
}  # fmt: skip


def gallery() -> str:
    """Return a section for each report."""
    return "\n".join(_section(name, title, about) for name, (title, about) in _PAGES.items())


def _section(name: str, title: str, about: str) -> str:
    page = f"gallery/{name}/report.html"
    frame = f'<iframe class="report" src="{name}/report.html" title="{title}" loading="lazy"></iframe>'
    return f"## {title}\n\n{about} [Open the page]({page}){{ .md-button }}\n\n{frame}\n"
