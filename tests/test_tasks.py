"""Tasks: the user's own loss, metrics and batches, and the built-in ones, against other computations."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
import torchmetrics
from PIL import Image
from sklearn import metrics as sklearn_metrics
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset

import lrbench
from lrbench.components.data.nested import examples_in, mapped, moved
from lrbench.components.losses import build_loss
from lrbench.components.tasks.build import _METERS, pair_task
from lrbench.components.tasks.class_meters import LabelF1
from lrbench.components.tasks.meters import Facts
from lrbench.config import identity
from lrbench.errors import ConfigError, Interrupted, UserCodeError
from lrbench.events import silent
from lrbench.runs import RunFolder
from lrbench.training.build import build
from lrbench.training.check import check
from lrbench.training.run_one import WorkItem, do_run
from lrbench.types import Part

Make = Callable[..., Any]
CPU = torch.device("cpu")
ME = __name__


def trained(experiment: Any, root: Path) -> tuple[Path, Any, pd.DataFrame]:
    (outcome,) = lrbench.run([experiment], runs=root)
    assert outcome.result is not None, outcome.message
    assert outcome.result.status == "finished", outcome.result.reason
    return outcome.path, outcome.result, pd.read_csv(outcome.path / "epochs.csv")


def interrupted(experiment: Any, path: Path, stops: int) -> RunFolder:
    """A run that is asked to stop after being asked so many times whether it shall."""
    folder = RunFolder(path)
    folder.create(experiment, {})
    left = iter(range(stops))
    with pytest.raises(Interrupted):
        do_run(WorkItem(path, experiment), threads=None, watch=silent, stop=lambda: next(left, None) is None)
    return folder


# -- the user's own task computes what the built-in one does


class Classes:
    """What the default task does, written as a user would."""

    metrics = {"accuracy": "higher"}  # noqa: RUF012

    def loss(self, model: Any, batch: Any) -> Any:
        inputs, targets = batch
        outputs = model(inputs)
        return F.cross_entropy(outputs, targets), {"accuracy": (outputs.argmax(1) == targets).float().mean()}


def step(model: Any, batch: Any) -> dict[str, Any]:
    loss, values = Classes().loss(model, batch)
    return {"loss": loss, **values}


@pytest.mark.parametrize("changes", [{"task": f"{ME}:Classes"}, {"step": f"{ME}:step"}])
@pytest.mark.parametrize("more", [{}, {"accumulate": 3}, {"precision": "bf16"}])
def test_an_own_task_gets_the_numbers_of_the_built_in_one(
    changes: dict[str, Any], more: dict[str, Any], tiny: Make, tmp_path: Path
) -> None:
    experiment = {"epochs": 2, "batch_size": 24, **more}
    usual, result, rows = trained(tiny(**experiment), tmp_path / "usual")
    own, other, others = trained(tiny(**experiment, **changes), tmp_path / "own")
    timed = ["seconds", "examples_per_second"]
    pd.testing.assert_frame_equal(others.drop(columns=timed), rows.drop(columns=timed), rtol=1e-6)
    assert others["val_loss"].tolist() == rows["val_loss"].tolist()
    assert (own / "steps.csv").read_text() == (usual / "steps.csv").read_text()
    assert other.test == pytest.approx(result.test)


# -- a variational autoencoder: a model that returns a tuple, data and model from the task, noise in the loss


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(64, 8), nn.Linear(4, 64)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.inner(x.flatten(1)).chunk(2, 1)
        code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return self.outer(code).view_as(x), mean, log_variance


class Vae:
    metrics = {"kl": "lower", "psnr": "higher"}  # noqa: RUF012

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = beta

    def build(self, seed: int) -> nn.Module:
        return Encoder()

    def loss(self, model: Any, batch: Any) -> Any:
        inputs, _ = batch
        outputs, mean, log_variance = model(inputs)
        error = F.mse_loss(outputs, inputs)
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()
        return error + self.beta * kl / 64, {"kl": kl, "psnr": -10 * error.detach().log10()}


def test_a_variational_autoencoder_trains_and_goes_on_bit_for_bit(tiny: Make, tmp_path: Path) -> None:
    plain = {k: v for k, v in tiny(task={"name": f"{ME}:Vae", "beta": 0.5}, epochs=4).plain().items() if k != "model"}
    experiment = lrbench.config.validate({**plain, "loss": None}, {}, "")
    assert experiment.model.name == experiment.loss.name == "task"
    path, result, rows = trained(experiment, tmp_path / "whole")
    assert rows["val_loss"].iloc[-1] < rows["val_loss"].iloc[0]
    assert list(rows.columns[3:9]) == ["train_loss", "val_loss", "train_kl", "val_kl", "train_psnr", "val_psnr"]
    assert result.test.keys() == {"loss", "kl", "psnr"}

    interrupted(experiment, tmp_path / "cut" / path.name, stops=6)
    (outcome,) = lrbench.run([experiment], runs=tmp_path / "cut")
    timed = ["seconds", "examples_per_second"]
    again = pd.read_csv(outcome.path / "epochs.csv")
    pd.testing.assert_frame_equal(again.drop(columns=timed), rows.drop(columns=timed), check_exact=True)
    assert (outcome.path / "steps.csv").read_text() == (path / "steps.csv").read_text()


# -- batches of any shape


class Items(Dataset[Any]):
    def __init__(self, make: Callable[[int, Tensor], Any], n: int = 60) -> None:
        generator = torch.Generator().manual_seed(n)
        self.made = [make(i, torch.rand(4, generator=generator)) for i in range(n)]

    def __len__(self) -> int:
        return len(self.made)

    def __getitem__(self, index: int) -> Any:
        return self.made[index]


class Point(NamedTuple):
    where: Tensor
    value: float


@dataclasses.dataclass
class Record:
    where: Tensor
    value: float


def splits(make: Callable[[int, Tensor], Any]) -> Any:
    return {"train": Items(make), "validation": Items(make, 15), "test": Items(make, 12)}


def nested() -> Any:
    return splits(lambda i, x: {"where": x, "more": [{"value": float(x.sum())}, "a name"]})


def points() -> Any:
    return splits(lambda i, x: Point(x, float(x.sum())))


def records() -> Any:
    return splits(lambda i, x: Record(x, float(x.sum())))


def ragged() -> Any:
    return splits(lambda i, x: {"where": x[: 1 + i % 4], "value": float(x.sum())})


def padded(items: list[Any]) -> Any:
    rows = nn.utils.rnn.pad_sequence([item["where"] for item in items], batch_first=True)
    return {"where": F.pad(rows, (0, 4 - rows.shape[1])), "value": torch.tensor([item["value"] for item in items])}


def linear() -> nn.Module:
    return nn.Linear(4, 1)


def of_dict(model: Any, batch: Any) -> Any:
    return {"loss": F.mse_loss(model(batch["where"]).squeeze(1), batch["value"])}


def of_nested(model: Any, batch: Any) -> Any:
    return {"loss": F.mse_loss(model(batch["where"]).squeeze(1), batch["more"][0]["value"])}


def of_fields(model: Any, batch: Any) -> Any:
    return {"loss": F.mse_loss(model(batch.where).squeeze(1), batch.value)}


@pytest.mark.parametrize(
    ("data", "function"), [("nested", "of_nested"), ("points", "of_fields"), ("records", "of_fields")]
)
def test_batches_of_any_shape(data: str, function: str, tiny: Make, tmp_path: Path) -> None:
    lr = {"name": "sgd", "lr": 0.3}
    parts = {"dataset": f"{ME}:{data}", "model": f"{ME}:linear", "step": f"{ME}:{function}", "optimizer": lr}
    experiment = tiny(**parts, batch_size=16, epochs=3)
    _, result, _ = trained(experiment, tmp_path)
    model = build(experiment, CPU).model
    # the same training, written out
    train_set = Items(lambda i, x: (x, float(x.sum()))).made
    inputs, targets = torch.stack([x for x, _ in train_set]), torch.tensor([y for _, y in train_set])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    for epoch in range(3):
        order = lrbench.components.data.batches.epoch_order(60, experiment.seed, epoch)
        for chosen in order.split(16):
            optimizer.zero_grad()
            F.mse_loss(model(inputs[chosen]).squeeze(1), targets[chosen]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    tests = Items(lambda i, x: (x, float(x.sum())), 12).made
    with torch.no_grad():
        expected = F.mse_loss(model(torch.stack([x for x, _ in tests])).squeeze(1), torch.tensor([y for _, y in tests]))
    assert result.test["loss"] == pytest.approx(float(expected), rel=1e-5)


def test_sequences_of_different_lengths_need_a_collate(tiny: Make, tmp_path: Path) -> None:
    parts = {"model": f"{ME}:linear", "step": f"{ME}:of_dict", "batch_size": 16, "epochs": 2}
    with pytest.raises(Exception, match=r"can't be made a batch.*dataset\.collate"):
        check(tiny(dataset=f"{ME}:ragged", **parts), CPU)
    trained(tiny(dataset={"name": f"{ME}:ragged", "collate": f"{ME}:padded"}, **parts), tmp_path)


def test_a_batch_keeps_its_nesting() -> None:
    batch = {"a": [torch.ones(2, dtype=torch.float64)], "b": Point(torch.zeros(2, 3), 1.0), "c": "text"}
    there = moved(batch, CPU)
    assert there["a"][0].dtype == torch.float32 and isinstance(there["b"], Point) and there["c"] == "text"
    assert examples_in(batch) == 2 and batch["a"][0].dtype == torch.float64
    doubled = mapped(Record(torch.ones(2), 3.0), lambda leaf: leaf * 2)
    assert doubled.where.tolist() == [2, 2] and doubled.value == 6


# -- images of PIL


def photographs() -> Any:
    def picture(i: int, x: Tensor) -> Any:
        shade = np.full((6, 6, 3), 200 if i % 2 else 20, dtype=np.uint8)
        return Image.fromarray(shade), i % 2

    made = splits(picture)
    made["classes"] = 2
    return made


def test_images_become_tensors_and_are_told(tiny: Make, tmp_path: Path) -> None:
    experiment = tiny(dataset=f"{ME}:photographs", model="logistic", epochs=20)
    assert any("PIL images are converted" in note for note in check(experiment, CPU))
    parts = build(experiment, CPU)
    inputs, _ = parts.batch(next(iter(parts.data.validation.batches(2))))
    assert inputs[:, 0, 0, 0].tolist() == pytest.approx([20 / 255, 200 / 255])
    _, result, _ = trained(experiment, tmp_path)
    assert result.test["accuracy"] == 1.0


# -- what own tasks do wrong


class NoLoss:
    metrics = {"kl": "lower"}  # noqa: RUF012


class Sums(Classes):
    def loss(self, model: Any, batch: Any) -> Any:
        return F.cross_entropy(model(batch[0]), batch[1], reduction="sum"), {"accuracy": 0.0}


class Misnamed(Classes):
    metrics = {"f2": "higher"}  # noqa: RUF012


class Sideways(Classes):
    metrics = {"accuracy": "up"}  # noqa: RUF012


class Vector(Classes):
    def loss(self, model: Any, batch: Any) -> Any:
        return F.cross_entropy(model(batch[0]), batch[1], reduction="none"), {"accuracy": 0.0}


class Raising(Classes):
    def loss(self, model: Any, batch: Any) -> Any:
        raise ZeroDivisionError("no luck")


def lossless(model: Any, batch: Any) -> Any:
    return {"mae": 1.0}


def detached(model: Any, batch: Any) -> Any:
    return F.cross_entropy(model(batch[0]), batch[1]).detach()


@pytest.mark.parametrize(
    ("task", "error", "fragment"),
    [
        ("NoLoss", ConfigError, r"needs a method loss\(model, batch\)"),
        ("Sums", ConfigError, "is a sum over the batch"),
        ("Misnamed", UserCodeError, r"returned no value of f2 \(metrics returned: accuracy\)"),
        ("Sideways", ConfigError, "'accuracy' must be lower or higher"),
        ("Vector", UserCodeError, r"returned a loss of shape \(2,\)"),
        ("Raising", UserCodeError, "(?s)ZeroDivisionError: no luck.*no luck"),
        ("lossless", UserCodeError, "returned mae, without 'loss'"),
        ("detached", ConfigError, "has no gradient"),
        ("nothing", ConfigError, "has no 'nothing'"),
    ],
)
def test_wrong_tasks_are_told(task: str, error: Any, fragment: str, tiny: Make) -> None:
    with pytest.raises(error, match=fragment):
        check(tiny(task=f"{ME}:{task}"), CPU)


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"task": "clasification"}, "unknown task 'clasification'.*classification"),
        ({"task": f"{ME}:Classes", "loss": "mse"}, "computes its own loss; remove `loss`"),
        ({"loss": "task"}, "no such task"),
        ({"step": 100}, "must be an import string of a function.*`steps`"),
        ({"step": f"{ME}:step", "task": "regression"}, "is itself a task"),
        ({"metrics": ["acuracy"]}, "unknown metric 'acuracy'.*accuracy"),
        ({"metrics": []}, "metrics"),
    ],
)
def test_wrong_keys_are_told(changes: Any, fragment: str, tiny: Make) -> None:
    with pytest.raises(ConfigError, match=fragment):
        tiny(**changes)


def test_metrics_of_another_task_are_refused(tiny: Make) -> None:
    with pytest.raises(ConfigError, match="'mae' does not suit task: multilabel"):
        build(tiny(dataset=f"{ME}:several", task="multilabel", metrics=["mae"]), CPU)
    with pytest.raises(ConfigError, match=r"not pairs.*name a task"):
        build(tiny(dataset=f"{ME}:nested", model=f"{ME}:linear"), CPU)


def test_a_function_tells_its_metrics_and_less_is_better_unless_said(tiny: Make) -> None:
    experiment = tiny(step=f"{ME}:strange")
    assert any("lower is taken as better for oddity" in note for note in check(experiment, CPU))
    told = tiny(step=f"{ME}:strange", metrics={"oddity": "higher"})
    assert check(told, CPU) == []
    assert [(m.name, m.better) for m in build(told, CPU).task.metrics] == [("oddity", "higher"), ("accuracy", "higher")]


def strange(model: Any, batch: Any) -> Any:
    return {**step(model, batch), "oddity": 3.0}


# -- identity


def test_the_default_task_leaves_the_identity_as_it_was(tiny: Make) -> None:
    assert identity(tiny(task="classification")) == identity(tiny())
    others = [tiny(task=f"{ME}:Classes"), tiny(step=f"{ME}:step"), tiny(metrics=["f1"]), tiny(task="regression")]
    assert len({identity(each) for each in (tiny(), *others)}) == 5


# -- metrics against scikit-learn and torchmetrics, in batches of different sizes


def measured(meter: Any, outputs: Tensor, targets: Tensor) -> float:
    sums = [meter.sums(o, t).double() for o, t in zip(outputs.split(7), targets.split(7), strict=True)]
    value = meter.value(torch.stack(sums).sum(0).tolist(), len(targets), None)
    assert value is not None
    return float(value)


def facts(classes: int | None, size: int = 1, loss: str = "cross_entropy", **params: Any) -> Facts:
    return Facts(build_loss(Part(loss, params)), classes, size, torch.full((size,), 100.0), 1.0, False)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)) * 2


LABELS = torch.randint(0, 6, (50,), generator=torch.Generator().manual_seed(2))


def test_metrics_of_classes() -> None:
    outputs, np_labels = drawn(50, 6), LABELS.numpy()
    answers = outputs.argmax(1).numpy()
    given = facts(6)
    assert measured(_METERS["f1"]("f1", given), outputs, LABELS) == pytest.approx(
        sklearn_metrics.f1_score(np_labels, answers, average="macro")
    )
    assert measured(_METERS["top5_accuracy"]("top5_accuracy", given), outputs, LABELS) == pytest.approx(
        sklearn_metrics.top_k_accuracy_score(np_labels, outputs.numpy(), k=5)
    )
    expected = torchmetrics.functional.calibration_error(outputs.softmax(1), LABELS, task="multiclass", num_classes=6)
    found = measured(_METERS["calibration_error"]("calibration_error", given), outputs, LABELS)
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_metrics_of_pixels_leave_out_ignored_ones() -> None:
    outputs, targets = drawn(9, 4, 5, 5), torch.randint(0, 4, (9, 5, 5), generator=torch.Generator().manual_seed(3))
    targets[:, 0] = 255
    given = facts(4, ignore_index=255)
    flat, answers = targets[targets != 255].numpy(), outputs.argmax(1)[targets != 255].numpy()
    assert measured(_METERS["mean_iou"]("mean_iou", given), outputs, targets) == pytest.approx(
        sklearn_metrics.jaccard_score(flat, answers, average="macro")
    )
    assert measured(_METERS["pixel_accuracy"]("pixel_accuracy", given), outputs, targets) == pytest.approx(
        sklearn_metrics.accuracy_score(flat, answers)
    )


def test_metrics_of_numbers_far_from_zero() -> None:
    targets = drawn(50, 3) + 100
    outputs = targets + drawn(50, 3).flip(0)
    for name, function in (
        ("mae", sklearn_metrics.mean_absolute_error),
        ("r2", sklearn_metrics.r2_score),
    ):
        expected = function(targets.double().numpy(), outputs.double().numpy())
        assert measured(_METERS[name](name, facts(None, 3, "mse")), outputs, targets) == pytest.approx(expected)
    rmse = math.sqrt(sklearn_metrics.mean_squared_error(targets.double().numpy(), outputs.double().numpy()))
    assert measured(_METERS["rmse"]("rmse", facts(None, 3, "mse")), outputs, targets) == pytest.approx(rmse)
    flat = measured(_METERS["mae"]("mae", facts(None, 1, "mse")), outputs[:, :1], targets[:, 0])  # (n, 1) and (n,)
    assert flat == pytest.approx(float((outputs[:, 0] - targets[:, 0]).abs().mean()))


def test_metrics_of_labels() -> None:
    outputs, targets = drawn(50, 4), (drawn(4, 50).T > 1).float()
    given = facts(4, loss="bce")
    expected = sklearn_metrics.f1_score(targets.numpy(), (outputs > 0).numpy(), average="macro")
    assert measured(LabelF1("f1", given), outputs, targets) == pytest.approx(expected)
    meter: Any = _METERS["average_precision"]("average_precision", given)
    for _ in range(2):  # a second split starts anew
        meter.begin()
        for some, goals in zip(outputs.split(7), targets.split(7), strict=True):
            meter.note(some, goals)
        expected = sklearn_metrics.average_precision_score(targets.numpy(), outputs.numpy(), average="macro")
        assert meter.value((), 50, None) == pytest.approx(expected, rel=1e-5)


# -- the built-in tasks, trained


def numbers() -> Any:
    x = drawn(120, 4)
    y = (x @ torch.tensor([1.0, -2.0, 0.5, 0.0]))[:, None] + 5
    return {"train": (x[:80], y[:80]), "validation": (x[80:100], y[80:100]), "test": (x[100:], y[100:])}


def flat_numbers() -> Any:
    return {name: (x, y[:, 0]) for name, (x, y) in numbers().items()}


def test_a_regression(tiny: Make, tmp_path: Path) -> None:
    changes = {"task": "regression", "model": "mlp", "epochs": 30, "optimizer": {"name": "adam", "lr": 0.01}}
    _, result, rows = trained(tiny(dataset=f"{ME}:numbers", **changes), tmp_path / "a")
    assert result.test.keys() == {"loss", "mae", "rmse", "r2"}
    assert result.test["rmse"] == pytest.approx(math.sqrt(result.test["loss"]), rel=1e-5)
    assert 0.5 < result.test["r2"] < 1 and not rows["train_r2"].isna().any()
    _, flat, _ = trained(tiny(dataset=f"{ME}:flat_numbers", **changes), tmp_path / "b")
    assert flat.test == pytest.approx(result.test)
    report = lrbench.report(runs=[tmp_path / "a"], out=tmp_path / "report")
    assert report is not None and "r2" in (tmp_path / "report" / "report.csv").read_text()


def several() -> Any:
    x = drawn(120, 4)
    y = (x[:, :3] + x[:, 1:] > 0).long()
    return {"train": (x[:80], y[:80]), "validation": (x[80:100], y[80:100]), "test": (x[100:], y[100:])}


def test_several_labels(tiny: Make, tmp_path: Path) -> None:
    changes = {"task": "multilabel", "model": "logistic", "epochs": 20, "optimizer": {"name": "adam", "lr": 0.1}}
    _, result, rows = trained(tiny(dataset=f"{ME}:several", **changes), tmp_path)
    assert result.test["f1"] > 0.9 and result.test["average_precision"] > 0.9
    assert rows["train_average_precision"].isna().all() and not rows["val_average_precision"].isna().any()


def masks() -> Any:
    x = drawn(60, 1, 6, 6)
    y = (x[:, 0] > 0).long()
    y[:, 0] = 255
    return {"train": (x[:40], y[:40]), "validation": (x[40:50], y[40:50]), "test": (x[50:], y[50:])}


def convolution(classes: int) -> nn.Module:
    return nn.Conv2d(1, classes, 3, padding=1)


def test_segmentation(tiny: Make, tmp_path: Path) -> None:
    changes = {"task": "segmentation", "model": f"{ME}:convolution", "optimizer": {"name": "adam", "lr": 0.05}}
    _, result, _ = trained(tiny(dataset=f"{ME}:masks", **changes, epochs=10, batch_size=8), tmp_path)
    assert result.test["mean_iou"] > 0.8 and result.test["pixel_accuracy"] > 0.9


def letters() -> Any:
    ids = torch.arange(2400).remainder(7).view(60, 40)
    pair = (ids[:, :-1], ids[:, 1:])
    return {"train": pair, "validation": pair, "test": None, "classes": 7}


class Bigram(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 7)

    def forward(self, ids: Tensor) -> Tensor:
        rows: Tensor = self.table(ids)
        return rows


def test_a_language_model(tiny: Make, tmp_path: Path) -> None:
    changes = {"task": "language_model", "model": f"{ME}:Bigram", "optimizer": {"name": "adam", "lr": 0.5}}
    experiment = tiny(dataset=f"{ME}:letters", **changes, epochs=5, batch_size=8, metrics=["accuracy"])
    _, _, rows = trained(experiment, tmp_path)
    assert rows["val_perplexity"].tolist() == pytest.approx(np.exp(rows["val_loss"]).tolist())
    assert rows["val_perplexity"].iloc[-1] < 1.1 and rows["val_accuracy"].iloc[-1] == 1.0


def test_metrics_by_name_and_of_torchmetrics(tiny: Make, tmp_path: Path) -> None:
    recall = {"name": "torchmetrics.classification:MulticlassRecall", "num_classes": 10, "average": "macro"}
    _, result, rows = trained(tiny(metrics=["f1", recall], epochs=2), tmp_path)
    assert result.test.keys() == {"loss", "accuracy", "f1", "multiclass_recall"}
    assert rows["train_multiclass_recall"].isna().all() and not rows["train_f1"].isna().any()


def test_pair_tasks_average_sums_by_what_they_count() -> None:
    task = pair_task("regression", ("mae",), (), data=build_data(), loss=build_loss(Part("mse")), classes=None)
    assert task.values([6.0, 3.0], 3, None) == {"mae": 2.0}


def build_data() -> Any:
    from lrbench.components import load_dataset
    from lrbench.components.data.options import DatasetRules

    return load_dataset(Part(f"{ME}:numbers"), DatasetRules())


# -- models of transformers


class Tokens(Dataset[Any]):
    def __init__(self, n: int, language: bool) -> None:
        self.ids = torch.randint(0, 20, (n, 8), generator=torch.Generator().manual_seed(n))
        self.language = language

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Any:
        ids = self.ids[index]
        labels = ids.masked_fill(torch.arange(8) < index % 5, -100) if self.language else int(ids[0] > 9)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def sentences() -> Any:
    return {name: Tokens(n, False) for name, n in (("train", 60), ("validation", 30), ("test", 21))}


def texts() -> Any:
    return {name: Tokens(n, True) for name, n in (("train", 60), ("validation", 30), ("test", 21))}


def bert() -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model: nn.Module = BertForSequenceClassification(BertConfig(vocab_size=20, **sizes, hidden_dropout_prob=0.0))
    return model


def gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=20, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0)
    model: nn.Module = GPT2LMHeadModel(config)
    return model


def test_models_of_transformers_use_their_own_loss(tiny: Make, tmp_path: Path) -> None:
    optimizer = {"name": "adamw", "lr": 0.01}
    changes = {"task": "hf", "optimizer": optimizer, "batch_size": 7, "epochs": 2}
    path, result, _ = trained(tiny(dataset=f"{ME}:sentences", model=f"{ME}:bert", **changes), tmp_path)
    model = bert().eval()
    model.load_state_dict(RunFolder(path).load_best())
    batch = torch.utils.data.default_collate([Tokens(21, False)[i] for i in range(21)])
    with torch.no_grad():
        outputs = model(**batch)
    assert result.test_best["loss"] == pytest.approx(float(outputs.loss), rel=1e-5)
    right = (outputs.logits.argmax(-1) == batch["labels"]).float().mean()
    assert result.test_best["accuracy"] == pytest.approx(float(right))


def test_language_models_of_transformers_average_by_tokens(tiny: Make, tmp_path: Path) -> None:
    optimizer = {"name": "adamw", "lr": 0.01}
    changes = {"task": "hf", "optimizer": optimizer, "batch_size": 7, "epochs": 2, "accumulate": 2}
    path, result, _ = trained(tiny(dataset=f"{ME}:texts", model=f"{ME}:gpt2", **changes), tmp_path)
    model = gpt2().eval()
    model.load_state_dict(RunFolder(path).load_best())
    batch = torch.utils.data.default_collate([Tokens(21, True)[i] for i in range(21)])
    with torch.no_grad():
        logits = model(batch["input_ids"]).logits[:, :-1].flatten(0, 1)
    expected = F.cross_entropy(logits, batch["labels"][:, 1:].flatten())  # of all tokens at once, not batch by batch
    assert result.test_best["loss"] == pytest.approx(float(expected), rel=1e-5)
    assert result.test_best["perplexity"] == pytest.approx(math.exp(float(expected)), rel=1e-4)


# -- data and evaluation of the task


class Whole:
    """Brings its data and its model along, and evaluates in its own way."""

    metrics = {"worst": "lower"}  # noqa: RUF012

    def data(self) -> Any:
        return numbers()

    def build(self, seed: int) -> nn.Module:
        return linear()

    def loss(self, model: Any, batch: Any) -> Any:
        error = (model(batch[0]) - batch[1]).square()
        return error.mean(), {"worst": error.max()}

    def evaluate(self, model: Any, loader: Any) -> dict[str, float]:
        errors = torch.cat([(model(inputs) - targets).square() for inputs, targets in loader])
        return {"loss": float(errors.mean()), "worst": float(errors.max())}


def test_a_task_brings_its_data_and_its_model_along(tmp_path: Path) -> None:
    plain = {"name": "whole", "task": f"{ME}:Whole", "optimizer": {"name": "sgd", "lr": 0.05}, "epochs": 3}
    experiment = lrbench.config.validate(plain, {}, "")
    assert experiment.dataset.part.name == experiment.model.name == "task"
    path, result, _ = trained(experiment, tmp_path)
    model = linear()
    model.load_state_dict(RunFolder(path).load_best())
    inputs, targets = numbers()["test"]
    with torch.no_grad():
        worst = float((model(inputs) - targets).square().max())
    assert result.test_best["worst"] == pytest.approx(worst, rel=1e-4)
    missing = {**plain, "task": f"{ME}:Classes", "dataset": "digits"}
    with pytest.raises(ConfigError, match="model: is missing, and 'test_tasks:Classes' has no method build"):
        build(lrbench.config.validate(missing, {}, ""), CPU)


# -- loaders, iterables and samplers


class Counting(IterableDataset[Any]):
    """Forty examples, as an iterable; with or without a length."""

    def __init__(self, n: int = 40) -> None:
        x = drawn(n, 4)
        self.made = list(zip(x, (x[:, 0] > 0).long().tolist(), strict=True))

    def __iter__(self) -> Any:
        return iter(self.made)


class Counted(Counting):
    def __len__(self) -> int:
        return len(self.made)


def loaders() -> Any:
    def loader(n: int, shuffle: bool = False) -> Any:
        return DataLoader(Counted(n).made, batch_size=8, shuffle=shuffle)  # type: ignore[arg-type]

    return {"train": loader(41, True), "validation": loader(16), "test": loader(16), "classes": 2}


def iterables() -> Any:
    return {"train": Counted(41), "validation": Counted(16), "test": Counted(16), "classes": 2}


def endless() -> Any:
    return {"train": Counting(41), "validation": Counted(16), "test": None, "classes": 2}


def loaders_of_iterables() -> Any:
    return {name: DataLoader(split, batch_size=8) for name, split in iterables().items() if name != "classes"} | {
        "classes": 2
    }


@pytest.mark.parametrize("data", ["loaders", "iterables", "endless", "loaders_of_iterables"])
def test_data_in_an_order_of_its_own(data: str, tiny: Make, tmp_path: Path) -> None:
    plain = tiny(dataset=f"{ME}:{data}", model="logistic", batch_size=8).plain()
    experiment = lrbench.config.validate({**plain, "epochs": None, "steps": 20, "eval_every": "5 steps"}, {}, "")
    assert any("its order is its own" in note for note in check(experiment, CPU))
    path, _, _ = trained(experiment, tmp_path / "whole")
    folder = interrupted(experiment, tmp_path / "cut" / path.name, stops=8)
    lrbench.run([experiment], runs=tmp_path / "cut")
    assert (folder.path / "steps.csv").read_text() == (path / "steps.csv").read_text()
    assert len(pd.read_csv(path / "steps.csv")) == 20


def test_an_endless_data_set_begins_anew(tiny: Make) -> None:
    from lrbench.components.data.loaders import Iterated

    split = Iterated(Counting(5), length=12)
    assert [len(batch[0]) for batch in islice(split.batches(2), 7)] == [2, 2, 1, 2, 2, 1, 2]
    assert [len(batch[0]) for batch in islice(split.batches(2, start=2), 3)] == [1, 2, 2]
    assert [len(batch[0]) for batch in islice(split.batches(2, start=4), 3)] == [2, 1, 2]


@pytest.mark.parametrize(
    ("data", "changes", "fragment"),
    [
        ("endless", {}, "epochs: the length of the training data is unknown; give `steps`"),
        ("loaders", {"batch_size": 9}, "batch_size: is 9, but the DataLoader gives batches of 8"),
        ("loaders", {"drop_last": True}, "drop_last: needs drop_last=True in your DataLoader"),
        ("alone", {}, "dataset.validation: a DataLoader can't be divided"),
    ],
)
def test_loaders_that_do_not_fit(data: str, changes: Any, fragment: str, tiny: Make) -> None:
    with pytest.raises(ConfigError, match=fragment):
        build(tiny(dataset=f"{ME}:{data}", model="logistic", **{"batch_size": 8, **changes}), CPU)


def alone() -> Any:
    return loaders()["train"], None


def rare() -> Any:
    y = (torch.arange(200) % 20 == 0).long()
    return {"train": (torch.zeros(200, 2), y), "validation": (torch.zeros(9, 2), y[:9]), "test": None}


def favourites(targets: Tensor) -> Tensor:
    return (targets == 1).float()


def backwards(targets: Tensor) -> Any:
    return Backwards(len(targets))


class Backwards:
    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Any:
        return iter(range(self.n - 1, -1, -1))


def test_samplers(tiny: Make) -> None:
    def drawn_classes(sampler: str | None) -> list[int]:
        dataset = {"name": f"{ME}:rare", **({} if sampler is None else {"sampler": sampler})}
        data = build(tiny(dataset=dataset, model="logistic"), CPU).data
        found = [torch.cat([t for _, t in data.training_batches(16, 0, epoch)]) for epoch in (0, 1, 0)]
        assert torch.equal(found[0], found[2]) and len(found[0]) == 200
        return found[1].tolist()

    assert sum(drawn_classes(None)) == 10
    assert 75 < sum(drawn_classes("balanced")) < 125  # half of 200, standard deviation 7
    assert sum(drawn_classes(f"{ME}:favourites")) == 200
    assert drawn_classes(f"{ME}:backwards") == rare()["train"][1].flip(0).tolist()


@pytest.mark.parametrize(
    ("sampler", "fragment"),
    [
        ("balnced", "must be balanced or an import string"),
        (f"{ME}:bert", "raised TypeError"),
        (f"{ME}:few", "must return 200 weights"),
        (f"{ME}:text", "must return 200 weights or a sampler"),
    ],
)
def test_samplers_that_do_not_fit(sampler: str, fragment: str, tiny: Make) -> None:
    with pytest.raises((ConfigError, UserCodeError), match=fragment):
        build(tiny(dataset={"name": f"{ME}:rare", "sampler": sampler}, model="logistic"), CPU)


def few(targets: Tensor) -> Tensor:
    return torch.ones(3)


def text(targets: Tensor) -> Any:
    return 3


# -- user code that changes what it gets


class Changing(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.sub_(0.5).mul_(2).flatten(1))


class Copying(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(((x - 0.5) * 2).flatten(1))


def changing() -> nn.Module:
    return Changing(64, 10)


def copying() -> nn.Module:
    return Copying(64, 10)


def zeroing(outputs: Tensor, targets: Tensor) -> Tensor:
    loss = F.cross_entropy(outputs, targets.clone())
    targets.zero_()
    return loss


def test_user_code_may_change_its_batches(tiny: Make, tmp_path: Path) -> None:
    """A model that normalizes in place trains like one that doesn't, and neither it nor a loss harms the data."""
    made = [tiny(model=f"{ME}:{name}", epochs=2) for name in ("changing", "copying")]
    made += [tiny(epochs=2, loss=f"{ME}:zeroing"), tiny(epochs=2, loss="torch.nn:CrossEntropyLoss"), tiny(epochs=2)]
    found = [outcome.result for outcome in lrbench.run(made, runs=tmp_path)]
    values = [{**result.final, **result.test} for result in found if result and result.final and result.test]
    assert len(values) == 5
    assert values[0] == values[1] and values[2] == values[3] == values[4]


def negative() -> Any:
    return {"train": Negative(), "test": None, "classes": 2}


class Negative(Dataset[Any]):
    def __len__(self) -> int:
        return -1

    def __getitem__(self, index: int) -> Any:
        return torch.zeros(2), 0


class Backward:
    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets)

    def count(self, targets: Tensor) -> int:
        return -len(targets)


def normed(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, outputs))


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        (
            {"dataset": f"{ME}:negative"},
            r"the length of the data set raised ValueError: __len__",
        ),
        ({"loss": f"{ME}:Backward"}, r"its count\(targets\) is negative"),
        ({"model": f"{ME}:normed", "batch_size": 1}, "batch_size: .*one example at a time.*larger batch_size"),
    ],
)
def test_user_code_with_impossible_numbers(changes: Any, fragment: str, tiny: Make) -> None:
    with pytest.raises((ConfigError, UserCodeError), match=fragment):
        check(tiny(**changes), CPU)


class Growing(torch.optim.SGD):
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        super().step()
        self.add_param_group({"params": [torch.zeros(1, requires_grad=True)]})


def test_an_optimizer_whose_groups_change_is_told(tiny: Make, tmp_path: Path) -> None:
    (outcome,) = lrbench.run([tiny(optimizer={"name": f"{ME}:Growing", "lr": 0.1})], runs=tmp_path)
    assert outcome.result is not None and "parameter groups changed from 1 to 2" in outcome.result.reason


class Leaking(nn.Linear):
    def __init__(self) -> None:
        super().__init__(64, 10)
        nn.modules.module.register_module_forward_hook(lambda module, inputs, outputs: outputs * 2)
        torch.autocast("cpu").__enter__()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1))


def leaking() -> nn.Module:
    return Leaking()


def test_hooks_and_autocast_end_with_their_run(tiny: Make, tmp_path: Path) -> None:
    alone, *_ = lrbench.run([tiny(epochs=2)], runs=tmp_path / "alone")
    _, after = lrbench.run([tiny(model=f"{ME}:leaking", epochs=2), tiny(epochs=2)], runs=tmp_path / "after")
    assert alone.result is not None and after.result is not None and after.result.final == alone.result.final


ADAM = {"name": "adamw", "lr": 0.01}
KINDS: dict[str, dict[str, Any]] = {
    "regression": {"dataset": f"{ME}:numbers", "model": {"name": "mlp", "dropout": 0.2}, "task": "regression"},
    "multilabel": {"dataset": f"{ME}:several", "model": {"name": "mlp", "dropout": 0.2}, "task": "multilabel"},
    "segmentation": {"dataset": f"{ME}:masks", "model": f"{ME}:convolution", "task": "segmentation"},
    "language_model": {
        "dataset": {"name": "text", "train_size": 100},
        "model": {"name": "gpt", "layers": 1, "width": 8},
    },
    "hf": {"dataset": f"{ME}:sentences", "model": f"{ME}:bert", "task": "hf"},
    "step": {"dataset": f"{ME}:records", "model": f"{ME}:linear", "step": f"{ME}:of_fields"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_run_of_any_task_goes_on_bit_for_bit(kind: str, tiny: Make, tmp_path: Path) -> None:
    experiment = tiny(**KINDS[kind], optimizer=ADAM, batch_size=16, epochs=3)
    path, _, rows = trained(experiment, tmp_path / "whole")
    folder = interrupted(experiment, tmp_path / "cut" / path.name, stops=7)
    lrbench.run([experiment], runs=tmp_path / "cut")
    timed = ["seconds", "examples_per_second"]
    again = pd.read_csv(folder.path / "epochs.csv").drop(columns=timed)
    pd.testing.assert_frame_equal(again, rows.drop(columns=timed), check_exact=True)
    assert (folder.path / "steps.csv").read_text() == (path / "steps.csv").read_text()


# -- what a newcomer met


def own_loaders() -> Any:
    return {name: DataLoader(split, batch_size=10) for name, split in records_in_batches().items()}


def records_in_batches() -> Any:
    return splits(lambda i, x: {"where": x, "value": float(x.sum())})


class Penalty:
    """Needs a gradient inside the loss."""

    def loss(self, model: Any, batch: Any) -> Any:
        with torch.enable_grad():
            inputs = batch["where"].requires_grad_()
            outputs = model(inputs).squeeze(1)
            (slope,) = torch.autograd.grad(outputs.sum(), inputs, create_graph=True)
        return F.mse_loss(outputs, batch["value"]) + 0.01 * slope.square().mean()


class Unsaid(Penalty):
    def loss(self, model: Any, batch: Any) -> Any:
        inputs = batch["where"].requires_grad_()
        (slope,) = torch.autograd.grad(model(inputs).sum(), inputs, create_graph=True)
        return slope.square().mean()


class Countless(Penalty):
    def count(self, batch: Any) -> int:
        return 0


class Leaving(Penalty):
    def loss(self, model: Any, batch: Any) -> Any:
        raise SystemExit(5)


OWN: dict[str, Any] = {"dataset": f"{ME}:records_in_batches", "model": f"{ME}:linear", "batch_size": 10}


@pytest.mark.parametrize("changes", [{"step": f"{ME}:of_dict"}, {"task": f"{ME}:Penalty"}])
@pytest.mark.parametrize("data", ["own_loaders", "records_in_batches"])
def test_own_tasks_take_loaders_and_gradients(data: str, changes: Any, tiny: Make, tmp_path: Path) -> None:
    trained(tiny(**{**OWN, "dataset": f"{ME}:{data}"}, **changes, epochs=2), tmp_path)


def collated_to_nothing(items: list[Any]) -> None:
    return None


@pytest.mark.parametrize(
    ("changes", "error", "fragment"),
    [
        ({**OWN, "task": f"{ME}:Unsaid"}, ConfigError, "needs gradients, .*torch.enable_grad"),
        ({**OWN, "task": f"{ME}:Countless"}, ConfigError, r"count\(batch\) returned 0"),
        ({**OWN, "task": f"{ME}:Leaving"}, UserCodeError, "task 'test_tasks:Leaving' raised SystemExit"),
        (
            {"task": "multilabel"},
            ConfigError,
            r"needs targets \(n, labels\) of 0 and 1; those of digits have the shape",
        ),
        ({"task": "language_model"}, ConfigError, r"needs targets \(n, tokens\)"),
        ({"metrics": ["f1", "f1"]}, ConfigError, "'f1' is named twice"),
        ({"dataset": {"name": f"{ME}:numbers", "collate": f"{ME}:padded"}}, ConfigError, "no effect on tensors"),
        (
            {**OWN, "dataset": {"name": f"{ME}:ragged", "collate": f"{ME}:collated_to_nothing"}},
            Exception,
            "collate returned None",
        ),
    ],
)
def test_mistakes_of_a_newcomer_are_told(changes: Any, error: Any, fragment: str, tiny: Make) -> None:
    with pytest.raises(error, match=fragment):
        check(tiny(**changes), CPU)


def test_text_with_colons_is_printed_as_it_is(cli: Any, write_config: Any) -> None:
    config = write_config(dataset={"name": f"{ME}:ragged", "collate": "bad:v: train"}, step=f"{ME}:of_dict")
    _, _, said = cli("run", config)
    assert "bad:v: train" in said


class Silent(Classes):
    metrics = {}  # noqa: RUF012


def test_metrics_that_nobody_declared_are_told(tiny: Make) -> None:
    assert check(tiny(task=f"{ME}:Silent"), CPU) == [
        "task: it returns accuracy, which its `metrics` do not list, so it is not measured"
    ]


def test_range_tests_and_sweeps_take_any_task(tiny: Make, tmp_path: Path) -> None:
    experiment = tiny(**OWN, task=f"{ME}:Penalty", optimizer={"name": "sgd", "lr": 0.1}, epochs=2)
    found = lrbench.find_lr(experiment, runs=tmp_path, iterations=40, seeds=1)
    assert len(found.curves) == 1 and len(found.curves[0].losses) > 20
    done = lrbench.sweep([experiment], lr="0.001,0.1", seeds=2, jobs=1, runs=tmp_path)
    winner = done.summary().winner
    assert winner is not None and winner[1].lr == 0.1
