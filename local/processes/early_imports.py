"""Whether code does the same in a process that imported torch and transformers before it."""

from __future__ import annotations

import ast
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

_IMPORTS_THEM = re.compile(r"^\s*(?:from|import)\s+(?:torch|transformers)\b", re.MULTILINE)
# Looked at when they are needed, not when something is imported.
_READ_WHEN_USED = ("ACCELERATE_", "TOKENIZERS_PARALLELISM")
_CHANGES = {"clear", "pop", "popitem", "setdefault", "update"}
_CHANGES_BY_CALL = {"load_dotenv", "putenv", "unsetenv"}


def gains_by_early_imports(code: Iterable[Path]) -> bool:
    """Whether the directories and zips import these, and set no variable that the imports read."""
    sources = [source for path in code for source in _sources(path)]
    return any(_IMPORTS_THEM.search(source) for source in sources) and not any(
        _sets_variables(source) for source in sources
    )


def _sources(path: Path) -> Iterator[str]:
    if path.is_dir():
        for file in path.rglob("*.py"):
            yield file.read_text(errors="replace")
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".py"):
                    yield archive.read(name).decode(errors="replace")


def _sets_variables(source: str) -> bool:
    """Whether it changes the environment, or cannot be read."""
    if not any(word in source for word in ("environ", *_CHANGES_BY_CALL)):
        return False
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return True
    return any(_changes_environment(node) for node in ast.walk(tree))


def _changes_environment(node: ast.AST) -> bool:
    match node:
        case ast.Subscript(value=held, slice=name, ctx=ast.Store() | ast.Del()):
            return _is_environment(held) and not _is_read_when_used(name)
        case ast.Call(func=ast.Attribute(value=held, attr=change), args=given):
            if _is_environment(held):
                return change in _CHANGES and not (given and _is_read_when_used(given[0]))
            return change in _CHANGES_BY_CALL
        case ast.Call(func=ast.Name(id=change)):
            return change in _CHANGES_BY_CALL
        case ast.AugAssign(target=held):
            return _is_environment(held)
    return False


def _is_environment(node: ast.AST) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr == "environ") or (
        isinstance(node, ast.Name) and node.id == "environ"
    )


def _is_read_when_used(name: ast.AST) -> bool:
    return (
        isinstance(name, ast.Constant)
        and isinstance(name.value, str)
        and name.value.startswith(_READ_WHEN_USED)
    )
