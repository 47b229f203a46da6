"""The learning rate finder: a range test, which is a kind of work on the training loop, read by several methods.

It turns the curves into advice, or says why there is none, and keeps both in a folder. It draws nothing.
"""

from lrbench.lr_finder.advice import Advice, Refusal
from lrbench.lr_finder.curves import trend
from lrbench.lr_finder.find import find_lr, known_finding
from lrbench.lr_finder.folder import FinderFolder, find_tests
from lrbench.lr_finder.result import Finding
from lrbench.lr_finder.result import load as load_finding
from lrbench.lr_finder.write_config import check_schedule, check_target, write_found
