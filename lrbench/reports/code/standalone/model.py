"""The model of a run as plain PyTorch."""

from __future__ import annotations

import ast
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lrbench.components import MODELS, padded
from lrbench.config import Experiment
from lrbench.reports.code.standalone.data import SETS, Set
from lrbench.reports.code.standalone.printing import printed
from lrbench.reports.code.standalone.sources import GPT, NETS, OPS, definition
from lrbench.reports.code.text import Call, Raw, call, layout


@dataclass(frozen=True)
class ModelCode:
    """A model.

    Attributes:
        before: its classes and functions.
        lines: assigns `model`.
        images: whether it has convolutions, so that lrbench lays images out channels last on a CPU.
    """

    before: list[str]
    lines: list[str]
    images: bool = False


def model_code(experiment: Experiment) -> ModelCode:
    """Write a built-in model for the data of an experiment."""
    name, params = experiment.model.name, dict(experiment.model.params)
    if name == "gpt":
        return _gpt(experiment)
    data = SETS[experiment.dataset.part.name]
    if name in ("mlp", "logistic"):
        return _dense(data, params)
    made = _NETS[name](data, params)
    helpers = _dropout(params) if name == "cnn" else []
    parts = [definition(NETS, part) for part in _PARTS.get(name, ())]
    doc = MODELS.summary(name)
    code = printed([*helpers, *parts, definition(NETS, made.function, doc=doc)])
    return ModelCode(code, layout("model = ", made, ".to(device)"), images=True)


def _cnn(data: Set, params: Mapping[str, Any]) -> Call:
    padding, side = padded("cnn", data.shape, params["padding"])
    sizes = {"channels": data.shape[0], "side": side, "outputs": data.classes, "padding": padding}
    return call("Cnn", **sizes, dropout=params["dropout"], width=params["width"])


def _lenet(data: Set, params: Mapping[str, Any]) -> Call:
    padding, side = padded("lenet", data.shape, params["padding"])
    return call("LeNet", channels=data.shape[0], side=side, outputs=data.classes, padding=padding)


def _resnet(data: Set, params: Mapping[str, Any]) -> Call:
    return call("ResNet20", channels=data.shape[0], width=params["width"], outputs=data.classes)


def _vit(data: Set, params: Mapping[str, Any]) -> Call:
    own = {key: value for key, value in params.items() if key not in _OF_MUP}
    return call("ViT", shape=data.shape, **own, outputs=data.classes)


_OF_MUP = ("parametrization", "base_width")
_NETS = {"cnn": _cnn, "lenet": _lenet, "resnet20": _resnet, "vit": _vit}
_PARTS = {"resnet20": ("_Residual",), "vit": ("_Block",)}


def _dropout(params: Mapping[str, Any]) -> list[ast.stmt]:
    """Return the functions of a dropout with the same random bits as lrbench's, without its own backward pass."""
    p = float(params["dropout"])
    if not p or not (p * 256).is_integer():
        return [definition(OPS, "relu_dropout", {"p": p}, "Compute `dropout(relu(x), p)`.")]
    known = {"p": p}
    masks = "_by_two_bits" if (p * 4).is_integer() else "_by_bytes"
    names = ("_random_words", masks, "kept")
    doc = "Compute `dropout(relu(x), p)`, on a CPU with random bits instead of torch's Bernoulli numbers."
    return [*(definition(OPS, name, known) for name in names), definition(OPS, "relu_dropout", known, doc)]


_ACTIVATIONS = {"relu": "nn.ReLU", "tanh": "nn.Tanh", "gelu": "nn.GELU"}


def _dense(data: Set, params: Mapping[str, Any]) -> ModelCode:
    """Write an MLP, or a logistic regression, whose weights start at 0."""
    hidden = params.get("hidden", [])
    widths = [math.prod(data.shape), *hidden]
    layers: list[Any] = [call("nn.Flatten")]
    for before, after in itertools.pairwise(widths):
        layers += [call("nn.Linear", before, after), call(_ACTIVATIONS[params["activation"]])]
        layers += [call("nn.Dropout", params["dropout"])] if params["dropout"] else []
    made = call("nn.Sequential", *layers, call("nn.Linear", widths[-1], data.classes))
    lines = layout("model = ", made, ".to(device)")
    if "hidden" not in params:
        lines += ["for parameter in model.parameters():", "    nn.init.zeros_(parameter)  # the loss is convex"]
    return ModelCode([], lines)


def _gpt(experiment: Experiment) -> ModelCode:
    params, data = experiment.model.params, experiment.dataset.part.params
    own = {key: value for key, value in params.items() if key not in (*_OF_MUP, "context")}
    vocabulary = 256 if data["tokens"] == "bytes" else Raw("len(characters)")
    context = Raw("context") if params["context"] is None else params["context"]
    doc = MODELS.summary("gpt")
    code = printed([definition(GPT, "INITIAL_STD"), definition(GPT, "_Block"), definition(GPT, "GPT", doc=doc)])
    made = call("GPT", vocabulary=vocabulary, context=context, **own)
    return ModelCode(code, layout("model = ", made, ".to(device)"))
