"""What the HTTP API costs: against the endpoint asked directly, and against a bare boto3 handler.

    .venv/bin/python -m benchmarks.api [SECTION ...] [--rounds N]

Sections: road handler init (all of them where none is named). What is compared takes turns within
the run, so that whatever else the machine does falls on both sides.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.api_function import PREPARED, TRACES, Functions, functions
from benchmarks.api_road import road
from benchmarks.measure import HEADER, Comparison

HERE = Path(__file__).resolve().parent
STEPS = {
    "import": slice(0, 1),
    "first answer": slice(1, 2),
    "import and first answer": slice(0, 2),
}


def main(argv: Sequence[str] | None = None) -> None:
    sections = {"road": road, "handler": handler, "init": init}
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(sections))
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args(argv)
    if unknown := set(options.sections) - set(sections):
        parser.error(f"SECTION: got {sorted(unknown)}, allowed: {', '.join(sections)}")
    for name in options.sections or sections:
        for line in sections[name](options.rounds):
            print(line, flush=True)
        print(flush=True)


def handler(rounds: int) -> Iterator[str]:
    """CPU per request in one process: of both handlers, and of ours with parts switched off."""
    yield "| handler | CPU per request | beyond the bare one | range |"
    yield "|---|---|---|---|"
    with functions() as found:
        for also, traces in (("", {}), (", traces on", TRACES)):
            for name, (spent, beyond) in _requests(found, traces, rounds).items():
                if traces and not name.startswith("ours, whole"):
                    continue
                middle = statistics.median(beyond)
                spread = f"{_micro(min(beyond))} to {_micro(max(beyond))}"
                cells = f"{_micro(statistics.median(spent))} | {_micro(middle)} | {spread}"
                yield f"| {name}{also} | {cells} |"


def init(rounds: int) -> Iterator[str]:
    """Fresh processes: the import and the first answer, CPU and the clock."""
    yield HEADER
    with functions() as found:
        both = {"packaged": found.packaged, "compiled": found.compiled}
        for also, more, ours in (
            ("", {}, both),
            (", traces on", TRACES, {"packaged": found.packaged}),
            (", prepared", PREPARED, {"packaged": found.packaged}),
        ):
            environment = {**found.environment, **more}
            places = {"bare": found.bare, **ours}
            runs = [
                {each: _fresh(places[each], found.event, environment) for each in places}
                for _ in range(rounds + 1)
            ]
            del runs[0]  # it found nothing in the page cache
            for place in ours:
                for what, steps in STEPS.items():
                    for which, clock in enumerate(("CPU", "clock")):
                        pair = (
                            [sum(step[which] for step in run[each][steps]) for run in runs]
                            for each in (place, "bare")
                        )
                        yield Comparison(f"{what}, {place}{also}: {clock}", *pair).row()


def _requests(
    found: Functions, more: Mapping[str, str], rounds: int
) -> dict[str, tuple[list[float], list[float]]]:
    """Of each contender the CPU per request, and what that is beyond the bare handler's."""
    result = found.event.with_name("result.json")
    script = [sys.executable, str(HERE / "api_requests.py"), str(result), str(found.event)]
    subprocess.run(
        [*script, str(found.packaged), str(found.bare), str(rounds)],
        env={**found.environment, **more},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    taken: dict[str, list[float]] = json.loads(result.read_text())
    told = {}
    for name, spent in taken.items():
        _, _, without = name.partition("; ")
        bare = taken[f"bare; {without}" if without else "bare"]
        told[name] = (spent, [a - b for a, b in zip(spent, bare, strict=True)])
    return told


def _fresh(folder: Path, event: Path, environment: Mapping[str, str]) -> list[list[float]]:
    """Seconds of CPU and of the clock: of a new process's import, first and second answer."""
    run = subprocess.run(
        [sys.executable, str(HERE / "api_init.py"), str(folder), str(event)],
        env=dict(environment),
        capture_output=True,
        text=True,
        check=True,
    )
    return [[float(word) for word in line.split()] for line in run.stdout.splitlines()]


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs"


if __name__ == "__main__":
    main()
