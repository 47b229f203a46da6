"""The layout of the main figure."""

from __future__ import annotations

import math
from dataclasses import dataclass

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Layout:
    """Positions in inches from the top left; matplotlib's layout engines spread nested panels apart."""

    count: int
    across: int
    cell: float
    legend: float

    left, right, gap = 0.86, 0.25, 0.62
    overlay_top, overlay_height = 0.42, 2.9
    legend_top = 0.62
    panel_top, loss_height, between, rate_height, panel_bottom = 0.62, 1.65, 0.10, 0.55, 0.42
    least = 2.0
    """The least width of a panel."""

    @classmethod
    def of(cls, count: int, width: float | None = None, legend: float = 0.0) -> Layout:
        """Arrange `count` panels in a near-square, at most four across; the legend has a height.

        Without a width, it is what suits the panels.
        """
        across = min(4, max(1, math.ceil(math.sqrt(count))))
        if width is None:
            return cls(count, across, {1: 7.2, 2: 3.9}.get(across, 2.85), legend)
        room = width - cls.left - cls.right
        across = max(1, min(across, int((room + cls.gap) / (cls.least + cls.gap))))
        return cls(count, across, (room - (across - 1) * cls.gap) / across, legend)

    @property
    def width(self) -> float:
        """Width of the figure."""
        return self.left + self.across * self.cell + (self.across - 1) * self.gap + self.right

    @property
    def legend_from(self) -> float:
        """Where the legend begins."""
        return self.overlay_top + self.overlay_height + self.legend_top

    @property
    def _row_height(self) -> float:
        return self.panel_top + self.loss_height + self.between + self.rate_height + self.panel_bottom

    @property
    def height(self) -> float:
        """Height of the figure."""
        return self.legend_from + self.legend + math.ceil(self.count / self.across) * self._row_height

    def overlay(self) -> Box:
        """Return the axes of all runs together."""
        return self._box(self.left, self.overlay_top, self.width - self.left - self.right, self.overlay_height)

    def panel(self, index: int) -> tuple[Box, Box]:
        """Return the loss and learning rate axes of one group."""
        row, column = divmod(index, self.across)
        x = self.left + column * (self.cell + self.gap)
        top = self.legend_from + self.legend + row * self._row_height + self.panel_top
        below = top + self.loss_height + self.between
        return self._box(x, top, self.cell, self.loss_height), self._box(x, below, self.cell, self.rate_height)

    def _box(self, x: float, y: float, width: float, height: float) -> Box:
        return x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height
