"""The least before a first step on digits: importing torch, and loading the data as scikit-learn gives them."""

import torch  # noqa: F401
from sklearn.datasets import load_digits

load_digits()
