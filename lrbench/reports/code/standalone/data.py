"""The data of a run as plain PyTorch: loaded, split, and in the order of the run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lrbench.components import Normalize
from lrbench.config import Experiment
from lrbench.reports.code.standalone.printing import printed
from lrbench.reports.code.standalone.sources import BATCHES, definition
from lrbench.reports.code.text import literal


@dataclass(frozen=True)
class Set:
    """A data set: its class in torchvision, the shape of an example, and the numbers of examples and classes."""

    home: str
    shape: tuple[int, int, int]
    examples: int
    classes: int = 10

    @property
    def bytes(self) -> bool:
        """Whether its pixels are bytes."""
        return bool(self.home)


SETS = {
    "digits": Set("", (1, 8, 8), 1437),
    "mnist": Set("MNIST", (1, 28, 28), 60_000),
    "fashion_mnist": Set("FashionMNIST", (1, 28, 28), 60_000),
    "kmnist": Set("KMNIST", (1, 28, 28), 60_000),
    "cifar10": Set("CIFAR10", (3, 32, 32), 50_000),
    "cifar100": Set("CIFAR100", (3, 32, 32), 50_000, 100),
}
_DRAWN = '''
def drawn(labels, count, seed=0, by_class=True):
    """Draw examples, by class in proportion; return the indices of the rest and of those drawn."""
    classes = labels.numpy() if by_class else None
    rest, chosen = train_test_split(
        np.arange(len(labels)), test_size=count, stratify=classes, random_state=seed
    )
    return np.sort(rest), np.sort(chosen)
'''
_STATISTICS = '''
def statistics(images):
    """Return the mean and the standard deviation of each channel."""
    total, squares, count = 0, 0, 0
    for some in images.split(1000):
        values = {scaled}.double().transpose(0, 1).flatten(1)
        total, squares = total + values.sum(1), squares + values.square().sum(1)
        count += values.shape[1]
    mean = total / count
    std = (squares / count - mean.square()).clamp_min(0).sqrt()
    std = torch.where(std > 1e-8, std, 1.0)
    return mean.float().view(-1, 1, 1), std.float().view(-1, 1, 1)
'''


def data_code(experiment: Experiment, memory_format: bool) -> list[str]:
    """Write what loads the data and gives the batches of an epoch.

    Args:
        experiment: the config.
        memory_format: whether images get the `memory_format` of the script.
    """
    if experiment.dataset.part.name == "text":
        loaded = list(_text(experiment))
    else:
        loaded = [*_images(experiment), *_prepare(experiment, memory_format)]
    names = [definition(BATCHES, name) for name in ("mix", "epoch_order")]
    rules = experiment.dataset.rules
    if rules.augment:
        moved = {"crop": "shifted by up to an eighth of their side", "flip": "mirrored at random"}
        doc = f"Return images {' and '.join(moved[one] for one in sorted(rules.augment))}; the seed decides."
        names.append(definition(BATCHES, "augmented", {"how": tuple(rules.augment)}, doc))
    return [*loaded, "", "", *printed(names), "", "", *_batches(experiment)]


def _images(experiment: Experiment) -> Iterator[str]:
    part, rules = experiment.dataset.part, experiment.dataset.rules
    chosen, rule = SETS[part.name], rules.validation
    held, seed = int(chosen.examples * rule.fraction + 0.5), f", seed={rule.seed}" if rule.seed else ""
    left = chosen.examples - held
    if part.name == "digits" or rule.how != "tail" or rules.train_size is not None:
        yield from (*_DRAWN.strip("\n").splitlines(), "", "")
    yield from _DIGITS if part.name == "digits" else _torchvision(chosen)
    yield f"held_out = {held}  # {100 * rule.fraction:g}% of the training data, for validation"
    if rule.how == "tail":
        yield "train_images, train_labels = images[:-held_out], labels[:-held_out]"
        yield "val_images, val_labels = images[-held_out:], labels[-held_out:]"
    else:
        by_class = "" if rule.how in ("stratified", "auto") else ", by_class=False"
        yield f"rest, chosen = drawn(labels, held_out{seed}{by_class})"
        yield "train_images, train_labels = images[rest], labels[rest]"
        yield "val_images, val_labels = images[chosen], labels[chosen]"
    if rules.train_size is not None and rules.train_size < left:
        yield f"train_size = {rules.train_size}"
        yield f"kept, _ = drawn(train_labels, len(train_labels) - train_size{seed})"
        yield "train_images, train_labels = train_images[kept], train_labels[kept]"


_DIGITS = (
    "digits = load_digits()",
    "images = torch.from_numpy(digits.images).float().div(16).unsqueeze(1)",
    "labels = torch.from_numpy(digits.target).long()",
    "rest, chosen = drawn(labels, 0.2)",
    "test_images, test_labels = images[chosen], labels[chosen]",
    "images, labels = images[rest], labels[rest]",
)


def _torchvision(chosen: Set) -> Iterator[str]:
    yield 'root = os.environ.get("LRBENCH_DATA", "data")  # the folder of the data, downloaded if missing'
    for name, train in (("training", True), ("test", False)):
        yield f"{name} = torchvision.datasets.{chosen.home}(root, train={train}, download=True)"
    for prefix, name in (("", "training"), ("test_", "test")):
        if chosen.shape[0] == 1:
            yield f"{prefix}images, {prefix}labels = {name}.data.unsqueeze(1), {name}.targets"
        else:
            yield f"{prefix}images = torch.from_numpy({name}.data).permute(0, 3, 1, 2).contiguous()"
            yield f"{prefix}labels = torch.tensor({name}.targets)"


def _prepare(experiment: Experiment, memory_format: bool) -> list[str]:
    """Write the function that prepares images for the model."""
    rule, chosen = experiment.dataset.rules.normalize, SETS[experiment.dataset.part.name]
    scaled = "float().div(255)" if chosen.bytes else "float()"
    before: list[str] = []
    if isinstance(rule, Normalize):
        before = [
            f"{name} = torch.tensor({literal(list(values))}).view(-1, 1, 1)"
            for name, values in (("mean", rule.mean), ("std", rule.std))
        ]
    elif rule:
        before = [
            *("", ""),
            *_STATISTICS.format(scaled=f"some.{scaled}").strip("\n").splitlines(),
            *("", ""),
            "mean, std = statistics(train_images)",
        ]
    steps = [f"    images = images.to(device).{scaled}" if chosen.bytes else "    images = images.to(device)"]
    steps += ["    images = (images - mean.to(device)) / std.to(device)"] if rule else []
    steps += ["    images = images.contiguous(memory_format=memory_format)"] if memory_format else []
    last = steps.pop().replace("images = ", "return ", 1)
    doc = '    """Return images as the model gets them."""'
    return [*before, "", "", "def prepare(images):", doc, *steps, last]


def _batches(experiment: Experiment) -> list[str]:
    inputs = "tokens" if experiment.dataset.part.name == "text" else "images"
    augments = bool(experiment.dataset.rules.augment)
    lines = [
        "def batches(epoch):",
        '    """Yield an epoch\'s batches, in an order that depends only on the seed and the epoch."""',
        f"    order = epoch_order(len(train_{inputs}), seed, epoch)",
    ]
    lines += ["    order = order[: len(order) // batch_size * batch_size]"] if experiment.drop_last else []
    taken = f"train_{inputs}[chosen]"
    if augments:
        lines += ["    for number, chosen in enumerate(order.split(batch_size)):"]
        lines += [f"        images = augmented({taken}, mix(seed, epoch, number))"]
        taken = "images"
    else:
        lines += ["    for chosen in order.split(batch_size):"]
    targets = "targets" if inputs == "tokens" else "labels"
    return [*lines, f"        yield prepare({taken}), train_{targets}[chosen].to(device)"]


def _text(experiment: Experiment) -> Iterator[str]:
    params: dict[str, Any] = dict(experiment.dataset.part.params)
    fraction = experiment.dataset.rules.validation.fraction
    yield f"path = Path({literal(params['path'])}).expanduser()"
    yield 'files = sorted(path.glob("*.txt")) if path.is_dir() else [path]'
    if params["tokens"] == "bytes":
        yield 'text = b"".join(file.read_bytes() for file in files)'
        yield "codes = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()"
    else:
        yield 'text = "".join(file.read_bytes().decode("utf-8-sig") for file in files)'
        yield "characters = {character: code for code, character in enumerate(sorted(set(text)))}"
        yield "codes = torch.tensor([characters[character] for character in text])"
    yield f"context = {params['context']}"
    yield "windows = (len(codes) - 1) // context"
    yield "tokens = codes[: windows * context].view(windows, context)"
    yield "targets = codes[1 : windows * context + 1].view(windows, context)  # each token's next one"
    yield "held_out = int(windows * 0.1 + 0.5)"
    yield "test_tokens, test_targets = tokens[-held_out:], targets[-held_out:]"
    yield "tokens, targets = tokens[:-held_out], targets[:-held_out]"
    yield f"held_out = int(len(tokens) * {fraction} + 0.5)"
    yield "train_tokens, train_targets = tokens[:-held_out], targets[:-held_out]"
    yield "val_tokens, val_targets = tokens[-held_out:], targets[-held_out:]"
    yield from ("", "", "def prepare(tokens):", '    """Return tokens as the model gets them."""')
    yield "    return tokens.to(device)"
