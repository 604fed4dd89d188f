"""Serving against the stock toolkit handler, side by side: how many times faster, at what memory.

    .venv/bin/python -m benchmarks.serving [--plot FILE] [--rounds N] [SECTION ...]

Sections: peak single clients zero-shot batch cold memory (all of them where none is named).
Every contender is a process of its own over the same model on the same machine; they take turns,
one request or one block at a time, and a figure is the median of the rounds with their range.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from benchmarks import serving_models as models
from benchmarks.contenders import LINES, Contender, Field, request
from benchmarks.endpoints import clients
from benchmarks.measure import timed
from benchmarks.plots import plot
from benchmarks.race import ENGINES, HEADER, STOCK, Race
from benchmarks.serving_models import with_onnx

BATCH_LINES, BLOCK_LINES = 10_000, 250
# All contenders do every tenth block, each ratio is of one block; one engine does all of them.
COMPARE_EVERY = 10
MEMORY_REQUESTS = 20_000
COLD_TEXT = "My parcel was due on Monday and still has not arrived"


def main(argv: Sequence[str] | None = None) -> None:
    options = _options(argv)
    chosen = options.sections or list(SECTIONS)
    races: list[Race] = []
    curve: list[tuple[int, float]] = []
    print(HEADER, flush=True)
    with tempfile.TemporaryDirectory(prefix="lectern-benchmark-") as folder:
        for section in chosen:
            for found in SECTIONS[section](Path(folder) / section, options.rounds):
                if isinstance(found, Race):
                    races.append(found)
                    print(found.row(), flush=True)
                elif isinstance(found, str):
                    print(found, flush=True)
                else:
                    curve.append(found)
    if options.plot is not None:
        plot(options.plot, races, curve)


def peak(folder: Path, rounds: int) -> Iterator[str]:
    """What this machine's cores can do at most, for scale."""
    left, right = torch.rand(512, 768), torch.rand(768, 3072)
    for threads in (1, torch.get_num_threads()):
        torch.set_num_threads(threads)
        spent = [timed(lambda: torch.mm(left, right)) for _ in range(200)]
        gflops = 2 * 512 * 768 * 3072 / statistics.median(spent[20:]) / 1e9
        yield f"| fp32 matmul 512×768×3072, {threads} thread(s) | {gflops:.0f} GFLOP/s | | | |"


def single(folder: Path, rounds: int) -> Iterator[Race | str]:
    """One short text a request."""
    model_dir = with_onnx(models.distilbert(folder / "model", ("bad", "good")))
    bodies = [request(text, truncation=True) for text in models.short_texts(30)]
    with Field((STOCK, *ENGINES), model_dir, "text-classification", folder) as contenders:
        yield from _in_turns("single text, DistilBERT size", contenders, bodies, rounds)
        yield _memory_of(contenders)


def zero_shot(folder: Path, rounds: int) -> Iterator[Race | str]:
    """One text against 3, 9 and 27 labels."""
    for size, build in (("DistilBERT", _distilbert_nli), ("BART-large", models.bart_large)):
        model_dir = with_onnx(build(folder / size))
        few = 2 if size == "BART-large" else 6
        texts = models.short_texts(few)
        with Field(
            (STOCK, *ENGINES), model_dir, "zero-shot-classification", folder / f"{size}-run"
        ) as contenders:
            for count in (3, 9, 27):
                labels = models.LABELS[:count]
                bodies = [request(text, candidate_labels=labels) for text in texts]
                name = f"zero-shot, {count} labels, {size} size"
                yield from _in_turns(name, contenders, bodies, rounds)
            yield _memory_of(contenders)


def batch(folder: Path, rounds: int) -> Iterator[Race | str]:
    """10,000 lines of mixed length, as transform jobs send them; MiniLM, for the time it takes."""
    model_dir = with_onnx(models.minilm_classifier(folder / "model"))
    texts = models.mixed_texts(BATCH_LINES)
    blocks = [texts[start : start + BLOCK_LINES] for start in range(0, BATCH_LINES, BLOCK_LINES)]
    alone, in_order = Race("batch lines / one row a request"), Race("batch lines / batches of 32")
    with Field((STOCK, *ENGINES), model_dir, "text-classification", folder) as contenders:
        stock, *ours = contenders
        everything = 0.0
        for number, block in enumerate(blocks):
            compared = number % COMPARE_EVERY == 0
            lines = "".join(json.dumps({"inputs": text}) + "\n" for text in block).encode()
            for contender in ours:
                if not compared and contender.name != "onnx":
                    continue
                spent = timed(lambda: contender.ask(lines, LINES))  # noqa: B023
                if contender.name == "onnx":
                    everything += spent
                if compared:
                    alone.note(contender.name, spent)
                    in_order.note(contender.name, spent)
            if compared:
                alone.note(STOCK, timed(lambda: _one_by_one(stock, block)))  # noqa: B023
                in_order.note(STOCK, timed(lambda: _by_32(stock, block)))  # noqa: B023
        yield alone
        yield in_order
        yield f"| all {BATCH_LINES:,} lines | – | – | {everything:.0f} s | – |"
        yield _memory_of(contenders)


def cold(folder: Path, rounds: int) -> Iterator[Race | str]:
    """A fresh process up to its first answer, files in the page cache; engine alone."""
    model_dir = with_onnx(models.distilbert(folder / "model", ("bad", "good")))
    race = Race("cold start to first answer, DistilBERT size")
    peaks: dict[str, float] = {}
    for _ in range(rounds + 1):
        for name in (STOCK, *ENGINES):
            command = [
                sys.executable,
                "-m",
                "benchmarks.cold_start",
                name,
                str(model_dir),
                COLD_TEXT,
            ]
            started = time.perf_counter()
            run = subprocess.run(
                command, cwd=models.ROOT, check=True, capture_output=True, text=True
            )
            race.note(name, time.perf_counter() - started)
            peaks[name] = float(run.stdout.split()[-1])
    # The first round filled the page cache.
    race.taken = {name: spent[1:] for name, spent in race.taken.items()}
    yield race
    yield _peaks("peak memory of the cold start", peaks)


def memory(folder: Path, rounds: int) -> Iterator[tuple[int, float] | str]:
    """20,000 requests of all lengths to one process: resident memory must not grow."""
    model_dir = with_onnx(models.minilm_classifier(folder / "model"))
    texts = models.mixed_texts(997)
    with Field(("onnx",), model_dir, "text-classification", folder) as (contender,):
        for number in range(MEMORY_REQUESTS):
            contender.ask(request(texts[number % len(texts)][:400]))
            if number % 250 == 0:
                yield number, contender.resident_mib
        yield number, contender.resident_mib


def _distilbert_nli(folder: Path) -> Path:
    return models.distilbert(folder, models.NLI)


def _in_turns(
    name: str, contenders: Sequence[Contender], bodies: Sequence[bytes], rounds: int
) -> Iterator[Race]:
    race = Race(name)
    for contender in contenders:
        contender.ask(bodies[0])
    for _ in range(rounds):
        spent = {contender.name: 0.0 for contender in contenders}
        for body in bodies:
            for contender in contenders:
                spent[contender.name] += timed(lambda: contender.ask(body))  # noqa: B023
        for who, total in spent.items():
            race.note(who, total / len(bodies))
    yield race


def _one_by_one(stock: Contender, texts: Sequence[str]) -> None:
    for text in texts:
        stock.ask(request(text, truncation=True))


def _by_32(stock: Contender, texts: Sequence[str]) -> None:
    for start in range(0, len(texts), 32):
        stock.ask(request(texts[start : start + 32], truncation=True, batch_size=32))


def _memory_of(contenders: Sequence[Contender]) -> str:
    return _peaks("peak memory of these processes", {c.name: c.peak_mib for c in contenders})


def _peaks(what: str, mib: dict[str, float]) -> str:
    cells = [f"{mib[name]:.0f} MiB" if name in mib else "–" for name in (STOCK, *ENGINES)]
    return f"| {what} | {' | '.join(cells)} |"


SECTIONS: dict[str, Callable[[Path, int], Iterator[Race | str | tuple[int, float]]]] = {
    "peak": peak,
    "single": single,
    "clients": clients,
    "zero-shot": zero_shot,
    "batch": batch,
    "cold": cold,
    "memory": memory,
}


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.serving", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--plot", type=Path, help="where the PNG goes")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(argv)
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"unknown section {sorted(unknown)[0]}: use {', '.join(SECTIONS)}")
    return options


if __name__ == "__main__":
    main()
