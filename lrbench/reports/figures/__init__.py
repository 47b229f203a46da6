"""The figures, each a function from what it shows to a matplotlib figure."""
