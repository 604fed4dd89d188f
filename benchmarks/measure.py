"""Side-by-side measuring: two things in turn, in one run, reported as a ratio with its spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """Wall seconds of `ours` and `reference`, pair by pair."""

    name: str
    ours: list[float]
    reference: list[float]

    @property
    def ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.ours, self.reference, strict=True)]

    def row(self) -> str:
        """One Markdown row: median seconds of both, median ratio and its range."""
        ratio = statistics.median(self.ratios)
        spread = f"{min(self.ratios):.2f}-{max(self.ratios):.2f}"
        ours, reference = statistics.median(self.ours), statistics.median(self.reference)
        return f"| {self.name} | {seconds(ours)} | {seconds(reference)} | {ratio:.2f} | {spread} |"


HEADER = "| what | ours | compared to | ratio | range |\n|---|---|---|---|---|"


def interleave(
    name: str, ours: Callable[[], object], reference: Callable[[], object], rounds: int
) -> Comparison:
    """Run both `rounds` times in turn, after one uncounted round of each."""
    ours(), reference()
    pairs = [(timed(ours), timed(reference)) for _ in range(rounds)]
    return Comparison(name, [a for a, _ in pairs], [b for _, b in pairs])


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def seconds(value: float) -> str:
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.1f} s"
