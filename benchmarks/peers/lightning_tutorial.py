"""The tutorial's network under Lightning's Trainer, its log and checkpoints turned off."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import lightning
import torch
from measured import arguments, report
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torch_tutorial import network
from torchvision import datasets, transforms


class Classifier(lightning.LightningModule):
    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self.now = now
        self.network = network()
        self.loss_of = nn.CrossEntropyLoss()
        self.epochs: list[float] = []
        self.right = 0

    def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
        inputs, targets = batch
        loss: Tensor = self.loss_of(self.network(inputs), targets)
        return loss

    def on_train_epoch_start(self) -> None:
        self.began = self.now()

    def on_validation_start(self) -> None:
        self.epochs.append(self.now() - self.began)
        self.right = 0

    def validation_step(self, batch: tuple[Tensor, Tensor], number: int) -> None:
        inputs, targets = batch
        self.right += int((self.network(inputs).argmax(1) == targets).sum())

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=1e-3, eps=1e-7)


def main() -> None:
    chosen = arguments(__doc__)
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    lightning.seed_everything(chosen.seed, verbose=False)
    torch.set_num_threads(chosen.threads)
    whole = datasets.MNIST(chosen.data, train=True, transform=transforms.ToTensor())
    train, validation = Subset(whole, range(chosen.images)), Subset(whole, range(48_000, 60_000))
    classifier = Classifier(chosen.now)
    trainer = lightning.Trainer(
        max_epochs=chosen.epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(classifier, DataLoader(train, batch_size=250, shuffle=True), DataLoader(validation, batch_size=1000))
    report(classifier.epochs, classifier.right / 12_000)


if __name__ == "__main__":
    main()
