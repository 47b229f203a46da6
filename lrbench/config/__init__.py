"""From YAML files and overrides to an `Experiment`, and what makes two experiments the same run.

It knows the catalogues of schedules and components, by which it checks names and parameters, but neither torch nor run
folders.
"""

from lrbench.config.experiment import Dataset, Experiment, validate
from lrbench.config.identity import canonical, group, identity, run_name, without_rate
from lrbench.config.load import Config, load_config, normal, overriding, read_config
from lrbench.config.merge import merge
from lrbench.config.normalize import SHORT_AXES
from lrbench.config.rules import EarlyStoppingRule
from lrbench.config.yaml_source import dump as dump_yaml
