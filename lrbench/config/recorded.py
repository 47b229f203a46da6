"""`RecordedConfig`: what is known of a run that another program did, recorded there or imported from its logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from lrbench.config.params import Params
from lrbench.config.rules import Reference
from lrbench.config.run_config import RunName, WithParams
from lrbench.types import MetricName, Natural


class RecordedConfig(WithParams, frozen=True, extra="forbid"):
    """The config of a run that lrbench did not start.

    Attributes:
        recorded: by what: `lrbench.record`, or the format of the logs that it was imported from.
        params: the settings that the program recorded.
        lr_param: the parameter that is the learning rate; by default `lr`, `learning_rate`, …, if there is one.
        best_by: the validation metric of the best evaluation.
        seed: the seed; None if unknown.
        run: what distinguishes it from runs with the same settings.
    """

    name: RunName
    recorded: Annotated[str, Field(min_length=1, max_length=100)]
    params: Params = Field(default_factory=dict)
    lr_param: str | None = None
    best_by: MetricName = "val_loss"
    seed: Natural | None = None
    run: str | None = None
    reference: Reference | None = None

    foreign: ClassVar[str] = "another program"
    blocks: ClassVar[Mapping[tuple[str, ...], Any]] = {("reference",): Reference}

    @property
    def source(self) -> str:
        """See `RunConfig`."""
        return self.recorded
