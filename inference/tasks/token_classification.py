"""Token classification: which tokens, words or entities of a text belong to which class."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForTokenClassification, TokenClassificationPipeline, pipeline
from transformers.pipelines.token_classification import AggregationStrategy

from engine.pretrained import load_pretrained
from fault import Fault
from tasks.encoder import MOST_WINDOWS, Encoded, Encoder, Output, not_finite
from tasks.inputs import Texts, read_texts
from tasks.parameters import Kind, check, one_of, text, whole
from tasks.task import Answer, Question, Task

MOST_TEXTS = 1_000
MOST_LABELS = 100
# These look at words, whose limits only a fast tokenizer tells.
OF_WORDS = ("first", "average", "max")

_LABEL = text(200)
PARAMETERS = {
    "aggregation_strategy": one_of("none", "simple", *OF_WORDS),
    "ignore_labels": Kind(
        f"a list of at most {MOST_LABELS} labels of at most 200 characters",
        lambda value: (
            isinstance(value, list)
            and len(value) <= MOST_LABELS
            and all(_LABEL.holds(one) for one in value)
        ),
    ),
    # How many tokens a window shares with the next; without it, what is too long is cut.
    "stride": whole(0, 100_000),
}


class TokenClassification:
    """The pipeline's answers, computed in batches of like length over all texts."""

    warm_up: Mapping[str, Any] = {"inputs": "warm up"}

    def __init__(self, encoder: Encoder, pipe: TokenClassificationPipeline) -> None:
        self._encoder = encoder
        self._pipe = pipe

    def read(self, document: Mapping[str, Any]) -> Question:
        inputs = read_texts(document, MOST_TEXTS)
        parameters = check(document.get("parameters"), PARAMETERS)
        strategy = parameters.get("aggregation_strategy", "none")
        if "stride" in parameters:
            self._check_stride(parameters["stride"], strategy)
        if strategy in OF_WORDS and not self._encoder.tokenizer.is_fast:
            raise Fault(
                "invalid_parameter",
                f"parameters.aggregation_strategy: {strategy} needs words, which this model's "
                "tokenizer does not tell: use none or simple",
                field="parameters.aggregation_strategy",
                allowed=("none", "simple"),
            )
        return Question(inputs, parameters)

    def answer(self, questions: Sequence[Question]) -> list[Answer | Fault]:
        windows = [self._windows(question) for question in questions]
        flat = [w if isinstance(w, Fault) else [one for text in w for one in text] for w in windows]
        outputs = self._encoder.run(flat, lambda _question, _sequence, output: _finite(output))
        return [
            logits
            if isinstance(logits, Fault) or isinstance(texts, Fault)
            else self._shaped(question, texts, logits)
            for question, texts, logits in zip(questions, windows, outputs, strict=True)
        ]

    def _check_stride(self, stride: int, strategy: str) -> None:
        if strategy == "none":
            raise Fault(
                "invalid_parameter",
                "parameters.stride joins the entities of overlapping windows: set "
                "aggregation_strategy to one other than none",
                field="parameters.aggregation_strategy",
                allowed=("simple", *OF_WORDS),
            )
        if not self._encoder.tokenizer.is_fast:
            raise Fault(
                "invalid_parameter",
                "parameters.stride: this model's tokenizer makes no windows: leave it out",
                field="parameters.stride",
            )
        room = self._room
        if room is not None and stride >= room:
            raise Fault(
                "invalid_parameter",
                f"parameters.stride must be less than the {room} tokens of a window, got {stride}",
                field="parameters.stride",
            )

    @property
    def _room(self) -> int | None:
        """The tokens of a text in one window, beside the special ones."""
        limit = self._encoder.limit
        return limit and limit - self._encoder.tokenizer.num_special_tokens_to_add(pair=False)

    def _windows(self, question: Question) -> list[list[Encoded]] | Fault:
        """The sequences of each text: one, or with a stride as many as it takes."""
        texts, stride = question.inputs.texts, question.parameters.get("stride")
        encoded = self._encoder.encode(texts, truncation=stride is None)
        if stride is not None and self._room is not None:
            return self._strided(texts, encoded, stride, self._room)
        return self._encoder.unfit(encoded) or [[one] for one in encoded]

    def _strided(
        self, texts: Sequence[str], encoded: Sequence[Encoded], stride: int, room: int
    ) -> list[list[Encoded]] | Fault:
        found: list[list[Encoded]] = []
        for one, whole_text in zip(texts, encoded, strict=True):
            limit = self._encoder.limit or 0
            if len(whole_text.ids) <= limit:
                found.append([whole_text])
                continue
            count = math.ceil((len(whole_text.ids) - stride) / (room - stride))
            if count > MOST_WINDOWS:
                return Fault(
                    "too_long",
                    f"a text makes {count} windows with a stride of {stride}, at most "
                    f"{MOST_WINDOWS} are read: shorten it, or lower parameters.stride",
                    field="inputs",
                )
            found.append(
                self._encoder.tokenise(
                    [one],
                    truncation=True,
                    max_length=limit,
                    stride=stride,
                    return_overflowing_tokens=True,
                )
            )
        return found

    def _shaped(
        self, question: Question, windows: Sequence[Sequence[Encoded]], logits: list[Output]
    ) -> Answer:
        inputs: Texts = question.inputs
        remaining = iter(logits)
        answers = [
            self._entities(question, text, [(one, next(remaining)) for one in sequences])
            for text, sequences in zip(inputs.texts, windows, strict=True)
        ]
        cut = sum(one.cut for sequences in windows for one in sequences)
        return Answer(answers if inputs.several else answers[0], cut)

    def _entities(
        self, question: Question, text: str, windows: Sequence[tuple[Encoded, Output]]
    ) -> list[dict[str, object]]:
        options = {
            "aggregation_strategy": AggregationStrategy(
                question.parameters.get("aggregation_strategy", "none")
            ),
            "ignore_labels": question.parameters.get("ignore_labels"),
        }
        outputs = [
            {
                "sentence": text,
                "logits": logits,
                "input_ids": torch.tensor([one.ids]),
                "special_tokens_mask": torch.tensor([one.special]),
                "offset_mapping": None if one.offsets is None else [one.offsets],
            }
            for one, logits in windows
        ]
        entities = self._pipe.postprocess(outputs, **options)
        return [{**entity, "score": float(entity["score"])} for entity in entities]


def load(model_dir: Path, device: str) -> Task:
    model, tokenizer = load_pretrained(model_dir, AutoModelForTokenClassification, device)
    pipe = pipeline("token-classification", model=model, tokenizer=tokenizer, device=device)
    return TokenClassification(Encoder(model, tokenizer, lambda output: output.logits), pipe)


def _finite(logits: Output) -> Output | Fault:
    return logits if torch.isfinite(logits).all() else not_finite()
