"""Write made-up runs of a sweep, as training leaves them: `python made_up.py RUNS SEEDS RATES SCHEDULES`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import synthetic_runs  # type: ignore[import-not-found]

runs, seeds, rates, schedules = sys.argv[1], *map(int, sys.argv[2:])
small = synthetic_runs.SWEEPS["small"]
axes = {"seeds": seeds, "lr": {"log": [1e-3, 10], "points": rates}, "schedule": synthetic_runs.SCHEDULES[:schedules]}
print(synthetic_runs.write_sweep(Path(runs), {**small, "sweep": {**small["sweep"], **axes}}))
