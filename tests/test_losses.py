from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lrbench.components.losses import build_loss
from lrbench.components.tasks.class_meters import PositionAccuracy
from lrbench.components.tasks.meters import Facts
from lrbench.errors import ConfigError, UserCodeError
from lrbench.types import Part


def build(name: str, **params: Any) -> Any:
    return build_loss(Part(name, params))


def test_cross_entropy_by_hand() -> None:
    loss = build("cross_entropy")
    logits = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]])
    # −ln(1/2) and, for the class of probability 1/4, −ln(1/4); their mean
    assert float(loss(logits, torch.tensor([0, 1]))) == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_label_smoothing_by_hand() -> None:
    # Softmax (3/4, 1/4). The target (1 − 0.2) + 0.2/2 = 0.9 and 0.1.
    loss = build("cross_entropy", label_smoothing=0.2)
    expected = -0.9 * math.log(3 / 4) - 0.1 * math.log(1 / 4)
    assert float(loss(torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([0]))) == pytest.approx(expected)


def segments() -> tuple[Tensor, Tensor]:
    """Logits (1, 2, 1, 4) and targets (1, 1, 4), of which the last is void."""
    ratios = torch.tensor([[1.0, 3.0, 3.0, 9.0], [1.0, 1.0, 1.0, 1.0]])
    return ratios.log().view(1, 2, 1, 4), torch.tensor([[[0, 0, 1, 255]]])


def test_ignored_positions_by_hand() -> None:
    logits, targets = segments()
    # Probabilities of the right classes: 1/2, 3/4, 1/4. The fourth position is left out.
    losses = [math.log(2), math.log(4 / 3), math.log(4)]
    plain = build("cross_entropy", ignore_index=255)
    assert float(plain(logits, targets)) == pytest.approx(sum(losses) / 3) and float(plain.counted(targets)) == 3
    weighted = build("cross_entropy", ignore_index=255, weight=[1.0, 5.0])
    expected = (losses[0] + losses[1] + 5 * losses[2]) / 7
    assert float(weighted(logits, targets)) == pytest.approx(expected) and float(weighted.counted(targets)) == 7
    balanced = build_loss(Part("cross_entropy", {"ignore_index": 255, "weight": "balanced"}), labels=targets)
    assert balanced.weight is not None and balanced.weight.tolist() == [0.75, 1.5]  # 3/(2·2), 3/(2·1)
    assert build("cross_entropy").ignored == -100
    assert float(build("cross_entropy", ignore_index=0).counted(torch.tensor([0, 1, 2]))) == 2


def accuracy(outputs: Tensor, targets: Tensor, ignored: int) -> tuple[list[float], float | None]:
    facts = Facts(build("cross_entropy", ignore_index=ignored), None, 1, torch.zeros(1), None, True)
    meter = PositionAccuracy("accuracy", facts)
    sums = meter.sums(outputs, targets).tolist()
    return sums, meter.value(sums, len(targets), None)


def test_accuracy_leaves_out_ignored_positions() -> None:
    logits, targets = segments()
    sums, value = accuracy(logits, targets, 255)  # answers 0 (a tie), 0, 0, 0: two of three are right
    assert sums == [2, 3] and value == pytest.approx(2 / 3)
    # answers 0 at padding are not right, but not counted
    assert accuracy(torch.eye(3), torch.tensor([0, 1, 0]), 0) == ([1, 1], 1.0)
    assert accuracy(torch.eye(3), torch.zeros(3).long(), 0) == ([0, 0], None)


def test_a_mean_over_nothing_is_0() -> None:
    logits, targets = segments()
    loss = build("cross_entropy", ignore_index=255, label_smoothing=0.1)
    for void, counted in ((torch.full_like(targets, 255), torch.tensor(0)), (targets, torch.tensor(3))):
        outputs = logits.clone().requires_grad_()
        value = loss.mean(outputs * 1, void, loss.counted(void))
        value.backward()
        assert outputs.grad is not None
        assert (value.item() == 0.0, bool(outputs.grad.any())) == (counted == 0, counted > 0)
    assert float(loss.mean(logits, targets, 0)) == 0.0


def test_mse_by_hand() -> None:
    loss = build("mse")
    outputs, targets = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([1.0, 4.0, 1.0])
    # (0 + 4 + 9)/3; broadcast to 3×3 it would be another number
    assert float(loss(outputs, targets)) == pytest.approx(13 / 3)
    assert float(loss(outputs.flatten(), targets.view(3, 1))) == pytest.approx(13 / 3)
    assert float(loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]]))) == pytest.approx(2.5)


def test_mse_of_classes_is_against_one_hot_vectors() -> None:
    outputs = torch.tensor([[0.5, 0.0, 1.0], [0.0, 1.0, 0.0]])
    # against (0, 0, 1) and (1, 0, 0): 0.25 + 0 + 0 + 1 + 1 + 0 over six numbers
    assert float(build("mse")(outputs, torch.tensor([2, 0]))) == pytest.approx(2.25 / 6)


def test_mse_refuses_outputs_of_another_size() -> None:
    with pytest.raises(RuntimeError):
        build("mse")(torch.zeros(3, 2), torch.zeros(3))


def halved(outputs: Tensor, targets: Tensor, *, factor: float = 0.5) -> Tensor:
    return factor * (outputs - targets).abs().mean()


def raising(outputs: Tensor, targets: Tensor) -> Tensor:
    raise LookupError("no such loss")


class Scaled(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.scale * (outputs - targets).abs().mean()


not_callable = 3


def test_imported_functions_and_classes() -> None:
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])
    assert float(build(f"{__name__}:halved")(a, b)) == 1.0
    assert float(build(f"{__name__}:halved", factor=3.0)(a, b)) == 6.0
    assert float(build(f"{__name__}:Scaled", scale=5.0)(a, b)) == 10.0
    # Huber with delta 1: 1·(2 − ½) for both
    assert float(build("torch.nn:HuberLoss", delta=1.0)(a, b)) == pytest.approx(1.5)
    assert float(build("torch.nn.functional:l1_loss")(a, b)) == 2.0


def test_a_raising_loss_shows_its_frames() -> None:
    loss = build(f"{__name__}:raising")
    with pytest.raises(UserCodeError, match="LookupError: no such loss") as caught:
        loss(torch.zeros(1), torch.zeros(1))
    assert "in raising" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "params", "fragment"),
    [
        ("cross_entropi", {}, "did you mean 'cross_entropy'?"),
        ("cross_entropy", {"label_smoothing": 1.0}, "loss.label_smoothing"),
        ("cross_entropy", {"smoothing": 0.1}, "did you mean 'label_smoothing'?"),
        ("mse", {"factor": 2}, "it has no parameters"),
        (f"{__name__}:not_callable", {}, "is not a function or a class"),
        (f"{__name__}:Scaled", {}, "needs the parameter 'scale'"),
        (f"{__name__}:absent", {}, "has no 'absent'"),
    ],
)
def test_wrong_losses_are_config_errors(name: str, params: dict[str, Any], fragment: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(name, **params)
    assert fragment in str(caught.value) and caught.value.key.startswith("loss")
