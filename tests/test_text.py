"""The data set `text`: windows, splits, vocabularies, and clear errors."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lrbench.components import data as datasets
from lrbench.components.data.batches import Data
from lrbench.components.data.options import DatasetRules
from lrbench.components.data.text import EMBEDDED, Tokens
from lrbench.errors import ConfigError, DataError
from lrbench.training.build import load_data
from lrbench.types import Part, adapter

CPU = torch.device("cpu")


def load(rules: dict[str, Any] | None = None, **given: Any) -> Data:
    every = {**DatasetRules.defaults("text"), **(rules or {})}
    return datasets.load(Part("text", given), adapter(DatasetRules).validate_python(every))


def all_of(data: Data, which: str) -> tuple[list[list[int]], list[list[int]]]:
    inputs, targets = zip(*getattr(data, which).batches(3), strict=True)
    return torch.cat(inputs).tolist(), torch.cat(targets).tolist()


def test_windows_targets_and_splits_of_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(bytes(range(82)))  # 20 windows of 4, a last target, and one token left over
    data = load(path=str(tmp_path / "a.txt"), context=4)
    assert data.shape == (4,) and data.classes == 256 and data.positions and data.bytes_per_token == 1.0
    # 2 of 20 are test data; then 1.8 of 18, rounded, validation
    starts = {"train": range(0, 64, 4), "validation": range(64, 72, 4), "test": range(72, 80, 4)}
    for which, expected in starts.items():
        inputs, targets = all_of(data, which)
        assert inputs == [[s, s + 1, s + 2, s + 3] for s in expected]
        assert targets == [[s + 1, s + 2, s + 3, s + 4] for s in expected]


def test_tokens_are_kept_small_and_given_as_int64(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(bytes(range(200)))
    data = load(path=str(tmp_path / "a.txt"), context=4)
    train = data.train
    assert isinstance(train, Tokens) and train.inputs.dtype == torch.uint8
    assert train.inputs.untyped_storage().data_ptr() == train.targets.untyped_storage().data_ptr(), "one copy"
    for split in (train, train.subset(torch.tensor([3, 1])), train.to(CPU)):
        (inputs, targets), *_ = split.batches(2)
        assert inputs.dtype == targets.dtype == torch.int64
        assert torch.equal(inputs[:, 1:], targets[:, :-1])
    (inputs, _), *_ = data.training_batches(2, seed=0, epoch=0)
    assert torch.equal(data.prepare(inputs, CPU), inputs), "not scaled to 0 … 1"


def test_characters_are_numbered_in_the_order_of_their_code_points(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("aé" * 20 + "z€a", encoding="utf-8-sig")  # the mark is no character
    data = load(path=str(tmp_path / "a.txt"), tokens="characters", context=2)
    assert data.classes == 4  # a, z, é, €
    assert data.bytes_per_token == (20 * 3 + 1 + 3 + 1) / 43
    inputs, targets = all_of(data, "train")
    assert inputs == [[0, 2]] * len(inputs) and targets == [[2, 0]] * len(targets)
    inputs, targets = all_of(data, "test")
    assert (inputs, targets) == ([[0, 2], [1, 3]], [[2, 1], [3, 0]])


@pytest.mark.parametrize(("characters", "kind"), [(256, torch.uint8), (257, torch.int16), (32_769, torch.int32)])
def test_the_smallest_type_that_holds_the_vocabulary(characters: int, kind: torch.dtype, tmp_path: Path) -> None:
    text = "".join(map(chr, range(0x10000, 0x10000 + characters)))
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    data = load(path=str(tmp_path / "a.txt"), tokens="characters", context=8)
    assert isinstance(data.train, Tokens) and data.train.inputs.dtype == kind
    assert data.classes == characters and data.bytes_per_token == 4.0
    assert all_of(data, "test")[1][-1][-1] == (characters - 1) // 8 * 8


def test_a_folder_s_files_are_joined_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, content in {"b.txt": "b" * 30, "a.txt": "a" * 30, "c.md": "c" * 30}.items():
        (tmp_path / name).write_text(content)
    data = load(path=str(tmp_path), context=5)
    assert [bytes(row).decode() for row in all_of(data, "train")[0][5:7]] == ["aaaaa", "bbbbb"]
    assert 99 not in all_of(data, "test")[0][0]


def test_the_embedded_text_is_the_one_that_its_notes_describe() -> None:
    notes = EMBEDDED.with_suffix("").with_suffix(".md").read_text(encoding="utf-8")
    content = gzip.decompress(EMBEDDED.read_bytes())
    assert hashlib.sha256(content).hexdigest() in notes and f"{len(content):,} bytes" in notes
    assert "public domain" in notes and EMBEDDED.stat().st_size < 1_000_000
    data = load()
    sizes = [len(split) for split in (data.train, data.validation, data.test or ())]
    assert sum(sizes) == (len(content) - 1) // 64 and sizes[2] == 1558 and sizes[1] == 1402
    assert bytes(all_of(data, "train")[0][0]).startswith(b"HAMLET, PRINCE OF DENMARK")
    characters = load(tokens="characters")
    assert characters.classes == len(set(content)) == 76 and characters.bytes_per_token == 1.0


def test_other_validation_sets_and_training_sizes(tmp_path: Path) -> None:
    drawn = load({"validation": {"how": "random", "fraction": 0.2}, "train_size": 50})
    again = load({"validation": {"how": "random", "fraction": 0.2}, "train_size": 50})
    assert len(drawn.train) == 50 and all_of(drawn, "train") == all_of(again, "train")
    with pytest.raises(ConfigError, match=r"dataset.validation.how: needs class labels; choose random or tail"):
        load({"validation": {"how": "stratified"}})


@pytest.mark.parametrize(
    ("content", "given", "message"),
    [
        (b"", {}, r"a.txt has 0 bytes and needs at least 641, for 10 windows of context: 64"),
        (b"x" * 640, {}, r"a.txt has 640 bytes and needs at least 641.*a longer text or a smaller context"),
        (b"", {"tokens": "characters"}, "has 0 characters and needs"),
        (b"abc\xff" * 200, {"tokens": "characters"}, r"a.txt is not UTF-8 \(byte 3: 0xff\).*tokens: bytes"),
        (None, {}, r"text: cannot read .*a.txt: No such file"),
    ],
)
def test_what_is_no_text(content: bytes | None, given: dict[str, Any], message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(path=str(tmp_path / "a.txt"), **given)


def test_a_folder_without_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=re.escape(f"text: the folder {tmp_path} has no *.txt files")):
        load(path=str(tmp_path))


def test_the_embedded_text_can_be_too_short() -> None:
    with pytest.raises(DataError, match="the embedded text has 996,853 bytes and needs at least 1,000,001"):
        load(context=100_000)


def test_bytes_take_anything(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"abc\xff" * 200)
    assert all_of(load(path=str(tmp_path / "a.txt")), "test")[0][0][3] == 255


def test_an_own_text_from_the_command_line(cli: Callable[..., Any], write_config: Callable[..., Path]) -> None:
    Path("mine.txt").write_text("to be or not to be\n" * 100)
    model = {"name": "gpt", "layers": 1, "width": 8, "heads": 1}
    write_config(dataset={"name": "text", "path": "mine.txt", "context": 16}, model=model, epochs=1)
    code, out, err = cli("run", "tiny.yaml")
    assert (code, "test" in out) == (0, True), err
    code, _, err = cli("run", "tiny.yaml", "--set", "dataset.path=other.txt")
    assert code == 2 and "cannot read" in err and "other.txt" in err
    code, _, err = cli("run", "tiny.yaml", "--set", "dataset.tokens=words")
    assert code == 2 and "dataset.tokens" in err and "bytes" in err and "characters" in err


def test_workers_share_one_copy(tiny: Callable[..., Any]) -> None:
    from lrbench.training import build
    from lrbench.training.executors.shared_data import accept, offered

    experiment = tiny(dataset={"name": "text"}, model="gpt")
    data = load_data(experiment.dataset, CPU)
    expected = all_of(data, "train")
    pickled = offered()
    assert pickled is not None
    build.held.clear()
    accept(pickled)
    (shared,) = build.held.values()
    assert all_of(shared, "train") == expected


def test_the_default_split_is_written_into_the_config(tiny: Callable[..., Any]) -> None:
    experiment = tiny(dataset="text", model="gpt")
    assert experiment.plain()["dataset"] == {
        "name": "text",
        "path": None,
        "tokens": "bytes",
        "context": 64,
        "validation": {"fraction": 0.1, "how": "tail", "seed": 0},
        "normalize": False,
        "augment": [],
    }


def test_the_code_of_a_run_says_what_the_batches_are(
    cli: Callable[..., Any], write_config: Callable[..., Path]
) -> None:
    write_config(dataset={"name": "text", "context": 32}, model="gpt", epochs=None, steps=3)
    code, out, _ = cli("preview", "tiny.yaml", "--code")
    told = " ".join(out.split()).replace(" # ", " ")
    assert code == 0 and "windows of 32 tokens and the same windows one token later" in told
    assert "between 0 and 1" not in told
