"""Train an MLP on the digits with Lightning, which one callback records.

python train.py --lr 0.01          # by itself, into runs/
lrbench sweep train.yaml
"""

import argparse

import lightning
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from lrbench.integrations.lightning import LrbenchCallback


class Digits(lightning.LightningModule):
    def __init__(self, lr):
        super().__init__()
        self.save_hyperparameters()
        self.layers = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))

    def training_step(self, batch, index):
        return cross_entropy(self.layers(batch[0]), batch[1])

    def validation_step(self, batch, index):
        out = self.layers(batch[0])
        correct = (out.argmax(1) == batch[1]).float().mean()
        self.log_dict({"val_loss": cross_entropy(out, batch[1]), "val_accuracy": correct})

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)
        steps = self.trainer.estimated_stepping_batches
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.hparams.lr, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

lightning.seed_everything(options.seed)
images, labels = map(torch.tensor, load_digits(return_X_y=True))
training, validation = train_test_split(TensorDataset(images.float() / 16, labels), test_size=0.2, random_state=0)
trainer = lightning.Trainer(
    max_epochs=options.epochs, callbacks=[LrbenchCallback()], logger=False, enable_checkpointing=False
)
trainer.fit(Digits(options.lr), DataLoader(training, 64, shuffle=True), DataLoader(validation, 512))
