"""Names of groups and families of runs: what all share is said once, and of each what differs, in few digits.

Everything that shows runs takes its names from here: the page, figures, tables, the terminal and sentences.
"""

from lrbench.analysis.labels.naming import Named, Naming, family_naming, group_naming, naming_of
from lrbench.analysis.labels.shortening import cut, shortened
from lrbench.analysis.labels.values import key_words, number_text, rate_text, texts_of, value_text

__all__ = [
    "Named",
    "Naming",
    "cut",
    "family_naming",
    "group_naming",
    "key_words",
    "naming_of",
    "number_text",
    "rate_text",
    "shortened",
    "texts_of",
    "value_text",
]
