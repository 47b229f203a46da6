"""The learning rate finder: run range tests on the training loop and turn their curves into advice.

Curves and advice, or why there is none, are kept in a folder. Nothing here draws.
"""

from lrbench.lr_finder.advice import Advice, Refusal
from lrbench.lr_finder.curves import trend
from lrbench.lr_finder.find import find_lr, known_finding
from lrbench.lr_finder.folder import FinderFolder, find_tests
from lrbench.lr_finder.result import Finding
from lrbench.lr_finder.result import load as load_finding
from lrbench.lr_finder.settings import Ramp
from lrbench.lr_finder.write_config import check_schedule, check_target, write_found
