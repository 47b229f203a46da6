"""Laws of the best learning rate: how it changes with batch size, length, data and the model, fitted to sweeps.

It reads run folders through the analysis. The coordinate check alone trains, a few steps at several widths. It never
draws, and imports torch only to train.
"""

from lrbench.transfers.collect import sized
from lrbench.transfers.coordinates import both, coordinate_check
from lrbench.transfers.law import Exponent, Fitted, Found, Prediction
from lrbench.transfers.layer_sizes import CoordinateCheck, LayerSize, Slope
from lrbench.transfers.theory import THEORIES
from lrbench.transfers.transferring import Transfer, transfer
