"""A real encoder against the plain transformers pipeline, in both tasks of a classifier."""

import csv
from pathlib import Path

import pytest
from transformers import pipeline

from tasks.registry import load
from tests.inference import tiny
from tests.inference.comparing import answers, ask, same

TICKETS = Path(__file__).parents[2] / "examples" / "tickets" / "named.csv"


@pytest.fixture(scope="module")
def minilm(tmp_path_factory):
    return tiny.minilm(tmp_path_factory.mktemp("minilm"))


@pytest.fixture(scope="module")
def texts():
    with TICKETS.open(newline="") as rows:
        tickets = [row["message"] for row in csv.DictReader(rows)][:20]
    return [*tickets, "", "🎉" * 40, "wo ist mein Päckchen?", " ".join(tickets) * 3]


def test_texts_are_classified_alike_whatever_shares_the_batch(minilm, texts):
    task = load("text-classification", minilm, engine="torch", device="cpu")
    plain = pipeline("text-classification", model=str(minilm), device="cpu")
    pairs = [
        {"text": one, "text_pair": two} for one, two in zip(texts, reversed(texts), strict=True)
    ]
    inputs = [*texts, *pairs[:10]]
    parameters = {"truncation": True, "top_k": None}
    same(ask(task, {"inputs": inputs, "parameters": parameters}), plain(inputs, **parameters))


@pytest.mark.parametrize("independent", [False, True])
def test_labels_are_ranked_alike(minilm, texts, independent):
    task = load("zero-shot-classification", minilm, engine="torch", device="cpu")
    plain = pipeline("zero-shot-classification", model=str(minilm), device="cpu")
    parameters = {
        "candidate_labels": ["billing", "delivery", "a password", "something else entirely"],
        "hypothesis_template": "This text is about {}.",
        "multi_label": independent,
    }
    some = [*texts[:6], *texts[-2:]]
    documents = [{"inputs": text, "parameters": parameters} for text in some]
    same([one.value for one in answers(task, *documents)], plain(some, **parameters))
