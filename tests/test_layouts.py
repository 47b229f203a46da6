"""The layout that a model's weights and pictures get."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lrbench
from lrbench.config import Experiment
from lrbench.training.build import assemble

CPU = torch.device("cpu")
Make = Callable[..., Experiment]


class Own(nn.Module):
    """A network of the user's own; its buffer counts how often it was asked."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(4 * 36, outputs)
        self.register_buffer("asked", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.asked += 1
        out: Tensor = self.head(self.flat(self.body(x)))
        return out

    def flat(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class Viewing(Own):
    def flat(self, x: Tensor) -> Tensor:
        return x.view(len(x), -1)


class ViewingInTraining(Own):
    def flat(self, x: Tensor) -> Tensor:
        return x.view(len(x), -1) if self.training else x.flatten(1)


class SeesMemory(Own):
    """Takes the numbers in the order in which they lie, so that another layout gives other answers."""

    def flat(self, x: Tensor) -> Tensor:
        return x.as_strided((len(x), 144), (144, 1))


class Ends(Own):
    def flat(self, x: Tensor) -> Tensor:
        raise SystemExit("no")


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        (Own, torch.channels_last),
        (Viewing, None),
        (ViewingInTraining, None),
        (SeesMemory, None),
        (Ends, None),
    ],
)
def test_a_users_model_gets_the_channels_last_where_it_takes_them(tiny: Make, model: type, wanted: Any) -> None:
    parts = assemble(tiny(model=f"{__name__}:{model.__name__}"), CPU)
    assert parts.layout == wanted
    assert float(parts.model.asked) == 0 and int(parts.model.body[1].num_batches_tracked) == 0, "a copy was tried"  # type: ignore[index, union-attr, arg-type]
    assert all(p.grad is None for p in parts.model.parameters())


def test_the_trial_draws_no_random_numbers(tiny: Make) -> None:
    drawn = []
    for model in (Own, Viewing):
        assemble(tiny(model=f"{__name__}:{model.__name__}"), CPU)
        drawn.append(float(torch.rand(())))
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("model", [Own, Viewing, ViewingInTraining])
def test_it_trains_either_way(tmp_path: Path, tiny: Make, model: type) -> None:
    (outcome,) = lrbench.run([tiny(model=f"{__name__}:{model.__name__}")], runs=tmp_path)
    assert outcome.result is not None and outcome.result.status == "finished", outcome.result


def test_models_without_convolutions_and_other_data_have_the_usual_layout(tiny: Make) -> None:
    assert assemble(tiny(), CPU).layout is None
    assert assemble(tiny(model={"name": "cnn", "padding": 1}), CPU).layout == torch.channels_last
