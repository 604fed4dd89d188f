"""The parts into which the lines of a batch are cut, and what their names say."""

from __future__ import annotations

import re

# A part is one file of the transform job: progress is told by parts, and machines take parts.
LINES = 500
# Large files get larger parts, so that a thousand keys list them all.
MOST = 900
LARGEST_BYTES = 16_000_000

_NAME = re.compile(r"(?P<number>\d{6,})-(?P<lines>\d+)\.jsonl")


def is_full(*, lines: int, size: int, whole_size: int) -> bool:
    """Whether a part of so many lines and bytes takes no more, of a file of `whole_size` bytes."""
    return size >= LARGEST_BYTES or (lines >= LINES and size * MOST >= whole_size)


def name(number: int, lines: int) -> str:
    """The name of a part; in the order of names, parts are in the order of lines."""
    return f"{number:06d}-{lines}.jsonl"


def lines_of(part: str) -> int:
    """How many lines the part of this name has."""
    found = _NAME.fullmatch(part)
    if found is None:
        raise ValueError(f"{part!r} is not the name of a part")
    return int(found["lines"])
