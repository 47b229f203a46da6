"""How often verdicts and their advice are right, on the runs of dense_sweeps.py.

    python benchmarks/verdicts.py --runs runs/dense
    python benchmarks/verdicts.py --kept tests/labelled/dense.csv.gz

Those runs have neighbours at 3.16 and 10 times the learning rate on both sides, so it is known what following an advice
gives: the neighbour's final validation loss (the geometric mean over seeds) against the one here. Advice helps if that
is lower by more than 1%. Advice without a factor ("train longer", "stop at epoch 12") and neighbours beyond the ends
are not counted. A run is wrongly called converged if one of its four neighbours ends more than 10% lower.

With other learning rates in the report, even seeds give the verdict, from every second learning rate, and odd seeds
tell whether it was right.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import math
import re
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lrbench.analysis.verdicts import Curves, Score, Verdict, verdict

FITTED = ("digits-mlp-adam", "friedman-mlp-adam", "gpt-adamw", "topics-mlp-momentum", "digits-cnn-momentum")
"""The tasks that rules were fitted to; the others are held out."""
LEAST = 0.01  # by which a helpful neighbour is better
NOTABLE = 0.1  # by which a neighbour is better than a run that has not converged
NEIGHBOURS = (0.1, 10**-0.5, 10**0.5, 10)
_COLUMNS = ("rate", "train_loss", "val_loss", "accuracy")
_FIELDS = ("family", "seed", "lr", "final", "status", "reason", "chance", "classes", "examples", "unit", *_COLUMNS)


@dataclass(frozen=True)
class Case:
    """A run: its family (task and schedule), seed, learning rate, final validation loss (or infinity), and verdict."""

    family: str
    seed: int
    lr: float
    final: float
    verdict: Verdict

    @property
    def task(self) -> str:
        """The family without its schedule."""
        return self.family.rpartition("-")[0]


@dataclass(frozen=True)
class Outcomes:
    """The final loss at each learning rate of a family."""

    centres: dict[float, float]

    @classmethod
    def of(cls, cases: Iterable[Case]) -> Outcomes:
        """Average over seeds; infinite if one diverged."""
        finals: dict[float, list[float]] = defaultdict(list)
        for case in cases:
            finals[case.lr].append(case.final)
        centres = {
            lr: statistics.geometric_mean(found) if all(map(math.isfinite, found)) else math.inf
            for lr, found in finals.items()
        }
        return cls(centres)

    def gain(self, lr: float, factor: float) -> float | None:
        """Return by which fraction the neighbour nearest to `factor` times the learning rate ends lower.

        None without a neighbour there.
        """
        wanted = lr * factor
        near = min(self.centres, key=lambda one: abs(math.log(one / wanted)))
        if abs(math.log(near / wanted)) > 0.15 or lr not in self.centres:
            return None
        own, other = self.centres[lr], self.centres[near]
        if not math.isfinite(own):
            return float(math.isfinite(other))
        return 1 - other / own

    def best(self, lr: float) -> float:
        """Return the largest gain of the four neighbours."""
        return max((gain for factor in NEIGHBOURS if (gain := self.gain(lr, factor)) is not None), default=0.0)


def factor_of(said: Verdict) -> float | None:
    """Return what the advice multiplies the learning rate by, from its words, as a reader would."""
    found = re.search(r"([\d.]+) times (larger|smaller)", said.advice)
    if found is None:
        return getattr(said, "factor", None)
    return float(found[1]) if found[2] == "larger" else 1 / float(found[1])


def counted(cases: Sequence[Case], outcomes: dict[str, Outcomes]) -> Counter[str]:
    """Count runs, advice that helps, hurts or changes nothing, and wrong and right convergence."""
    counts: Counter[str] = Counter(runs=len(cases))
    for case in cases:
        told, factor = outcomes[case.family], factor_of(case.verdict)
        if case.verdict.label == "converged":
            counts["converged"] += 1
            counts["wrongly"] += told.best(case.lr) > NOTABLE
        gain = None if factor is None else told.gain(case.lr, factor)
        if gain is not None:
            counts["advised"] += 1
            counts["helped" if gain > LEAST else "hurt" if gain < -LEAST else "same"] += 1
    return counts


def table(cases: Sequence[Case], outcomes: dict[str, Outcomes]) -> str:
    """Write the counts by what was fitted, task, schedule and verdict."""
    rows: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        held = "fitted tasks" if case.task in FITTED else "held-out tasks"
        for key in (held, f"task {case.task}", f"schedule {case.family.rpartition('-')[2]}", f"'{case.verdict.label}'"):
            rows[key].append(case)
    lines = [
        f"{'':32} {'runs':>5} {'advised':>8} {'helped':>14} {'same':>5} {'hurt':>5} {'converged':>10} {'wrongly':>8}"
    ]
    for key in sorted(rows, key=lambda key: (not key.endswith("tasks"), key)):
        n = counted(rows[key], outcomes)
        share = f"{n['helped']} ({n['helped'] / n['advised']:.0%})" if n["advised"] else "–"
        lines.append(
            f"{key:32} {n['runs']:5} {n['advised']:8} {share:>14} {n['same']:5} {n['hurt']:5}"
            f" {n['converged']:10} {n['wrongly']:8}"
        )
    return "\n".join(lines)


def by_family(cases: Iterable[Case]) -> dict[str, Outcomes]:
    """Return the outcomes of each family."""
    found: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        found[case.family].append(case)
    return {family: Outcomes.of(members) for family, members in found.items()}


def from_runs(folder: Path) -> tuple[list[Case], list[Case]]:
    """Read the runs; return a case for each, and one for each group of even seeds, judged beside its family."""
    from lrbench.analysis import grouped, measure_named, read_runs

    records = [record for record in read_runs([folder]) if record.status.ended and record.verdict is not None]
    cases = [_case(record, record.verdict) for record in records]
    every: dict[str, list[float]] = defaultdict(list)
    for case in cases:
        every[case.family] = sorted({*every[case.family], case.lr})
    try:
        from lrbench.analysis import with_families
    except ImportError:  # an earlier version
        return cases, []
    coarse = [
        record
        for record, case in zip(records, cases, strict=True)
        if case.seed % 2 == 0 and every[case.family].index(case.lr) % 2 == 0
    ]
    judged = with_families(grouped(coarse), measure_named(coarse, "val_loss")) if coarse else []
    beside = [_case(group.first, found.verdict) for group in judged if (found := group.verdict()) is not None]
    return cases, beside


def _case(record, said) -> Case:  # type: ignore[no-untyped-def]
    final = record.metric("val_loss") if record.status.complete else None
    value = math.inf if final is None or not math.isfinite(final) else final
    return Case(record.name, record.plain["seed"], record.peak_lr or math.nan, value, said)


def keep(folder: Path, file: Path) -> None:
    """Keep the curves of seed 0, and the final losses over all seeds, with four digits."""
    from lrbench.analysis import read_runs

    records = [record for record in read_runs([folder]) if record.status.ended]
    centres = by_family(_case(record, None) for record in records)
    text = io.StringIO()
    writer = csv.DictWriter(text, _FIELDS, lineterminator="\n")
    writer.writeheader()
    for record in records:
        if record.plain["seed"] != 0:
            continue
        sizes, rows = record.environment.sizes, record.epochs
        columns = {"rate": "lr", "train_loss": "train_loss", "val_loss": "val_loss", "accuracy": "val_accuracy"}
        values = {
            name: " ".join(f"{value:.4g}" for value in rows[column]) if column in rows else ""
            for name, column in columns.items()
        }
        chance = record.chance
        writer.writerow(
            {
                "family": record.name, "seed": 0, "lr": record.peak_lr, "status": record.status.value,
                "final": f"{centres[record.name].centres[record.peak_lr]:.5g}",
                "reason": record.result.reason if record.result else "",
                "chance": "" if chance is None else f"{chance:.5g}", "classes": sizes.classes or "",
                "examples": sizes.validation_examples, "unit": "epoch" if record.by_epoch else "evaluation", **values,
            }
        )  # fmt: skip
    file.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


def from_kept(file: Path) -> list[Case]:
    """Judge the kept curves; each final loss is that over all seeds."""
    with gzip.open(file, "rt", newline="") as stream:
        return [_kept(row) for row in csv.DictReader(stream)]


def _kept(row: dict[str, str]) -> Case:
    rate, train, val, accuracy = ([float(value) for value in row[name].split()] for name in _COLUMNS)
    found = (Score("val_accuracy", accuracy, 1 / int(row["classes"])),) if accuracy else ()
    chance = float(row["chance"]) if row["chance"] else None
    curves = Curves(
        rate, train, val, row["status"], row["reason"], chance, row["unit"], float(row["lr"]), True, found,
        int(row["examples"]),
    )  # fmt: skip
    return Case(row["family"], int(row["seed"]), float(row["lr"]), float(row["final"]), verdict(curves))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--kept", type=Path, help="judge the curves of this file instead")
    parser.add_argument("--keep", type=Path, help="write the curves of --runs to this file")
    parser.add_argument("--fitted", action="store_true", help="only the tasks that rules may be fitted to")
    asked = parser.parse_args()
    if asked.keep:
        return keep(asked.runs, asked.keep)
    cases, beside = (from_kept(asked.kept), []) if asked.kept else from_runs(asked.runs)
    chosen = [case for case in cases if not asked.fitted or case.task in FITTED]
    print(table(chosen, by_family(cases)))
    if beside:
        told = by_family(case for case in cases if case.seed % 2)
        known = [case for case in beside if case.family in told and (not asked.fitted or case.task in FITTED)]
        print("\nwith the other learning rates in the report, even seeds judged by odd ones")
        print(table(known, told))
        print("\nthe same runs by their curves alone")
        keys = {(case.family, case.seed, case.lr) for case in known}
        print(table([case for case in cases if (case.family, case.seed, case.lr) in keys], told))
    return None


if __name__ == "__main__":
    sys.exit(main())
