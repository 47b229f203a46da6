"""Whether data, model and loss fit together: classes, batches and means, before anything is trained."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

import lrbench
from lrbench.components.losses import build_loss
from lrbench.errors import ConfigError, DataError
from lrbench.training.build import build
from lrbench.training.check import check
from lrbench.training.evaluate import evaluate
from lrbench.training.update import gradient
from lrbench.types import Part

CPU = torch.device("cpu")
CROSS_ENTROPY = "torch.nn:CrossEntropyLoss"


def masks(highest: int = 2, void: int | None = None) -> Any:
    """16 pictures of 8×8 with a class at each pixel."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(16, 1, 8, 8, generator=generator)
    targets = torch.randint(0, highest + 1, (16, 8, 8), generator=generator)
    targets[0, 0, 0] = highest
    if void is not None:
        targets[1::2, :4] = void
    return (inputs, targets), (inputs, targets)


def masks_with_void() -> Any:
    return masks(void=255)


def masks_with_classes() -> Any:
    train, test = masks()
    return {"train": train, "test": test, "classes": 5}


class Unlabelled(Dataset[Any]):
    """Pictures whose masks are known only once they are read."""

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> Any:
        (inputs, targets), _ = masks()
        return inputs[index], targets[index]


def streamed_masks() -> Any:
    return Unlabelled(), Unlabelled()


def segmenter(num_classes: int = 2) -> nn.Module:
    return nn.Conv2d(1, num_classes, 1)


@pytest.mark.parametrize(
    ("data", "loss", "classes"),
    [
        ("masks", CROSS_ENTROPY, 3),
        ("masks_with_void", {"name": CROSS_ENTROPY, "ignore_index": 255}, 3),
        ("masks_with_void", {"name": "cross_entropy", "ignore_index": 255}, 3),
        ("masks_with_void", "cross_entropy", 256),
        ("masks_with_classes", "cross_entropy", 5),
        ("streamed_masks", f"{__name__}:mean_of_outputs", 2),  # the model's own
    ],
)
def test_classes_of_positions(data: str, loss: Any, classes: int, tiny: Callable[..., Any]) -> None:
    experiment = tiny(dataset=f"{__name__}:{data}", model=f"{__name__}:segmenter", loss=loss, batch_size=4)
    check(experiment, CPU)
    assert build(experiment, CPU).model.weight.shape[0] == classes  # type: ignore[union-attr,index]


def mean_of_outputs(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.mean()


def test_too_few_classes_for_the_masks_are_refused(tiny: Callable[..., Any]) -> None:
    model = {"name": f"{__name__}:segmenter", "num_classes": 2}
    with pytest.raises(ConfigError, match="so 2 classes; the targets have 3"):
        check(tiny(dataset=f"{__name__}:masks", model=model, loss=CROSS_ENTROPY), CPU)


VOID = {"dataset": f"{__name__}:masks_with_void", "model": f"{__name__}:segmenter", "batch_size": 4}
VOIDED = {"name": "cross_entropy", "ignore_index": 255}
REMEDY = "if 255 marks positions without a class, set loss.ignore_index: 255"


def test_the_remedy_for_masks_with_255_is_named(tiny: Callable[..., Any]) -> None:
    assert check(tiny(**VOID), CPU) == [f"the targets go up to 255, so there are 256 classes; {REMEDY}"]
    assert check(tiny(**VOID, loss=VOIDED), CPU) == []
    with pytest.raises(ConfigError, match=f"so 21 classes; the targets have 256; {REMEDY}"):
        check(tiny(**{**VOID, "model": {"name": f"{__name__}:segmenter", "num_classes": 21}}), CPU)
    with pytest.raises(ConfigError, match=f"none of class 3; {REMEDY}"):
        check(tiny(**VOID, loss={"name": "cross_entropy", "weight": "balanced"}), CPU)


def void() -> Any:
    """Masks of which the second half has no class at all."""
    (inputs, targets), _ = masks()
    targets[8:] = 255
    return {"train": (inputs, targets), "validation": (inputs[:8], targets[:8]), "test": None}


def void_validation() -> Any:
    parts = void()
    return {**parts, "validation": tuple(half[8:] for half in parts["train"])}


def test_a_split_without_any_class_is_refused(tiny: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"ignore_index: leaves out every target of the validation data \(255\)"):
        check(tiny(**{**VOID, "dataset": f"{__name__}:void_validation"}, loss=VOIDED), CPU)


@pytest.mark.parametrize("settings", [{}, {"label_smoothing": 0.1}, {"weight": [1, 2, 5]}, {"weight": "balanced"}])
def test_batches_without_any_class_weigh_nothing(settings: Any, tiny: Callable[..., Any], tmp_path: Path) -> None:
    loss = {**VOIDED, **settings}
    changes = {**VOID, "dataset": f"{__name__}:void", "loss": loss, "seed": 1}
    parts = build(tiny(**changes), CPU)
    train = parts.data.train
    full, empty = ((train.inputs[half], train.targets[half]) for half in (slice(8), slice(8, 16)))  # type: ignore[attr-defined]
    expected = float(gradient(parts, [full], None)[0])
    wanted = [p.grad.clone() for p in parts.model.parameters() if p.grad is not None]
    assert float(gradient(parts, [full, empty], None)[0]) == expected
    assert all(torch.equal(p.grad, w) for p, w in zip(parts.model.parameters(), wanted, strict=True))  # type: ignore[arg-type]
    for batches in ([empty], [empty, empty]):
        assert gradient(parts, batches, None)[:3].tolist() == [0.0, 0.0, 0.0]  # loss, norm, count
        assert all(not bool(p.grad.any()) for p in parts.model.parameters())  # type: ignore[union-attr]
    (outcome,) = lrbench.run([tiny(**{**changes, "batch_size": 1, "epochs": 2})], runs=tmp_path)
    assert outcome.result is not None and outcome.result.status == "finished"
    losses = [float(line.split(",")[3]) for line in (outcome.path / "steps.csv").read_text().splitlines()[1:]]
    assert losses.count(0.0) == 16  # 8 batches of an epoch, twice
    used = [value for value in losses[:16] if value]
    if not settings:  # then every other batch counts 64 pixels
        assert outcome.result.final is not None
        rows = (outcome.path / "epochs.csv").read_text().splitlines()
        assert float(rows[1].split(",")[3]) == pytest.approx(sum(used) / 8)


# -- means


def test_accumulation_averages_over_what_the_loss_counts(tiny: Callable[..., Any]) -> None:
    loss = {"name": CROSS_ENTROPY, "ignore_index": 255, "weight": [1, 2, 5]}
    changes = {"dataset": f"{__name__}:masks_with_void", "model": f"{__name__}:segmenter", "loss": loss}
    parts = build(tiny(**changes, batch_size=4), CPU)
    (inputs, targets), _ = masks_with_void()
    weight = torch.tensor([1.0, 2.0, 5.0])
    whole = F.cross_entropy(parts.model(inputs), targets, weight, ignore_index=255)
    used = targets[targets != 255]
    assert float(parts.task.count((inputs, targets))) == float(weight[used].sum())
    whole.backward()
    expected = parts.model.weight.grad.clone()  # type: ignore[union-attr,operator]
    measured = gradient(parts, [(inputs[:1], targets[:1]), (inputs[1:], targets[1:])], None)
    assert float(measured[0]) == pytest.approx(whole.item(), rel=1e-5)
    assert float(measured[2]) == float(weight[used].sum())
    assert torch.allclose(parts.model.weight.grad, expected, rtol=1e-4)  # type: ignore[arg-type]


class Tokens:
    """A mean over tokens, of which 0 is padding."""

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.flatten() * (targets.flatten() > 0)).sum() / self.count(targets)

    def count(self, targets: Tensor) -> Tensor:
        return (targets > 0).sum()


def padded_sequences() -> Any:
    targets = torch.zeros(501, 1, 2).long()
    targets[:500, 0, 0] = 1  # 500 tokens in the first evaluation batch, two in the second
    targets[500] = 1
    inputs = torch.zeros(501, 1, 2)
    inputs[500] = 4.0
    return (inputs, targets), (inputs, targets)


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


def test_evaluation_averages_over_what_the_loss_says_it_counts(tiny: Callable[..., Any]) -> None:
    loss, model = f"{__name__}:Tokens", f"{__name__}:Scale"
    parts = build(tiny(dataset=f"{__name__}:padded_sequences", model=model, loss=loss), CPU)
    assert parts.data.test is not None
    # 500 losses of 0, each of one token, and two of 4; averaged by examples it would be 4/501
    assert evaluate(parts, parts.data.test)["loss"] == pytest.approx(8 / 502)


def test_a_loss_says_what_it_divides_by() -> None:
    loss = build_loss(Part(f"{__name__}:Tokens"))
    (inputs, targets), _ = padded_sequences()
    assert int(loss.counted(targets)) == 502
    assert float(loss(inputs, targets)) == pytest.approx(8 / 502)


def summed(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets, reduction="sum")


@pytest.mark.parametrize(
    ("loss", "key", "fragment"),
    [
        ({"name": CROSS_ENTROPY, "reduction": "sum"}, "loss.reduction", "must be mean"),
        (f"{__name__}:summed", "loss", "depends on the batch size; return the mean"),
        ({"name": CROSS_ENTROPY, "size_average": False}, "loss", "return the mean"),
    ],
)
@pytest.mark.filterwarnings("ignore:size_average")
def test_sums_are_refused(loss: Any, key: str, fragment: str, tiny: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=fragment) as caught:
        check(tiny(loss=loss), CPU)
    assert caught.value.key == key


def root(outputs: Tensor, targets: Tensor) -> Tensor:
    return summed(outputs, targets) / len(targets) ** 0.5


def per_32(outputs: Tensor, targets: Tensor) -> Tensor:
    return summed(outputs, targets) / 32


def against_all(outputs: Tensor, targets: Tensor) -> Tensor:
    """A contrast with all examples of the batch."""
    return (outputs @ outputs.T).logsumexp(1).mean()


def number(outputs: Tensor, targets: Tensor) -> float:
    return F.cross_entropy(outputs.detach(), targets).item()


def detached(outputs: Tensor, targets: Tensor) -> Tensor:
    return torch.tensor(number(outputs, targets))


def noisy(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs + torch.randn_like(outputs), targets)


def dice(outputs: Tensor, targets: Tensor) -> Tensor:
    shares, truth = outputs.softmax(1), F.one_hot(targets, outputs.shape[1])
    return 1 - 2 * (shares * truth).sum() / (shares + truth).sum()


class Miscounted:
    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets)

    def count(self, targets: Tensor) -> Tensor:
        return targets.sum()


@pytest.mark.parametrize(
    ("loss", "fragment"),
    [
        ("root", r"it changes from \S+ to \S+ when every example comes twice, so it depends on the batch size"),
        ("per_32", "it is a sum over the batch"),
        ("against_all", "it depends on the batch size"),
        ("number", "it returns a float; a loss must be a tensor"),
        ("Miscounted", r"count\(targets\) must return what the loss divides by"),
    ],
)
def test_losses_that_are_no_means_or_no_tensors_are_refused(loss: str, fragment: str, tiny: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=fragment) as caught:
        check(tiny(loss=f"{__name__}:{loss}"), CPU)
    assert caught.value.key == "loss"


def test_a_loss_without_a_gradient_fails_its_run_in_words(tiny: Callable[..., Any], tmp_path: Path) -> None:
    (outcome,) = lrbench.run([tiny(loss=f"{__name__}:detached")], runs=tmp_path)
    assert outcome.status == "failed"
    assert (
        "the loss does not require grad: model and loss must compute it from the weights, without .item()"
        in outcome.message
    )


@pytest.mark.parametrize("loss", ["noisy", "dice"])
def test_losses_that_may_be_means_are_accepted(loss: str, tiny: Callable[..., Any]) -> None:
    assert check(tiny(loss=f"{__name__}:{loss}"), CPU) == []


# -- tensors as parameters


def test_lists_become_tensors_and_balanced_weights_come_from_the_training_targets() -> None:
    logits, targets = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 0, 1])
    listed = build_loss(Part(CROSS_ENTROPY, {"weight": [1, 3]}))
    expected = F.cross_entropy(logits, targets, torch.tensor([1.0, 3.0]))
    assert torch.equal(listed(logits, targets), expected)
    assert torch.equal(build_loss(Part("cross_entropy", {"weight": [1.0, 3.0]}))(logits, targets), expected)
    functional = build_loss(Part("torch.nn.functional:cross_entropy", {"weight": [1, 3]}))
    assert torch.equal(functional(logits, targets), expected) and float(functional.counted(targets)) == 5
    balanced = build_loss(Part("cross_entropy", {"weight": "balanced"}), labels=targets, classes=2)
    assert balanced.weight is not None and balanced.weight.tolist() == [0.75, 1.5]  # 3/(2·2), 3/(2·1)
    pos = build_loss(Part("torch.nn:BCEWithLogitsLoss", {"pos_weight": 3}))
    assert float(pos(torch.zeros(1), torch.ones(1))) == pytest.approx(3 * 0.693147, rel=1e-5)


@pytest.mark.parametrize(
    ("params", "fragment"),
    [
        ({"weight": [1.0, 2.0]}, "loss.weight: needs one number for each of the 3 classes"),
        ({"weight": "balanced"}, "there are none of class 2"),
        ({"weight": [1.0, -2.0, 1.0]}, "loss.weight"),
    ],
)
def test_wrong_weights(params: Any, fragment: str) -> None:
    with pytest.raises(ConfigError, match=fragment):
        build_loss(Part("cross_entropy", params), labels=torch.tensor([0, 1, 1]), classes=3)


# -- examples and batches


class Items(Dataset[Any]):
    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make, self.targets = make, [index % 2 for index in range(20)]

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> Any:
        return self.make(index)


def dictionaries() -> Any:
    return Items(lambda i: {"image": torch.zeros(2), "label": i % 2}), None


def images() -> Any:
    return Items(lambda i: (Image.new("RGB", (4, 4)), i % 2)), None


def lengths() -> Any:
    return Items(lambda i: (torch.zeros(2 + i % 3), i % 2)), None


def one_alone() -> Any:
    return (torch.zeros(20, 2), torch.tensor([0] * 10 + [1] * 9 + [2])), None


@pytest.mark.parametrize(
    ("data", "error", "fragment"),
    [
        ("dictionaries", ConfigError, r"a dict with the keys image, label, not pairs \(input, target\); name a task"),
        ("lengths", DataError, "different shapes, .*pad, crop or resize"),
        ("one_alone", ConfigError, r"class 2 has only one example; use validation: \{how: random\}"),
    ],
)
def test_data_that_does_not_fit(data: str, error: Any, fragment: str, cli: Any, write_config: Any) -> None:
    config = write_config(dataset=f"{__name__}:{data}")
    code, _, said = cli("run", config)
    assert code == 2
    assert re.search(fragment, " ".join(said.split())), said


def several_labels() -> Any:
    return (torch.zeros(20, 2), torch.ones(20, 3).bool()), None


def vectors(n: int = 65) -> Any:
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(0))
    return {"train": (x, (x[:, 0] > 0).long()), "validation": (x, (x[:, 0] > 0).long()), "test": None}


def normed(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, outputs))


class Pair(nn.Linear):
    def forward(self, x: Tensor) -> Any:
        return {"other": super().forward(x)}


def dictionary_model(outputs: int) -> nn.Module:
    return Pair(4, outputs)


VECTORS = f"{__name__}:vectors"


@pytest.mark.parametrize(
    ("changes", "key", "fragment"),
    [
        ({"dataset": VECTORS, "model": f"{__name__}:normed"}, "batch_size", "1 example of 65 .*drop_last: true"),
        (
            {"dataset": VECTORS, "model": f"{__name__}:dictionary_model"},
            "model",
            "returns a dict with the keys other, w",
        ),
        ({"model": {"name": "mlp", "hidden": [10**12]}}, "model", "can't be built: .*allocate"),
        ({"model": {"name": "mlp", "hidden": [10**18]}}, "model", "can't be built: .*overflow"),
        ({"dataset": VECTORS, "batch_size": 66, "drop_last": True}, "drop_last", "leaves no batch"),
    ],
)
def test_models_and_batches_that_do_not_fit(changes: Any, key: str, fragment: str, tiny: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=fragment) as caught:
        check(tiny(**changes), CPU)
    assert caught.value.key == key and "\n" not in str(caught.value)


def test_counts_beyond_64_bits_are_refused_in_the_config(tiny: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"model.hidden"):
        tiny(model={"name": "mlp", "hidden": [10**40]})


def test_labels_that_should_be_floats(tiny: Callable[..., Any]) -> None:
    model = {"name": "torch.nn:Linear", "in_features": 2, "out_features": 3}
    with pytest.raises(ConfigError, match=r"need float targets: use targets.float\(\)"):
        check(tiny(dataset=f"{__name__}:several_labels", model=model, loss="torch.nn:BCEWithLogitsLoss"), CPU)


def test_drop_last_leaves_out_the_smaller_batch(tiny: Callable[..., Any], tmp_path: Path) -> None:
    experiment = tiny(dataset=VECTORS, model=f"{__name__}:normed", drop_last=True, epochs=1)
    (outcome,) = lrbench.run([experiment], runs=tmp_path)
    assert outcome.result is not None and (outcome.result.status, outcome.result.steps) == ("finished", 2)
    data = build(experiment, CPU).data
    assert [len(y) for _, y in data.training_batches(32, 0, 0, drop_last=True)] == [32, 32]
    assert tiny(drop_last=False) == tiny()
    assert evaluate(build(experiment, CPU), data.validation)["loss"] > 0
