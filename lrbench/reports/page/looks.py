"""The look of lines in the page's charts: the same in figures, tables and legends, with and without a script."""

from __future__ import annotations

COLOURS = 12
"""Variables `--c0` … of the style sheet, in the order of the figures' colours."""
DASHES = ("", "9 3", "2 2.5", "10 3 2 3")
MARKERS = (
    "M-4 0A4 4 0 1 0 4 0A4 4 0 1 0 -4 0Z",
    "M-3.6 -3.6H3.6V3.6H-3.6Z",
    "M0 -5L5 0L0 5L-5 0Z",
    "M-4.6 -3.4H4.6L0 4.6Z",
    "M-4.6 3.4H4.6L0 -4.6Z",
    "M-1.6 -5H1.6V-1.6H5V1.6H1.6V5H-1.6V1.6H-5V-1.6H-1.6Z",
    "M0 -5.4L4.6 -2.7V2.7L0 5.4L-4.6 2.7V-2.7Z",
    "M-5 0L-1.8 -1.8L0 -5L1.8 -1.8L5 0L1.8 1.8L0 5L-1.8 1.8Z",
)


def look(slot: int) -> dict[str, str]:
    """Return the look of the slot-th line; 48 differ, and neighbours in colour, dash and marker."""
    return {
        "colour": f"var(--c{slot % COLOURS})",
        "dash": DASHES[(slot + slot // 4) % len(DASHES)],
        "marker": MARKERS[slot % len(MARKERS)],
    }


LOOKS = tuple(look(slot) for slot in range(48))
