"""From YAML files and overrides to the config of a run, and the identity of a run.

A run is trained by lrbench (`Experiment`) or by a command, or was recorded elsewhere. Names and parameters are checked
against the catalogues of schedules and components. Nothing here imports torch or knows about run folders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lrbench.config.blocks import Dataset, fits_folder
from lrbench.config.branching import Trunk, branched, count_branched, own_share, trunk_of
from lrbench.config.bundled import bundled, bundled_configs, bundled_name, located, no_config
from lrbench.config.command import CommandConfig
from lrbench.config.experiment import Experiment
from lrbench.config.files import exists, opened, parse_json, read_bytes
from lrbench.config.identity import canonical, group, identity, run_name, without_rate
from lrbench.config.law import FAR, Law, common
from lrbench.config.limits import Limits
from lrbench.config.load import CONFIG, CONFIGS, Config, load_config, read_config
from lrbench.config.merge import PARTS, merge, normal
from lrbench.config.outside import foreign_code, not_folders
from lrbench.config.overrides import RANGE, as_axes, overriding
from lrbench.config.params import flat
from lrbench.config.program_log import OUR_COLUMN, SOURCES, Column
from lrbench.config.recorded import RecordedConfig
from lrbench.config.rules import ContinueRule, EarlyStoppingRule, InitRule
from lrbench.config.run_config import RunConfig
from lrbench.config.sizes import Size, SizeKind, size_kind
from lrbench.config.sweep_block import MAX_POINTS, NOT_VARIED, short_axes
from lrbench.config.trackers import TRACKERS, checked_tracker, trackers
from lrbench.config.validate import kind_of, own, validate
from lrbench.config.yaml_source import parse_foreign
from lrbench.config.yaml_text import dump as dump_yaml

if TYPE_CHECKING:
    from lrbench.config.json_schema import schema


def __getattr__(name: str) -> Any:
    if name != "schema":
        raise AttributeError(f"module 'lrbench.config' has no attribute '{name}'")
    from lrbench.config.json_schema import schema  # only editors and shells ask for it

    return schema
