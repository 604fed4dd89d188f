"""The same work by several contenders in turn, reported as speed-ups over the first."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from benchmarks.measure import seconds

STOCK = "stock"
MODEL_SERVER = "stock, model server"
ENGINES = ("torch", "onnx", "onnx-int8")
HEADER = f"| what | stock takes | {' | '.join(ENGINES)} |\n|---|---|{'---|' * len(ENGINES)}"


@dataclass
class Race:
    """Seconds of the same work for every contender, round by round."""

    name: str
    taken: dict[str, list[float]] = field(default_factory=dict)
    reference: str = STOCK

    def note(self, contender: str, spent: float) -> None:
        self.taken.setdefault(contender, []).append(spent)

    def speed_ups(self, contender: str) -> list[float]:
        """How many times faster than the reference, round by round."""
        return [
            theirs / ours
            for theirs, ours in zip(self.taken[self.reference], self.taken[contender], strict=True)
        ]

    def row(self) -> str:
        """One Markdown row: the reference's median, then each engine's speed-up with its range."""
        cells = [self.name, seconds(statistics.median(self.taken[self.reference]))]
        for engine in ENGINES:
            if engine not in self.taken:
                cells.append("–")
                continue
            found = self.speed_ups(engine)
            middle = statistics.median(found)
            cells.append(f"**{middle:.2f}** ({min(found):.2f}–{max(found):.2f})")
        return f"| {' | '.join(cells)} |"
