"""What runs have to say: statistics of comparisons. Numbers in, numbers out; no folders, no torch."""
