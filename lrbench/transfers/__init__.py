"""Laws of the best learning rate: how it changes with batch size, length, data and the model, fitted to sweeps.

It reads run folders through the analysis. It neither trains nor draws, and never imports torch.
"""

from lrbench.transfers.law import Exponent, Fitted, Found, Prediction
from lrbench.transfers.theory import THEORIES
from lrbench.transfers.transferring import Transfer, transfer
