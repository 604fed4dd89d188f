"""The model card's charts as inline SVG; colours are classes, so that the page's style rules."""

import math
from collections.abc import Sequence
from html import escape

from card import Curve, Histogram

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 12, 30
# A map's cells in pixels: with their counts, where they are few.
LARGE_CELL, SMALL_CELL = 44, 18
MOST_COUNTED = 12
LONGEST_LABEL, LONGEST_UPRIGHT = 22, 4
# Of the twelve pixels high letters, on average and in wide fonts.
LETTER = 7.2
FAINTEST_TINT = 0.07
# The darkest tint still lets dark text on it be read, and in dark mode light text.
STRONGEST_TINT = 0.5


class Scale:
    """From values to pixels."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high = low, high
        self._start, self._per_unit = start, (end - start) / ((high - low) or 1)

    def __call__(self, value: float) -> str:
        return f"{self._start + (value - self.low) * self._per_unit:.1f}"


def whisker(
    value: float, interval: Sequence[float], before: float | None, low: float, high: float
) -> str:
    """A dot with its interval, and a ring for the version before; as wide as its table cell."""
    x = Scale(low, high, 2, 98)
    title = f"{value:.3f}, 95 % interval {interval[0]:.3f} to {interval[1]:.3f}"
    ring = ""
    if before is not None:
        title += f", version in service {before:.3f}"
        ring = f'<circle class="ring" cx="{x(before)}%" cy="12" r="5"/>'
    return _svg(
        'width="100%" height="24"',
        title,
        f'<line class="track" x1="2%" x2="98%" y1="12" y2="12"/>'
        f'<line class="whisker" x1="{x(interval[0])}%" x2="{x(interval[1])}%" y1="12" y2="12"/>'
        f'{ring}<circle class="dot" cx="{x(value)}%" cy="12" r="4.5"/>',
        css="strip",
    )


def axis(low: float, high: float) -> str:
    """The ticks below a column of whiskers."""
    x = Scale(low, high, 2, 98)
    ticks = "".join(
        f'<text x="{x(tick)}%" y="14" text-anchor="{_anchor(tick, low, high)}">{_tick(tick)}</text>'
        for tick in ticks_between(low, high, 4)
    )
    return _svg('width="100%" height="18"', f"scale from {low:g} to {high:g}", ticks, css="strip")


def range_of(intervals: Sequence[Sequence[float]]) -> tuple[float, float]:
    """A scale that holds all intervals: round ends, never above 1."""
    lowest = min(low for low, _ in intervals)
    low = max(0.0, math.floor((lowest - 0.02) * 10) / 10)
    return low, 1.0


def curves(
    title: str, lines: Sequence[Curve], *, from_zero: bool, marked: float | None = None
) -> str:
    """Lines over training steps; the n-th has the class `line-n`, one step may be marked."""
    steps = [step for line in lines for step, _ in line.points]
    values = [value for line in lines for _, value in line.points]
    low, high = (0.0 if from_zero else min(values)), max(values)
    ticks = ticks_between(low, high, 4)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    x = Scale(0 if min(steps) > 0 else min(steps), max(steps), LEFT, WIDTH - RIGHT)
    y = Scale(low, high, HEIGHT - BOTTOM, TOP)
    drawn = []
    if marked is not None:
        place = f'x1="{x(marked)}" x2="{x(marked)}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"'
        drawn.append(f'<line class="ideal" {place}><title>kept: step {marked:g}</title></line>')
    for number, line in enumerate(lines, start=1):
        points = " ".join(f"{x(step)},{y(value)}" for step, value in line.points)
        drawn.append(f'<polyline class="line-{number}" points="{points}"/>')
        if len(line.points) <= 30:
            drawn += [
                f'<circle class="point-{number}" cx="{x(step)}" cy="{y(value)}" r="2.5">'
                f"<title>{escape(line.name)} {value:.4g} at step {step:g}</title></circle>"
                for step, value in line.points
            ]
    last = [f"{line.name} {line.points[-1][1]:.3g}" for line in lines]
    return _chart(
        title,
        f"at the end: {', '.join(last)}",
        _grid(y, ticks) + _steps(x) + "".join(drawn),
    )


def reliability(bins: Sequence[dict[str, float | None]], title: str) -> str:
    """Outcome over probability: on the diagonal, a score means what it says."""
    x = Scale(0, 1, LEFT, WIDTH - RIGHT)
    y = Scale(0, 1, HEIGHT - BOTTOM, TOP)
    filled = [b for b in bins if b["members"]]
    most = max((float(b["members"] or 0) for b in filled), default=1.0)
    drawn = [f'<line class="ideal" x1="{x(0)}" y1="{y(0)}" x2="{x(1)}" y2="{y(1)}"/>']
    for b in filled:
        probability, outcome = float(b["probability"] or 0), float(b["outcome"] or 0)
        radius = 2.5 + 5 * math.sqrt(float(b["members"] or 0) / most)
        drawn.append(
            f'<line class="gap" x1="{x(probability)}" x2="{x(probability)}" '
            f'y1="{y(probability)}" y2="{y(outcome)}"/>'
            f'<circle class="point-1" cx="{x(probability)}" cy="{y(outcome)}" r="{radius:.1f}">'
            f"<title>{b['members']} with probability {probability:.2f} on average: "
            f"{outcome:.0%} came true</title></circle>"
        )
    ticks = (0, 0.25, 0.5, 0.75, 1)
    marks = "".join(
        f'<text x="{x(t)}" y="{HEIGHT - 10}" text-anchor="{_anchor(t, 0, 1)}">{t:g}</text>'
        for t in ticks
    )
    return _chart(
        title,
        f"{len(filled)} bins of probability against what came true",
        _grid(y, ticks) + marks + "".join(drawn),
    )


def histogram(shown: Histogram, *, small: bool) -> str:
    """Two groups back to back, the first above the line, each as shares of its own rows."""
    width, half = (240, 44) if small else (WIDTH, 84)
    left = 4 if small else 10
    x = Scale(0, 1, left, width - left)
    above, below = (max(shares) for _, _, shares in shown.groups)
    highest = (max(above, below) if small else (above + below) / 2) or 1
    middle = 6 + (half if small else half * above / highest)
    drawn = []
    for which, (name, members, shares) in enumerate(shown.groups):
        for i, share in enumerate(shares):
            if not share:
                continue
            height = max(1.0, half * share / highest)
            start, end = float(x(i / len(shares))), float(x((i + 1) / len(shares)))
            top = middle - height if which == 0 else middle
            drawn.append(
                f'<rect class="bar-{which + 1}" x="{start + 0.5:.1f}" y="{top:.1f}" '
                f'width="{end - start - 1:.1f}" height="{height:.1f}"><title>{share:.1%} of '
                f"{members} rows: {escape(name)}, {i / len(shares):.2f} to "
                f"{(i + 1) / len(shares):.2f}</title></rect>"
            )
    threshold = ""
    if shown.threshold is not None:
        threshold = (
            f'<line class="ideal" x1="{x(shown.threshold)}" x2="{x(shown.threshold)}" '
            f'y1="2" y2="{2 * half + 10}"/>'
        )
    marks = "".join(
        f'<text x="{x(t)}" y="{2 * half + 25}" text-anchor="{_anchor(t, 0, 1)}">{t:g}</text>'
        for t in (0, 0.5, 1)
    )
    groups = ", ".join(f"{members} {name}" for name, members, _ in shown.groups)
    return _chart(
        shown.name,
        f"rows by probability: {groups}",
        f'<line class="axis" x1="{left}" x2="{width - left}" y1="{middle}" y2="{middle}"/>'
        + "".join(drawn)
        + threshold
        + marks,
        width=width,
        height=2 * half + 30,
    )


def heat_map(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> str:
    """True classes in rows, predicted ones in columns; tints are shares of the row."""
    cell = LARGE_CELL if len(labels) <= MOST_COUNTED else SMALL_CELL
    short = [_shortened(label) for label in labels]
    longest = max(len(label) for label in short)
    left = 12 + LETTER * longest
    top = 22 if longest <= LONGEST_UPRIGHT else left
    drawn = []
    for i, row in enumerate(matrix):
        total = sum(row)
        drawn.append(
            f'<text x="{left - 8:.0f}" y="{top + (i + 0.5) * cell + 4:.0f}" '
            f'text-anchor="end">{escape(short[i])}</text>'
        )
        for j, times in enumerate(row):
            if not times:
                continue
            # The square root, so that a rare confusion is seen beside a full diagonal.
            tint = FAINTEST_TINT + (STRONGEST_TINT - FAINTEST_TINT) * math.sqrt(times / total)
            place = f'x="{left + j * cell:.0f}" y="{top + i * cell:.0f}"'
            drawn.append(
                f'<rect class="{"hit" if i == j else "miss"}" {place} width="{cell - 1}" '
                f'height="{cell - 1}" fill-opacity="{tint:.2f}"><title>{escape(labels[i])} '
                f"answered as {escape(labels[j])}: {times} of {total}</title></rect>"
            )
            if cell == LARGE_CELL:
                drawn.append(
                    f'<text class="count" x="{left + (j + 0.5) * cell - 0.5:.1f}" '
                    f'y="{top + (i + 0.5) * cell + 4:.1f}" text-anchor="middle">{times}</text>'
                )
    for j, label in enumerate(short):
        x, y = left + (j + 0.5) * cell, top - 8
        turned = f'transform="rotate(-90 {x + 4:.0f} {y:.0f})" x="{x + 4:.0f}"'
        upright = f'text-anchor="middle" x="{x:.0f}"'
        place = upright if longest <= LONGEST_UPRIGHT else turned
        drawn.append(f'<text {place} y="{y:.0f}">{escape(label)}</text>')
    side = cell * len(labels)
    frame = f'<rect class="frame" x="{left:.0f}" y="{top:.0f}" width="{side}" height="{side}"/>'
    width, height = left + side + 4, top + side + 4
    right = sum(row[i] for i, row in enumerate(matrix))
    return _svg(
        f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"',
        "Confusion matrix",
        frame + "".join(drawn),
        description=f"{right} of {sum(map(sum, matrix))} rows lie on the diagonal",
        css="map",
    )


def ticks_between(low: float, high: float, about: int) -> list[float]:
    """Round numbers from at most `low` to at least `high`, where room is for `about` of them."""
    span = (high - low) or abs(high) or 1.0
    rough = span / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, max(last, first + 1) + 1)]


def _steps(x: Scale) -> str:
    ticks = [tick for tick in ticks_between(x.low, x.high, 4) if x.low <= tick <= x.high]
    return "".join(
        f'<text x="{x(tick)}" y="{HEIGHT - 10}" text-anchor="{_anchor(tick, x.low, x.high)}">'
        f"{_tick(tick)}</text>"
        for tick in ticks
    )


def _grid(y: Scale, ticks: Sequence[float]) -> str:
    return "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick)}" y2="{y(tick)}"/>'
        f'<text x="{LEFT - 8}" y="{float(y(tick)) + 4:.1f}" text-anchor="end">{_tick(tick)}</text>'
        for tick in ticks
    )


def _chart(
    title: str, description: str, body: str, width: int = WIDTH, height: int = HEIGHT
) -> str:
    return _svg(
        f'viewBox="0 0 {width} {height}"', title, body, description=description, css="chart"
    )


def _svg(size: str, title: str, body: str, *, css: str, description: str = "") -> str:
    told = f"<desc>{escape(description)}</desc>" if description else ""
    return (
        f'<svg class="{css}" role="img" {size} aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{told}{body}</svg>"
    )


def _anchor(tick: float, low: float, high: float) -> str:
    if abs(tick - low) < 1e-9:
        return "start"
    return "end" if abs(tick - high) < 1e-9 else "middle"


def _tick(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def _shortened(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"
