"""What a worker needs of torch and scikit-learn, imported once, in the process that all workers are forked from."""

import sklearn.datasets
import sklearn.model_selection
import torch._dynamo

import lrbench.training.executors.shared_data
import lrbench.training.loop
import lrbench.training.pruning
import lrbench.training.run_one

__all__ = ["lrbench", "sklearn", "torch"]  # torch._dynamo: its optimizers import that when the first of them is made
