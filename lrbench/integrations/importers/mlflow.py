"""MLflow: the runs in a folder of its file store, or in its database, read by MLflow's own client."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lrbench.errors import FolderError, UsageError, reason_of
from lrbench.integrations.importers import Claim, Foreign, files_in, folders_in
from lrbench.integrations.importers.settings import iso, typed
from lrbench.runs import Status

_STATUSES = {"FINISHED": Status.FINISHED, "FAILED": Status.FAILED}
_AT_ONCE = 1000


def claimed_mlflow(folder: Path, named: bool) -> Claim | None:
    """A folder `mlruns`, with folders of experiments, or with a database. See `Tool`."""
    databases = tuple(path for path in files_in(folder) if path.name == "mlflow.db" or (named and path.suffix == ".db"))
    stored = any((inner / "meta.yaml").is_file() for inner in folders_in(folder))
    of_an_experiment = (folder / "meta.yaml").is_file()
    if not stored or of_an_experiment:
        return Claim(databases, files=False) if databases else None
    return Claim((*databases, folder), whole=True)


def read_mlflow(path: Path) -> list[Foreign]:
    """See `Tool`."""
    client = _client(path)
    try:
        places = list(client.search_experiments())
        return [one for place in places for one in _runs(client, place)]
    except Exception as error:  # MLflow raises many kinds of errors for damaged stores
        raise FolderError(f"MLflow can't read {path}: {reason_of(error)}") from error


def _client(path: Path) -> Any:
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise UsageError("reading MLflow's runs needs mlflow: pip install 'lrbench-torch[mlflow]'") from error
    for name in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = path.resolve().as_uri() if path.is_dir() else f"sqlite:///{path.resolve()}"
    try:
        return MlflowClient(tracking_uri=uri)
    except Exception as error:
        raise FolderError(f"MLflow can't read {path}: {reason_of(error)}") from error


def _runs(client: Any, place: Any) -> Iterator[Foreign]:
    token = None
    while True:
        page = client.search_runs([place.experiment_id], max_results=_AT_ONCE, page_token=token)
        yield from (_read(client, place.name, run) for run in page if run.data.metrics)
        token = page.token
        if not token:
            return


def _read(client: Any, experiment: str, run: Any) -> Foreign:
    log: dict[int, dict[str, float]] = {}
    for name in run.data.metrics:
        history = sorted(client.get_metric_history(run.info.run_id, name), key=lambda one: (one.step, one.timestamp))
        stepless = len(history) > 1 and len({one.step for one in history}) == 1
        for index, one in enumerate(history):
            log.setdefault(index if stepless else one.step, {})[name] = float(one.value)
    steps = any(step for step in log)
    rows = [({"step": float(step)} if steps else {}) | log[step] for step in sorted(log)]
    status = _STATUSES.get(run.info.status)
    reason = "" if status is Status.FINISHED else f"its status is {run.info.status}"
    params = {name: typed(value) for name, value in run.data.params.items()}
    start, end = run.info.start_time, run.info.end_time
    return Foreign(
        run.info.run_id, run.info.run_name or run.info.run_id, "" if experiment == "Default" else experiment, rows,
        params, status, reason, seconds=(end - start) / 1000 if start and end else None,
        started=iso(start / 1000) if start else None,
    )  # fmt: skip
