"""Train an MLP on the digits in plain PyTorch; `lrbench.record` writes the run.

python train.py --lr 0.1          # by itself, into runs/
lrbench sweep train.yaml          # over learning rates and seeds
"""

import argparse

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn.functional import cross_entropy

import lrbench

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

torch.manual_seed(options.seed)
data = [torch.tensor(part) for part in train_test_split(*load_digits(return_X_y=True), test_size=0.2, random_state=0)]
x, x_val, y, y_val = data[0].float() / 16, data[1].float() / 16, *data[2:]
model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
steps = options.epochs * (len(x) // options.batch_size)
optimizer = torch.optim.SGD(model.parameters(), lr=options.lr, momentum=0.9)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

with lrbench.record(config=vars(options), total_steps=steps) as run:
    run.watch(optimizer)  # the learning rate that each step uses
    for epoch in range(1, options.epochs + 1):
        for batch in torch.randperm(len(x))[: steps // options.epochs * options.batch_size].split(options.batch_size):
            optimizer.zero_grad()
            loss = cross_entropy(model(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
            scheduler.step()
            run.step(loss=loss)
        with torch.no_grad():
            out = model(x_val)
        correct = (out.argmax(1) == y_val).float().mean()
        run.evaluate(val_loss=cross_entropy(out, y_val), val_accuracy=correct, epoch=epoch)
