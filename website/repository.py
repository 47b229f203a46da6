"""Files of the repository that pages link to, outside of `docs/`, become pages of the site under `project/`.

So links are written once, as GitHub needs them, and work in both places. A folder without a README gets a list of its
files; a source file is shown as code.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ALWAYS = ("AGENTS.md", "CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/README.md", "runs/README.md")
_FENCED = re.compile(r"^([ ]*)(`{3,})[^\n]*\n.*?^\1\2[ ]*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()([^()\s]+)(\))")
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".sh": "sh", ".toml": "toml", ".md": "markdown"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each linked file of the repository, and for those that they link to."""
    root = Path(config.config_file_path).parent
    waiting = [f"docs/{file.src_uri}" for file in files.documentation_pages()] + [*ALWAYS]
    seen: set[str] = set()
    while waiting:
        path = waiting.pop()
        path = f"{path}/README.md" if (root / path / "README.md").exists() else path
        if path in seen or not (root / path).exists():
            continue
        seen.add(path)
        text = _text(root, path)
        if not path.startswith("docs/"):
            files.append(File.generated(config, _uri(root, path), content=text))
        if path.endswith(".md") or (root / path).is_dir():
            waiting += [to for to in map(_resolver(path), _targets(text)) if to and not to.startswith("docs/")]
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    root = Path(config.config_file_path).parent
    resolve = _resolver(_path(page.file.src_uri))
    here = posixpath.dirname(page.file.src_uri)

    def link(found: re.Match[str]) -> str:
        target, hash_, anchor = found[2].partition("#")
        path = resolve(found[2])
        if not target or path is None or not (root / path).exists():
            return found[0]
        return f"{found[1]}{posixpath.relpath(_uri(root, path), here or '.')}{hash_}{anchor}{found[3]}"

    return outside_code(markdown, lambda text: _LINK.sub(link, text))


def outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """Apply `change` to the text between fenced code blocks."""
    pieces, at = [], 0
    for fence in _FENCED.finditer(markdown):
        pieces += [change(markdown[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*pieces, change(markdown[at:])])


def _targets(markdown: str) -> list[str]:
    found: list[str] = []
    outside_code(markdown, lambda text: found.extend(link[2] for link in _LINK.finditer(text)) or text)
    return found


def _resolver(path: str) -> Callable[[str], str | None]:
    """Return a function that resolves a link in the file `path` to a path in the repository; None for a URL."""
    folder = path if not posixpath.splitext(path)[1] else posixpath.dirname(path)

    def resolve(target: str) -> str | None:
        target = target.partition("#")[0]
        if not target or re.match(r"[a-z]+:|/", target):
            return None
        found = posixpath.normpath(posixpath.join(folder, target))
        return None if found.startswith("..") else found

    return resolve


def _uri(root: Path, path: str) -> str:
    """Return where the site has a file of the repository, relative to `docs/`."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if (root / path).is_dir():
        return f"project/{path}/README.md"
    return f"project/{path}" if path.endswith(".md") else f"project/{path}.md"


def _path(uri: str) -> str:
    """Return the file of the repository that a page shows."""
    if not uri.startswith("project/"):
        return f"docs/{uri}"
    path = uri.removeprefix("project/")
    return path.removesuffix(".md") if re.search(r"\.\w+\.md$", path) else path


def _text(root: Path, path: str) -> str:
    file = root / path
    if file.is_dir():
        return _listing(path, file)
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".md":
        return text
    return f"# {file.name}\n\n`{path}`\n\n````{_LANGUAGES.get(file.suffix, 'text')}\n{text.rstrip()}\n````\n"


def _listing(path: str, folder: Path) -> str:
    shown = sorted(one for one in folder.iterdir() if one.name[0] not in "._" and one.suffix != ".pyc")
    return f"# {path}\n\n" + "\n".join(f"- [{one.name}]({one.name})" for one in shown) + "\n"
