"""Feature extraction: a vector a token, or one a text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel

from engine.pretrained import load_pretrained
from fault import Fault
from tasks.encoder import Encoded, Encoder, Output, not_finite
from tasks.inputs import read_texts
from tasks.parameters import check, one_of, true_or_false
from tasks.task import Answer, Question, Task

MOST_TEXTS = 1_000
# About what a response of 100 MB, the largest of a batch, holds.
MOST_NUMBERS = 5_000_000
PARAMETERS = {
    "truncation": true_or_false(),
    # One vector a text: the mean of its tokens' vectors, special ones too, or the first of them.
    "pooling": one_of("none", "mean", "cls"),
    # To length 1, so that a dot product is the cosine.
    "normalize": true_or_false(),
}


class FeatureExtraction:
    """The last hidden states of a model without its head."""

    warm_up: Mapping[str, Any] = {"inputs": "warm up"}

    def __init__(self, encoder: Encoder, width: int) -> None:
        self._encoder = encoder
        self._width = width

    def read(self, document: Mapping[str, Any]) -> Question:
        inputs = read_texts(document, MOST_TEXTS)
        parameters = check(document.get("parameters"), PARAMETERS)
        if parameters.get("normalize") and parameters.get("pooling", "none") == "none":
            raise Fault(
                "invalid_parameter",
                "parameters.normalize is for one vector a text: set pooling to mean or cls",
                field="parameters.pooling",
                allowed=("mean", "cls"),
            )
        return Question(inputs, parameters)

    def answer(self, questions: Sequence[Question]) -> list[Answer | Fault]:
        encoded = [self._encoded(question) for question in questions]
        outputs = self._encoder.run(
            encoded, lambda question, _, output: _vectors(output, questions[question].parameters)
        )
        return [
            vectors
            if isinstance(vectors, Fault) or isinstance(texts, Fault)
            else Answer(
                vectors if question.inputs.several else vectors[0], sum(one.cut for one in texts)
            )
            for question, texts, vectors in zip(questions, encoded, outputs, strict=True)
        ]

    def _encoded(self, question: Question) -> list[Encoded] | Fault:
        encoded = self._encoder.encode(
            question.inputs.texts, truncation=question.parameters.get("truncation", True)
        )
        numbers = sum(len(one.ids) for one in encoded) * self._width
        if question.parameters.get("pooling", "none") == "none" and numbers > MOST_NUMBERS:
            return Fault(
                "too_long",
                f"the answer would hold {numbers} numbers, at most {MOST_NUMBERS} are given: send "
                "fewer texts, or set parameters.pooling",
                field="inputs",
            )
        return self._encoder.unfit(encoded) or encoded


def load(model_dir: Path, device: str) -> Task:
    # Checkpoints of other heads lack the pooler, whose output is not asked for.
    model, tokenizer = load_pretrained(model_dir, AutoModel, device, may_lack="pooler.")
    encoder = Encoder(model, tokenizer, lambda output: output[0])
    return FeatureExtraction(encoder, model.config.hidden_size)


def _vectors(output: Output, parameters: Mapping[str, Any]) -> list[Any] | Fault:
    if not torch.isfinite(output).all():
        return not_finite()
    pooling = parameters.get("pooling", "none")
    if pooling == "none":
        return output.tolist()
    vector = output[0].mean(dim=0) if pooling == "mean" else output[0, 0]
    if parameters.get("normalize"):
        vector = torch.nn.functional.normalize(vector, dim=0)
    return vector.tolist()
