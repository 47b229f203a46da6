"""Build both distributions, check them, and use the wheel from an empty folder. See `make release-check`.

python tests/release.py            # in a fresh environment, with all that the wheel depends on
python tests/release.py --reuse    # quicker: only the wheel is installed; the rest comes from this environment

pip's own variables apply, such as PIP_NO_INDEX and PIP_FIND_LINKS.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
KEPT = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def call(*words: object, cwd: Path = ROOT) -> None:
    """Run a command that must succeed, without this clone on its path."""
    print("$", *words, flush=True)
    subprocess.run([str(word) for word in words], cwd=cwd, env=KEPT, check=True)


def built(folder: Path) -> Path:
    """Build both distributions, check their metadata, and return the wheel, which is built from the other one."""
    call(sys.executable, "-m", "build", "--outdir", folder)
    call(sys.executable, "-m", "twine", "check", "--strict", *folder.iterdir())
    (wheel,) = folder.glob("*.whl")
    return wheel


def installed(wheel: Path, folder: Path, reuse: bool) -> Path:
    """Install the wheel into a new environment and return the folder of its commands."""
    venv.create(folder, with_pip=True)
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    call(commands / "python", "-m", "pip", "install", "--quiet", *["--no-deps"] * reuse, wheel)
    if reuse:
        (packages,) = folder.glob("[Ll]ib/**/site-packages")
        (packages / "reused.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return commands


def starters(lrbench: Path, python: Path, folder: Path) -> None:
    """Write each kind of starter and type its first command; those that need more than lrbench are only written."""
    listing = subprocess.run([lrbench, "init"], env=KEPT, check=True, capture_output=True, text=True).stdout
    for kind in (line.split()[0] for line in listing.splitlines()[:-1]):
        call(lrbench, "init", kind, folder / kind)
        said = subprocess.run(
            [lrbench, "init", kind, folder / kind, "--force"], env=KEPT, check=True, capture_output=True, text=True
        ).stdout
        command = said.partition("Next:")[2].split("\n")[2].split()
        if "pip install" not in said:
            call({"lrbench": lrbench, "python": python}[command[0]], *command[1:], cwd=folder / kind)


ALONE = ("multilabel", "regression", "segmentation", "sequences", "vae")
"""Folders of examples with a config of the same name."""


def examples(lrbench: Path, folder: Path) -> None:
    """Train each example that needs nothing else for one epoch."""
    shutil.copytree(ROOT / "examples", folder)
    for name in ("image-model/images", "gpt/sums", *(f"{one}/{one}" for one in ALONE)):
        config = folder / f"{name}.yaml"
        call(lrbench, "run", config.name, "--set", "epochs=1", "--set", "schedule=constant", cwd=config.parent)


def main(words: Sequence[str] | None = None) -> None:
    """Build, install, use."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--reuse", action="store_true")
    reuse = parser.parse_args(words).reuse
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        commands = installed(built(root / "dist"), root / "venv", reuse)
        lrbench, python = commands / "lrbench", commands / "python"
        (empty := root / "empty").mkdir()
        call(lrbench, "demo", "--seeds", 1, "--no-open", cwd=empty)
        call(lrbench, "run", "digits/baseline", "--set", "epochs=1", cwd=empty)
        starters(lrbench, python, empty)
        examples(lrbench, empty / "examples")
    print("The wheel is complete.")


if __name__ == "__main__":
    main()
