"""The model `gpt`: its numbers against a plain implementation, its weights, and how optimizers group them."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lrbench
from lrbench.components import build_optimizer, parameter_groups
from lrbench.components.data.text import EMBEDDED
from lrbench.components.models import build_model
from lrbench.errors import ConfigError, DataError
from lrbench.training.build import build
from lrbench.training.check import check
from lrbench.training.update import gradient
from lrbench.types import Part

CPU = torch.device("cpu")
SMALL = {"name": "gpt", "layers": 2, "width": 16, "heads": 2}
TEXT = {"name": "text", "context": 8, "train_size": 64}
USUAL = {"model": SMALL, "optimizer": {"name": "adamw", "lr": 0.01}, "batch_size": 8}


@pytest.fixture(scope="module")
def extract(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """`TEXT` on the first 16,000 bytes of the plays alone, as all of them would take seconds to evaluate."""
    path = tmp_path_factory.mktemp("text") / "extract.txt"
    path.write_bytes(gzip.decompress(EMBEDDED.read_bytes())[:16_000])
    return {**TEXT, "path": str(path)}


def gpt(vocabulary: int = 11, length: int = 7, **params: Any) -> nn.Module:
    torch.manual_seed(0)
    part = Part("gpt", {"layers": 2, "width": 16, "heads": 2, **params})
    return build_model(part, input_shape=(length,), outputs=length, classes=vocabulary)


def batch(vocabulary: int = 11, length: int = 7, n: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, vocabulary, (n, length + 1), generator=generator)
    return tokens[:, :-1], tokens[:, 1:]


# -- numbers


def plain_logits(weights: Mapping[str, Tensor], tokens: Tensor, heads: int) -> Tensor:
    """GPT-2 one sequence, one head and one position at a time: (n, length) → (n, length, vocabulary)."""

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        deviation = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def dense(x: Tensor, name: str) -> Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def gelu(x: Tensor) -> Tensor:
        return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))

    def attended(x: Tensor, name: str) -> Tensor:
        length, width = x.shape
        size = width // heads
        parts = dense(x, f"{name}.qkv")
        found = []
        for head in range(heads):
            q, k, v = (parts[:, i * width + head * size : i * width + (head + 1) * size] for i in range(3))
            rows = []
            for position in range(length):
                scores = torch.stack([q[position] @ k[other] for other in range(position + 1)]) / math.sqrt(size)
                share = scores.exp() / scores.exp().sum()
                rows.append(sum((share[other] * v[other] for other in range(position + 1)), torch.zeros(size)))
            found.append(torch.stack(rows))
        return dense(torch.cat(found, 1), f"{name}.project")

    outputs = []
    for sequence in tokens:
        x = torch.stack([weights["tokens.weight"][t] + weights["positions.weight"][i] for i, t in enumerate(sequence)])
        for number in range(2):
            name = f"blocks.{number}"
            x = x + attended(norm(x, f"{name}.norm1"), name)
            x = x + dense(gelu(dense(norm(x, f"{name}.norm2"), f"{name}.expand")), f"{name}.contract")
        outputs.append(norm(x, "norm") @ weights["tokens.weight"].T)
    return torch.stack(outputs)


def test_loss_and_gradient_equal_those_of_a_plain_implementation() -> None:
    model = gpt().double()
    generator = torch.Generator().manual_seed(2)
    for parameter in model.parameters():  # larger than the initial ones, so that no part is negligible
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    twins = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
    inputs, targets = batch()
    loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
    logits = plain_logits(twins, inputs, heads=2)
    chosen = logits.gather(2, targets[:, :, None])[:, :, 0]
    expected = (logits.exp().sum(2).log() - chosen).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    loss.backward()
    expected.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, twins[name].grad, rtol=1e-8, atol=1e-12)


def test_a_token_changes_nothing_before_it() -> None:
    model = gpt(dropout=0.0)
    inputs, _ = batch()
    changed = inputs.clone()
    changed[:, 4] = (inputs[:, 4] + 1) % 11
    before, after = model(inputs), model(changed)
    assert before.shape == (3, 7, 11)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.isclose(before[:, 4:], after[:, 4:]).all(2).any()


def test_shorter_sequences_than_the_context_are_taken() -> None:
    model = gpt(length=5, context=9).eval()
    inputs, _ = batch(length=9)
    assert torch.allclose(model(inputs)[:, :5], model(inputs[:, :5]), atol=1e-6)


# -- weights


@pytest.mark.parametrize(("layers", "width", "vocabulary", "length"), [(2, 16, 11, 7), (1, 8, 256, 64)])
def test_parameter_count(layers: int, width: int, vocabulary: int, length: int) -> None:
    model = gpt(vocabulary, length, layers=layers, width=width)
    # a block: two norms 2·2w; qkv 3w² + 3w; projection w² + w; dense 4w² + 4w and 4w² + w
    block = 12 * width**2 + 13 * width
    expected = (vocabulary + length) * width + layers * block + 2 * width  # the output layer is the embedding
    assert sum(p.numel() for p in model.parameters()) == expected


def test_the_default_size() -> None:
    model = build_model(Part("gpt"), input_shape=(64,), outputs=64, classes=256)
    assert sum(p.numel() for p in model.parameters()) == 320 * 128 + 4 * (12 * 128**2 + 13 * 128) + 2 * 128 == 834_304


def test_initial_weights_are_those_of_gpt_2() -> None:
    model = gpt(300, 200, layers=8, width=64)
    for name, parameter in model.named_parameters():
        std = parameter.detach().std().item()
        if name.endswith("bias"):
            assert not parameter.any()
        elif "norm" in name:
            assert bool((parameter == 1).all())
        elif name.endswith(("project.weight", "contract.weight")):
            assert std == pytest.approx(0.02 / 4, rel=0.05), name  # √(2·8) = 4
        else:
            assert std == pytest.approx(0.02, rel=0.05), name


def test_the_initial_loss_is_that_of_a_guess() -> None:
    inputs, targets = batch(256, 64, n=16)
    loss = F.cross_entropy(gpt(256, 64)(inputs).flatten(0, 1), targets.flatten())
    assert loss.item() == pytest.approx(math.log(256), abs=0.05)


# -- training


def test_training_by_cross_entropy_learns(tiny: Callable[..., Any], extract: dict[str, Any], tmp_path: Path) -> None:
    keys = {**USUAL, "dataset": extract, "epochs": 3}
    (outcome,) = lrbench.run([tiny(**keys)], runs=tmp_path)
    rows = (tmp_path / outcome.path.name / "epochs.csv").read_text().splitlines()
    first, last = (float(row.split(",")[rows[0].split(",").index("train_loss")]) for row in (rows[1], rows[-1]))
    assert first < math.log(256) and last < first - 0.5
    last_row = dict(zip(rows[0].split(","), map(float, rows[-1].split(",")), strict=True))
    assert last_row["val_perplexity"] == pytest.approx(math.exp(last_row["val_loss"]))
    assert last_row["val_bits_per_byte"] == pytest.approx(last_row["val_loss"] / math.log(2))


def test_accumulated_batches_have_the_gradient_of_a_large_one(tiny: Callable[..., Any]) -> None:
    parts = build(tiny(dataset=TEXT, model=SMALL, optimizer="adamw"), CPU)
    inputs, targets = next(iter(parts.data.train.batches(8)))
    whole = gradient(parts, [(inputs, targets)], None)
    expected = [p.grad.clone() for p in parts.model.parameters() if p.grad is not None]
    split = gradient(parts, [(inputs[:5], targets[:5]), (inputs[5:], targets[5:])], None)
    assert split[0] == pytest.approx(whole[0].item(), rel=1e-6) and split[2] == whole[2] == 64, "tokens, not examples"
    for one, other in zip((p.grad for p in parts.model.parameters()), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("keys", [{"precision": "bf16"}, {"accumulate": 2}, {"model": {**SMALL, "dropout": 0.1}}])
def test_it_trains_with(keys: Any, tiny: Callable[..., Any], extract: dict[str, Any], tmp_path: Path) -> None:
    usual = {**USUAL, "dataset": extract, "steps": 4, "epochs": None}
    (outcome,) = lrbench.run([tiny(**{**usual, **keys})], runs=tmp_path)
    assert outcome.status == "finished" and outcome.result is not None
    assert outcome.result.metric("val_loss") < math.log(256)


# -- optimizers


def test_biases_and_norms_are_not_decayed_but_embeddings_are() -> None:
    model = gpt()
    names = {id(p): name for name, p in model.named_parameters()}
    decayed, plain = parameter_groups(model, lr=0.1, decay_biases_and_norms=False)
    assert plain["weight_decay"] == 0 and "weight_decay" not in decayed
    assert {names[id(p)] for p in plain["params"]} == {n for n in names.values() if n.endswith("bias") or "norm" in n}
    shared = [names[id(p)] for p in decayed["params"]]
    assert shared.count("tokens.weight") == 1 and "head.weight" not in shared, "tied weights are one"
    assert len(shared) == 2 + 2 * 4  # embeddings, and four matrices a block


def test_muon_takes_every_matrix_of_the_blocks_and_nothing_else() -> None:
    model = gpt()
    names = {id(p): name for name, p in model.named_parameters()}
    optimizer = build_optimizer({"name": "muon", "lr": 0.02}, model)
    on_muon, on_adamw = ({names[id(p)] for g in optimizer.param_groups if g["muon"] is m for p in g["params"]}
                         for m in (True, False))  # fmt: skip
    matrices = ("qkv.weight", "project.weight", "expand.weight", "contract.weight")
    assert on_muon == {f"blocks.{i}.{name}" for i in range(2) for name in matrices}
    assert on_adamw == {*names.values()} - on_muon


def test_the_last_block_is_the_last_layer_because_the_output_layer_has_no_weights_of_its_own() -> None:
    model = gpt()
    names = {id(p): name for name, p in model.named_parameters()}
    groups = parameter_groups(model, lr=1.0, layer_decay=0.5)
    factors = {names[id(p)]: group["lr_factor"] for group in groups for p in group["params"]}
    assert factors["blocks.1.contract.weight"] == factors["norm.weight"] == 1.0
    assert factors["blocks.0.contract.weight"] == 0.5
    assert factors["positions.weight"] == 0.25 and factors["tokens.weight"] == 0.125


# -- what does not fit


def pairs(inputs: Tensor, targets: Tensor) -> Any:
    return (inputs, targets), (inputs, targets)


def floats() -> Any:
    return pairs(torch.rand(20, 7), torch.zeros(20, 7, dtype=torch.int64))


def numbers() -> Any:
    return pairs(torch.zeros(20, 7, dtype=torch.int64), torch.rand(20, 7, 2))


def rare_token() -> Any:
    inputs = torch.zeros(20, 7, dtype=torch.int64)
    return pairs(inputs + 5, inputs)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"dataset": "digits"}, r"model: gpt needs sequences of tokens \(length,\); .* shape \(1, 8, 8\)"),
        ({"dataset": f"{__name__}:floats"}, "gpt needs tokens, whole numbers of type int64; these are float32"),
        ({"dataset": f"{__name__}:numbers", "loss": "mse"}, "gpt needs an int64 target at each position"),
        ({"dataset": f"{__name__}:rare_token"}, "there is a token outside the vocabulary of 1: 0 … 0"),
        ({"model": {**SMALL, "heads": 3}}, r"model.width: must be a multiple of heads, 3 \(got 16\)"),
        ({"model": {**SMALL, "context": 4}}, r"model.context: is less than the 8 tokens of an example \(got 4\)"),
    ],
)
def test_clear_errors(keys: dict[str, Any], message: str, tiny: Callable[..., Any]) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        check(tiny(**{"dataset": TEXT, "model": SMALL, **keys}), CPU)
