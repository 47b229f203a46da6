"""Whether a learning rate is still right for another width: the coordinate check.

It trains a few steps at several widths, on the training loop's parts, and says what it measured. It neither draws nor
writes, and imports torch only to train.
"""

from lrbench.transfers.coordinates import CoordinateCheck, LayerSize, Slope, both, coordinate_check
