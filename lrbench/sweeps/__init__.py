"""Sweeps: from a grid to a plan on disk, and from the runs that it made to a summary. No torch here."""
