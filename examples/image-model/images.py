"""Images of PIL with stripes, of which one in ten are upright, and a network for them."""

import numpy as np
from PIL import Image
from torch import nn
from torch.utils.data import Dataset


class Stripes(Dataset):
    def __init__(self, examples: int, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.targets = [int(i % 10 == 0) for i in range(examples)]
        self.images = [self.draw(upright) for upright in self.targets]

    def draw(self, upright: int) -> Image.Image:
        wave = 128 + 60 * np.sin(np.arange(16) * 1.5 + self.random.uniform(0, 6))
        pixels = np.broadcast_to(wave if upright else wave[:, None], (16, 16)) + self.random.normal(0, 40, (16, 16))
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], self.targets[index]


def stripes():
    return Stripes(400, seed=0), Stripes(100, seed=1)


class Net(nn.Sequential):
    def __init__(self, in_channels: int, num_classes: int, width: int = 16) -> None:  # lrbench passes the first two
        super().__init__(
            nn.Conv2d(in_channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(2 * width, num_classes),
        )  # fmt: skip
