"""Files of the repository that pages link to, outside of `docs/`, become pages of the site under `project/`.

So links are written once, as GitHub needs them, and work in both places. A folder without a README gets a list of its
files; a source file is shown as code. A link whose text is a page's file name shows the page's title in the site.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ALWAYS = ("AGENTS.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md", "runs/README.md")
COPIED = (".gif", ".ipynb", ".jpg", ".pdf", ".png", ".svg")
"""Files that are there as they are, not as pages."""

_FENCED = re.compile(r"^([ ]*)(`{3,})[^\n]*\n.*?^\1\2[ ]*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\[)([^\[\]]*)\]\(([^()\s]+)\)|\]\(([^()\s]+)\)")
_BEFORE_LIST = re.compile(r"^([^\s>|*-].*)\n(?=- )", re.MULTILINE)  # GitHub needs no empty line there
_SHOWN: dict[str, str] = {}  # page of the site → file of the repository
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".sh": "sh", ".toml": "toml", ".md": "markdown"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each linked file of the repository, and for those that they link to."""
    root = Path(config.config_file_path).parent
    _SHOWN.clear()
    waiting = [f"docs/{file.src_uri}" for file in files.documentation_pages()] + [*ALWAYS]
    while waiting:
        path = waiting.pop()
        path = f"{path}/README.md" if (root / path / "README.md").exists() else path
        uri = _uri(path)
        if uri in _SHOWN or not (root / path).exists():
            continue
        _SHOWN[uri] = path
        if Path(path).suffix in COPIED:
            if not path.startswith("docs/"):
                files.append(File.generated(config, uri, abs_src_path=str(root / path)))
            continue
        text = _text(root, path)
        if not path.startswith("docs/"):
            files.append(File.generated(config, uri, content=text))
        if path.endswith(".md") or (root / path).is_dir():
            waiting += [to for to in map(_resolver(path), _targets(text)) if to and not to.startswith("docs/")]
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    root = Path(config.config_file_path).parent
    resolve = _resolver(_SHOWN.get(page.file.src_uri, ""))
    here = posixpath.dirname(page.file.src_uri) or "."

    def link(found: re.Match[str]) -> str:
        target, hash_, anchor = (found[2] or found[3]).partition("#")
        path = resolve(target)
        if path is None or not (root / path).exists():
            return found[0]
        text = found[1]
        if text is not None and text == posixpath.basename(path) and path.endswith(".md"):
            text = _title(root / path)
        return f"{text or ''}]({posixpath.relpath(_uri(path), here)}{hash_}{anchor})"

    return outside_code(markdown, lambda text: _LINK.sub(link, _BEFORE_LIST.sub(r"\1\n\n", text)))


def outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """Apply `change` to the text between fenced code blocks."""
    pieces, at = [], 0
    for fence in _FENCED.finditer(markdown):
        pieces += [change(markdown[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*pieces, change(markdown[at:])])


def _targets(markdown: str) -> list[str]:
    return [link[2] or link[3] for link in _LINK.finditer(_FENCED.sub("", markdown))]


def _title(file: Path) -> str:
    return file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def _resolver(path: str) -> Callable[[str], str | None]:
    """Return a function that resolves a link in the file `path` to a path in the repository; None for a URL."""
    folder = posixpath.dirname(path) if posixpath.splitext(path)[1] else path

    def resolve(target: str) -> str | None:
        target = target.partition("#")[0]
        if not target or re.match(r"[a-z]+:|/", target):
            return None
        found = posixpath.normpath(posixpath.join(folder, target))
        return None if found.startswith("..") else found

    return resolve


def _uri(path: str) -> str:
    """Return where the site has a file of the repository, relative to `docs/`."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    path = re.sub(r"(^|/)\.", r"\1", path)  # MkDocs leaves out what begins with a dot
    if Path(path).suffix in COPIED:
        return f"project/{path}"
    return f"project/{path.removesuffix('/README.md').removesuffix('.md')}.md"


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
