"""From YAML files and overrides to an `Experiment`, and the identity of a run.

It checks names and parameters against the catalogues of schedules and components. It never imports torch and does
not know about run folders.
"""

from lrbench.config.blocks import Dataset, fits_folder
from lrbench.config.experiment import Experiment, validate
from lrbench.config.files import exists, opened, read_bytes
from lrbench.config.identity import canonical, group, identity, run_name, without_rate
from lrbench.config.load import CONFIG, CONFIGS, PARTS, Config, load_config, normal, overriding, read_config
from lrbench.config.merge import SHORT_AXES, merge
from lrbench.config.rules import ContinueRule, EarlyStoppingRule, InitRule
from lrbench.config.yaml_source import dump as dump_yaml
