"""The figures of a serving benchmark as one picture."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.race import ENGINES, Race

COLOURS = dict(zip(ENGINES, ("#4c78a8", "#f58518", "#54a24b"), strict=True))


def plot(path: Path, races: Sequence[Race], curve: Sequence[tuple[int, float]]) -> None:
    """Speed-ups as bars with their ranges; below them, resident memory over requests."""
    rows = max(1, len(races))
    figure = Figure(figsize=(9, 1.5 + 0.55 * rows + (2.5 if curve else 0)), layout="constrained")
    if curve:
        bars, memory = figure.subplots(2, 1, height_ratios=[0.55 * rows + 1, 2.5])
        memory.plot(*zip(*curve, strict=True), color=COLOURS["onnx"])
        memory.set_ylim(bottom=0)
        memory.set_xlabel("requests answered by one process")
        memory.set_ylabel("resident MiB")
        memory.grid(alpha=0.3)
    else:
        bars = figure.subplots()
    height = 0.8 / len(ENGINES)
    for at, engine in enumerate(ENGINES):
        places, middles, spans = [], [], ([], [])
        for row, race in enumerate(races):
            if engine not in race.taken:
                continue
            found = race.speed_ups(engine)
            middle = statistics.median(found)
            places.append(row + at * height)
            middles.append(middle)
            spans[0].append(middle - min(found))
            spans[1].append(max(found) - middle)
        bars.barh(places, middles, height, xerr=spans, color=COLOURS[engine], label=engine)
    bars.axvline(1, color="black", linewidth=0.8)
    bars.set_yticks([row + height for row in range(len(races))], [race.name for race in races])
    bars.invert_yaxis()
    bars.set_xlabel("times faster than the stock toolkit handler (median, range of rounds)")
    bars.legend(loc="lower right")
    bars.grid(axis="x", alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
