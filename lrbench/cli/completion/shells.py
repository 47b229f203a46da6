"""How each shell tells what was typed, and how it wants the answer, as in typer's completion scripts."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence

Candidate = tuple[str, str]
"""A word that can follow, and its meaning."""
Environ = Mapping[str, str]

_BREAKS = re.compile("[=:]+")  # where bash ends words, besides spaces


class Bash:
    """Bash, which ends words at `=` and `:` too, and replaces only what follows the last of them."""

    def words(self, environ: Environ) -> tuple[list[str], str]:
        """Return the words before the one that is completed, and what is typed of that."""
        typed = environ.get("COMP_WORDS", "").split("\n")
        at = int(environ.get("COMP_CWORD", len(typed) - 1))
        typed = [*typed[:at], typed[at] if at < len(typed) else ""]
        joined: list[str] = []
        follows = False
        for word in typed:
            broken = bool(_BREAKS.fullmatch(word))
            if joined and (broken or follows):
                joined[-1] += word
            else:
                joined.append(word)
            follows = broken
        self._replaced = joined[-1]
        return [unquoted(word) for word in joined[1:-1]], unquoted(joined[-1])

    def say(self, found: Sequence[Candidate], environ: Environ) -> int:
        """Print the candidates and return the exit code."""
        typed = getattr(self, "_replaced", "")
        kept = max((match.end() for match in _BREAKS.finditer(typed)), default=0)
        _write(word[kept:] for word, _ in found)
        return 0


class _OneLine:
    def words(self, environ: Environ) -> tuple[list[str], str]:
        """Return the words before the one that is completed, and what is typed of that."""
        line = environ.get("_TYPER_COMPLETE_ARGS", "")
        words = split(line)[1:]
        return (words[:-1], words[-1]) if words and not line.endswith(" ") else (words, "")


class Zsh(_OneLine):
    """Zsh, which evaluates the answer."""

    def say(self, found: Sequence[Candidate], environ: Environ) -> int:
        """Print the candidates and return the exit code."""
        described = [f'"{_quoted(word)}":"{_quoted(text)}"' if text else f'"{_quoted(word)}"' for word, text in found]
        _write(["_arguments '*: :((" + "\n".join(described) + "))'"] if found else ["_files"])
        return 0


class Fish(_OneLine):
    """Fish, which asks first whether there are any candidates."""

    def say(self, found: Sequence[Candidate], environ: Environ) -> int:
        """Print the candidates and return the exit code."""
        if environ.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args":
            return 0 if found else 1
        _write(f"{word}\t{text}" if text else word for word, text in found)
        return 0


class PowerShell(_OneLine):
    """PowerShell, which tells the word that is completed by itself."""

    def words(self, environ: Environ) -> tuple[list[str], str]:
        """Return the words before the one that is completed, and what is typed of that."""
        words = split(environ.get("_TYPER_COMPLETE_ARGS", ""))[1:]
        current = environ.get("_TYPER_COMPLETE_WORD_TO_COMPLETE", "")
        return (words[:-1] if current else words), current

    def say(self, found: Sequence[Candidate], environ: Environ) -> int:
        """Print the candidates and return the exit code."""
        _write(f"{word}:::{text or ' '}" for word, text in found)
        return 0


SHELLS: Mapping[str, Bash | Zsh | Fish | PowerShell] = {
    "bash": Bash(),
    "zsh": Zsh(),
    "fish": Fish(),
    "powershell": PowerShell(),
    "pwsh": PowerShell(),
}


def split(line: str) -> list[str]:
    """Split a line as a shell does, also one whose last quote is still open."""
    import shlex

    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        words.extend(lexer)
    except ValueError:  # the quote is open; what is read so far is the word
        words.append(str(lexer.token))
    return words


def unquoted(word: str) -> str:
    """Return a word without quotes and backslashes."""
    return "".join(split(word)) if re.search("[\"'\\\\]", word) else word


def _quoted(text: str) -> str:
    found = text.replace('"', '""').replace("'", "''").replace("$", "\\$").replace("`", "\\`")
    return found.replace(":", "\\\\:")


def _write(lines: Iterable[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
