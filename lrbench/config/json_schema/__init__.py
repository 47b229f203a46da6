"""The JSON schema of configs, for editors.

All of it comes from the config's classes, the catalogues and their docstrings. Nothing here checks configs.
"""

from lrbench.config.json_schema.whole import schema
