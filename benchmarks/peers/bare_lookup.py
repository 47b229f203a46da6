"""The least that showing a finished run takes with lrbench's libraries: read its config and result, check, print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer
import yaml
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table


class Config(BaseModel):
    name: str
    dataset: dict[str, Any]
    model: dict[str, Any]
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    batch_size: int
    seed: int


class Result(BaseModel):
    status: str
    final: dict[str, float]
    test: dict[str, float]


def main(runs: Path) -> None:
    table = Table("name", "status", "val_loss", "val_accuracy", "test_loss")
    for file in runs.glob("*/result.json"):
        config = Config.model_validate(yaml.safe_load((file.parent / "config.yaml").read_text()))
        result = Result.model_validate(json.loads(file.read_text()))
        numbers = [result.final["val_loss"], result.final["val_accuracy"], result.test["loss"]]
        table.add_row(config.name, result.status, *(f"{number:.4f}" for number in numbers))
    Console(file=sys.stdout).print(table)


if __name__ == "__main__":
    typer.run(main)
