"""The tutorial's network as PyTorch's own tutorials train one: torchvision's data set, ToTensor, DataLoader, Adam."""

from __future__ import annotations

import torch
from measured import arguments, report
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms


def network() -> nn.Module:
    made = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(1600, 256), nn.ReLU(), nn.Linear(256, 10),
    )  # fmt: skip
    for layer in made:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return made


def main() -> None:
    chosen = arguments(__doc__)
    torch.manual_seed(chosen.seed)
    torch.set_num_threads(chosen.threads)
    whole = datasets.MNIST(chosen.data, train=True, transform=transforms.ToTensor())
    train, validation = Subset(whole, range(chosen.images)), Subset(whole, range(48_000, 60_000))
    batches = DataLoader(train, batch_size=250, shuffle=True)
    held_out = DataLoader(validation, batch_size=1000)
    device = torch.device(chosen.device)
    model = network().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7)
    loss_of = nn.CrossEntropyLoss()
    epochs = []
    for _ in range(chosen.epochs):
        began = chosen.now()
        model.train()
        for inputs, targets in batches:
            inputs, targets = inputs.to(device), targets.to(device)
            optimizer.zero_grad()
            loss = loss_of(model(inputs), targets)
            loss.backward()
            optimizer.step()
        loss.item()  # waits for the device
        epochs.append(chosen.now() - began)
        model.eval()
        with torch.no_grad():
            right = sum(int((model(x.to(device)).argmax(1).cpu() == y).sum()) for x, y in held_out)
    report(epochs, right / 12_000)


if __name__ == "__main__":
    main()
