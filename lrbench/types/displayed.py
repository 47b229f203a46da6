"""Results that show themselves in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Displayed:
    """A result that shows itself in a notebook, as a table and a figure. `lrbench.reports` draws both."""

    def plot(self) -> Figure:
        """Return a matplotlib Figure, which belongs to no window; a notebook shows it where it is a cell's last value.

        Raises UsageError if there is nothing to draw.
        """
        import lrbench

        return lrbench.figure_of(self)

    def _repr_html_(self) -> str:
        import lrbench

        return lrbench.html_of(self)
