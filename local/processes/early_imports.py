"""Whether code does the same in a process that imported torch and transformers before it."""

from __future__ import annotations

import ast
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

_IMPORTS_THEM = re.compile(r"^\s*(?:from|import)\s+(?:torch|transformers)\b", re.MULTILINE)
_INSTALLS = re.compile(r"\bpip\b.{1,20}\binstall\b")
# Looked at when they are needed, not when something is imported.
_READ_WHEN_USED = {"ACCELERATE_MIXED_PRECISION", "TOKENIZERS_PARALLELISM"}
_READS = {"copy", "get", "items", "keys", "values"}
_CHANGES = {"environb", "load_dotenv", "putenv", "unsetenv"}


def gains_by_early_imports(code: Iterable[Path]) -> bool:
    """Whether the directories and zips import these, and before that change nothing that matters.

    That is a variable which imports may read, or the installed packages. Every use of the
    environment that is not plainly a read counts as a change.
    """
    sources = [source for path in code for source in _sources(path)]
    return any(_IMPORTS_THEM.search(source) for source in sources) and not any(
        _INSTALLS.search(source) or _sets_variables(source) for source in sources
    )


def _sources(path: Path) -> Iterator[str]:
    if path.is_dir():
        for file in path.rglob("*.py"):
            if file.is_file():
                yield file.read_text(errors="replace")
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".py"):
                    yield archive.read(name).decode(errors="replace")


def _sets_variables(source: str) -> bool:
    """Whether it may change the environment, or cannot be read."""
    if not any(word in source for word in ("environ", *_CHANGES)):
        return False
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):
        return True
    harmless = {id(held) for node in nodes for held in _held_harmlessly(node)}
    return any(_named(node) & _CHANGES for node in nodes) or any(
        "environ" in _named(node) and id(node) not in harmless for node in nodes
    )


def _named(node: ast.AST) -> set[str]:
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return {name}
        case ast.ImportFrom(names=names):
            # Under its own name it is found where it is used.
            return {each.name for each in names if each.asname}
    return set()


def _held_harmlessly(node: ast.AST) -> Iterable[ast.AST]:
    """What a node uses in a way that changes nothing, if it is the environment."""
    match node:
        case ast.Subscript(value=held, ctx=ast.Load()):
            return [held]
        case ast.Subscript(value=held, slice=ast.Constant(value=name)) if name in _READ_WHEN_USED:
            return [held]
        case ast.Call(
            func=ast.Attribute(value=held, attr="setdefault"), args=[ast.Constant(value=name), *_]
        ) if name in _READ_WHEN_USED:
            return [held]
        case ast.Attribute(value=held, attr=attr) if attr in _READS:
            return [held]
        case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[held]):
            return [held]
    return []
