"""MLflow: the runs in a folder of its file store, or in its database, read by MLflow's own client."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from lrbench.config import opened, read_bytes
from lrbench.errors import FolderError, UsageError, reason_of
from lrbench.integrations.importers import Claim, Foreign, files_in, folders_in
from lrbench.integrations.importers.settings import iso, typed
from lrbench.runs import Status, written_again

_STATUSES = {"FINISHED": Status.FINISHED, "FAILED": Status.FAILED}
_AT_ONCE = 1000
_MOST_META = 1_000_000  # bytes
_SQLITE = b"SQLite format 3\0"
"""How a database of SQLite begins."""
_POOL = "MLFLOW_SQLALCHEMYSTORE_POOLCLASS"


def claimed_mlflow(folder: Path, named: bool) -> Claim | None:
    """A folder `mlruns`, with folders of experiments, or with a database. See `Tool`."""
    databases = tuple(path for path in files_in(folder) if path.name == "mlflow.db" or (named and path.suffix == ".db"))
    stored = any(map(of_mlflow, folders_in(folder)))
    of_an_experiment = of_mlflow(folder)
    if not stored or of_an_experiment:
        return Claim(databases, files=False) if databases else None
    return Claim((*databases, folder), whole=True)


def of_mlflow(folder: Path) -> bool:
    """Return whether a folder is that of an experiment or a run, and not one with another program's `meta.yaml`."""
    try:
        return b"experiment_id" in read_bytes(folder / "meta.yaml", _MOST_META)
    except OSError:
        return False


def read_mlflow(path: Path) -> list[Foreign]:
    """See `Tool`."""
    client_of = _client()
    try:
        with _closing_databases():
            client = client_of(tracking_uri=path.resolve().as_uri() if path.is_dir() else _read_only(path))
            places = list(client.search_experiments())
        found = [one for place in places for one in _runs(client, place, path)]
    except FolderError:
        raise
    except Exception as error:  # MLflow raises many kinds of errors for damaged stores
        reason = reason_of(error)
        if "readonly database" in reason:
            reason = "its tables are not those of this version; copy it, give `mlflow db upgrade sqlite:///COPY`, and "
            reason += "import the copy"
        raise FolderError(f"MLflow can't read it: {reason}") from error
    if lacking := _lacking(path, {run.key for run in found}):
        if not found:
            raise FolderError(f"it has no runs with metrics; {lacking}")
        found[0] = replace(found[0], faults=(*found[0].faults, lacking))
    return found


def _lacking(path: Path, known: set[str]) -> str:
    """Say which folders of runs with metrics MLflow did not give; empty if there are none."""
    if not path.is_dir():
        return ""
    runs = [run for place in folders_in(path) for run in folders_in(place) if (run / "metrics").is_dir()]
    left = [run for run in runs if run.name not in known and any((run / "metrics").iterdir())]
    if not left:
        return ""
    them = "1 run is" if len(left) == 1 else f"{len(left):,} runs are"
    return f"{them} deleted or damaged, such as {left[0].relative_to(path)}"


def _read_only(path: Path) -> str:
    """Return the address of a database that can only be read: MLflow would add tables to an old or an empty one.

    Raises FolderError if it is no database, which MLflow would try for minutes to open.
    """
    try:
        with opened(path) as file:
            start = file.read(len(_SQLITE))
    except OSError as error:
        raise FolderError(f"cannot read {path}: {error.strerror}") from error
    if start != _SQLITE:
        raise FolderError(f"{path} is not a database of SQLite")
    from sqlalchemy import URL

    query = {"mode": "ro", "uri": "true"}
    return URL.create("sqlite+pysqlite", database=path.resolve().as_uri(), query=query).render_as_string()


@contextlib.contextmanager
def _closing_databases() -> Iterator[None]:
    """Have MLflow close databases after each use, or it would read one that was replaced from the old file."""
    before = os.environ.get(_POOL)
    os.environ[_POOL] = "NullPool"
    try:
        yield
    finally:
        del os.environ[_POOL]
        if before is not None:
            os.environ[_POOL] = before


def _client() -> Any:
    """Return the class of MLflow's client. Raises UsageError if MLflow is missing."""
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise UsageError("reading MLflow's runs needs mlflow: pip install 'lrbench-torch[mlflow]'") from error
    for name in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return MlflowClient


def _runs(client: Any, place: Any, path: Path) -> list[Foreign]:
    """Return an experiment's runs; of a folder with a damaged run, of which MLflow gives none, the others."""
    try:
        return list(_pages(client, place))
    except Exception:  # many kinds
        if not path.is_dir():
            raise
    found = []
    for folder in folders_in(path / str(place.experiment_id)):
        with contextlib.suppress(Exception):  # `_lacking` tells it
            run = client.get_run(folder.name)
            active = run.info.lifecycle_stage == "active"
            found += [_read(client, place.name, run)] if active and run.data.metrics else []
    return found


def _pages(client: Any, place: Any) -> Iterator[Foreign]:
    token = None
    while True:
        page = client.search_runs([place.experiment_id], max_results=_AT_ONCE, page_token=token)
        yield from (_read(client, place.name, run) for run in page if run.data.metrics)
        token = page.token
        if not token:
            return


def _read(client: Any, experiment: str, run: Any) -> Foreign:
    log: dict[int, dict[str, float]] = {}
    again = 0
    for name in run.data.metrics:
        history = sorted(client.get_metric_history(run.info.run_id, name), key=lambda one: (one.step, one.timestamp))
        stepless = len(history) > 1 and len({one.step for one in history}) == 1
        for index, one in enumerate(history):
            row = log.setdefault(index if stepless else one.step, {})
            again += name in row
            row[name] = float(one.value)
    steps = any(step for step in log)
    rows = [({"step": float(step)} if steps else {}) | log[step] for step in sorted(log)]
    status = _STATUSES.get(run.info.status)
    reason = "" if status is Status.FINISHED else f"its status is {run.info.status}"
    params = {name: typed(value) for name, value in run.data.params.items()}
    start, end = run.info.start_time, run.info.end_time
    return Foreign(
        run.info.run_id, run.info.run_name or run.info.run_id, "" if experiment == "Default" else experiment, rows,
        params, status, reason, seconds=(end - start) / 1000 if start and end else None,
        started=iso(start / 1000) if start else None, faults=written_again(again),
    )  # fmt: skip
