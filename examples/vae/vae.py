"""A variational autoencoder (Kingma and Welling 2014) as a task of its own."""

import torch
from torch import nn
from torch.nn import functional as F


class Autoencoder(nn.Module):
    def __init__(self, pixels: int = 64, hidden: int = 64, code: int = 4) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, 2 * code))
        self.decoder = nn.Sequential(nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, pixels))

    def forward(self, images):
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return self.decoder(code).view_as(images), mean, log_variance


class Vae:
    metrics = {"kl": "lower", "psnr": "higher"}  # name: which way is better

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = beta

    def build(self, seed):
        return Autoencoder()

    def loss(self, model, batch):
        images, _ = batch  # the labels are not used
        outputs, mean, log_variance = model(images)
        error = F.binary_cross_entropy_with_logits(outputs, images, reduction="none").flatten(1).sum(1).mean()
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()
        psnr = -10 * F.mse_loss(outputs.sigmoid(), images).log10()
        return error + self.beta * kl, {"kl": kl, "psnr": psnr}
