"""Train a GAN on eight Gaussians in a ring; `lrbench.record` logs the learning rates of both networks.

python gan.py                     # by itself, into runs/
lrbench sweep gan.yaml            # over the learning rates of the generator and of the discriminator
"""

import math

import torch
from torch import nn
from torch.nn.functional import softplus

import lrbench

steps, seed = lrbench.param("steps", 600), lrbench.param("seed", 0)
rates = {"generator": lrbench.param("lr", 1e-3), "discriminator": lrbench.param("discriminator_lr", 1e-3)}


def ring(n, generator=None):
    angle = torch.randint(8, (n,), generator=generator) * (2 * math.pi / 8)
    return torch.stack([angle.cos(), angle.sin()], dim=1) + 0.05 * torch.randn(n, 2, generator=generator)


def mlp(inputs, outputs):
    return nn.Sequential(
        nn.Linear(inputs, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, outputs)
    )


def energy_distance(a, b):
    """The energy distance of two samples: 0 if their distributions are equal (Székely and Rizzo 2013)."""
    return 2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()


torch.manual_seed(seed)
networks = {"generator": mlp(8, 2), "discriminator": mlp(2, 1)}
make, judge = networks.values()
optimizers = [  # named groups make columns lr_generator and lr_discriminator
    torch.optim.Adam([{"params": network.parameters(), "name": name}], lr=rates[name], betas=(0.5, 0.99))
    for name, network in networks.items()
]
schedulers = [torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, steps) for optimizer in optimizers]
validation = ring(500, torch.Generator().manual_seed(0))
config = {"lr": rates["generator"], "discriminator_lr": rates["discriminator"], "steps": steps}

with lrbench.record(
    config=config, seed=seed, total_steps=steps, metrics={"distance": "lower"}, best_by="val_distance"
) as run:
    run.watch(*optimizers)
    for step in range(1, steps + 1):
        real, made = ring(128), make(torch.randn(128, 8))
        d_loss = softplus(-judge(real)).mean() + softplus(judge(made.detach())).mean()
        optimizers[1].zero_grad()
        d_loss.backward()
        optimizers[1].step()
        g_loss = softplus(-judge(made)).mean()
        optimizers[0].zero_grad()
        g_loss.backward()
        optimizers[0].step()
        for scheduler in schedulers:
            scheduler.step()
        run.step(loss=g_loss, discriminator_loss=d_loss)
        if step % max(steps // 10, 1) == 0:
            with torch.no_grad():
                run.evaluate(val_distance=energy_distance(make(torch.randn(500, 8)), validation))
