"""Schemas: what a config may contain, as JSON schema for editors, with the texts that `lrbench list` shows.

All of it comes from the config's classes, the catalogues and their docstrings. Nothing here checks configs or imports
torch.
"""

from lrbench.schemas.docstrings import documented
from lrbench.schemas.save import FILE as SCHEMA_FILE
from lrbench.schemas.save import save_schema
from lrbench.schemas.whole import schema
