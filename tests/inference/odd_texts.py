"""Collections of odd texts, where they lie beside the checkout."""

import csv
import json
from pathlib import Path

ROBUSTNESS = Path(__file__).parents[3] / "shared" / "data" / "robustness"
COLLECTIONS = ("naughty strings", "odd texts", "emoji", "languages", "reviews")


def read_lines(name):
    return [json.loads(line) for line in (ROBUSTNESS / name).read_text("utf-8").split("\n") if line]


def texts():
    reviews = (ROBUSTNESS / "long_movie_reviews_data.csv").open(encoding="utf-8", newline="")
    with reviews:
        long_ones = [text for _, text in list(csv.reader(reviews))[:25]]
    return {
        "naughty strings": json.loads((ROBUSTNESS / "blns.json").read_text("utf-8")),
        "odd texts": [line["inputs"] for line in read_lines("odd_texts.jsonl")],
        "emoji": [line["inputs"] for line in read_lines("emoji_texts.jsonl")],
        "languages": [line["text"] for line in read_lines("udhr_multilingual.jsonl")],
        "reviews": long_ones,
    }
