"""Commands as work: any program in any language as a run. lrbench starts it, waits, and reads what it recorded."""

from lrbench.training.commands.gpus import gpus, taking_turns
from lrbench.training.commands.kind import CommandRun
