"""Add the numbers of a sequence: batches are dicts, sequences are padded."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import Dataset


class Sums(Dataset):
    def __init__(self, examples: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        lengths = torch.randint(2, 9, (examples,), generator=generator).tolist()
        self.sequences = [torch.rand(length, 1, generator=generator) for length in lengths]

    def __len__(self):
        return len(self.sequences)

    def __getitem__(self, index):
        return {"numbers": self.sequences[index], "sum": self.sequences[index].sum()}


def sums():
    return Sums(600, seed=0), Sums(200, seed=1)


def pad(items):
    lengths = torch.tensor([len(item["numbers"]) for item in items])
    numbers = pad_sequence([item["numbers"] for item in items], batch_first=True)
    return {"numbers": numbers, "lengths": lengths, "sum": torch.stack([item["sum"] for item in items])}


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.GRU(1, 32, batch_first=True)
        self.head = nn.Linear(32, 1)

    def forward(self, numbers, lengths):
        packed = pack_padded_sequence(numbers, lengths.cpu(), batch_first=True, enforce_sorted=False)
        _, last = self.cells(packed)
        return self.head(last[0]).squeeze(1)


def step(model, batch):
    error = model(batch["numbers"], batch["lengths"]) - batch["sum"]
    return {"loss": error.square().mean(), "mae": error.abs().mean()}
