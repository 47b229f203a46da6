"""Verdicts on a run's curves, and on what the other learning rates of its family show; docs/verdicts.md explains each.

The rules were fitted to the runs of benchmarks/dense_sweeps.py, where it is known what a larger and a smaller learning
rate gives, and to runs that people labelled by eye (tests/labelled).
"""

from lrbench.analysis.verdicts.beside import Beside, Other, revised
from lrbench.analysis.verdicts.chance import chance_loss, scores
from lrbench.analysis.verdicts.curves import Curves, Score
from lrbench.analysis.verdicts.rules import verdict
from lrbench.analysis.verdicts.words import Label, Verdict
