"""Lightning's range test of the digits' CNN: what `finder_cost.py` measures of lrbench. Prints updates per second."""

from __future__ import annotations

import logging
import sys
import tempfile
import time
import warnings
from typing import Any

import lightning
import torch
from lightning.pytorch.tuner import Tuner
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lrbench.components import DatasetRules, Tensors, load_dataset
from lrbench.types import Part


class Digits(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.lr = 1e-4
        self.network = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
            nn.Flatten(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10),
        )  # fmt: skip

    def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
        inputs, targets = batch
        return nn.functional.cross_entropy(self.network(inputs), targets)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def main(updates: int) -> None:
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    data = load_dataset(Part("digits"), DatasetRules())
    assert isinstance(data.train, Tensors)
    inputs = data.prepare(data.train.inputs, torch.device("cpu"))
    batches = DataLoader(TensorDataset(inputs, data.train.targets), batch_size=32, shuffle=True)
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            default_root_dir=folder, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, max_epochs=100,
        )  # fmt: skip
        began = time.process_time()
        Tuner(trainer).lr_find(Digits(), batches, min_lr=1e-7, max_lr=1e-3, num_training=updates,
                               early_stop_threshold=None)  # fmt: skip
        print(updates / (time.process_time() - began))


if __name__ == "__main__":
    main(int(sys.argv[1]))
