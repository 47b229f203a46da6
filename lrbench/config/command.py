"""`CommandConfig`: any program as a run. Its command is a template that parameters fill in."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, PlainValidator, StrictBool, WithJsonSchema, model_validator

from lrbench.components import NAMED, Metric
from lrbench.config.blocks import Trackers
from lrbench.config.files import no_folder
from lrbench.config.limits import Limits
from lrbench.config.params import Params, flat, rate_among
from lrbench.config.program_files import Hashes, hashed
from lrbench.config.program_log import OUR_COLUMN, TEXTS, Column, Source
from lrbench.config.rules import Reference
from lrbench.config.run_config import RunName, WithParams
from lrbench.config.templates import OWN, check_names, filled, filled_for_shell, names_in, placed, words_of
from lrbench.errors import ConfigError
from lrbench.types import Count, Memory, MetricName, Natural, Seconds, number_of


def _command(value: object) -> object:
    """Return a command. Raises ValueError."""
    texts = [value] if isinstance(value, str) else value
    if (
        not isinstance(texts, list)
        or not texts
        or not all(isinstance(one, str) for one in texts)
        or not texts[0].strip()
    ):
        problem = "must be a program and its arguments, such as python train.py --lr {lr}, as a text or a list of texts"
        raise ValueError(f"{problem} (got {value!r:.60})")
    return value


class CommandConfig(WithParams, frozen=True, extra="forbid"):
    """The config of runs by a command, which lrbench fills in and starts.

    Attributes:
        command: the program and its arguments, with parameters in braces.
        shell: let a shell interpret the command.
        params: the parameters, of any kind and nested as needed; `{model.width}` names a nested one.
        lr_param: the parameter that is the learning rate; by default `lr`, `learning_rate`, …, if there is one.
        read: where the program leaves its metrics: `{csv: FILE}`, `jsonl`, `tensorboard`, `trainer_state`, or
            `{stdout: PATTERN}`, also a list of patterns.
        metrics: the columns of its log by our names, such as `val_loss`, and which direction is better.
        best_by: the validation metric of the best evaluation.
        resume: arguments that make the program resume; true if it resumes by itself.
        checkpoint: the file from which it resumes, relative to where it starts; the newest match of a pattern.
        cwd: where it starts, relative to `folder`; by default the run's folder.
        folder: the folder of the config's file, in which it finds its files.
        env: environment variables.
        files: the hashes of its files, by path; a change is another run.
        gpus: GPUs that each run needs.
        timeout: wall time after which it is stopped and the run fails, such as `2h`; a bare number means seconds.
        stall: the same, after this long without output and without a new row.
        memory: the most memory that it may use with all processes that it starts, such as `8GB`.
        track: the tools that follow the run.
    """

    name: RunName
    command: Annotated[str | list[str], PlainValidator(_command), WithJsonSchema(TEXTS)]
    shell: StrictBool = False
    params: Params = Field(default_factory=dict)
    lr_param: str | None = None
    read: Source | None = None
    metrics: dict[Annotated[str, Field(pattern=f"^({OUR_COLUMN.pattern})$")], Column] | None = None
    best_by: MetricName = "val_loss"
    seed: Natural = 0
    resume: StrictBool | str | list[str] | None = None
    checkpoint: Annotated[str, Field(min_length=1)] | None = None
    cwd: Annotated[str, Field(min_length=1)] | None = None
    folder: str = ""
    env: Annotated[dict[str, str], WithJsonSchema({"type": "object"})] | None = None
    files: Hashes = Field(default_factory=dict)
    gpus: Count | None = None
    timeout: Seconds | None = None
    stall: Seconds | None = None
    memory: Memory | None = None
    track: Trackers = None
    reference: Reference | None = None

    foreign: ClassVar[str] = "a command"
    taken_over: ClassVar[tuple[str, ...]] = (
        "reference", "track", "timeout", "stall", "memory", "folder", "cwd", "resume", "checkpoint", "gpus",
    )  # fmt: skip
    blocks: ClassVar[Mapping[tuple[str, ...], Any]] = {("reference",): Reference}

    @model_validator(mode="before")
    @classmethod
    def _written_out(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        plain = {**value, "folder": str(value.get("folder") or Path.cwd())}
        if isinstance(plain.get("env"), Mapping):
            plain["env"] = {str(key): str(one) for key, one in plain["env"].items()}
        for name in plain["metrics"] if isinstance(plain.get("metrics"), Mapping) else ():
            if not OUR_COLUMN.fullmatch(str(name)):
                problem = "must be lr, step, epoch, seconds, or start with train_, val_ or test_, such as val_f1"
                raise ConfigError(f"{problem} (got '{name}')", key=f"metrics.{name}")
        if not isinstance(plain.get("files"), Mapping):
            plain["files"] = hashed(plain.get("files"), plain.get("command"), Path(plain["folder"]))
        return plain

    @model_validator(mode="after")
    def _fits(self) -> CommandConfig:
        if own := [name for name in OWN if name in self.params]:
            raise ConfigError("is set by lrbench and can't be a parameter", key=f"params.{own[0]}")
        known = dict.fromkeys((*OWN, *flat(self.params)))
        check_names(words_of(self.command, "command"), known, "command")
        if isinstance(self.resume, str | list):
            check_names(words_of(self.resume, "resume"), {**known, "checkpoint": None}, "resume")
        if self.shell and not isinstance(self.command, str):
            raise ConfigError("must be a single text if a shell interprets it", key="command")
        key = rate_among(self.params, self.lr_param)
        lr = None if key is None else flat(self.params)[key]
        if lr is not None and not ((number := number_of(lr)) and 0 < number < inf):
            raise ConfigError(f"must be a number greater than 0 (got {lr!r:.40})", key=f"params.{key}")
        if self.cwd is not None and (problem := no_folder(self.start(Path()))):
            raise ConfigError(problem, key="cwd")
        return self

    @property
    def limits(self) -> Limits:
        """See `RunConfig`."""
        return Limits(self.timeout, self.stall, self.memory)

    @property
    def directions(self) -> dict[str, Metric]:
        """The metrics that the config names, by name without `train_`, `val_` or `test_`."""
        found: dict[str, Metric] = {}
        for name, column in (self.metrics or {}).items():
            split, _, short = name.partition("_")
            if split in ("train", "val", "test") and short != "loss":
                usual = NAMED.get(short, Metric(short))
                found[short] = Metric(short, column.better or usual.better, column.form or usual.form)  # type: ignore[arg-type]
        return found

    @property
    def unused(self) -> list[str]:
        """What varies between runs but is not in the command: parameters, and the seed."""
        words = words_of(self.command, "command")
        used = {name for word in words for name in names_in(word)}
        return [name for name in (*flat(self.params), "seed") if name not in used]

    def start(self, run: Path) -> Path:
        """Return the folder where the command of the run in folder `run` starts."""
        return run if self.cwd is None else Path(self.folder, self.cwd)

    def values(self, run: Path) -> dict[str, Any]:
        """Return what fills the template of the run in folder `run`."""
        return {**flat(self.params), "seed": self.seed, "name": self.name, "run": str(run)}

    def command_line(self, run: Path) -> str:
        """See `RunConfig`. Files are as they are written, relative to `folder`."""
        if self.shell and isinstance(self.command, str):
            return filled_for_shell(self.command, self.values(run))
        return shlex.join(filled(words_of(self.command, "command"), self.values(run)))

    def arguments(self, run: Path, checkpoint: Path | None = None) -> list[str]:
        """Return the command of the run in folder `run`.

        Args:
            run: the run's folder.
            checkpoint: where to resume from; None to begin.
        """
        values, folder = self.values(run), Path(self.folder)
        more: list[str] = []
        if checkpoint is not None and isinstance(self.resume, str | list):
            more = filled(words_of(self.resume, "resume"), {**values, "checkpoint": str(checkpoint)})
        if self.shell and isinstance(self.command, str):
            return ["/bin/sh", "-c", " ".join([filled_for_shell(self.command, values), *map(shlex.quote, more)])]
        words = [placed(word, folder) if "{" not in word else word for word in words_of(self.command, "command")]
        return [*filled(words, values), *more]
