"""Train an MLP on the digits in plain PyTorch, and print how it goes."""

import argparse

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn.functional import cross_entropy

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

torch.manual_seed(options.seed)
data = [torch.tensor(part) for part in train_test_split(*load_digits(return_X_y=True), test_size=0.2, random_state=0)]
x, x_val, y, y_val = data[0].float() / 16, data[1].float() / 16, *data[2:]
model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=options.lr, momentum=0.9)

step = 0
for epoch in range(1, options.epochs + 1):
    for batch in torch.randperm(len(x)).split(64):
        loss = cross_entropy(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
    with torch.no_grad():
        out = model(x_val)
    val_loss, accuracy = cross_entropy(out, y_val), (out.argmax(1) == y_val).float().mean()
    print(f"epoch {epoch} step {step}: loss {loss:.4f}, validation loss {val_loss:.4f}, accuracy {accuracy:.4f}")
