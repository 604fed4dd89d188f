"""Reads a cell that holds a list of labels as JSON, Python or numpy write it."""

import ast
import json
import re
from typing import TypeGuard

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?")
# numpy parts strings by white space alone, and Python would join them to one.
JOINED_STRINGS = re.compile(r"""['"]\s+['"]""")


def is_bracketed(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value.strip()[:1] == "[" and value.strip()[-1:] == "]"


def read_list(cell: str) -> list[object] | None:
    """The elements within the brackets, or None where they cannot be told apart."""
    for read in (json.loads, _python, _numbers):
        try:
            return list(read(cell.strip()))
        # All that literal_eval is documented to raise.
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
    return None


def _python(text: str) -> list[object]:
    if JOINED_STRINGS.search(text):
        raise ValueError(text)
    return ast.literal_eval(text)  # type: ignore[no-any-return]


def _numbers(text: str) -> list[str]:
    parts = text[1:-1].split()
    if not all(NUMBER.fullmatch(part) for part in parts):
        raise ValueError(text)
    return [part.removesuffix(".") for part in parts]
