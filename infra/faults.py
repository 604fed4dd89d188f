"""What is wrong with a stage file: one fault a line, in the words of the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One setting that cannot be used, and why."""

    path: tuple[str | int, ...]
    message: str

    def line(self, file: str) -> str:
        """`stages/dev.yaml: models.topics.endpoint.memory_mb: got 5000, …`."""
        dotted = ".".join(str(part) for part in self.path)
        return ": ".join(part for part in (file, dotted, self.message) if part)


class SettingsError(Exception):
    """Every fault of one stage file; its text has one line for each."""

    def __init__(self, file: str, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(fault.line(file) for fault in faults))
        self.file = file
        self.faults = tuple(faults)


def choices(values: Sequence[object]) -> str:
    """`1, 2 or 3`, shortened in the middle when there are many."""
    words = [str(value) for value in values]
    if len(words) > 24:
        words = [*words[:10], "…", words[-1]]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
