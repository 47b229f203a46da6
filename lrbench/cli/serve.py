"""The command `lrbench serve`, and `--serve` of commands that train."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from lrbench.cli.browser import Open, open_page, opens
from lrbench.cli.options import Baseline, Debug, Filters, Metric, PoolCode, Runs, RunsGiven, option
from lrbench.cli.terminal import Terminal, inline
from lrbench.errors import Interrupted, Terminated, UsageError
from lrbench.events import Event, Watch, message

Serve = Annotated[bool, option("Show the runs in a live page while they train, as lrbench serve does.", "--serve")]


def serve(
    runs_given: RunsGiven = None,
    port: Annotated[
        int | None, option("Port to listen on. Default: 7470, or the next free one.", min=0, max=65535)
    ] = None,
    host: Annotated[str, option("Address to listen on. 0.0.0.0 lets other machines connect.")] = "127.0.0.1",
    prefix: Annotated[str, option("Path under which a proxy shows the page, such as /lr/.", metavar="PATH")] = "/",
    allow_host: Annotated[
        list[str] | None, option("Another host name by which a proxy reaches this server; repeatable.", metavar="NAME")
    ] = None,
    read_only: Annotated[bool, option("Show no buttons, and refuse requests to sweeps.", "--read-only")] = False,
    open_it: Open = None,
    metric: Metric = None,
    baseline: Baseline = None,
    filters: Filters = None,
    target: Annotated[str | None, option("Show the time to reach a target.", metavar="METRIC=X")] = None,
    pool_code: PoolCode = False,
    runs: Runs = Path("runs"),
    beside: Annotated[bool, option("", "--beside", hidden=True)] = False,
    debug: Debug = False,
) -> None:
    """Show the report as a live page: curves grow, answers and the progress of sweeps change. Ctrl-C ends it.

    [dim]lrbench serve --port 7470    ssh -L 7470:localhost:7470 gpu1[/]
    """
    from lrbench.config import exists
    from lrbench.server import Server, Settings

    paths = runs_given or [runs]
    if files := [path for path in paths if exists(path) and not path.is_dir()]:
        raise UsageError(f"{files[0]} is a file; name a folder of runs")
    unmatched = _checked(paths, metric, target, filters or ())
    asked = {"metric": metric, "baseline": baseline, "filters": filters or (), "target": target, "pool_code": pool_code}
    server = Server(Settings(paths, host, port, prefix, allow_host or (), read_only, asked))
    if beside:
        print(server.address, flush=True)
        threading.Thread(target=open_page, args=(server.address, open_it), daemon=True).start()
        os.nice(10)
        server.serve(_parent_ends, last=True)
        return
    with _Stop() as stop:
        _announce(Terminal(), server.address, server.public, paths, unmatched)
        threading.Thread(target=open_page, args=(server.address, open_it), daemon=True).start()
        server.serve(stop.wait)
    raise stop.error


def _announce(console: Terminal, address: str, public: bool, paths: list[Path], unmatched: str) -> None:
    if public:
        console.print(
            "[yellow]Other machines can connect: anyone with this address can read the runs.[/] The connection is "
            "not encrypted: an SSH tunnel is safer.",
            soft_wrap=True,
        )
    from lrbench.config import exists

    missing = [path for path in paths if not exists(path)]
    if missing:
        folder, do = ("the folder", "does") if len(missing) == 1 else ("folders", "do")
        names = inline(", ".join(map(str, missing)))
        console.print(f"waiting for {folder} {names}, which {do} not exist yet", soft_wrap=True)
    if unmatched:
        console.print(f"{inline(unmatched)}; the page shows runs as soon as some match", soft_wrap=True)
    console.print(f"Live page: {inline(address)}  (Ctrl-C ends it)", soft_wrap=True)


class _Stop:
    """Waits for Ctrl-C or SIGTERM."""

    def __init__(self) -> None:
        self.error: Interrupted = Interrupted("stopped")
        self.happened = threading.Event()

    def __enter__(self) -> _Stop:
        self.before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _: object) -> None:
        self.error = Terminated("stopped") if number == signal.SIGTERM else Interrupted("stopped")
        self.happened.set()

    def wait(self) -> str:
        """Wait for the end, and return why it came."""
        while not self.happened.wait(1.0):  # a wait without an end would not notice signals on Windows
            pass
        return "The server was stopped. The same command starts it again, at a new address."


def _parent_ends() -> str:
    """Wait until the process that started this one ends, or closes its end of the pipe."""
    parent, closed = os.getppid(), threading.Event()

    def read() -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdin.read()
        closed.set()

    threading.Thread(target=read, daemon=True).start()
    while not closed.wait(1.0) and os.getppid() == parent:
        pass
    return "The training command has ended, and with it this page. lrbench serve shows the page again."


@contextlib.contextmanager
def serving(runs: Path | None, watch: Watch) -> Iterator[Watch]:
    """During the block, show a folder of runs, if one is given, in a live page.

    Yields what to call with events in place of `watch`. The page begins, and `watch` is told its address, once the
    first run does: mistakes in a config come before.
    """
    if runs is None:
        yield watch
        return
    from lrbench.server import beside

    begun = False
    with contextlib.ExitStack() as stack:

        def heard(event: Event) -> None:
            nonlocal begun
            if not begun and event.kind == "start":
                begun, opening = True, "--open" if opens(None) else "--no-open"
                stack.enter_context(beside(runs, [opening], lambda said: watch(message(f"live page: {said}"))))
            watch(event)

        yield heard


def _checked(paths: list[Path], metric: str | None, target: str | None, filters: Sequence[str]) -> str:
    """Return why no run that is there matches the filters; empty if some do, or there are none: any may come.

    Raises UsageError for a filter that can match none, and if no run that is there has the metric, as a report does.
    """
    from lrbench.analysis import Target, check_filters, measure_named, read_runs
    from lrbench.config import exists
    from lrbench.reports import gather

    check_filters(filters)
    there = [path for path in paths if exists(path)]
    if (metric is None and target is None and not filters) or not (records := read_runs(there)):
        return ""
    if metric is not None:
        measure_named(records, metric)
    if target is not None:
        Target.parse(target, records)
    try:
        gather(there, filters=filters, read=lambda _: records)
    except UsageError as error:
        return str(error)
    return ""
