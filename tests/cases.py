"""What several tests of schedules need: each one by name, with the parameters it can't do without."""

from __future__ import annotations

from typing import Any

from lrbench.schedules import SCHEDULES

OWN = sorted(name for name in SCHEDULES.entries if "/" not in name)
PEERS = sorted(name for name in SCHEDULES.entries if "/" in name)

_NEEDED: dict[str, dict[str, Any]] = {
    "step": {"every": 1},
    "sequence": {"parts": [{"name": "constant", "for": "40%"}, {"name": "one_cycle"}]},
    "multistep": {"milestones": ["50%", "75%"]},
    "piecewise": {"points": [["0%", 1.0], ["50%", 0.5]]},
    "hf/cosine_warmup_with_min_lr": {"min_lr_rate": 0.1, "num_warmup_steps": "10%"},
    "hf/cosine_with_min_lr": {"min_lr_rate": 0.1},
    "hf/warmup_stable_decay": {"num_decay_steps": "20%"},
    "timm/step": {"decay_t": 2, "decay_rate": 0.5},
    "timm/multistep": {"decay_t": [2, 3], "decay_rate": 0.5},
    "keras/CosineDecayRestarts": {"first_decay_steps": "20%"},
    "keras/ExponentialDecay": {"decay_rate": 0.1},
    "keras/InverseTimeDecay": {"decay_rate": 4.0},
    "keras/PolynomialDecay": {"end_learning_rate": 0.0},
    "lrbench2019/STEP": {"gamma": 0.5, "l": "20%"},
    "lrbench2019/NSTEP": {"gamma": 0.5, "l": ["50%", "75%"]},
    "lrbench2019/EXP": {"gamma": 0.9},
    "lrbench2019/INV": {"gamma": 0.1, "p": 0.75},
    "lrbench2019/POLY": {"p": 2.0},
    **{f"lrbench2019/{name}": {"k0": 1e-4, "l": "10%"} for name in ("TRI", "TRI2", "SIN", "SIN2")},
    **{f"lrbench2019/{name}": {"k0": 1e-4, "l": "10%", "gamma": 0.99} for name in ("TRIEXP", "SINEXP")},
}

NEEDING_PARAMETERS = {*_NEEDED, "keras/PiecewiseConstantDecay"}


def schedule(name: str, lr: float) -> dict[str, Any]:
    """A schedule's block with the parameters it needs."""
    if name == "keras/PiecewiseConstantDecay":
        return {"name": name, "boundaries": ["40%"], "values": [lr, lr / 10]}
    return {"name": name, **_NEEDED.get(name, {})}
