"""Every command and option, from the command line app itself."""

from __future__ import annotations

import re
from typing import Any

import typer
from reference_text import code, table

from lrbench.cli.app import app


def commands() -> str:
    """Return a section for each command."""
    group: Any = typer.main.get_command(app)
    sections = [_section(name, command) for name, command in group.commands.items() if not command.hidden]
    return "\n".join(sections)


def _section(name: str, command: Any) -> str:
    params = command.get_params(typer.Context(command))  # in the order of `--help`, with its panels
    arguments = [p for p in params if _is_argument(p)]
    words = " ".join(["lrbench", name, *map(_in_line, arguments), "[OPTIONS]"])
    about = "\n\n".join(_markdown(paragraph) for paragraph in (command.help or "").split("\n\n"))
    about = about.replace("\n```\n\n```sh", "")  # examples share a block
    rows = [(code(_argument(p)), p.help or "", "") for p in arguments]
    text = f"### `{name}`\n\n```text\n{words}\n```\n\n{about}\n\n"
    panels: dict[str, list[tuple[str, str, str]]] = {"": rows} if rows else {}
    for option in params:
        if not _is_argument(option) and not option.hidden and "--help" not in option.opts:
            panels.setdefault(option.rich_help_panel or "", []).append(_row(option))
    for title, options in panels.items():
        text += (f"**{title}**\n\n" if title else "") + table(("", "meaning", "default"), options) + "\n"
    return text + (f"{_markdown(command.epilog)}\n" if command.epilog else "")


def _is_argument(param: Any) -> bool:
    return not any(word.startswith("-") for word in param.opts)


def _argument(param: Any) -> str:
    return str(param.metavar or param.name.upper()).strip("[]")


def _in_line(param: Any) -> str:
    """Return an argument as a command line shows it: in brackets if it may lack, with dots if there may be several."""
    name = _argument(param) if param.required else f"[{_argument(param)}]"
    return f"{name}…" if param.nargs == -1 else name


def _row(option: Any) -> tuple[str, str, str]:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else f" `{option.metavar or 'TEXT'}`"
    default = "" if option.is_flag or option.default in (None, ()) or not option.show_default else option.default
    return f"{names}{value}", _markdown(option.help or ""), code(default)


def _markdown(text: str) -> str:
    """Turn the markup of help texts into Markdown; an example is a line of code."""
    lines = [re.sub(r"\[(/?)(\w[\w ]*)?\]", "", line) for line in text.strip().splitlines()]
    if all(line.startswith("lrbench ") for line in lines):
        return "```sh\n" + "\n".join(line.replace(": ", "  # ") for line in lines) + "\n```"
    return " ".join(lines).replace("<", "&lt;")
