"""The command line app. It turns errors into messages and exit codes."""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from os import _exit as end_process
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from lrbench._version import __version__
from lrbench.cli import json_output
from lrbench.cli.audit import audit
from lrbench.cli.check_width import check_width
from lrbench.cli.compare import compare
from lrbench.cli.demo import demo
from lrbench.cli.doctor import doctor
from lrbench.cli.export import export
from lrbench.cli.figure import figure
from lrbench.cli.find_lr import find_lr
from lrbench.cli.help import Command, epilog
from lrbench.cli.import_ import import_
from lrbench.cli.init import init
from lrbench.cli.interrupts import AT_ONCE
from lrbench.cli.list import list_
from lrbench.cli.mistakes import on_one_line, told
from lrbench.cli.options import completed, modern
from lrbench.cli.preview import preview
from lrbench.cli.report import report
from lrbench.cli.run import run
from lrbench.cli.schema import schema
from lrbench.cli.serve import serve
from lrbench.cli.sweep import sweep
from lrbench.cli.terminal import Terminal, give_up
from lrbench.cli.transfer import transfer
from lrbench.cli.watch import watch
from lrbench.errors import Interrupted, LrbenchError, command_line, shortened

EXIT_SECONDS = 30.0
"""How long the process may take to end after a command."""
OF_THE_SYSTEM = (
    errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENAMETOOLONG, errno.ENFILE, errno.ENOSPC, errno.EROFS,
)  # fmt: skip
"""Errors of the system that no code of ours can cause or prevent."""

app = typer.Typer(
    name="lrbench",
    help="Which learning rate, which schedule, for my model and my data, and how sure can I be?",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lrbench {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "init": init,
    "run": run,
    "sweep": sweep,
    "report": report,
    "figure": figure,
    "serve": serve,
    "watch": watch,
    "compare": compare,
    "preview": preview,
    "audit": audit,
    "find-lr": find_lr,
    "check-width": check_width,
    "transfer": transfer,
    "export": export,
    "import": import_,
    "list": list_,
    "schema": schema,
    "doctor": doctor,
}
for _name, _function in COMMANDS.items():
    app.command(_name, cls=Command, epilog=epilog(_name))(_function)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit the process with its exit code."""
    words = completed(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # paths may contain bytes that are not UTF-8
    if sys.__stderr__ is not None and not faulthandler.is_enabled():
        with contextlib.suppress(OSError, ValueError):  # standard error is closed, or no file
            faulthandler.enable(sys.__stderr__)  # tells in which line C code crashed
    code = _run(words)
    if arguments is None:  # the process is lrbench's own
        threading.Thread(target=_insist, args=(code,), daemon=True).start()
    sys.exit(code)


def _insist(code: int) -> None:
    """End the process although code of a run would keep it alive: by a thread, or by what it does at the exit."""
    time.sleep(EXIT_SECONDS)
    alive = [one.name for one in threading.enumerate() if not one.daemon and one is not threading.main_thread()]
    what = f"threads that a run started ({', '.join(alive)})" if alive else "something that a run left for the exit"
    with contextlib.suppress(OSError):
        os.write(2, f"\nWarning: {what} would have kept lrbench from ending, so it ended without them\n".encode())
    end_process(code)


def _run(words: list[str]) -> int:
    """Run a command and return its exit code; with `--json`, the last line has it."""
    code = 1
    try:
        with command_line():
            code = _code(modern(words))
    finally:
        json_output.close(code)
    return code


def _code(words: list[str]) -> int:
    complain = _complain_in_json if "--json" in words else _complain
    try:
        return _called(words)
    except LrbenchError as error:
        if "--debug" in words:
            raise
        return complain(on_one_line(str(error), words), error.exit_code, warn=isinstance(error, Interrupted))
    except (KeyboardInterrupt, typer.Abort, typer.Exit):
        return complain(AT_ONCE, 130, warn=True)
    except BrokenPipeError:
        give_up(Console())
        return 1
    except OSError as error:
        if "--debug" in words:
            raise
        if error.errno not in OF_THE_SYSTEM:
            return complain(_unexpected(error), 1)
        if error.filename is None:
            give_up(Console())
            return _complain(f"cannot write the output: {error.strerror}", 1)  # JSON would be the output
        named = on_one_line(f"{shortened(os.fsdecode(error.filename), 200)}: {error.strerror}", words)
        return complain(named, 2 if error.errno == errno.ENAMETOOLONG else 1)
    except Exception as error:
        if (said := told(error, words)) is not None:
            return complain(said, 2)
        if hasattr(error, "show"):  # click's own, such as the help that a command line without words gets
            error.show()
            return int(getattr(error, "exit_code", 2))
        if "--debug" in words:
            raise
        return complain(_unexpected(error), 1)


def _called(words: list[str]) -> int:
    """Run a command, write what it has printed, and return its exit code. Raises typer.Exit for Ctrl-C."""
    try:
        code = app(args=words, prog_name="lrbench", standalone_mode=False)
    except typer.Exit as error:
        if error.exit_code == 130:  # typer turns Ctrl-C into this
            raise
        code = error.exit_code
    if sys.stdout is not None:  # it is open
        sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _unexpected(error: Exception) -> str:
    text = f"lrbench failed unexpectedly: {type(error).__name__}: {error}"
    return f"{text}. Please report this bug with the output of --debug"


def _complain_in_json(text: str, code: int, warn: bool = False) -> int:
    json_output.complain(text, code)
    return code


def _complain(text: str, code: int, warn: bool = False) -> int:
    prefix = "" if warn else "[red]Error: [/]"
    Terminal(stderr=True).print(f"{prefix}{escape(text)}", soft_wrap=True)
    return code
