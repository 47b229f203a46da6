"""A bare typer program with as many commands as lrbench's users first see: the least that `--help` takes."""

import typer

app = typer.Typer()
for name in ("run", "sweep", "find-lr", "report", "preview", "list"):
    app.command(name)(lambda configs: None)
app()
