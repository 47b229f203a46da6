"""Old names go on working, and say once what they are called now."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

import lrbench
from lrbench import errors
from lrbench.cli import options
from lrbench.config import identity, load_config, old_keys
from lrbench.errors import ConfigError, OldName

Write = Callable[..., Path]
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_told", set())
    monkeypatch.setitem(old_keys.OLD_KEYS, "batch", "batch_size")
    monkeypatch.setitem(old_keys.OLD_KEYS, "early_stopping.wait", "early_stopping.patience")
    monkeypatch.setitem(options.OLD_OPTIONS, "--times", "--seeds")
    monkeypatch.setitem(lrbench._OLD_NAMES, "read_config", "load_config")


def test_an_old_key_is_the_new_one_and_says_so_once(write_config: Write) -> None:
    stop = {"metric": "val_loss"}
    new = load_config(write_config("new.yaml", batch_size=16, early_stopping={**stop, "patience": 3}))
    old = write_config("old.yaml", batch_size=None, batch=16, early_stopping={**stop, "wait": 3})
    old.write_text(old.read_text().replace("batch_size: null\n", ""))
    with pytest.warns(OldName) as told:
        loaded = load_config(old)
    assert [str(one.message).partition(";")[0] for one in told] == [
        "batch is now called batch_size",
        "early_stopping.wait is now called early_stopping.patience",
    ]
    assert identity(loaded) == identity(new) and "wait" not in loaded.yaml()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_config(old)  # told once
    assert loaded.where("batch_size").startswith(str(old))


def test_an_old_key_in_an_override_and_a_mistake_in_its_value(write_config: Write) -> None:
    path = write_config()
    with pytest.warns(OldName):
        assert load_config(path, ["batch=8"]).plain()["batch_size"] == 8
    with pytest.raises(ConfigError, match=r"overrides: batch_size: must be a whole number"):
        load_config(path, ["batch=many"])


def test_an_old_key_beside_the_new_one_is_a_mistake(write_config: Write) -> None:
    with pytest.raises(ConfigError, match=r"tiny\.yaml:\d+: batch: is now called batch_size, which is also given"):
        load_config(write_config(batch=8))


def test_an_old_option_works_and_is_told_on_the_standard_error(cli: Cli, write_config: Write) -> None:
    code, out, err = cli("run", write_config(), "--times=2")
    assert code == 0 and "2 finished" in out
    assert err == "Warning: --times is now called --seeds; the old name still works\n"


def test_an_old_python_name() -> None:
    with pytest.warns(OldName, match=r"lrbench.read_config is now called lrbench.load_config"):
        assert lrbench.read_config is load_config
