"""Odd texts for every task that is no classifier: each has its answer, or its caller's fault."""

import json
from pathlib import Path

import pytest

from fault import Fault
from tasks.registry import load
from tests.inference import reference

ROBUSTNESS = Path(__file__).parents[3] / "shared" / "data" / "robustness"
pytestmark = pytest.mark.skipif(
    not ROBUSTNESS.is_dir(), reason="no collection of odd data beside the checkout"
)
CODES = {"invalid_input", "invalid_parameter", "too_long"}
SHORT = {"max_new_tokens": 2, "num_beams": 1}
# Generating takes time, so it gets some of the texts.
TASKS = {
    "token-classification": ("token-classifier", 1, lambda text: {"inputs": text}),
    "ner": (
        "token-classifier",
        4,
        lambda text: {
            "inputs": text,
            "parameters": {"aggregation_strategy": "average", "stride": 5},
        },
    ),
    "fill-mask": ("masked", 1, lambda text: {"inputs": f"[MASK] {text}"}),
    "feature-extraction": (
        "features",
        1,
        lambda text: {"inputs": text, "parameters": {"pooling": "mean"}},
    ),
    "question-answering": (
        "reader",
        1,
        lambda text: {"inputs": {"question": text[::-1], "context": text}},
    ),
    "table-question-answering": (
        "tapas",
        8,
        lambda text: {"inputs": {"query": text[:20], "table": {text[:10]: [text, "1"]}}},
    ),
    "summarization": ("t5", 8, lambda text: {"inputs": text, "parameters": SHORT}),
    "translation_en_to_de": ("marian", 8, lambda text: {"inputs": text, "parameters": SHORT}),
    "text2text-generation": ("bart", 8, lambda text: {"inputs": text, "parameters": SHORT}),
    "text-generation": ("gpt2", 4, lambda text: {"inputs": text, "parameters": SHORT}),
}


@pytest.fixture(scope="module")
def texts():
    found = json.loads((ROBUSTNESS / "blns.json").read_text("utf-8"))
    for name, field in (("odd_texts", "inputs"), ("emoji_texts", "inputs")):
        lines = (ROBUSTNESS / f"{name}.jsonl").read_text("utf-8").split("\n")
        found += [json.loads(line)[field] for line in lines if line]
    return found


def answers(task, documents):
    """Of each document, what a batch says: its answer, or the fault of reading or answering it."""
    read = []
    for document in documents:
        try:
            read.append(task.read(document))
        except Fault as fault:
            read.append(fault)
    answered = iter(task.answer([one for one in read if not isinstance(one, Fault)]))
    return [one if isinstance(one, Fault) else next(answered) for one in read]


@pytest.mark.parametrize("name", TASKS)
def test_odd_texts_are_answered_or_refused_each_by_itself(texts, name):
    model, every, document = TASKS[name]
    task = load(name, reference.models() / model, engine="torch", device="cpu")
    found = answers(task, [document(text) for text in texts[::every]])
    for text, answer in zip(texts[::every], found, strict=True):
        if isinstance(answer, Fault):
            assert (answer.fault, answer.code in CODES) == ("client", True), (text, answer)
        else:
            json.dumps(answer.value, allow_nan=False)
    assert sum(not isinstance(answer, Fault) for answer in found) > len(found) * 0.9


@pytest.mark.parametrize("name", TASKS)
def test_a_document_of_300_kb_is_answered_or_refused(name):
    model, _, document = TASKS[name]
    task = load(name, reference.models() / model, engine="torch", device="cpu")
    text = (ROBUSTNESS / "very_long_document.txt").read_text("utf-8")
    (answer,) = answers(task, [document(text)])
    if isinstance(answer, Fault):
        assert (answer.fault, answer.code) == ("client", "too_long")
    else:
        # Windows read all of it; the others say what they lost.
        assert answer.cut == (0 if name in ("question-answering", "ner") else 1)
