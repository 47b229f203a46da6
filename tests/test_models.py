from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrbench.components.models import MODELS, build_model, nets
from lrbench.errors import ConfigError, UserCodeError
from lrbench.training.check import check
from lrbench.types import Part

BUILT_IN = sorted(set(MODELS.entries) - {"task"})
GREY28, RGB32, DIGITS = (1, 28, 28), (3, 32, 32), (1, 8, 8)


def build(name: str, shape: tuple[int, ...] = DIGITS, outputs: int = 10, **params: Any) -> nn.Module:
    torch.manual_seed(0)
    return build_model(Part(name, params), input_shape=shape, outputs=outputs, classes=outputs)


def size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "params", "expected"),
    [
        # conv 1·32·9+32 = 320, conv 32·64·9+64 = 18,496, dense (5·5·64 = 1600)·256+256 = 409,856,
        # dense 256·10+10 = 2,570
        ("cnn", GREY28, {}, 320 + 18_496 + 409_856 + 2_570),
        # padded: 28 → 14 → 7, so 7·7·64 = 3136 into the dense layer
        ("cnn", GREY28, {"padding": 1}, 320 + 18_496 + 3136 * 256 + 256 + 2_570),
        # three channels: conv 3·32·9+32 = 896; 32 → 30 → 15 → 13 → 6, 6·6·64 = 2304
        ("cnn", RGB32, {}, 896 + 18_496 + 2304 * 256 + 256 + 2_570),
        # conv 25·6+6 = 156, conv 6·16·25+16 = 2,416, dense 400·120+120, 120·84+84, 84·10+10: LeCun's 61,706
        ("lenet", GREY28, {}, 156 + 2_416 + 48_120 + 10_164 + 850),
        ("lenet", RGB32, {"padding": 0}, 3 * 25 * 6 + 6 + 2_416 + 48_120 + 10_164 + 850),
        ("logistic", GREY28, {}, 784 * 10 + 10),
        ("mlp", DIGITS, {}, 64 * 64 + 64 + 64 * 64 + 64 + 64 * 10 + 10),
        ("mlp", (5,), {"hidden": [7]}, 5 * 7 + 7 + 7 * 10 + 10),
        # stem 3·16·9 + norm 32 = 464; stage 1: six conv 16·16·9 and norms of 32; stage 2: 16·32·9 + five of
        # 32·32·9 and six norms of 64; stage 3: 32·64·9 + five of 64·64·9 and six norms of 128; dense 650
        (
            "resnet20",
            RGB32,
            {},
            464 + 6 * 2_336 + (4_608 + 5 * 9_216 + 384) + (18_432 + 5 * 36_864 + 768) + 650,
        ),
        # embed 16·64+64, position 4·64, four blocks of norms 4·64, qkv 64·192+192, project 64·64+64, dense
        # 64·128+128 and 128·64+64; norm 128, dense 650
        ("vit", DIGITS, {}, 1_088 + 256 + 4 * (256 + 12_480 + 4_160 + 8_320 + 8_256) + 128 + 650),
    ],
)
def test_parameter_counts_by_hand(name: str, shape: tuple[int, ...], params: dict[str, Any], expected: int) -> None:
    assert size(build(name, shape, **params)) == expected


def test_the_published_sizes() -> None:
    assert size(build("cnn", GREY28)) == 431_242
    assert size(build("lenet", GREY28)) == 61_706
    assert round(size(build("resnet20", RGB32)) / 1e6, 2) == 0.27, "He et al. 2016, table 6"


@pytest.mark.parametrize("shape", [GREY28, RGB32, DIGITS])
@pytest.mark.parametrize("name", sorted({*BUILT_IN} - {"gpt"}))  # takes no images
def test_output_shapes(name: str, shape: tuple[int, ...]) -> None:
    small = {"cnn": {"padding": 1}, "lenet": {"padding": 6}} if shape == DIGITS else {}
    model = build(name, shape, outputs=7, **small.get(name, {}))
    assert model(torch.rand(3, *shape)).shape == (3, 7)


def test_dense_models_take_any_shape_and_oblong_pictures_fit() -> None:
    assert build("mlp", (5,))(torch.rand(2, 5)).shape == (2, 10)
    assert build("logistic", (2, 3, 4))(torch.rand(2, 2, 3, 4)).shape == (2, 10)
    for name in ("cnn", "lenet", "vit", "resnet20"):
        assert build(name, (1, 16, 28))(torch.rand(2, 1, 16, 28)).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "shape", "params", "fragment"),
    [
        ("vit", GREY28, {"patch": 5}, "model.patch: must divide the image sides, 28 and 28"),
        ("vit", GREY28, {"heads": 5}, "model.dim: must be a multiple of heads, 5"),
        ("cnn", (64,), {}, "cnn needs images"),
        ("lenet", (64,), {}, "lenet needs images"),
        ("resnet20", (8, 8), {}, "resnet20 needs images"),
        ("vit", (64,), {}, "vit needs images"),
        ("cnn", GREY28, {"dropout": 1.0}, "model.dropout"),
        ("cnn", GREY28, {"dropuot": 0.1}, "did you mean 'dropout'?"),
        ("mlp", DIGITS, {"hidden": [0]}, "model.hidden"),
        ("mlp", DIGITS, {"input_shape": [3]}, "has no parameter 'input_shape'"),
        ("ccn", GREY28, {}, "did you mean 'cnn'?"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(
    name: str, shape: tuple[int, ...], params: dict[str, Any], fragment: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        build(name, shape, **params)
    assert fragment in str(caught.value) and caught.value.key.startswith("model")


@pytest.mark.parametrize(
    ("name", "shape", "given", "used"),
    [
        ("cnn", (1, 10, 10), 0, 0),
        ("cnn", (1, 28, 9), 0, 1),
        ("cnn", DIGITS, 0, 1),
        ("cnn", (1, 3, 3), 1, 2),
        ("cnn", DIGITS, 3, 3),
        ("lenet", (1, 12, 12), 2, 2),
        ("lenet", DIGITS, 2, 4),
    ],
)
def test_small_pictures_get_the_padding_they_need(name: str, shape: tuple[int, ...], given: int, used: int) -> None:
    model = build(name, shape, padding=given)
    assert model.conv1.padding == (used, used)  # type: ignore[union-attr]
    assert model(torch.rand(2, *shape)).shape == (2, 10)


# -- first weights


def test_cnn_begins_as_keras_does() -> None:
    model = build("cnn", GREY28)
    fans = {"conv1": (9, 288), "conv2": (288, 576), "dense1": (1600, 256), "dense2": (256, 10)}
    for name, (fan_in, fan_out) in fans.items():
        layer = getattr(model, name)
        bound = math.sqrt(6 / (fan_in + fan_out))  # Glorot and Bengio 2010
        assert 0.9 * bound < float(layer.weight.detach().abs().max()) <= bound
        assert float(layer.weight.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=0.1)
        assert not layer.bias.detach().any()


def test_logistic_begins_at_zero() -> None:
    assert not any(p.detach().any() for p in build("logistic").parameters())


def test_weights_depend_on_the_generator_alone() -> None:
    for name in BUILT_IN:
        small = {"cnn": {"padding": 1}, "lenet": {"padding": 6}}.get(name, {})
        shape = (5,) if name == "gpt" else DIGITS
        a, b = build(name, shape, **small).state_dict(), build(name, shape, **small).state_dict()
        assert all(torch.equal(a[k], b[k]) for k in a)


# -- what they compute, against slow references in float64


def test_pooling_before_relu_equals_the_textbook_order() -> None:
    model = build("cnn", GREY28).double().eval()
    nn.init.normal_(model.conv1.bias)  # type: ignore[arg-type]
    x = torch.randn(4, *GREY28).double()
    h = F.max_pool2d(F.relu(model.conv1(x)), 2)  # type: ignore[operator]
    h = F.max_pool2d(F.relu(model.conv2(h)), 2)  # type: ignore[operator]
    expected = model.dense2(F.relu(model.dense1(h.reshape(4, 1600))))  # type: ignore[operator]
    assert torch.allclose(model(x), expected, rtol=1e-12, atol=1e-12)


def test_cnn_drops_a_quarter_in_training_only(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("cnn", GREY28)
    x = torch.rand(2, *GREY28)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))
    seen: list[Tensor] = []
    model.conv2.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))  # type: ignore[union-attr]
    flat = nets.flat_linear
    monkeypatch.setattr(nets, "flat_linear", lambda dense, x: seen.append(x.detach()) or flat(dense, x))
    nn.init.constant_(model.conv1.bias, 100.0)  # type: ignore[arg-type]
    nn.init.constant_(model.conv2.bias, 1e5)  # type: ignore[arg-type]
    model(torch.rand(50, *GREY28))
    evaluated = seen.copy()
    model.train()
    model(torch.rand(50, *GREY28))
    for kept, part in zip(evaluated, seen[2:], strict=True):
        assert (kept > 0).all(), "the bias leaves nothing for the ReLU to cut, so zeros are dropout's"
        assert float((part == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert float(seen[2].max()) == pytest.approx(100 / 0.75, rel=0.02), "what stays is scaled up"


def test_mlp_is_its_formula() -> None:
    for activation, function in (("relu", F.relu), ("tanh", torch.tanh), ("gelu", F.gelu)):
        model = build("mlp", (6,), hidden=[5, 4], activation=activation).double()
        a, b, c = (m for m in model.modules() if isinstance(m, nn.Linear))
        x = torch.randn(3, 6).double()
        h = function(x @ a.weight.T + a.bias)
        h = function(h @ b.weight.T + b.bias)
        assert torch.allclose(model(x), h @ c.weight.T + c.bias)


def test_lenet_is_its_formula() -> None:
    model = build("lenet", GREY28).double()
    x = torch.randn(2, *GREY28).double()
    h = F.avg_pool2d(torch.tanh(model.conv1(x)), 2)  # type: ignore[operator]
    assert h.shape == (2, 6, 14, 14)
    h = F.avg_pool2d(torch.tanh(model.conv2(h)), 2)  # type: ignore[operator]
    assert h.shape == (2, 16, 5, 5)
    first, second, last = (m for m in model.dense if isinstance(m, nn.Linear))  # type: ignore[union-attr]
    expected = last(torch.tanh(second(torch.tanh(first(h.flatten(1))))))
    assert torch.allclose(model(x), expected)


def test_residual_blocks_have_shortcuts_without_parameters() -> None:
    model = build("resnet20", RGB32).double().eval()
    x = torch.randn(2, *RGB32).double()
    h = F.relu(model.stem(x))  # type: ignore[operator]
    shapes = []
    for block in model.blocks:  # type: ignore[union-attr]
        inner = block.norm2(block.conv2(F.relu(block.norm1(block.conv1(h)))))
        shortcut = torch.zeros_like(inner)
        step = h.shape[2] // inner.shape[2]
        shortcut[:, : h.shape[1]] = h[:, :, ::step, ::step]
        h = F.relu(inner + shortcut)
        shapes.append(tuple(h.shape[1:]))
    assert shapes == [(16, 32, 32)] * 3 + [(32, 16, 16)] * 3 + [(64, 8, 8)] * 3
    expected = model.dense(h.mean((2, 3)))  # type: ignore[operator]
    assert torch.allclose(model(x), expected)
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in model.modules()) == 20


def test_a_vit_block_is_torchs_pre_norm_encoder_layer() -> None:
    model = build("vit", DIGITS, depth=1, dim=8, heads=2, mlp_ratio=3).double()
    ours = model.blocks[0]  # type: ignore[index]
    theirs = nn.TransformerEncoderLayer(
        8, 2, 24, dropout=0.0, activation="gelu", batch_first=True, norm_first=True, dtype=torch.float64
    )
    with torch.no_grad():
        for target, source in (
            (theirs.self_attn.in_proj_weight, ours.qkv.weight),
            (theirs.self_attn.in_proj_bias, ours.qkv.bias),
            (theirs.self_attn.out_proj.weight, ours.project.weight),
            (theirs.self_attn.out_proj.bias, ours.project.bias),
        ):
            target.copy_(source)
        theirs.linear1.load_state_dict(ours.mlp[0].state_dict())
        theirs.linear2.load_state_dict(ours.mlp[2].state_dict())
    tokens = torch.randn(3, 4, 8).double()
    assert torch.allclose(ours(tokens), theirs(tokens), atol=1e-12)


def test_vit_cuts_patches_and_knows_their_places() -> None:
    model = build("vit", DIGITS, dim=8, heads=2, depth=1).double()
    x = torch.rand(1, *DIGITS).double()
    swapped = torch.cat([x[..., 4:], x[..., :4]], dim=-1)
    assert not torch.allclose(model(x), model(swapped))
    blind = copy.deepcopy(model)
    nn.init.zeros_(blind.position)  # type: ignore[arg-type]
    assert torch.allclose(blind(x), blind(swapped)), "without positions, patches are a set"


# -- imported models


def asks_for_shape(*, input_shape: tuple[int, ...], outputs: int, width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), width), nn.Linear(width, outputs))


def asks_for_channels(in_channels: int, classes: int) -> nn.Module:
    return nn.Conv2d(in_channels, classes, 8)


def not_a_module() -> list[int]:
    return [1, 2]


def raises() -> nn.Module:
    raise LookupError("weights not found")


def wants_more(depth: int) -> nn.Module:
    return nn.Linear(depth, 1)


def test_torchvisions_models_get_the_number_of_classes() -> None:
    model = build("torchvision.models:resnet18", RGB32)
    assert model.eval()(torch.rand(2, *RGB32)).shape == (2, 10)


def test_a_factory_gets_what_it_asks_for() -> None:
    model = build(f"{__name__}:asks_for_shape", DIGITS, 5, width=2)
    assert size(model) == 64 * 2 + 2 + 2 * 5 + 5
    assert tuple(build(f"{__name__}:asks_for_channels", (3, 8, 8)).weight.shape) == (10, 3, 8, 8)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("function", "params", "error", "fragment"),
    [
        ("not_a_module", {}, ConfigError, "returned a list, not a torch.nn.Module"),
        ("raises", {}, UserCodeError, "LookupError: weights not found"),
        ("wants_more", {}, ConfigError, "needs the parameter 'depth'"),
        ("asks_for_shape", {"widht": 2}, ConfigError, "did you mean 'width'?"),
        ("absent", {}, ConfigError, "has no 'absent'"),
    ],
)
def test_imported_factories_that_fail(function: str, params: Any, error: type[Exception], fragment: str) -> None:
    with pytest.raises(error) as caught:
        build(f"{__name__}:{function}", **params)
    assert fragment in str(caught.value)


class Wrapped(nn.Linear):
    """Returns what the user asks for, not a tensor."""

    def __init__(self, inputs: int, outputs: int, wrap: Any) -> None:
        super().__init__(inputs, outputs)
        self.wrap = wrap

    def forward(self, x: Any) -> Any:
        return self.wrap(super().forward(x.flatten(1)))


def a_tuple(input_shape: Any, outputs: int) -> nn.Module:
    return Wrapped(64, outputs, lambda logits: (logits, None))


def a_dict(input_shape: Any, outputs: int) -> nn.Module:
    return Wrapped(64, outputs, lambda logits: {"logits": logits})


def hugging_face(input_shape: Any, outputs: int) -> nn.Module:
    from transformers.modeling_outputs import SequenceClassifierOutput

    return Wrapped(64, outputs, lambda logits: SequenceClassifierOutput(logits=logits))


def no_tensor(input_shape: Any, outputs: int) -> nn.Module:
    return Wrapped(64, outputs, lambda logits: {"other": logits})


@pytest.mark.parametrize("name", ["a_tuple", "a_dict", "hugging_face"])
def test_the_predictions_among_what_a_model_returns(name: str, tiny: Any) -> None:
    if name == "hugging_face":
        pytest.importorskip("transformers")
    notes = check(tiny(model=f"{__name__}:{name}"), torch.device("cpu"))
    told = [f"model: '{__name__}:{name}' returns a tuple of 2; its first item is taken as the predictions"]
    assert notes == (told if name == "a_tuple" else [])


def test_a_model_that_returns_no_tensor(tiny: Any) -> None:
    with pytest.raises(ConfigError, match=r"'test_models:no_tensor' returns a dict with the keys other, without"):
        check(tiny(model=f"{__name__}:no_tensor"), torch.device("cpu"))


@pytest.mark.parametrize("width", [10**12, 10**40])
def test_a_model_beyond_all_memory(width: int, tiny: Any) -> None:
    with pytest.raises(ConfigError, match=r"model.*(can't be built|must be less than)") as caught:
        check(tiny(model={"name": "mlp", "hidden": [width]}), torch.device("cpu"))
    assert "\n" not in str(caught.value)
