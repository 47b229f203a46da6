"""MLflow: an experiment per config's name, a parent run per group, and a nested run per seed."""

from __future__ import annotations

import logging
import os
import re
import socket
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit
from urllib.request import getproxies

from lrbench.errors import UsageError
from lrbench.integrations.trackers import Ending, Known, Log, Row, Run, Tool, quoted
from lrbench.runs import Status

AT_ONCE = {"metrics": 1000, "params": 100}  # MLflow's limits of a request
MOST_IN_PARAM = 500  # characters, the limit of older servers
REACH_SECONDS = 20.0
_STATUSES = {Status.DIVERGED: "FAILED", Status.FAILED: "FAILED"}


class MLflow(Tool):
    """Log to MLflow: parameters, metrics by step, and seeds as nested runs.

    Args:
        into: the folder for the database `mlflow.db`, or for the files `mlruns` where SQLAlchemy is missing.
        uri: a tracking server or database instead of `into`, such as `http://localhost:5000`.
        experiment: the experiment's name; by default the config's.
    """

    title: ClassVar[str] = "MLflow"
    needs: ClassVar[tuple[str, ...]] = ("mlflow",)
    extra: ClassVar[str] = "mlflow"

    def __init__(self, into: Path, uri: str | None = None, experiment: str | None = None) -> None:
        given = uri or (str(into) if "://" in str(into) else None)
        super().__init__(Path() if given else into)
        self.uri, self.experiment, self.here = given or _store_in(self.into), experiment, given is None
        self._client: Any = None

    @property
    def hint(self) -> str:
        """See `Tool`."""
        allow = "MLFLOW_ALLOW_FILE_STORE=true " * self.uri.startswith("file:")
        return self.uri if self.uri.startswith("http") else f"{allow}mlflow ui --backend-store-uri {quoted(self.uri)}"

    @property
    def client(self) -> Any:
        """MLflow's client."""
        if self._client is None:
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # where there is no database
            from mlflow.tracking import MlflowClient

            for name in ("mlflow.store.db.utils", "alembic"):  # they tell of each table of a new database,
                logging.getLogger(name).setLevel(logging.CRITICAL)  # and of errors, which are raised too
            if self.here:
                self.into.mkdir(parents=True, exist_ok=True)
                _make_database(self.uri)
            else:
                _reach(self.uri)
            self._client = MlflowClient(tracking_uri=self.uri) if self.here else _client_of(self.uri)
        return self._client

    def open(self, run: Run) -> Log:
        """See `Tool`. A run that was interrupted goes on; one that was started again replaces the old one."""
        place = self.experiment_of(run)
        known = self.found(place, run)
        if known is not None and known.data.tags.get("lrbench.started") != str(run.started):
            self.client.delete_run(known.info.run_id)
            known = None
        parent = self._parent(place, run)
        if known is None:
            known = self._create(place, run, run.name, {"mlflow.parentRunId": parent, **_tags(run)})
        else:
            self.client.update_run(known.info.run_id, status="RUNNING")
        return _MLflowRun(self, known.info.run_id, parent)

    def holds(self, run: Run, state: str) -> bool | None:
        """See `Tool`."""
        known = self.found(self.experiment_of(run), run)
        return None if known is None else known.data.tags.get("lrbench.state") == state

    def stamp(self, run: Run, state: str) -> None:
        """See `Tool`."""
        known = self.found(self.experiment_of(run), run)
        if known is not None:
            self.client.set_tag(known.info.run_id, "lrbench.state", state)

    def experiment_of(self, run: Run) -> str:
        """Return the id of the run's experiment, which is created if missing."""
        name = self.experiment or run.experiment
        known = self.client.get_experiment_by_name(name)
        if known is not None and known.lifecycle_stage == "deleted":
            self.client.restore_experiment(known.experiment_id)
        if known is not None:
            return str(known.experiment_id)
        artifacts = (self.into.absolute() / "mlartifacts" / re.sub(r"\W", "_", name)).as_uri() if self.here else None
        return str(self.client.create_experiment(name, artifact_location=artifacts))

    def found(self, place: str, run: Run) -> Any:
        """Return the run in MLflow; None if there is none."""
        return self._one(place, f"tags.`lrbench.identity` = '{run.identity}'")

    def _one(self, place: str, which: str) -> Any:
        return next(iter(self.client.search_runs([place], filter_string=which, max_results=1)), None)

    def _parent(self, place: str, run: Run) -> str:
        """Return the id of the group's run, which is created if missing."""
        known = self._one(place, f"tags.`lrbench.parent_of` = '{run.group}'")
        if known is None:
            known = self._create(place, run, run.group, {"lrbench.parent_of": run.group})
        else:
            self.client.update_run(known.info.run_id, status="RUNNING")
        return str(known.info.run_id)

    def _create(self, place: str, run: Run, name: str, tags: Mapping[str, str]) -> Any:
        from mlflow.entities import Param

        told = {"mlflow.source.name": "lrbench", "mlflow.source.type": "LOCAL", **tags}
        made = self.client.create_run(place, start_time=int(run.started * 1000), tags=told, run_name=name)
        params = [Param(_key(key), str(value)[:MOST_IN_PARAM]) for key, value in run.flat.items()]
        if "lrbench.identity" in tags:
            params.append(Param("seed", str(run.seed)))
        for part in _parts(params, AT_ONCE["params"]):
            self.client.log_batch(made.info.run_id, params=part)
        return made


class _MLflowRun(Log):
    """A run in MLflow."""

    def __init__(self, tool: MLflow, number: str, parent: str) -> None:
        self.client, self.number, self.parent = tool.client, number, parent
        self.known = Known(self._last("lr", "loss"), self._last("epoch", "val_loss", "train_loss"))
        self.by_step = self.known.step > 0

    def _last(self, *keys: str) -> int:
        told = self.client.get_run(self.number).data.metrics
        history: Sequence[Any] = next(
            (self.client.get_metric_history(self.number, key) for key in keys if key in told), []
        )
        return max((one.step for one in history), default=0)

    def steps(self, rows: Sequence[Row]) -> None:
        """See `Log`."""
        self._log(rows)

    def evaluation(self, row: Row) -> None:
        """See `Log`."""
        self._log([row._replace(values=self.measured(row))])

    def end(self, ending: Ending) -> None:
        """See `Log`."""
        self._log([Row(ending.step, ending.time, ending.values)])
        self.client.set_tag(self.number, "lrbench.status", ending.status.value)
        if ending.reason:
            self.client.set_tag(self.number, "mlflow.note.content", ending.reason)
        status = _STATUSES.get(ending.status, "FINISHED") if ending.over else "KILLED"
        when = int(ending.time * 1000)
        self.client.set_terminated(self.number, status, end_time=when)
        self.client.set_terminated(self.parent, "FINISHED", end_time=when)

    def _log(self, rows: Iterable[Row]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(_key(name), value, int(row.time * 1000), row.step)
            for row in rows
            for name, value in row.values.items()
        ]
        for part in _parts(metrics, AT_ONCE["metrics"]):
            self.client.log_batch(self.number, metrics=part)


def _reach(uri: str) -> None:
    """Raise UsageError if no server is at an address; MLflow itself would try again for minutes."""
    place = urlsplit(uri)
    if place.scheme not in ("http", "https") or getproxies():
        return
    try:
        port = place.port or (443 if place.scheme == "https" else 80)
        socket.create_connection((place.hostname or "", port), timeout=REACH_SECONDS).close()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{uri} cannot be reached ({why}); give the address of a running MLflow server") from None


def _client_of(uri: str) -> Any:
    """Return MLflow's client for an address that was given. Raises UsageError for one that it can't use."""
    from mlflow.tracking import MlflowClient

    try:
        return MlflowClient(tracking_uri=uri)
    except Exception as error:  # many kinds: of MLflow, SQLAlchemy and the drivers of databases
        unknown = "unsupported URI" in str(error)
        why = "MLflow can't log to this kind of address" if unknown else str(error).partition("\n")[0]
        right = "a server, such as http://localhost:5000, a database, such as sqlite:///mlflow.db, or a folder"
        raise UsageError(f"{uri}: {why}; name {right}") from None


def _store_in(into: Path) -> str:
    """Return the address of the store in a folder: the one that is there, or a database if MLflow can use one."""
    database, files = into.absolute() / "mlflow.db", into.absolute() / "mlruns"
    able = find_spec("sqlalchemy") is not None and find_spec("alembic") is not None
    return f"sqlite:///{database}" if database.exists() or (able and not files.exists()) else files.as_uri()


def _make_database(uri: str) -> None:
    """Make the tables of a new database beside its place.

    MLflow makes them in dozens of migrations. Where one is interrupted, the database is of no use any more.
    """
    from mlflow.tracking import MlflowClient

    database = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:") or database.exists():
        return
    with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=database.parent, ignore_cleanup_errors=True) as made:
        new = Path(made) / database.name
        MlflowClient(tracking_uri=f"sqlite:///{new}").search_experiments(max_results=1)
        try:
            database.hardlink_to(new)
        except FileExistsError:
            pass  # another process was first, and may have written to its database
        except OSError:  # on a file system without hard links
            new.replace(database)


def _tags(run: Run) -> dict[str, str]:
    told = {"lrbench.identity": run.identity, "lrbench.group": run.group, "lrbench.started": str(run.started)}
    commit = {"mlflow.source.git.commit": run.about["git_commit"]} if "git_commit" in run.about else {}
    return {**told, **commit, **{f"lrbench.{key.removeprefix('lrbench_')}": value for key, value in run.about.items()}}


def _key(name: str) -> str:
    """Return a name with the characters that MLflow accepts."""
    return re.sub(r"[^\w\-. :/]", "_", name)


def _parts(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
