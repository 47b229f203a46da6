"""Models by name; they adapt to the data. Importing this is cheap; the first build imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrbench.components.models import factories
from lrbench.components.models.factories import Shape, padded
from lrbench.errors import ConfigError
from lrbench.registry import Catalog
from lrbench.types import Part

if TYPE_CHECKING:
    from torch import nn

MODELS = Catalog(
    kind="model",
    entries={
        "cnn": factories.cnn,
        "gpt": factories.gpt,
        "lenet": factories.lenet,
        "logistic": factories.logistic,
        "mlp": factories.mlp,
        "resnet20": factories.resnet20,
        "task": factories.of_task,
        "vit": factories.vit,
    },
    context=frozenset({"input_shape", "outputs", "classes"}),
    later=frozenset({"base_width", "cnn.width", "parametrization"}),
)


def build_model(
    part: Part, own: Any = None, *, input_shape: Shape, outputs: int | None, classes: int | None
) -> nn.Module:
    """Build the module that a `model:` block names.

    An imported factory gets those of `input_shape`, `in_channels`, `outputs`, `num_classes` and `classes` that its
    signature names; one that takes any keyword, like torchvision's models, gets `num_classes`. Sizes that are None
    are not passed, so that the model's own defaults stay. A class of transformers with a `path` loads the weights in
    that folder.

    Args:
        part: the block.
        own: the model that the user's task made, if it brings it along.
        input_shape: the shape of an example.
        outputs: numbers that the model returns for an example.
        classes: the number of classes, or of labels or numbers that the targets are vectors of.

    Raises:
        ConfigError: unknown name, invalid parameters, not an nn.Module, or unsuitable data.
        UserCodeError: an imported factory raised.
    """
    from torch import nn

    channels = input_shape[0] if input_shape else 1
    context: dict[str, Any] = {"input_shape": input_shape, "in_channels": channels} if input_shape else {}
    context |= {"outputs": outputs} | dict.fromkeys(("num_classes", "classes"), classes)
    known = {name: value for name, value in context.items() if value is not None}
    part = _pretrained(part)
    fallback = None if classes is None else {"num_classes": classes}
    module = MODELS.build(part, fallback=fallback, **known) if own is None else own
    if not isinstance(module, nn.Module):
        raise ConfigError(f"'{part.name}' returned a {type(module).__name__}, not a torch.nn.Module", key="model.name")
    return module


def _pretrained(part: Part) -> Part:
    """Return the part that loads weights for a class such as `transformers:AutoModelForCausalLM` with a `path`."""
    module, _, name = part.name.partition(":")
    if module.partition(".")[0] != "transformers" or "." in name or "path" not in part.params:
        return part
    params = {("pretrained_model_name_or_path" if k == "path" else k): v for k, v in part.params.items()}
    folder = Path(str(part.params["path"]))
    if not folder.is_dir():
        problem = f"no such folder: {folder}; it must hold weights saved by save_pretrained"
        raise ConfigError(problem, key="model.path")
    return Part(f"{part.name}.from_pretrained", params)
