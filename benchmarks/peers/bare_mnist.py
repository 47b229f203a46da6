"""The least before a first step on MNIST (LRBENCH_DATA): importing torch and torchvision, and loading the data."""

import os

from torchvision import datasets

for train in (True, False):
    datasets.MNIST(os.environ["LRBENCH_DATA"], train=train)
