"""From Python objects to an experiment: a model, data, an optimizer and a loss as the parts of a config.

A part is a name that a config has too, or an import string of an object that is held while this process runs.
"""
