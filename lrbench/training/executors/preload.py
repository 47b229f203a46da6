"""Imports of torch and scikit-learn that all workers share, made once in the process they are forked from."""

import sklearn.datasets
import sklearn.model_selection
import torch._dynamo

import lrbench.training.executors.shared_data
import lrbench.training.loop
import lrbench.training.pruning
import lrbench.training.run_one

__all__ = ["lrbench", "sklearn", "torch"]  # torch._dynamo: imported when the first torch optimizer is created
