"""The live page of runs under way: an HTTP server of the standard library, on this machine unless asked otherwise.

It shows what the report shows, and the progress of sweeps. It reads run folders, and writes nothing but the files by
which a person asks something of a sweep. It never trains, and never imports torch.
"""

from lrbench.server.beside import beside
from lrbench.server.progress import CellShown, Plans, SweepShown, sweeps_shown
from lrbench.server.serving import PORT, PortError, Server, Settings
