"""How `--help` is laid out: panels of options, how values are written, and the exit codes of each command."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from lrbench.cli.option_values import check_values
from lrbench.errors import UsageError

PANELS = {
    "What to train": "lr seeds schedule set widths key both steps",
    "Range test": "start end iterations shape smoothing stop-factor validation",
    "Selection": "zoom zoom-width max-runs confirm prune halve",
    "Statistics": "metric baseline filter target axis pool-code epsilon",
    "Execution": "jobs stack executor address runs-per-gpu slurm device retries fail-fast max-failures again no-wait "
    "dry-run yes trust",
    "Figure": "width height font style title svg-text dpi",
    "Server": "port host prefix allow-host read-only open",
    "Output": "out format columns rows standalone write name track runs status serve json",
    "Help": "debug help",
}
"""The panels in order, with their options; a short command has a single panel."""
SHORT = 11  # options
PATHS = ("DIR", "FILE")
"""How the values of options that take a path are written."""
WRITE_INTO_RUNS = ("transfer",)
"""Commands that write into the --runs folder, also if runs are named."""
_PANEL_OF = {f"--{name}": panel for panel, names in PANELS.items() for name in names.split()}
_WRITTEN = {
    "<bool>": "",
    "<int>": "N",
    "<int range>": "N",
    "<float>": "X",
    "<float range>": "X",
    "<str>": "TEXT",
    "<path>": "PATH",
}

FAILED = "a run failed or did not finish"
WORKED = {0: "all done", 1: FAILED}
DECIDED = {0: "A is better (passes, with --target)", 1: "A is worse (fails)", 3: "a tie", 4: "undecided"}
EXIT_CODES: dict[str, dict[int, str]] = {
    "run": WORKED,
    "sweep": WORKED,
    "find-lr": {0: "done, also without a suggestion", 1: FAILED},
    "compare": DECIDED,
    "audit": {0: "learning rates as meant, or nothing to compare", 1: "some learning rates are not as meant"},
    "doctor": {0: "training works here", 1: "something will not work"},
    "watch": {0: "done, also when Ctrl-C ends watching", 1: "it failed"},
    "import": {0: "done", 1: "nothing could be read"},
    "check-width": {0: "done, whatever the verdict", 1: FAILED},
}
"""What a command's exit codes mean, where they say more than `DONE`; `ALWAYS` goes for all."""
DONE = {0: "done", 1: "it failed"}
ALWAYS = {2: "a mistake in the command or a config", 130: "stopped by Ctrl-C", 143: "stopped by SIGTERM"}


def exit_codes(command: str) -> dict[int, str]:
    """Return what each exit code of a command means, in order."""
    return dict(sorted({**EXIT_CODES.get(command, DONE), **ALWAYS}.items()))


def epilog(command: str) -> str:
    """Return the last lines of a command's help: its exit codes."""
    return f"Exit codes: {'; '.join(f'{code}: {meaning}' for code, meaning in exit_codes(command).items())}."


class Command(TyperCommand):
    """A command whose options are shown in panels, flags without a value and values by short names."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters in the order of the panels."""
        params: list[Any] = [*super().get_params(ctx)]
        for one in params:
            if one.param_type_name == "argument":
                one.display_type_rich = _nothing  # its name and its help say more than `list[Path]`
        options = [one for one in params if one.param_type_name == "option" and not getattr(one, "hidden", False)]
        for one in options:
            one.metavar = _written(one, ctx)
        if len(options) <= SHORT:
            return params
        for one in options:
            one.rich_help_panel = _PANEL_OF.get(next(name for name in one.opts if name.startswith("--")), "Output")
        order = list(PANELS)
        return sorted(params, key=lambda one: order.index(one.rich_help_panel) if one in options else -1)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of a command. Raises UsageError: see `check_values`."""
        check_values(self.get_params(ctx), PATHS, args)
        left = super().parse_args(ctx, args)
        given = ctx.params.get("runs_given")
        typed = getattr(ctx.get_parameter_source("runs"), "name", "") == "COMMANDLINE"
        if given and typed and ctx.info_name not in WRITE_INTO_RUNS:
            raise UsageError(
                f"--runs {ctx.params['runs']} is not used, since the runs are named: {given[0]}; leave out one"
            )
        return left


def _nothing(ctx: Any) -> None:
    return None


def _written(option: Any, ctx: Any) -> str | None:
    """Return how the value of an option is written: `N`, `DIR`; empty for a flag."""
    shown = getattr(option, "display_type_rich", lambda ctx: None)(ctx)
    metavar: str | None = option.metavar
    return _WRITTEN.get(str(shown), metavar)
