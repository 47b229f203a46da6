"""Other tools' schedules by their own names, with their parameters and exact numbers."""

from lrbench.schedules.compat.huggingface import HUGGING_FACE
from lrbench.schedules.compat.keras import KERAS
from lrbench.schedules.compat.lrbench2019 import LRBENCH_2019
from lrbench.schedules.compat.plateaus import PLATEAUS
from lrbench.schedules.compat.timm import TIMM

__all__ = ["ELSEWHERE", "PEERS", "PLATEAUS", "USUAL_NAMES"]

PEERS = {**HUGGING_FACE, **TIMM, **KERAS, **LRBENCH_2019}

_TORCH = (
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "PolynomialLR",
    "StepLR",
)

USUAL_NAMES = {
    "1cycle": "one_cycle",
    "clr": "triangular",
    "cosine_annealing": "cosine",
    "cosine_annealing_warm_restarts": "cosine_restarts",
    "cosine_warm_restarts": "cosine_restarts",
    "cyclic": "triangular",
    "fixed": "constant",
    "inv": "inverse",
    "multi_step": "multistep",
    "noam": "inverse_sqrt",
    "onecycle": "one_cycle",
    "poly": "polynomial",
    "rsqrt": "inverse_sqrt",
    "sgdr": "cosine_restarts",
    "step_decay": "step",
    "wsd": "warmup_stable_decay",
    **{f"torch/{name}": f"torch.optim.lr_scheduler:{name}" for name in _TORCH},
}
"""Other common names → lrbench's name."""

_PEAKS = ("initial_learning_rate", "initial_lr", "k0", "k1", "learning_rate", "lr", "max_lr", "warmup_target")
_LENGTHS = ("num_epochs", "num_training_steps", "total_steps")

ELSEWHERE = {
    **dict.fromkeys(_PEAKS, "the peak of every schedule is `optimizer.lr`"),
    **dict.fromkeys(_LENGTHS, "the length of the run is its `epochs` or `steps`"),
}
"""Other tools' parameters → what a config has instead of them."""
