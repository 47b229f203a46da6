"""Reads, groups and compares runs, and gives verdicts: numbers and words, no figures.

It reads only run folders, and never imports torch or anything that draws.
"""

from lrbench.analysis.at_best import AtBest, at_best
from lrbench.analysis.audits import Audit, Fault, RateMonitor, audit, audited
from lrbench.analysis.bands import Band
from lrbench.analysis.budgets import budgets
from lrbench.analysis.code_versions import mixed as mixed_code
from lrbench.analysis.comparison import Comparison, Row, compare_groups, compare_two, row_of
from lrbench.analysis.confirmation import Confirmation, Finalist, Tuning, confirmation
from lrbench.analysis.curve import NoOptimum
from lrbench.analysis.estimates import CONFIDENCE, estimate, standing
from lrbench.analysis.evaluations import Axis
from lrbench.analysis.family_words import mean_text, width_text, within_text
from lrbench.analysis.family_words import words as family_words
from lrbench.analysis.filters import check_filters, fits, kept
from lrbench.analysis.format import duration
from lrbench.analysis.frames import Described, differing, load_evaluations, load_steps
from lrbench.analysis.frames import frame as frame_of
from lrbench.analysis.grouping import grouped, parts, renamed
from lrbench.analysis.groups import Group, axis_of
from lrbench.analysis.labels import (
    Named,
    Naming,
    cut,
    key_words,
    naming_of,
    number_text,
    rate_text,
    shortened,
    texts_of,
    value_text,
)
from lrbench.analysis.looks import looks
from lrbench.analysis.measures import DEFAULT_METRIC, default_metric, measure_named, measures_of
from lrbench.analysis.neighbours import with_families
from lrbench.analysis.once import once
from lrbench.analysis.optimum import Optimum, optimum
from lrbench.analysis.other_programs import doubts
from lrbench.analysis.questions import Question, asked_of, questions
from lrbench.analysis.reader import RunsReader, read_runs
from lrbench.analysis.reading import read_one
from lrbench.analysis.records import Record
from lrbench.analysis.rows import load_runs, optima, run_rows
from lrbench.analysis.second_process import SecondProcess, no_collections
from lrbench.analysis.seed_numbers import POWER, MoreSeeds
from lrbench.analysis.selectors import labels_of, only, select
from lrbench.analysis.sensitivity import EPSILON, Edge, Family, Point, families, good_margin
from lrbench.analysis.spread import Spread
from lrbench.analysis.statistics import ALPHA, MARGIN, PERCENT_MARGIN, Difference
from lrbench.analysis.swept_keys import swept_keys
from lrbench.analysis.target_test import TARGET_LEVEL, TargetTest, against_target
from lrbench.analysis.targets import Part, Target
from lrbench.analysis.tasks import task as task_of
from lrbench.analysis.tasks import tasks_of
from lrbench.analysis.time_to_target import TimeToTarget, areas, time_to_stay, time_to_target
