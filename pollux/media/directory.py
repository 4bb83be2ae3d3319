# SPDX-License-Identifier: Apache-2.0
"""The files of a directory in sorted order, without those git ignores.

Links are not followed. One that stays inside leads to a file that is met under its own name
anyway (or that git ignores), and so no cycle can arise; one that leaves is reported.
"""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pathspec.patterns.gitignore.base import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from pollux.media.file import open_regular, refuse_special, unopened
from pollux.media.limits import Unreadable

LEFT_OUT = frozenset({".git", ".hg", ".svn", ".venv", "node_modules", "__pycache__"})
_MAX_RULES = 1 << 20  # bytes of one .gitignore


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file, its path relative to the walked directory in `name`; with a reason, not to be read.

    A directory left out is one entry too.
    """

    name: str
    path: Path
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The patterns of one .gitignore. `base` is its directory, as "" or "a/b/", below the
    outermost one that has a say."""

    base: str
    patterns: tuple[GitIgnoreSpecPattern, ...]


def walk(top: Path) -> Iterator[Entry]:
    """Every file below `top` in sorted order. Raises Unreadable if `top` cannot be listed."""
    top = Path(os.path.realpath(top))
    prefix, rules = _rules_above(top)
    # A stack, not recursion: directories may be nested deeper than Python's calls may be.
    stack = [(_listed(top), prefix, (*rules, *_rules(top, prefix)))]
    while stack:
        entries, base, rules = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            continue
        name = f"{base}{entry.name}"
        path = Path(entry.path)
        reason = _left_out(entry, name, rules, top)
        if reason is None:
            continue
        if reason or not entry.is_dir(follow_symlinks=False):
            yield Entry(name=name[len(prefix) :], path=path, reason=reason)
            continue
        try:
            below = _listed(path)
        except Unreadable as error:
            yield Entry(name=name[len(prefix) :], path=path, reason=error.reason)
            continue
        stack.append((below, f"{name}/", (*rules, *_rules(path, f"{name}/"))))


def _listed(directory: Path) -> Iterator[os.DirEntry]:
    try:
        with os.scandir(directory) as entries:
            return iter(sorted(entries, key=lambda entry: entry.name))
    except OSError as error:
        raise unopened(directory, error) from None


def _left_out(entry: os.DirEntry, name: str, rules: tuple[Rules, ...], top: Path) -> str | None:
    """Why it is not read: "" if it is, None if nobody need know."""
    if entry.is_symlink():
        if not os.path.exists(entry.path):
            return "is a link to nothing"
        inside = Path(os.path.realpath(entry.path)).is_relative_to(top)
        return None if inside else "is a link that leaves the directory"
    if entry.name in LEFT_OUT:
        return "is left out"
    is_dir = entry.is_dir(follow_symlinks=False)
    if _is_ignored(rules, name, is_dir):
        return "is ignored by git"
    if is_dir and entry.name.endswith(".reading"):
        return "is a reading"
    if not is_dir and not entry.is_file(follow_symlinks=False):
        try:
            refuse_special(entry.stat(follow_symlinks=False).st_mode)
        except Unreadable as error:
            return error.reason
        except OSError:
            return "cannot be looked at"
    return ""


def _rules_above(top: Path) -> tuple[str, tuple[Rules, ...]]:
    """The rules of the repository around `top`, and the path of `top` in it ("" or "a/b/")."""
    root = next((path for path in (top, *top.parents) if os.path.exists(path / ".git")), top)
    rules = _rules(root / ".git" / "info", "", "exclude")
    prefix = ""
    directory = root
    for name in top.relative_to(root).parts:
        rules += _rules(directory, prefix)
        if _is_ignored(rules, prefix + name, True):
            return "", ()  # named although ignored: then it is wanted
        directory /= name
        prefix += f"{name}/"
    return prefix, rules


def _rules(directory: Path, base: str, name: str = ".gitignore") -> tuple[Rules, ...]:
    """Empty where there are none: an unreadable file of rules forbids nothing."""
    path = directory / name
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return ()
        with open_regular(path) as file:
            text = file.read(_MAX_RULES).decode("utf-8-sig", "surrogateescape")
    except (OSError, Unreadable):
        return ()
    patterns = (_pattern(line.removesuffix("\r")) for line in text.split("\n"))
    kept = tuple(pattern for pattern in patterns if pattern and pattern.regex)
    return (Rules(base=base, patterns=kept),) if kept else ()


def _pattern(line: str) -> GitIgnoreSpecPattern | None:
    if line.endswith("/**/"):  # the library takes "a/**/" for "a/"
        line += "*/"
    try:
        return GitIgnoreSpecPattern(line)
    except (GitIgnorePatternError, re.error):  # git, too, lets such a line match nothing
        return None


def _is_ignored(rules: tuple[Rules, ...], name: str, is_dir: bool) -> bool:
    """The last pattern that matches decides, those of deeper directories after the others."""
    for level in reversed(rules):
        relative = name[len(level.base) :]
        for pattern in reversed(level.patterns):
            if _matches(pattern, relative, is_dir):
                return bool(pattern.include)
    return False


def _matches(pattern: GitIgnoreSpecPattern, name: str, is_dir: bool) -> bool:
    """Whether `name` itself matches. The library's patterns also match all below a match, its
    slash then being their one group; here, the directories above were judged before."""
    assert pattern.regex is not None
    found = pattern.regex.search(name)
    if found and found.lastindex is None:
        return True
    if not is_dir:
        return False
    return any(
        match.end(1) == len(name) + 1
        for match in pattern.regex.finditer(f"{name}/")
        if match.lastindex
    )
