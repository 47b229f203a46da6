"""The learning rate finder: a range test on the training loop, read by several methods, turned into advice."""
